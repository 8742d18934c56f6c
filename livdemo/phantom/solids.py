"""Bodies in space as signed distances in mm, and their drawing into voxels: what the phantom is built from.

Coordinates are mm around the middle of the field of view, in the display's order: x grows to the patient's left, y to
the back, z to the head. A signed distance is negative inside, zero on the surface and grows by one for each mm
outside; intersections are maxima, unions minima. Away from its surface it need only be of the right sign and size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, CubicHermiteSpline

Array = NDArray[np.floating[Any]]
Box = tuple[slice, slice, slice]  # part of a grid (Z, Y, X)
Tube = NDArray[np.float64]  # (points, 4): x, y, z and radius in mm
Contours = Mapping[float, Sequence[tuple[float, float]]]  # height z -> points (x, y) around a closed outline

FAR_MM = 99.0  # stands for "not near"
_RASTER_MM = 400  # outlines become distances on 1 mm pixels, and noise has its nodes in mm, whatever the voxel size


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel centres in mm, as arrays that broadcast to (Z, Y, X)."""

    z: Array  # (Z, 1, 1)
    y: Array  # (1, Y, 1)
    x: Array  # (1, 1, X)
    spacing_mm: tuple[float, float, float]  # z, y, x

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.z.shape[0], self.y.shape[1], self.x.shape[2]

    def part(self, box: Box) -> "Grid":
        return Grid(self.z[box[0]], self.y[:, box[1]], self.x[:, :, box[2]], self.spacing_mm)

    def box(self, low: Sequence[float], high: Sequence[float], margin_mm: float = 0.0) -> Box:
        """The voxels between two corners (x, y, z), and at least one voxel more on each side; may be empty."""
        spans = []
        for axis, start, end, step in zip((self.x, self.y, self.z), low, high, self.spacing_mm[::-1], strict=True):
            first, count = float(axis.flat[0]), axis.size
            begin = int((start - margin_mm - first) / step) - 1
            stop = int((end + margin_mm - first) / step) + 2
            spans.append(slice(min(max(begin, 0), count), min(max(stop, 0), count)))
        return spans[2], spans[1], spans[0]


def make_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid whose middle is the origin. shape and spacing_mm: (z, y, x)."""
    z, y, x = (
        ((np.arange(count) - (count - 1) / 2) * step).astype(np.float32)
        for count, step in zip(shape, spacing_mm, strict=True)
    )
    return Grid(z[:, None, None], y[None, :, None], x[None, None, :], spacing_mm)


def cover(hu: Array, distance: Array, value: float | Array, spacing_mm: tuple[float, float, float]) -> None:
    """Draw a body over hu, in place: a voxel that it fills by a fraction c gets c·value + (1 - c)·hu.

    c is that of a half space with the body's distance and slope at the voxel's centre, smeared over the voxel's
    extent along the slope: so a slanting surface is as soft as thick slices make it, and c > 1/2 exactly where
    the centre lies inside. hu and distance: (Z, Y, X). value: HU, one for all or (Z, Y, X).
    """
    half = float(np.linalg.norm(spacing_mm)) / 2  # of a voxel's diagonal: no surface is softer
    distance = np.ascontiguousarray(np.broadcast_to(distance, hu.shape))
    np.copyto(hu, value, where=distance < -half)
    flat = distance.reshape(-1)
    place = np.flatnonzero(np.abs(flat) <= half)
    rim = np.unravel_index(place, hu.shape)
    extent = np.full(place.shape, 1e-6, np.float32)
    for axis, at in enumerate(rim):
        stride = int(np.prod(hu.shape[axis + 1 :]))
        up, down = at < hu.shape[axis] - 1, at > 0
        rise = flat[place + stride * up] - flat[place - stride * down]
        extent += np.abs(rise) / np.maximum(1, up.astype(np.float32) + down)
    fraction = np.clip(0.5 - flat[place] / np.minimum(extent, 2 * half), 0, 1)
    drawn = np.broadcast_to(value, hu.shape)[rim] if isinstance(value, np.ndarray) else np.float32(value)
    hu[rim] += fraction * (drawn - hu[rim])


def ellipsoid(grid: Grid, centre: Sequence[float], radii: Sequence[float], turn: float = 0.0) -> Array:
    """First-order distance to an ellipsoid; turn (radians) rotates it in the axial plane. centre and radii: x, y, z."""
    (cx, cy, cz), (rx, ry, rz) = (tuple(np.float32(v) for v in values) for values in (centre, radii))
    x, y, z = grid.x - cx, grid.y - cy, (grid.z - cz) / rz
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = (x * cos + y * sin) / rx, (y * cos - x * sin) / ry  # (1, Y, X)
    squared = (x**2 + y**2) + z**2
    steepness = np.sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    return cast(Array, (squared - 1) / (2 * steepness + np.float32(1e-3)))


def smooth_tube(points: Sequence[Sequence[float]], links: int = 6) -> Tube:
    """A smooth tube through control points (x, y, z, radius), with so many straight links from one to the next."""
    knots = np.asarray(points, float)
    steps = np.linspace(0, len(knots) - 1, links * (len(knots) - 1) + 1)
    return _hermite(np.arange(len(knots), dtype=float), steps) @ knots


def tube_box(grid: Grid, tube: Tube, margin_mm: float) -> Box:
    radius = tube[:, 3].max()
    return grid.box(tube[:, :3].min(axis=0) - radius, tube[:, :3].max(axis=0) + radius, margin_mm)


def tube_distance(grid: Grid, tube: Tube, reach_mm: float) -> Array:
    """Distance to a chain of round cones, right up to reach_mm from it; FAR_MM beyond."""
    distance = np.full(grid.shape, FAR_MM, np.float32)
    for start, end in zip(tube[:-1].astype(np.float32), tube[1:].astype(np.float32), strict=True):
        low, high = np.minimum(start, end), np.maximum(start, end)
        box = grid.box(low[:3], high[:3], float(high[3]) + reach_mm)
        near = grid.part(box)
        if 0 in near.shape:
            continue
        (px, py, pz), (dx, dy, dz) = (near.x - start[0], near.y - start[1], near.z - start[2]), (end - start)[:3]
        along = np.clip((px * dx + py * dy + pz * dz) / (dx**2 + dy**2 + dz**2 + np.float32(1e-6)), 0, 1)
        gap = np.sqrt((px - along * dx) ** 2 + (py - along * dy) ** 2 + (pz - along * dz) ** 2)
        gap -= start[3] + along * (end[3] - start[3])
        np.minimum(distance[box], gap, out=distance[box])
    return distance


def loft(grid: Grid, contours: Contours, close_mm: float = 0.0) -> Array:
    """Distance to the body that runs through closed outlines, interpolated between their heights.

    close_mm: how far beyond the first and last outline the body ends; 0 lets it run on.
    """
    heights = sorted(contours)
    outlines = np.stack([_outline_distance(contours[z], grid) for z in heights])  # (outlines, Y, X)
    if close_mm:
        outlines = np.concatenate([outlines[:1] + close_mm, outlines, outlines[-1:] + close_mm])
        heights = [heights[0] - close_mm, *heights, heights[-1] + close_mm]
    weights = _hermite(np.asarray(heights, float), grid.z.ravel().astype(float)).astype(np.float32)
    distance = (weights @ outlines.reshape(len(heights), -1)).reshape(grid.shape)
    if close_mm:
        distance += np.maximum(0, np.maximum(grid.z - heights[-1], heights[0] - grid.z))
    return cast(Array, distance)


def _outline_distance(points: Sequence[tuple[float, float]], grid: Grid) -> Array:
    """Distance to one smooth closed outline in its plane, at the grid's columns: (Y, X)."""
    knots = np.asarray(points, float)
    around = np.concatenate([knots[-3:], knots, knots[:3]])
    steps = np.arange(3, len(knots) + 3, 1 / 16)
    outline = _hermite(np.arange(len(around), dtype=float), steps) @ around
    mask = np.zeros((_RASTER_MM, _RASTER_MM), np.uint8)
    cv2.fillPoly(mask, [np.round((outline + _RASTER_MM / 2) * 16).astype(np.int32)], 1, shift=4)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    signed = cv2.GaussianBlur(outside - inside, (0, 0), 1.5)
    x, y = np.broadcast_arrays(grid.x[0] + np.float32(_RASTER_MM / 2), grid.y[0] + np.float32(_RASTER_MM / 2))
    sampled = cv2.remap(signed, x.copy(), y.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32) + np.float32(0.3)  # fillPoly takes in the pixels that the outline touches


def _hermite(knots: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (at, knots) of a cubic interpolation with finite-difference slopes; constant beyond the ends."""
    identity = np.eye(len(knots))
    slopes = np.gradient(identity, knots, axis=0)
    return np.asarray(CubicHermiteSpline(knots, identity, slopes)(np.clip(at, knots[0], knots[-1])))


def smooth_noise(rng: np.random.Generator, grid: Grid, grain_mm: tuple[float, float, float]) -> Array:
    """A smooth random field of mean 0 and standard deviation about 1, its grain given as (z, y, x).

    The random numbers sit on nodes that are fixed in mm: another voxel size samples the same field, and drawing it
    on a part of the grid takes as many numbers from rng as on all of it.
    """
    counts = [int(_RASTER_MM / grain) + 5 for grain in grain_mm]
    nodes = rng.standard_normal(counts, dtype=np.float32) * np.float32(3.0)  # cubic B-splines take it back to 1
    z, y, x = (
        _bspline(axis, grain, count)
        for axis, grain, count in zip((grid.z, grid.y, grid.x), grain_mm, counts, strict=True)
    )
    slabs = np.tensordot(z, nodes, axes=(1, 0))  # (Z, nodes, nodes)
    return cast(Array, np.matmul(np.matmul(y, slabs), x.T))


def _bspline(axis: Array, grain: float, count: int) -> Array:
    """Weights (len(axis), count) of uniform cubic B-splines with knots `grain` mm apart."""
    place = np.clip((axis.ravel().astype(float) + _RASTER_MM / 2) / grain + 3, 3, count - 1e-6)
    return BSpline.design_matrix(place, np.arange(count + 4, dtype=float), 3).toarray().astype(np.float32)
