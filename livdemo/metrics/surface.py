"""Distances between the surfaces of two masks: HD, HD95, ASSD, NSD, boundary IoU, and where they come from.

A surface voxel is a voxel of the mask that has a face neighbour outside the mask; the border of the image
counts as outside. Distances run between centres of surface voxels in mm, so spacing is respected. These are
MONAI's definitions too. An axis along which the image has one voxel only (a single slice) is left out: there,
every voxel would be surface.

Computed once per mask pair by `surface_distances`; every figure is then read off the result.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .mask_pair import BoolArray, FloatArray, IntArray, State, check_masks, crop_pair, state_of


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Every surface voxel of both masks, its distance in mm to the other surface, and the nearest voxel.

    Voxels are indices into the image, shape (N, 3) or (N, 2). Where one mask is empty, the other's distances
    are NaN (there is nothing to measure to) and its nearest rows are -1.
    """

    state: State
    spacing_mm: tuple[float, ...]
    diagonal_mm: float  # what a distance is worth when exactly one mask is empty
    prediction_voxels: IntArray  # (N, axes)
    prediction_mm: FloatArray  # (N,) to the reference's surface
    prediction_nearest: IntArray  # (N,) row of reference_voxels
    reference_voxels: IntArray  # (M, axes)
    reference_mm: FloatArray  # (M,) to the prediction's surface
    reference_nearest: IntArray  # (M,) row of prediction_voxels


@dataclass(frozen=True)
class Witness:
    """The two surface voxels whose distance is the Hausdorff distance.

    from_mask says whose voxel is the lonely one: `voxel` lies on that mask's surface, `nearest_voxel` is the
    closest voxel on the other surface. Positions in mm are index times spacing, axis by axis.
    """

    from_mask: str  # "prediction" | "reference"
    voxel: tuple[int, ...]
    nearest_voxel: tuple[int, ...]
    position_mm: tuple[float, ...]
    nearest_position_mm: tuple[float, ...]
    distance_mm: float


def surface_mask(mask: BoolArray, flat_axes: Sequence[int] = ()) -> BoolArray:
    """Voxels of the mask with a face neighbour outside it; outside the array counts as outside the mask.

    flat_axes are left out: neighbours along them do not count (a one-slice image has no depth).
    """
    inner = tuple(slice(None) if axis in flat_axes else slice(1, -1) for axis in range(mask.ndim))
    interior = mask[inner].copy()
    for axis in range(mask.ndim):
        if axis in flat_axes:
            continue
        for neighbour in (slice(None, -2), slice(2, None)):
            interior &= mask[(*inner[:axis], neighbour, *inner[axis + 1 :])]
    surface = mask.copy()
    surface[inner] ^= interior
    return surface


def surface_distances(prediction: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Distances in mm between the surfaces of two masks of one shape, (Z, Y, X) or (Y, X).

    ValueError names both shapes when they differ, and says so when a mask is not a mask or a spacing is not
    positive. Empty masks give empty arrays and a state, not an error.
    """
    check_masks(prediction, reference)
    pair = crop_pair(prediction.astype(bool, copy=False), reference.astype(bool, copy=False), spacing_mm)
    return cropped_surface_distances(pair.prediction, pair.reference, pair.spacing_mm, pair.image_shape, pair.origin)


def cropped_surface_distances(
    prediction: BoolArray,
    reference: BoolArray,
    spacing_mm: tuple[float, ...],
    image_shape: tuple[int, ...],
    origin: Sequence[int] = (0,),
) -> SurfaceDistances:
    """The same for masks already cut to a box that holds both, whose first voxel is `origin` in the image."""
    flat_axes = tuple(axis for axis, length in enumerate(image_shape) if length == 1)
    indices = [np.flatnonzero(surface_mask(mask, flat_axes)) for mask in (prediction, reference)]
    voxels = [np.stack(np.unravel_index(index, prediction.shape), axis=1) for index in indices]
    there, back = _nearest(indices, voxels, spacing_mm), _nearest(indices[::-1], voxels[::-1], spacing_mm)
    return SurfaceDistances(
        state=state_of(len(voxels[0]), len(voxels[1])),
        spacing_mm=spacing_mm,
        diagonal_mm=float(np.linalg.norm(np.multiply(image_shape, spacing_mm))),
        prediction_voxels=voxels[0] + origin,
        prediction_mm=there[0],
        prediction_nearest=there[1],
        reference_voxels=voxels[1] + origin,
        reference_mm=back[0],
        reference_nearest=back[1],
    )


def _nearest(
    indices: Sequence[IntArray], voxels: Sequence[IntArray], spacing_mm: tuple[float, ...]
) -> tuple[FloatArray, IntArray]:
    """From each voxel of the first surface to the second: distance in mm, and row of its nearest voxel there.

    Surfaces are given as ascending flat indices and as the same voxels' coordinates, shape (N, axes).
    """
    (index, other_index), (points, others) = indices, voxels
    if not len(index) or not len(other_index):
        return np.full(len(index), np.nan), np.full(len(index), -1)
    # Voxels that lie on both surfaces are their own nearest; between good masks that is most of them.
    nearest = np.searchsorted(other_index, index).clip(max=len(other_index) - 1)
    distance = np.zeros(len(index))
    apart = np.flatnonzero(other_index[nearest] != index)
    if len(apart):
        # A distance transform of the box was measured beside the tree: for ragged masks whose surface fills 7 to
        # 30 % of the box scipy's gains at most two fifths, and for two masks far apart it takes 50 times as long.
        # An unbalanced tree of uncompacted nodes is built in half the time and searched as fast.
        tree = cKDTree(others * spacing_mm, balanced_tree=False, compact_nodes=False)
        distance[apart], nearest[apart] = tree.query(points[apart] * spacing_mm)
    return distance, nearest


def _by_rule_of_empties(surfaces: SurfaceDistances, if_missed: float) -> float | None:
    """NaN when both are empty, if_missed when exactly one is, None when there is something to measure."""
    if surfaces.state == "ok":
        return None
    return math.nan if surfaces.state == "both empty" else if_missed


def hd_mm(surfaces: SurfaceDistances) -> float:
    """Hausdorff distance in mm: the larger of the two directed maxima. One mask empty: the image diagonal."""
    ruled = _by_rule_of_empties(surfaces, surfaces.diagonal_mm)
    if ruled is not None:
        return ruled
    return float(max(surfaces.prediction_mm.max(), surfaces.reference_mm.max()))


def hd95_mm(surfaces: SurfaceDistances) -> float:
    """The larger of the two directed 95th percentiles in mm (linear interpolation, as numpy and MONAI).

    Not the percentile of both sets pooled (medpy). One mask empty: the image diagonal.
    """
    ruled = _by_rule_of_empties(surfaces, surfaces.diagonal_mm)
    if ruled is not None:
        return ruled
    return float(max(np.percentile(surfaces.prediction_mm, 95), np.percentile(surfaces.reference_mm, 95)))


def assd_mm(surfaces: SurfaceDistances) -> float:
    """Mean in mm over the surface voxels of both masks pooled. One mask empty: the image diagonal."""
    ruled = _by_rule_of_empties(surfaces, surfaces.diagonal_mm)
    if ruled is not None:
        return ruled
    total = surfaces.prediction_mm.sum() + surfaces.reference_mm.sum()
    return float(total / (len(surfaces.prediction_mm) + len(surfaces.reference_mm)))


def nsd(surfaces: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of both surfaces' voxels that lie within tolerance_mm of the other surface. One mask empty: 0."""
    ruled = _by_rule_of_empties(surfaces, 0.0)
    if ruled is not None:
        return ruled
    near = sum(int(np.count_nonzero(mm <= tolerance_mm)) for mm in (surfaces.prediction_mm, surfaces.reference_mm))
    return near / (len(surfaces.prediction_mm) + len(surfaces.reference_mm))


def hausdorff_witness(surfaces: SurfaceDistances) -> Witness | None:
    """The pair of surface voxels that makes the Hausdorff distance; None when a mask is empty.

    Of several equally far voxels the prediction's first in (Z, Y, X) order is named, so the answer is stable.
    """
    if surfaces.state != "ok":
        return None
    from_prediction = surfaces.prediction_mm.max() >= surfaces.reference_mm.max()
    mm = surfaces.prediction_mm if from_prediction else surfaces.reference_mm
    row = int(mm.argmax())
    if from_prediction:
        voxel = surfaces.prediction_voxels[row]
        nearest = surfaces.reference_voxels[surfaces.prediction_nearest[row]]
    else:
        voxel = surfaces.reference_voxels[row]
        nearest = surfaces.prediction_voxels[surfaces.reference_nearest[row]]
    return Witness(
        from_mask="prediction" if from_prediction else "reference",
        voxel=tuple(voxel.tolist()),
        nearest_voxel=tuple(nearest.tolist()),
        position_mm=tuple((voxel * surfaces.spacing_mm).tolist()),
        nearest_position_mm=tuple((nearest * surfaces.spacing_mm).tolist()),
        distance_mm=float(mm[row]),
    )


def ball_offsets(radius_mm: float, spacing_mm: Sequence[float]) -> IntArray:
    """Index offsets of every voxel whose centre lies within radius_mm of the voxel at 0, shape (N, axes)."""
    # A hair of slack: 3 steps of 0.7 mm are 2.0999999999999996 mm.
    radius = radius_mm * (1 + 1e-9)
    reach = [range(-int(radius / step), int(radius / step) + 1) for step in spacing_mm]
    offsets = np.array(list(itertools.product(*reach)))
    return offsets[np.linalg.norm(offsets * np.asarray(spacing_mm), axis=1) <= radius]


def boundary_band(mask: BoolArray, surface_voxels: IntArray, width_mm: float, spacing_mm: Sequence[float]) -> BoolArray:
    """Voxels of the mask within width_mm of its own surface voxels (the surface itself included)."""
    offsets = ball_offsets(width_mm, spacing_mm)
    margin = np.abs(offsets).max(axis=0)
    padded_shape = tuple(int(n) for n in mask.shape + 2 * margin)
    strides = np.array([math.prod(padded_shape[axis + 1 :]) for axis in range(mask.ndim)])
    band = np.zeros(math.prod(padded_shape), bool)
    start = (surface_voxels + margin) @ strides
    for offset in offsets @ strides:
        band[start + offset] = True
    inner = tuple(slice(m, m + n) for m, n in zip(margin, mask.shape, strict=True))
    return band.reshape(padded_shape)[inner] & mask


def boundary_iou(prediction: BoolArray, reference: BoolArray, surfaces: SurfaceDistances, width_mm: float) -> float:
    """IoU of the two rims: the voxels of each mask within width_mm of its own surface (Cheng et al. 2021).

    surfaces is what `surface_distances` gave for these two masks. The paper's width is 2 % of a photo's
    diagonal; here it is in mm.
    NaN when both masks are empty, 0 when exactly one is.
    """
    ruled = _by_rule_of_empties(surfaces, 0.0)
    if ruled is not None:
        return ruled
    band_p = boundary_band(prediction, surfaces.prediction_voxels, width_mm, surfaces.spacing_mm)
    band_r = boundary_band(reference, surfaces.reference_voxels, width_mm, surfaces.spacing_mm)
    return float(np.count_nonzero(band_p & band_r) / np.count_nonzero(band_p | band_r))
