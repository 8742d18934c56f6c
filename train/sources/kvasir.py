"""Kvasir-SEG: polyps in colonoscopy, images/NAME.jpg and masks/NAME.jpg.

Jha et al., Kvasir-SEG: A Segmented Polyp Dataset, 2020; for research and education. The masks are JPEGs of black
and white, white above 127. The source does not say which pictures are of one patient, so each counts as a patient
of its own, and a score here may be better than on people never seen.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from livdemo.errors import InputError
from train.scans import Loaded, Scan
from train.sources.tree import Folder, Tree

LAYOUT = "Kvasir-SEG (a folder called kvasir... with images and masks)"
WHITE = 127
PICTURES = (".jpg", ".jpeg", ".png")


def find(tree: Tree) -> list[Scan]:
    """A scan a picture. InputError where an image has no mask or a mask no image."""
    at = {folder.path: folder for folder in tree}
    scans = []
    for folder in tree:
        if "kvasir" in folder.path.name.lower() and {"images", "masks"} & set(folder.folders):
            images, masks = (_pictures(at.get(folder.path / part)) for part in ("images", "masks"))
            for name in sorted(images.keys() ^ masks.keys()):
                there, missing = ("image", "mask") if name in images else ("mask", "image")
                raise InputError(f"The {there} {name} in {folder.path} has no {missing}: unpack the archive again.")
            scans += [_scan(name, images[name], masks[name]) for name in sorted(images)]
    return scans


def _pictures(folder: Folder | None) -> dict[str, Path]:
    paths = [folder.path / name for name in folder.files if name.lower().endswith(PICTURES)] if folder else []
    return {path.stem: path for path in paths}


def _scan(name: str, image: Path, mask: Path) -> Scan:
    return Scan(
        source="kvasir",
        volume=name,
        patient=f"kvasir {name}",
        labels="binary",
        modality="RGB",
        load=partial(_load, image, mask),
        files=(image, mask),
    )


def _load(image_path: Path, mask_path: Path) -> Loaded:
    """image (1, 3, H, W), red, green, blue in 0 to 255; mask (1, H, W)."""
    image = _read(image_path, cv2.IMREAD_COLOR)[:, :, ::-1]  # OpenCV has blue first
    mask = (_read(mask_path, cv2.IMREAD_GRAYSCALE) > WHITE).astype(np.uint8)
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"{mask_path} {mask.shape} is not of the size of its image {image.shape[:2]}: unpack it again."
        )
    return image.transpose(2, 0, 1)[None].astype(np.int16), mask[None], np.zeros(1, int)


def _read(path: Path, how: int) -> np.ndarray:
    picture = cv2.imread(str(path), how)
    if picture is None:
        raise InputError(f"{path} cannot be read as a picture: unpack the archive again.")
    return picture
