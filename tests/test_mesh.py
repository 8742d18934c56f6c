"""Surfaces whose size and place a ruler can check; closed whatever the mask."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from livdemo.mesh import CUTS, TETRAHEDRA, Mesh, cut_field, distances_mm, join, surface
from livdemo.phantom import make_phantom


def ball(radius_mm: float, spacing_mm: tuple[float, float, float] = (1, 1, 1), side_mm: float = 60) -> np.ndarray:
    """A ball around the point (side / 2) mm on each axis."""
    shape = [int(side_mm / step) + 1 for step in spacing_mm]
    away = [(np.arange(n) * step - side_mm / 2) ** 2 for n, step in zip(shape, spacing_mm, strict=True)]
    return away[0][:, None, None] + away[1][:, None] + away[2] <= radius_mm**2


def is_closed(triangles: np.ndarray) -> bool:
    """Each edge is walked once in each direction: it belongs to two triangles, and these face the same way."""
    edges = [tuple(pair) for pair in triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()]
    walked = set(edges)
    return len(walked) == len(edges) and all((b, a) in walked for a, b in edges)


def number_of_pieces(mesh: Mesh) -> int:
    start, end = mesh.triangles[:, [0, 1, 1, 2]].reshape(-1, 2).T
    size = len(mesh.vertices_mm)
    linked = sparse.coo_array((np.ones(len(start)), (start, end)), shape=(size, size))
    return int(connected_components(linked, directed=False)[0])


def test_six_tetrahedra_fill_a_cell() -> None:
    volumes = [np.linalg.det((corners[1:] - corners[0])[:, ::-1]) / 6 for corners in TETRAHEDRA]
    assert volumes == pytest.approx([1 / 6] * 6)


def test_every_cut_separates_inside_from_outside() -> None:
    for case, triangles in enumerate(CUTS):
        inside = {corner for corner in range(4) if case >> corner & 1}
        used = triangles[triangles[:, 0, 0] >= 0]
        assert len(used) == (0, 1, 2, 1, 0)[len(inside)]
        edges = {tuple(edge) for edge in used.reshape(-1, 2).tolist()}
        assert edges == {(a, b) for a in inside for b in {0, 1, 2, 3} - inside}


def test_a_plane_by_hand() -> None:
    """The field is the height z: at level 1.25 the surface lies at z = 1.25, and nothing is folded."""
    field = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 3, 3)).copy()
    vertices, triangles = cut_field(field, 1.25)
    assert vertices[:, 0] == pytest.approx(1.25)
    corners = vertices[triangles][..., ::-1]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 2] < 0).all()  # above the level is inside, so out is down
    assert np.linalg.norm(normals, axis=1).sum() / 2 == pytest.approx(4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0.02, 0.98), budget=st.sampled_from([1, 200, 10**6]))
def test_the_surface_of_any_mask_is_closed_and_has_its_volume(seed: int, density: float, budget: int) -> None:
    mask = np.random.default_rng(seed).random((4, 6, 5)) < density
    spacing = (2.5, 0.7, 0.8)
    mesh = surface(mask, spacing, budget)
    assert is_closed(mesh.triangles)
    assert mesh.volume_ml == pytest.approx(mask.sum() * math.prod(spacing) / 1000, rel=0.006)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_level_through_values_of_the_field_leaves_no_gap(seed: int) -> None:
    field = np.pad(np.random.default_rng(seed).integers(0, 3, (4, 4, 4)), 1).astype(float)
    for level in (0.0, 1.0):
        assert is_closed(cut_field(field, level)[1])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.8, 0.8), (2.0, 1.5, 0.9)])
@pytest.mark.parametrize("radius", [8.0, 22.0])
def test_a_ball_by_ruler(radius: float, spacing: tuple[float, float, float]) -> None:
    mask = ball(radius, spacing)
    mesh = surface(mask, spacing)
    away = np.linalg.norm(mesh.vertices_mm - 30, axis=1)
    assert away.mean() == pytest.approx(radius, abs=0.3 * max(spacing))
    assert np.abs(away - radius).max() < 0.75 * max(spacing)
    assert mesh.vertices_mm.mean(axis=0) == pytest.approx([30, 30, 30], abs=0.25 * max(spacing))
    assert mesh.volume_ml == pytest.approx(mask.sum() * math.prod(spacing) / 1000, rel=0.006)
    assert mesh.vertices_mm.dtype == np.float32
    assert mesh.triangles.dtype == np.int32


@pytest.mark.parametrize(("budget", "half_within_mm"), [(1_000, 4.0), (5_000, 1.2), (20_000, 0.4)])
def test_decimation_keeps_to_the_budget_the_volume_and_the_place(budget: int, half_within_mm: float) -> None:
    phantom = make_phantom(seed=0, shape=(32, 128, 128))  # 8 × 2.8 × 2.8 mm
    liver = phantom.label_map >= 1
    mesh = surface(liver, phantom.spacing_mm, budget)
    assert budget / 2 < len(mesh.triangles) <= budget
    assert is_closed(mesh.triangles)
    assert mesh.volume_ml == pytest.approx(liver.sum() * math.prod(phantom.spacing_mm) / 1000, rel=0.006)
    fine = surface(liver, phantom.spacing_mm, 10**6)
    assert np.median(distances_mm(mesh, fine)) < half_within_mm
    assert np.median(distances_mm(fine, mesh)) < half_within_mm


def test_a_small_lesion_stays_beside_a_large_one() -> None:
    mask = ball(20.0)
    mask[2:4, 2:4, 2:4] = mask[50, 5, 5] = True
    mesh = surface(mask, (1, 1, 1), 1_500)
    assert len(mesh.triangles) < 1_700  # the specks take what they need
    assert number_of_pieces(mesh) == 3
    near = np.linalg.norm(mesh.vertices_mm - 2.5, axis=1) < 5
    speck = mesh.triangles[near[mesh.triangles].all(axis=1)]
    assert Mesh(mesh.vertices_mm, speck).volume_ml == pytest.approx(8 / 1000, rel=0.006)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 6, 4), (3, 1, 1), (4, 5, 6)])
def test_a_mask_that_fills_the_image_is_closed_too(shape: tuple[int, int, int]) -> None:
    mesh = surface(np.ones(shape, bool), (3.0, 1.0, 1.0))
    assert is_closed(mesh.triangles)
    assert mesh.volume_ml == pytest.approx(3 * math.prod(shape) / 1000, rel=0.006)


def test_nothing_has_no_surface() -> None:
    empty = surface(np.zeros((3, 4, 5), bool), (1, 1, 1))
    assert empty.vertices_mm.shape == (0, 3)
    assert empty.triangles.shape == (0, 3)
    assert empty.volume_ml == 0
    something = surface(ball(5.0), (1, 1, 1))
    assert np.isnan(distances_mm(something, empty)).all()
    assert distances_mm(empty, something).shape == (0,)


def test_joined_meshes_keep_their_triangles() -> None:
    one, other = surface(ball(5.0), (1, 1, 1)), surface(ball(9.0), (2, 1, 1))
    both = join([one, other])
    assert both.volume_ml == pytest.approx(one.volume_ml + other.volume_ml)
    assert is_closed(both.triangles)


def test_distance_to_itself_is_nought() -> None:
    mesh = surface(ball(12.0), (1, 1, 1), 4_000)
    assert distances_mm(mesh, mesh).max() < 1e-4


def test_distance_between_two_balls_is_the_difference_of_their_radii() -> None:
    inner, outer = (surface(ball(radius, (2.0, 1.0, 1.0)), (2.0, 1.0, 1.0)) for radius in (12.0, 20.0))
    for there in (distances_mm(inner, outer), distances_mm(outer, inner)):
        assert there.mean() == pytest.approx(8, abs=0.2)
        assert np.abs(there - 8).max() < 1.2


def test_a_shift_is_measured_in_millimetres() -> None:
    spacing = (2.0, 1.5, 1.0)
    mask = ball(15.0, spacing)
    here, there = surface(mask, spacing), surface(np.roll(mask, 3, axis=0), spacing)
    distance = distances_mm(here, there)
    assert distance.max() == pytest.approx(6, abs=0.05)
    assert distance.min() < 0.3


def test_distance_to_one_triangle_by_hand() -> None:
    triangle = Mesh(np.array([[0, 0, 0], [0, 4, 0], [0, 0, 4]], np.float32), np.array([[0, 1, 2]], np.int32))
    points = {
        (3, 1, 1): 3.0,  # above its inside
        (0, -3, 2): 3.0,  # beside an edge
        (4, 0, -3): 5.0,  # off a corner
        (0, 4, 4): math.sqrt(8),  # beside the long edge
        (0, 1, 1): 0.0,
    }
    cloud = Mesh(np.array(list(points), np.float32), np.zeros((0, 3), np.int32))
    assert distances_mm(cloud, triangle) == pytest.approx(list(points.values()), abs=1e-6)


def test_distances_are_those_to_all_triangles() -> None:
    rng = np.random.default_rng(5)
    blobs = [ndimage.gaussian_filter(rng.standard_normal((14, 20, 20)), 3) > 0 for _ in range(2)]
    one, other = (surface(blob, (2.0, 1.0, 1.0), 800) for blob in blobs)
    quick = distances_mm(one, other)
    alone = [distances_mm(one, Mesh(other.vertices_mm, triangle[None])) for triangle in other.triangles]
    assert quick == pytest.approx(np.min(alone, axis=0), abs=0.05)
