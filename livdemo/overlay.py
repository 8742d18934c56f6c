"""Slices and masks as RGB pictures: fill, contour, and true/false positives and negatives.

Colours are Okabe and Ito's, told apart by colour-blind readers, and the same everywhere in livdemo.
"""

import numpy as np
from scipy import ndimage

LIVER = (0x00, 0x9E, 0x73)
TUMOUR = (0xE6, 0x9F, 0x00)
TRUE_POSITIVE = (0x56, 0xB4, 0xE9)
FALSE_POSITIVE = (0xD5, 0x5E, 0x00)  # hatched
FALSE_NEGATIVE = (0xCC, 0x79, 0xA7)  # dotted
FILL_OPACITY = 0.35


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Grey float in [0, 1], (Y, X) -> uint8 (Y, X, 3)."""
    grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def contour(mask: np.ndarray) -> np.ndarray:
    """The outermost pixels of a mask (Y, X) bool: those with a 4-neighbour outside or at the border."""
    return mask & ~ndimage.binary_erosion(mask)


def draw_labels(rgb: np.ndarray, label_map: np.ndarray, fill: bool = False) -> np.ndarray:
    """Liver (tumour included) and tumour as contours, with `fill` also tinted. Returns a new picture."""
    drawn = rgb.copy()
    for mask, colour in ((label_map >= 1, LIVER), (label_map == 2, TUMOUR)):
        if fill:
            drawn[mask] = _blend(drawn[mask], colour)
        drawn[contour(mask)] = colour
    return drawn


def draw_errors(rgb: np.ndarray, prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Tint true positives, hatch false positives, dot false negatives; both masks bool (Y, X)."""
    drawn = rgb.copy()
    row, column = np.indices(prediction.shape)
    parts = (
        (prediction & reference, TRUE_POSITIVE, np.zeros_like(prediction)),
        (prediction & ~reference, FALSE_POSITIVE, (row + column) % 4 == 0),
        (~prediction & reference, FALSE_NEGATIVE, (row % 3 == 0) & (column % 3 == 0)),
    )
    for mask, colour, pattern in parts:
        drawn[mask] = _blend(drawn[mask], colour)
        drawn[mask & pattern] = colour
    return drawn


def _blend(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.rint(pixels * (1 - FILL_OPACITY) + np.array(colour) * FILL_OPACITY).astype(np.uint8)
