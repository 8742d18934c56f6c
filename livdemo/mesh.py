"""A mask as a closed surface of triangles, small enough to be turned in a browser.

mesh = surface(prediction.label_map >= 1, spacing_mm, max_triangles=30_000)
colours = distances_mm(mesh, surface(reference >= 1, spacing_mm))    # mm from each vertex to the other surface

Marching tetrahedra: every cell between eight grid points is cut into six tetrahedra, and each of these by a triangle
or two. Unlike marching cubes it has no ambiguous cases, so the surface is closed by construction: each edge belongs
to exactly two triangles. Doi and Koide 1991, "An efficient method of triangulating equi-valued surfaces by using
tetrahedral cells"; six tetrahedra along one diagonal: Freudenthal 1942.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]

VOLUME_TOLERANCE = 0.005  # relative, of the mesh against the voxels
_TRIANGLES_PER_CROSSING = 6  # triangles for each grid line that crosses a smooth surface; measured on balls
# Against the steps of voxels, and, more narrowly, of cells of several voxels, whose mean is half smooth already.
_SMOOTH_VOXELS, _SMOOTH_CELLS = np.array([1, 4, 6, 4, 1]) / 16, np.array([1, 2, 1]) / 4
MARGIN = 3  # cells that smoothing reaches, and one more
_NEAREST_TRIANGLES = 12  # candidates for the closest one, by their centres


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface. triangles index vertices and turn counter-clockwise in (x, y, z) as seen from outside."""

    vertices_mm: NDArray[np.float32]  # (V, 3): (z, y, x), index times spacing, so voxel 0's centre is the origin
    triangles: NDArray[np.int32]  # (F, 3)

    @property
    def volume_ml(self) -> float:
        """Enclosed volume: the sum of signed tetrahedra between the triangles and the origin."""
        corners = self.vertices_mm.astype(np.float64)[self.triangles][..., ::-1]
        return float(np.linalg.det(corners).sum() / 6000)


def surface(mask: Mask, spacing_mm: Sequence[float], max_triangles: int = 30_000) -> Mesh:
    """The surface of a mask (Z, Y, X) on a grid as coarse as max_triangles asks for, smoothed over about a cell.

    Each connected piece (26 neighbours) gets triangles by its surface area and has the volume of its voxels within
    0.5 %, so a small lesion neither vanishes nor swells beside a large one. A piece takes some tens of triangles at
    least: a mask of a thousand specks may exceed max_triangles. An empty mask gives an empty mesh.
    """
    whole = ndimage.find_objects(mask.astype(np.uint8))
    if not whole:
        return join([])
    pieces, _ = ndimage.label(mask[whole[0]], structure=np.ones((3, 3, 3)))
    boxes = ndimage.find_objects(pieces)
    parts = [pieces[box] == number for number, box in enumerate(boxes, start=1)]
    areas = [_shadows_mm2(part, spacing_mm) for part in parts]
    meshes = []
    for part, box, area in zip(parts, boxes, areas, strict=True):
        first = [outer.start + inner.start for outer, inner in zip(whole[0], box, strict=True)]
        share = max_triangles * area.sum() / np.sum(areas)
        one = _surface_of_piece(part, np.asarray(spacing_mm, float), area, share)
        meshes.append(Mesh((one.vertices_mm + np.multiply(first, spacing_mm)).astype(np.float32), one.triangles))
    return join(meshes)


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices_mm) for mesh in meshes)])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(
        np.concatenate([np.zeros((0, 3), np.float32), *(mesh.vertices_mm for mesh in meshes)]),
        np.concatenate([np.zeros((0, 3), np.int32), *triangles]).astype(np.int32),
    )


def _shadows_mm2(mask: Mask, spacing_mm: Sequence[float]) -> FloatArray:
    """Area of the mask's voxel faces across z, y and x, (3,): what the surface shows in each of these directions.

    For a smooth surface in fine voxels it is the same, so it tells how often the lines of any grid cross it.
    """
    padded, voxel_mm3 = np.pad(mask, 1), math.prod(spacing_mm)
    faces = [np.count_nonzero(np.diff(padded, axis=axis)) for axis in range(3)]
    return np.array([count * voxel_mm3 / step for count, step in zip(faces, spacing_mm, strict=True)])


def _surface_of_piece(mask: Mask, spacing_mm: FloatArray, shadows_mm2: FloatArray, max_triangles: float) -> Mesh:
    shrink = np.ones(3, int)
    volume_ml = mask.sum() * math.prod(spacing_mm) / 1000
    while True:
        cell_mm = spacing_mm * shrink
        coarsest = bool((shrink >= mask.shape).all())
        expected = _TRIANGLES_PER_CROSSING * (shadows_mm2 * cell_mm).sum() / cell_mm.prod()
        if coarsest or expected <= max_triangles:
            mesh = _with_volume(_soften(mask, shrink), cell_mm, volume_ml)
            if coarsest or len(mesh.triangles) <= max_triangles:
                break
        shrink[np.where(shrink < mask.shape, cell_mm, np.inf).argmin()] += 1  # the finest axis: cells grow to cubes
    # Grid point MARGIN is the middle of the first block of voxels.
    first_mm = (shrink - 1) / 2 * spacing_mm - MARGIN * cell_mm
    return Mesh(mesh.vertices_mm + first_mm.astype(np.float32), mesh.triangles)


def _soften(mask: Mask, shrink: IntArray) -> FloatArray:
    """Mean over blocks of `shrink` voxels, then smoothing; MARGIN empty grid points are added on each side."""
    fill = [(0, -length % by) for length, by in zip(mask.shape, shrink, strict=True)]
    blocks = np.pad(mask, fill).astype(np.float32)
    shape = [part for length, by in zip(blocks.shape, shrink, strict=True) for part in (length // by, by)]
    field = np.pad(blocks.reshape(shape).mean(axis=(1, 3, 5)), MARGIN)
    for axis, by in enumerate(shrink):
        weights = _SMOOTH_VOXELS if by == 1 else _SMOOTH_CELLS
        field = ndimage.convolve1d(field, weights, axis=axis, mode="constant")
    return field


def _with_volume(field: FloatArray, cell_mm: FloatArray, volume_ml: float) -> Mesh:
    """The surface of the field at the level that gives this volume: smoothing and coarse cells eat into small pieces.

    The enclosed volume falls without a jump as the level rises, so halving finds it. It starts at 0.5, which is all
    but right for anything large.
    """
    low, level, high = 0.0, 0.5, float(field.max())
    level = min(level, high / 2)
    for _ in range(30):
        vertices, triangles = cut_field(field, level)
        mesh = Mesh((vertices * cell_mm).astype(np.float32), triangles)
        excess = mesh.volume_ml / volume_ml - 1
        if abs(excess) <= VOLUME_TOLERANCE:
            break
        low, high = (level, high) if excess > 0 else (low, level)
        level = (low + high) / 2
    return mesh


# ------------------------------------------------------------------------------------- marching tetrahedra


def _six_tetrahedra() -> IntArray:
    """(6, 4, 3): corners of a cell's six tetrahedra as steps (z, y, x); all of one handedness in (x, y, z)."""
    steps = np.eye(3, dtype=int)
    cut = []
    for order in itertools.permutations(range(3)):
        path = np.cumsum([np.zeros(3, int), *steps[list(order)]], axis=0)
        if np.linalg.det(path[1:, ::-1]) < 0:
            path = path[[0, 2, 1, 3]]
        cut.append(path)
    return np.array(cut)


def _cuts_of_a_tetrahedron() -> IntArray:
    """(16, 2, 3, 2): for each set of corners inside (bit k: corner k) two triangles, whose corners lie on edges.

    An edge is (corner inside, corner outside). -1 where there is no triangle.
    """
    cuts = np.full((16, 2, 3, 2), -1)
    for a, b, c, d in itertools.permutations(range(4)):
        if np.linalg.det(np.eye(4)[[a, b, c, d]]) < 0:
            continue  # even permutations keep the handedness
        cuts[1 << a, 0] = (a, b), (a, c), (a, d)
        cuts[15 - (1 << a), 0] = (b, a), (d, a), (c, a)
        cuts[1 << a | 1 << b] = ((a, c), (a, d), (b, d)), ((a, c), (b, d), (b, c))
    return cuts


TETRAHEDRA = _six_tetrahedra()
CUTS = _cuts_of_a_tetrahedron()


def cut_field(field: FloatArray, level: float) -> tuple[FloatArray, NDArray[np.int32]]:
    """Where a field (Z, Y, X) crosses a level: vertices (V, 3) in steps of the grid, and triangles (F, 3).

    Points above the level are inside. Where no point of the field's border is above it, the surface is closed.
    """
    inside = field > level
    above = sum(inside[tuple(slice(s, n - 1 + s) for s, n in zip(corner, field.shape, strict=True))].astype(np.uint8)
                for corner in itertools.product((0, 1), repeat=3))  # fmt: skip
    cells = np.flatnonzero((above > 0) & (above < 8))
    place = np.ravel_multi_index(np.unravel_index(cells, np.shape(above)), field.shape)
    corners = TETRAHEDRA @ [field.shape[1] * field.shape[2], field.shape[2], 1]  # (6, 4)
    points = (place[:, None, None] + corners).reshape(-1, 4)  # (tetrahedra, 4) flat indices into the field
    cuts = CUTS[inside.ravel()[points] @ [1, 2, 4, 8]]  # (tetrahedra, 2, 3, 2)
    which, triangle = np.nonzero(cuts[:, :, 0, 0] >= 0)
    ends = np.sort(points[which[:, None, None], cuts[which, triangle]], axis=-1)  # (F, 3, 2)
    # One vertex for each edge of the grid, however many tetrahedra share it.
    edges, triangles = np.unique(ends[..., 0] * field.size + ends[..., 1], return_inverse=True)
    one, other = np.divmod(edges, field.size)
    value, beyond = field.ravel()[one], field.ravel()[other]
    way = ((level - value) / (beyond - value))[:, None]
    start, end = (np.stack(np.unravel_index(flat, field.shape), axis=1).astype(float) for flat in (one, other))
    return start + way * (end - start), triangles.reshape(-1, 3).astype(np.int32)


# ------------------------------------------------------------------------------------------------ distances


def distances_mm(mesh: Mesh, other: Mesh) -> NDArray[np.float32]:
    """Distance in mm from each vertex to the other surface, float32 (V,): to its triangles, not to its vertices.

    The closest triangle is looked for among the nearest by their centres: right to a few hundredths of a mm. NaN where
    the other mesh is empty, as there is nothing to measure to. These are distances between smoothed surfaces; the
    metrics measure between voxels.
    """
    if not len(other.triangles):
        return np.full(len(mesh.vertices_mm), np.nan, np.float32)
    corners = other.vertices_mm.astype(np.float64)[other.triangles]  # (F, 3, 3)
    points = mesh.vertices_mm.astype(np.float64)
    count = min(_NEAREST_TRIANGLES, len(corners))
    _, near = cKDTree(corners.mean(axis=1)).query(points, k=range(1, count + 1))
    closest = np.full(len(points), np.inf)
    for rank in range(count):
        np.minimum(closest, _to_triangles(points, corners[near[:, rank]]), out=closest)
    return closest.astype(np.float32)


def _to_triangles(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Distance of point k to triangle k: (N, 3) and (N, 3, 3) -> (N,)."""
    edges = np.roll(corners, -1, axis=1) - corners
    away = points[:, None] - corners
    along = (away * edges).sum(axis=2) / np.maximum((edges**2).sum(axis=2), 1e-30)
    distance = np.linalg.norm(away - np.clip(along, 0, 1)[..., None] * edges, axis=2).min(axis=1)
    normal = np.cross(edges[:, 0], edges[:, 1])
    # Above the triangle, the plane is nearer than any edge.
    sides = (np.cross(edges, away) * normal[:, None]).sum(axis=2)
    height = np.abs((away[:, 0] * normal).sum(axis=1)) / np.maximum(np.linalg.norm(normal, axis=1), 1e-30)
    return np.where((sides > 0).all(axis=1), height, distance)
