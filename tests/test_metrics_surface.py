"""Surfaces and distances: masks small enough to measure with a ruler."""

import math

import numpy as np
import pytest
from scipy import ndimage

from livdemo.metrics import hausdorff_witness, surface_distances
from livdemo.metrics.surface import (
    assd_mm,
    ball_offsets,
    boundary_iou,
    hd95_mm,
    hd_mm,
    nsd,
    surface_mask,
)

SPACING = (5.0, 1.0, 2.0)


def voxels(shape: tuple[int, ...], *places: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def cube(shape: tuple[int, ...], start: int, stop: int, shift: int = 0) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[start:stop, start:stop, start + shift : stop + shift] = True
    return mask


@pytest.mark.parametrize(
    ("other", "distance"),
    [((1, 1, 2), 2.0), ((1, 2, 1), 1.0), ((2, 1, 1), 5.0), ((2, 2, 2), math.sqrt(30)), ((1, 1, 1), 0.0)],
)
def test_two_voxels_are_as_far_apart_as_the_spacing_says(other, distance):
    one, two = voxels((4, 4, 4), (1, 1, 1)), voxels((4, 4, 4), other)
    surfaces = surface_distances(one, two, SPACING)
    assert hd_mm(surfaces) == hd95_mm(surfaces) == assd_mm(surfaces) == pytest.approx(distance)


def test_surface_of_a_cube_is_its_shell():
    mask = cube((7, 7, 7), 1, 6)
    assert surface_mask(mask).sum() == 5**3 - 3**3
    assert not surface_mask(mask)[2:5, 2:5, 2:5].any()


def test_border_of_the_image_counts_as_outside():
    full = np.ones((4, 4, 4), bool)
    assert surface_mask(full).sum() == 4**3 - 2**3


@pytest.mark.parametrize("density", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("shape", [(6, 7, 8), (9, 10), (1, 5, 5), (2, 5, 5)])
def test_surface_equals_mask_minus_its_erosion(shape, density):
    mask = np.random.default_rng(1).random(shape) < density
    np.testing.assert_array_equal(surface_mask(mask), mask ^ ndimage.binary_erosion(mask))


def test_shifted_cube():
    # A 5-voxel cube moved by 2 voxels of 2 mm along x: the far faces are 4 mm apart.
    a, b = cube((9, 9, 11), 2, 7), cube((9, 9, 11), 2, 7, shift=2)
    surfaces = surface_distances(a, b, (1, 1, 2))
    assert hd_mm(surfaces) == 4.0
    # The 25 voxels of the leading face are 4 mm from the other cube; nothing else is that far.
    assert (surfaces.prediction_mm == 4.0).sum() == 25
    assert len(surfaces.prediction_mm) == 5**3 - 3**3


def test_hd95_is_the_larger_of_the_two_directed_percentiles():
    # Nineteen voxels lie on the other surface and one does not; the other side has all on the first.
    line = voxels((2, 2, 40), *[(0, 0, x) for x in range(19)])
    longer = line.copy()
    longer[0, 0, 38] = True  # 20 voxels from the line's end at 18
    surfaces = surface_distances(longer, line, (1, 1, 1))
    assert hd_mm(surfaces) == 20.0
    # 20 sorted distances: the 95th percentile sits at index 18.05, a twentieth of the way from 0 to 20.
    assert hd95_mm(surfaces) == pytest.approx(1.0)
    assert hd95_mm(surface_distances(line, longer, (1, 1, 1))) == pytest.approx(1.0)


def test_assd_pools_the_voxels_of_both_surfaces():
    one = voxels((1, 1, 9), (0, 0, 0))
    three = voxels((1, 1, 9), (0, 0, 0), (0, 0, 3), (0, 0, 6))
    # Distances 0 and 0, 3, 6 over four voxels, not the mean of the two means (1.5).
    assert assd_mm(surface_distances(one, three, (1, 1, 1))) == pytest.approx(9 / 4)


def test_nsd_counts_both_surfaces_and_includes_the_tolerance_itself():
    one = voxels((1, 1, 9), (0, 0, 0))
    three = voxels((1, 1, 9), (0, 0, 0), (0, 0, 3), (0, 0, 6))
    surfaces = surface_distances(one, three, (1, 1, 1))
    assert nsd(surfaces, 0.0) == 2 / 4
    assert nsd(surfaces, 3.0) == 3 / 4
    assert nsd(surfaces, 5.9) == 3 / 4
    assert nsd(surfaces, 6.0) == 1.0


def test_one_missed_slice_is_a_whole_slice_apart():
    a = cube((9, 9, 9), 2, 6)
    b = np.roll(a, 1, axis=0)
    assert hd_mm(surface_distances(a, b, (5.0, 0.7, 0.7))) == 5.0
    assert hd_mm(surface_distances(a, b, (1.0, 1.0, 1.0))) == 1.0


@pytest.mark.parametrize("empty_one", ["prediction", "reference"])
def test_one_empty_mask_costs_the_image_diagonal(empty_one):
    full, empty = voxels((3, 4, 12), (1, 1, 1)), np.zeros((3, 4, 12), bool)
    pair = (empty, full) if empty_one == "prediction" else (full, empty)
    surfaces = surface_distances(*pair, (1, 1, 1))
    assert surfaces.state == f"{empty_one} empty"
    assert hd_mm(surfaces) == hd95_mm(surfaces) == assd_mm(surfaces) == 13.0  # 3, 4, 12
    assert nsd(surfaces, 2.0) == 0.0
    assert hausdorff_witness(surfaces) is None


def test_no_distance_exceeds_the_diagonal_of_a_miss():
    corners = voxels((3, 4, 12), (0, 0, 0)), voxels((3, 4, 12), (2, 3, 11))
    surfaces = surface_distances(*corners, (1, 1, 1))
    assert hd_mm(surfaces) < surfaces.diagonal_mm


def test_two_empty_masks_have_no_distance():
    empty = np.zeros((3, 4, 5), bool)
    surfaces = surface_distances(empty, empty, SPACING)
    assert surfaces.state == "both empty"
    assert all(math.isnan(f) for f in (hd_mm(surfaces), hd95_mm(surfaces), assd_mm(surfaces)))
    assert math.isnan(nsd(surfaces, 2.0))
    assert hausdorff_witness(surfaces) is None


def test_witness_names_the_pair_and_its_distance():
    block = cube((6, 6, 12), 1, 4)
    with_speck = block | voxels((6, 6, 12), (4, 2, 10))
    witness = hausdorff_witness(surface_distances(with_speck, block, SPACING))
    assert witness is not None
    assert witness.from_mask == "prediction"
    assert witness.voxel == (4, 2, 10)
    assert witness.nearest_voxel == (3, 2, 3)
    assert witness.position_mm == (20.0, 2.0, 20.0)
    assert witness.nearest_position_mm == (15.0, 2.0, 6.0)
    assert witness.distance_mm == pytest.approx(math.dist(witness.position_mm, witness.nearest_position_mm))


def test_witness_from_the_reference_when_the_prediction_misses_a_part():
    block = cube((6, 6, 12), 1, 4)
    with_speck = block | voxels((6, 6, 12), (4, 2, 10))
    witness = hausdorff_witness(surface_distances(block, with_speck, SPACING))
    assert witness is not None
    assert witness.from_mask == "reference"
    assert witness.voxel == (4, 2, 10)


def test_distances_and_nearest_voxels_agree_with_every_pair_tried():
    rng = np.random.default_rng(5)
    a, b = rng.random((2, 5, 6, 7)) < 0.3
    found = surface_distances(a, b, SPACING)
    mine, theirs = found.prediction_voxels * SPACING, found.reference_voxels * SPACING
    every = np.linalg.norm(mine[:, None] - theirs[None], axis=2)
    np.testing.assert_allclose(found.prediction_mm, every.min(axis=1))
    np.testing.assert_allclose(found.reference_mm, every.min(axis=0))
    np.testing.assert_allclose(np.linalg.norm(mine - theirs[found.prediction_nearest], axis=1),
                               found.prediction_mm)  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(theirs - mine[found.reference_nearest], axis=1),
                               found.reference_mm)  # fmt: skip


def test_voxels_are_given_in_the_image_not_in_the_crop():
    a, b = voxels((9, 9, 9), (6, 7, 8)), voxels((9, 9, 9), (6, 7, 5))
    found = surface_distances(a, b, (1, 1, 1))
    np.testing.assert_array_equal(found.prediction_voxels, [[6, 7, 8]])
    np.testing.assert_array_equal(found.reference_voxels, [[6, 7, 5]])


def test_empty_space_around_the_masks_changes_nothing_but_the_diagonal():
    rng = np.random.default_rng(6)
    a, b = np.pad(rng.random((2, 4, 5, 6)) < 0.5, ((0, 0), (1, 1), (1, 1), (1, 1)))
    tight = surface_distances(a, b, SPACING)
    wide = surface_distances(np.pad(a, 4), np.pad(b, 4), SPACING)
    np.testing.assert_array_equal(tight.prediction_mm, wide.prediction_mm)
    assert wide.diagonal_mm > tight.diagonal_mm


def test_one_slice_is_measured_as_the_image_it_is():
    a = np.zeros((9, 9), bool)
    a[2:7, 2:7] = True
    b = a.copy()
    b[4, 4] = False  # a hole: its four neighbours are surface of b, 1 voxel under the surface of a
    flat = surface_distances(a, b, (1, 1))
    deep = surface_distances(a[None], b[None], (3, 1, 1))
    np.testing.assert_array_equal(flat.prediction_mm, deep.prediction_mm)
    np.testing.assert_array_equal(flat.reference_mm, deep.reference_mm)
    assert len(flat.prediction_mm) == 16  # the ring, not all 25 pixels
    assert hd_mm(deep) == 1.0


def test_whole_numbers_serve_as_masks():
    a, b = voxels((3, 3, 3), (0, 0, 0)), voxels((3, 3, 3), (0, 0, 2))
    for kind in (np.uint8, np.int64):
        assert hd_mm(surface_distances(a.astype(kind), b.astype(kind), (1, 1, 1))) == 2.0


def test_a_transposed_view_is_measured_like_its_copy():
    rng = np.random.default_rng(7)
    a, b = rng.random((2, 5, 6, 7)) < 0.4
    view = surface_distances(a.T, b.T, SPACING)
    copy = surface_distances(a.T.copy(), b.T.copy(), SPACING)
    np.testing.assert_array_equal(view.prediction_mm, copy.prediction_mm)


def test_ball_offsets_include_the_rim():
    assert len(ball_offsets(1.0, (1, 1, 1))) == 7
    assert len(ball_offsets(1.0, (5, 1, 1))) == 5
    assert len(ball_offsets(3 * 0.7, (5, 0.7, 0.7))) == 29  # every (y, x) with y² + x² <= 9
    assert len(ball_offsets(0.0, (1, 1))) == 1


def test_boundary_iou_of_nested_squares():
    # Rims one voxel wide of a 5x5 and a 3x3 square about one centre have nothing in common.
    outer, inner = np.zeros((2, 9, 9), bool)
    outer[2:7, 2:7], inner[3:6, 3:6] = True, True
    surfaces = surface_distances(outer, inner, (1, 1))
    assert boundary_iou(outer, inner, surfaces, 0.0) == 0.0
    # Two wide, the outer rim is 24 of 25 and the inner one all 9: 8 shared of 25.
    assert boundary_iou(outer, inner, surfaces, 1.0) == 8 / 25
    # Wide enough, the rims are the masks and the boundary IoU is the IoU.
    assert boundary_iou(outer, inner, surfaces, 5.0) == 9 / 25


def test_boundary_iou_respects_spacing():
    a = cube((9, 9, 9), 1, 8)
    b = cube((9, 9, 9), 2, 7)
    surfaces = surface_distances(a, b, (5, 1, 1))
    # 2 mm reach two voxels within a slice and none across slices.
    rim_a = a & (ndimage.distance_transform_edt(~surface_mask(a), sampling=(5, 1, 1)) <= 2)
    rim_b = b & (ndimage.distance_transform_edt(~surface_mask(b), sampling=(5, 1, 1)) <= 2)
    expected = (rim_a & rim_b).sum() / (rim_a | rim_b).sum()
    assert boundary_iou(a, b, surfaces, 2.0) == pytest.approx(expected)


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(3, 4, 5\).*\(3, 4, 6\)"):
        surface_distances(np.zeros((3, 4, 5), bool), np.zeros((3, 4, 6), bool), SPACING)


@pytest.mark.parametrize(
    ("mask", "spacing", "complaint"),
    [
        (np.zeros((3, 3, 3)), SPACING, "float64"),
        (np.full((3, 3, 3), 2, np.uint8), SPACING, "from 2 to 2"),
        (np.zeros((3, 3, 3), bool), (1, 1), "2 numbers"),
        (np.zeros((3, 3, 3), bool), (1, 0, 1), "positive"),
        (np.zeros((3, 3, 3), bool), (1, math.nan, 1), "finite"),
        (np.zeros((3, 3, 3, 3), bool), (1, 1, 1, 1), "2 or 3 axes"),
        (np.zeros((0, 3, 3), bool), SPACING, "one voxel"),
    ],
)
def test_what_is_not_a_mask_is_refused(mask, spacing, complaint):
    with pytest.raises(ValueError, match=complaint):
        surface_distances(mask, mask, spacing)
