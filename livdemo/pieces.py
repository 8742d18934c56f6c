"""Pieces of a mask (Z, Y, X): the largest, those too small, holes, and other organs that hang on the liver.

The slices that networks learn from all show the liver, so on a whole scan they go on where it ends: into a kidney, the
bowel, the spleen. These touch it, so the largest connected piece holds them too. But they hang on it by a neck, and
lie in slices where there is no liver any more, or little: that tells them from its lobes.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

NECK_MM = 28.0  # cutting there leaves the liver that is drawn in each of fifteen training volumes as it is
# A ball of 5 mm across: smaller than any tumour that is drawn in the training volumes, as far as their heights tell the
# spacing, and of what networks see there many false alarms and hardly a hit (study "specks").
SPECK_ML = 0.065
_LITTLE = 0.1  # of the liver's largest area: below it a slice shows little of it
_STEP_MM = 4.0  # of the grid on which necks are looked for
_LONGEST_MM = 2000.0  # no body is longer: a file that says so has a wrong spacing
_NEIGHBOURS = np.ones((3, 3, 3), bool)  # pieces hold together by faces, edges and corners


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece (26 neighbours) of a mask (Z, Y, X); of equals the first in (Z, Y, X) order."""
    kept = np.zeros_like(mask)
    for box in ndimage.find_objects(mask.view(np.uint8)):
        pieces, number = ndimage.label(mask[box], structure=_NEIGHBOURS)
        kept[box] = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1 if number > 1 else mask[box]
    return kept


def drop_small_pieces(mask: Mask, fewest_voxels: float) -> Mask:
    """The mask (Z, Y, X) without its connected pieces (26 neighbours) of fewer voxels than that."""
    kept = np.zeros_like(mask)
    for box in ndimage.find_objects(mask.view(np.uint8)):
        pieces, _ = ndimage.label(mask[box], structure=_NEIGHBOURS)
        large = np.bincount(pieces.ravel()) >= fewest_voxels * (1 - 1e-9)  # 0.3 mL / 0.1 mL is 2.9999999999999996
        large[0] = False
        kept[box] = large[pieces]
    return kept


def drop_specks(mask: Mask, spacing_mm: tuple[float, float, float], smallest_ml: float) -> Mask:
    """The same with the smallest piece in mL; 0 drops nothing."""
    return drop_small_pieces(mask, smallest_ml / (math.prod(spacing_mm) / 1000)) if smallest_ml else mask


def fill_holes(mask: Mask) -> Mask:
    """Fill each slice of a mask (Z, Y, X): what the outside cannot reach over faces of pixels is a hole."""
    filled = mask.copy()
    height, width = mask.shape[1:]
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        outside = np.zeros((height + 2, width + 2), np.uint8)
        outside[1:-1, 1:-1] = mask[z]
        cv2.floodFill(outside, None, (0, 0), 2, flags=4)
        filled[z] = outside[1:-1, 1:-1] != 2
    return filled


def cut_at_necks(mask: Mask, spacing_mm: tuple[float, float, float], neck_mm: float = NECK_MM) -> Mask:
    """The mask without the organs that hang on its largest part by a neck thinner than `neck_mm`; 0 cuts nothing.

    A part is what somewhere holds a ball of that diameter; whatever is thinner belongs to the nearest part. Another
    organ is a part that lies mostly in slices where the largest one has little area. Holes count as filled: a tumour
    that was missed is no neck. The faces of the mask's box are no surface: a liver that the scan cuts off goes on. With
    a spacing that no body has nothing is cut.
    """
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not neck_mm or not boxes:
        return mask
    inside = mask[boxes[0]]
    if any(size * spacing > _LONGEST_MM for size, spacing in zip(inside.shape, spacing_mm, strict=True)):
        return mask
    others = _other_organs(_sampled(inside, spacing_mm), neck_mm)
    if not others.any():
        return mask
    cubes = [_cubes(size, spacing) for size, spacing in zip(inside.shape, spacing_mm, strict=True)]
    kept = np.zeros_like(mask)
    kept[boxes[0]] = inside & ~others[np.ix_(*cubes)]
    return largest_piece(kept)


def _cubes(size: int, spacing: float) -> NDArray[np.int_]:
    """For each voxel along one side the number of the cube of _STEP_MM that it lies in."""
    return ((np.arange(size) + 0.5) * spacing / _STEP_MM).astype(int)


def _sampled(mask: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """The mask on cubes of _STEP_MM: what lies in the middle of each."""
    at = []
    for size, spacing in zip(mask.shape, spacing_mm, strict=True):
        middles_mm = (np.arange(_cubes(size, spacing)[-1] + 1) + 0.5) * _STEP_MM
        at.append(np.minimum((middles_mm / spacing).astype(int), size - 1))
    return mask[np.ix_(*at)]


def _other_organs(mask: Mask, neck_mm: float) -> Mask:
    """Cubes that are nearer to another organ than to the largest part; the mask is on cubes of _STEP_MM."""
    depth_mm = _STEP_MM * ndimage.distance_transform_edt(ndimage.binary_fill_holes(mask))
    cores, number = ndimage.label(depth_mm > neck_mm / 2, structure=_NEIGHBOURS)
    if number < 2:
        return np.zeros_like(mask)
    nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
    part = cores[tuple(nearest)]
    areas = np.stack([((part == k) & mask).sum(axis=(1, 2)) for k in range(1, number + 1)])  # (parts, Z)
    liver = areas[areas.sum(axis=1).argmax()]
    beyond = areas[:, liver < _LITTLE * liver.max()].sum(axis=1)
    return np.isin(part, np.flatnonzero(2 * beyond > areas.sum(axis=1)) + 1)
