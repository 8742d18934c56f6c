"""Slices and masks of any size onto the square grid of a cache, the way the app brings a slice to its network."""

import numpy as np

from livdemo.intensity import HU_AIR, pad_to_square, resize
from train.scans import Modality

SURROUND: dict[Modality, int] = {"CT": HU_AIR, "MR": 0, "RGB": 0}  # what lies beside a slice that is not square


def shrink_images(image: np.ndarray, size: int, modality: Modality) -> np.ndarray:
    """int16 (N, C, H, W) -> int16 (N, C, size, size): padded to a square, averaged over the area of each pixel.

    The app windows before it averages; here the window is not known yet, so where air meets skin, at one pixel
    of the body's outline, the two differ.
    """
    n, channels, height, width = image.shape
    if height == width == size:
        return np.ascontiguousarray(image, np.int16)
    outside = SURROUND[modality]
    small = np.empty((n, channels, size, size), np.int16)
    for k, c in np.ndindex(n, channels):
        square = pad_to_square(image[k, c].astype(np.float32) - outside)
        small[k, c] = np.rint(resize(square, size) + outside)
    return small


def shrink_masks(mask: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, H, W), labels 0, 1, 2 -> uint8 (N, size, size), decided by area.

    A pixel is of the organ when at least half of it is (labels 1 and 2 together), and tumour when tumour is at
    least half of that. Nearest neighbour would shift outlines by up to half a pixel against the averaged image
    and lose tumours of a pixel; taking the largest of three shares would call a pixel of 0.4 background, 0.3 liver
    and 0.3 tumour background.
    """
    n, height, width = mask.shape
    if height == width == size:
        return np.ascontiguousarray(mask, np.uint8)
    small = np.zeros((n, size, size), np.uint8)
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        square = pad_to_square(mask[k])
        organ = resize((square > 0).astype(np.float32), size)
        tumour = resize((square == 2).astype(np.float32), size)
        small[k] = organ >= 0.5
        small[k][(organ >= 0.5) & (tumour >= organ / 2)] = 2
    return small
