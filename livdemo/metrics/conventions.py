"""The same two masks under other libraries' definitions, so that a lesson can show where the numbers part.

Written from each library's definition, checked against the library itself by the tests marked `oracle`, and
importing none of them. Only what they define differently is worked out again; see PEERS.md D1 for the survey.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .mask_pair import BoolArray, FloatArray, IntArray, check_masks, check_tolerance, crop_pair
from .overlap import dice, iou
from .scoring import NSD_TOLERANCE_MM, MaskPair
from .surface import assd_mm, hd95_mm, hd_mm, nsd


@dataclass(frozen=True)
class Convention:
    """How one library defines its figures: what it does with surfaces, and with empty masks."""

    name: str
    surfaces: str
    empties: str
    source: str


@dataclass(frozen=True)
class ConventionScores:
    """One mask pair as one library would score it. NaN is n/a (also where that library raises)."""

    convention: str
    dice: float = math.nan
    iou: float = math.nan
    hd_mm: float = math.nan
    hd95_mm: float = math.nan
    assd_mm: float = math.nan
    nsd: float = math.nan
    note: str = ""  # what this library does with these masks that the reader should know


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention(
            "livdemo",
            "Surface voxels; HD95 is the larger of the two directed 95th percentiles; ASSD pools both surfaces.",
            "Both empty: n/a, counted apart. One empty: Dice and NSD 0, distances the image diagonal.",
            "ARCHITECTURE.md, rules that decide disputes",
        ),
        Convention(
            "monai",
            "As livdemo.",
            "Reference empty: Dice n/a, so its mean never sees a false alarm. One empty: HD95 n/a, left out "
            "of the mean too.",
            "MONAI 1.6.1, monai.metrics",
        ),
        Convention(
            "medpy",
            "Surface voxels; HD95 is the percentile of both directions pooled; no NSD.",
            "Distances raise RuntimeError when a mask is empty. Both empty: Dice n/a, but IoU 1.",
            "medpy 0.5.2, medpy.metric.binary",
        ),
        Convention(
            "surface-distance",
            "Surface elements between the voxels, weighted by their area; percentiles and NSD are shares of "
            "area; the average is the mean of the two directed averages.",
            "One empty: distances infinite, NSD 0. Both empty: Dice n/a, distances infinite.",
            "DeepMind surface-distance 0.1; elements by marching cubes (Lorensen and Cline 1987)",
        ),
        Convention(
            "metrics-reloaded",
            "As livdemo; it also gives MASD, the mean of the two directed averages.",
            "Both empty: Dice 1 and HD 0. One empty: Dice 0, distances n/a.",
            "MetricsReloaded, pairwise measures, as surveyed in PEERS.md D1",
        ),
    )
}


def score_under_conventions(
    prediction: BoolArray | IntArray,
    reference: BoolArray | IntArray,
    spacing_mm: Sequence[float],
    conventions: Sequence[str] = tuple(CONVENTIONS),
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> list[ConventionScores]:
    """Score one mask pair (bool or 0 and 1, 2D or 3D) under each of the named conventions.

    To show what forgetting the spacing does, pass 1.0 per axis. ValueError names both shapes when they
    differ, and the known names when a convention is not among them.
    """
    unknown = [name for name in conventions if name not in CONVENTIONS]
    if unknown:
        raise ValueError(f"unknown conventions {unknown}; known are {sorted(CONVENTIONS)}")
    check_masks(prediction, reference)
    cut = crop_pair(prediction, reference, spacing_mm)
    masks = cut.prediction.astype(bool, copy=False), cut.reference.astype(bool, copy=False)
    pair = MaskPair(*masks, cut.spacing_mm, cut.image_shape, check_tolerance(nsd_tolerance_mm))
    return [_SCORERS[name](pair) for name in conventions]


def _voxel_scores(
    name: str, pair: MaskPair, hd95: float | None = None, nsd_share: float | None = None, note: str = ""
) -> ConventionScores:
    """Scores over surface voxels, where a library departs only in HD95 or in having no NSD."""
    surfaces = pair.surfaces
    return ConventionScores(
        convention=name,
        dice=float(dice(pair.confusion)),
        iou=float(iou(pair.confusion)),
        hd_mm=hd_mm(surfaces),
        hd95_mm=hd95_mm(surfaces) if hd95 is None else hd95,
        assd_mm=assd_mm(surfaces),
        nsd=nsd(surfaces, pair.tolerance_mm) if nsd_share is None else nsd_share,
        note=note,
    )


def _livdemo(pair: MaskPair) -> ConventionScores:
    missed = pair.state in ("prediction empty", "reference empty")
    return _voxel_scores("livdemo", pair, note="a miss: it weighs in every mean" if missed else "")


def _monai(pair: MaskPair) -> ConventionScores:
    if pair.state == "ok":
        return _voxel_scores("monai", pair)
    if pair.state == "both empty":
        return ConventionScores("monai")
    share = 0.0 if pair.state == "prediction empty" else math.nan
    note = "n/a is left out of MONAI's means, so this miss makes them better"
    return ConventionScores("monai", share, share, hd_mm=math.inf, assd_mm=math.inf, nsd=0.0, note=note)


def _medpy(pair: MaskPair) -> ConventionScores:
    if pair.state == "ok":
        both = np.concatenate([pair.surfaces.prediction_mm, pair.surfaces.reference_mm])
        return _voxel_scores("medpy", pair, hd95=float(np.percentile(both, 95)), nsd_share=math.nan)
    overlaps = (math.nan, 1.0) if pair.state == "both empty" else (0.0, 0.0)
    return ConventionScores("medpy", *overlaps, note="distances raise RuntimeError")


def _metrics_reloaded(pair: MaskPair) -> ConventionScores:
    name = "metrics-reloaded"
    if pair.state == "ok":
        return _voxel_scores(name, pair)
    if pair.state == "both empty":
        return ConventionScores(name, dice=1.0, hd_mm=0.0, note="nothing at all scores Dice 1")
    return ConventionScores(name, dice=0.0, iou=0.0)


def _surface_distance(pair: MaskPair) -> ConventionScores:
    name, overlaps = "surface-distance", (float(dice(pair.confusion)), math.nan)
    if pair.state != "ok":
        share = math.nan if pair.state == "both empty" else 0.0
        return ConventionScores(name, *overlaps, math.inf, math.inf, math.inf, share)
    places, areas = zip(
        *(surface_elements(mask, pair.spacing_mm) for mask in (pair.prediction, pair.reference)), strict=True
    )
    there = cKDTree(places[1]).query(places[0])[0]
    back = cKDTree(places[0]).query(places[1])[0]
    weighted = list(zip((there, back), areas, strict=True))
    near = sum(float(area[mm <= pair.tolerance_mm].sum()) for mm, area in weighted)
    return ConventionScores(
        name,
        *overlaps,
        hd_mm=float(max(there.max(), back.max())),
        hd95_mm=max(_area_percentile(mm, area, 0.95) for mm, area in weighted),
        assd_mm=float(np.mean([np.average(mm, weights=area) for mm, area in weighted])),
        nsd=near / float(sum(area.sum() for area in areas)),
        note="it has no IoU",
    )


_SCORERS = {
    "livdemo": _livdemo,
    "monai": _monai,
    "medpy": _medpy,
    "surface-distance": _surface_distance,
    "metrics-reloaded": _metrics_reloaded,
}


def _area_percentile(distances_mm: FloatArray, areas: FloatArray, share: float) -> float:
    """The distance below which that share of the surface's area lies (no interpolation)."""
    order = np.lexsort((areas, distances_mm))
    cumulative = np.cumsum(areas[order]) / areas.sum()
    return float(distances_mm[order][min(int(np.searchsorted(cumulative, share)), len(order) - 1)])


def surface_elements(mask: BoolArray, spacing_mm: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Marching-cubes elements of a mask: places in mm, shape (N, axes), and areas in mm² (lengths in 2D).

    An element sits at each corner where voxels inside and outside the mask meet. Places are measured from the
    corner before the array's first voxel; outside the array nothing is inside the mask.
    """
    corners = list(itertools.product((0, 1), repeat=mask.ndim))
    padded = np.pad(mask, 1)
    code = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for bit, corner in enumerate(corners):
        window = tuple(slice(c, c + n + 1) for c, n in zip(corner, mask.shape, strict=True))
        code |= padded[window].astype(np.uint8) << np.uint8(bit)
    table = _element_sizes(tuple(float(step) for step in spacing_mm))
    places = np.argwhere((code != 0) & (code != len(table) - 1))
    return places * np.asarray(spacing_mm), table[code[tuple(places.T)]]


@cache
def _element_sizes(spacing_mm: tuple[float, ...]) -> FloatArray:
    """Area (3D) or length (2D) of the surface in a cell, for every in/out code of its corners."""
    corners = 2 ** len(spacing_mm)
    sizes = np.zeros(2**corners)
    for code in range(1, len(sizes) - 1):
        # The rarer kind of corner is cut off, which settles the ambiguous faces as the 1987 paper does.
        rarer = code if code.bit_count() <= corners // 2 else len(sizes) - 1 - code
        sizes[code] = _cell_size(rarer, spacing_mm)
    return sizes


def _cell_size(code: int, spacing_mm: tuple[float, ...]) -> float:
    axes = len(spacing_mm)
    corners = list(itertools.product((0, 1), repeat=axes))
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(corners)}
    faces = _square_faces(axes)
    segments = [segment for face in faces for segment in _face_segments([inside[c] for c in face], face)]
    if axes == 2:
        return sum(float(np.linalg.norm(np.subtract(a, b) * spacing_mm)) for a, b in segments)
    return sum(_loop_area(np.array(loop), np.array(spacing_mm)) for loop in _closed_loops(segments))


Point = tuple[float, ...]


def _square_faces(axes: int) -> list[list[tuple[int, ...]]]:
    """The faces of the unit square (itself) or cube, each as its four corners in cyclic order."""
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    if axes == 2:
        return [[tuple(corner) for corner in ring]]
    return [[(*corner[:axis], side, *corner[axis:]) for corner in ring] for axis in range(3) for side in (0, 1)]


def _face_segments(inside: list[bool], face: list[tuple[int, ...]]) -> list[tuple[Point, Point]]:
    """Segments between edge midpoints that part inside from outside corners; a diagonal pair stays apart."""
    middle = [tuple((a + b) / 2 for a, b in zip(face[k - 1], face[k], strict=True)) for k in range(4)]
    crossed = [k for k in range(4) if inside[k - 1] != inside[k]]
    if len(crossed) == 2:
        return [(middle[crossed[0]], middle[crossed[1]])]
    return [(middle[k], middle[(k + 1) % 4]) for k in range(4) if inside[k]] if crossed else []


def _closed_loops(segments: list[tuple[Point, Point]]) -> list[list[Point]]:
    """Join segments into closed polygons; each midpoint of an edge ends exactly two segments."""
    remaining = list(segments)
    loops = []
    while remaining:
        start, end = remaining.pop()
        loop = [start]
        while end != start:
            loop.append(end)
            step = next(segment for segment in remaining if end in segment)
            remaining.remove(step)
            end = step[1] if step[0] == end else step[0]
        loops.append(loop)
    return loops


def _loop_area(loop: NDArray[np.float64], spacing_mm: NDArray[np.float64]) -> float:
    """Area of a polygon cut into a fan of triangles, the fan whose area is largest in a cubic cell."""
    turns = [np.roll(loop, -start, axis=0) for start in range(len(loop))]
    widest = max(turns, key=lambda points: round(_fan_area(points), 9))
    return _fan_area(widest * spacing_mm)


def _fan_area(points: NDArray[np.float64]) -> float:
    spokes = points[1:] - points[0]
    return float(np.linalg.norm(np.cross(spokes[:-1], spokes[1:]), axis=1).sum() / 2)
