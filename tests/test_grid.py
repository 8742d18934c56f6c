"""The way from a file's axes to the display's: all 48 orders, oblique ones, and back."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import io_orientation

from livdemo.grid import (
    SourceGrid,
    axial_grid,
    display_distance_mm,
    geometry_warnings,
    is_usable,
    nearest_axes,
    reorder_onto,
)
from tests.volume_files import AXIS_CODES, SHAPE, SPACING_MM, lps_affine, nifti_image, numbered_hu, rotation


def grid_of(image: nib.Nifti1Image) -> SourceGrid:
    return SourceGrid(image.shape, image.affine)


def turned(degrees: float) -> np.ndarray:
    """A rotation about the feet-head axis. (3, 3)"""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def display_affine(grid: SourceGrid) -> np.ndarray:
    """The affine of the display's own axes, as a file with axes x, y, z in LPS+ would have it."""
    columns = [grid.affine[:, axis] * (-1 if flip else 1) for axis, flip in zip(grid.axes, grid.flips, strict=True)]
    return np.stack([*columns[::-1], [0, 0, 0, 1]], axis=1)


def test_there_are_48_axis_orders() -> None:
    assert len(set(AXIS_CODES)) == 48


@pytest.mark.parametrize("codes", AXIS_CODES)
def test_every_axis_order_comes_out_upright_and_goes_back(codes: str) -> None:
    hu = numbered_hu()
    image = nifti_image(hu, codes)
    assert "".join(nib.aff2axcodes(image.affine)) == codes
    grid = grid_of(image)
    stored = np.asarray(image.dataobj)
    assert grid.display_shape == SHAPE
    assert grid.spacing_mm == SPACING_MM
    np.testing.assert_array_equal(grid.to_display(stored), hu)
    np.testing.assert_array_equal(grid.from_display(hu), stored)
    assert np.shares_memory(grid.to_display(stored), stored)


@pytest.mark.parametrize("seed", range(24))
def test_oblique_grids_keep_their_nearest_order(seed: int) -> None:
    codes = AXIS_CODES[seed * 2 + 1]
    straight, oblique = (grid_of(nifti_image(numbered_hu(), codes, turn)) for turn in (None, rotation(seed, 40)))
    assert (oblique.axes, oblique.flips) == (straight.axes, straight.flips)
    # The greedy search of nibabel agrees as long as no axis leans further than 45°.
    np.testing.assert_array_equal(io_orientation(oblique.affine), io_orientation(straight.affine))
    assert oblique.spacing_mm == pytest.approx(SPACING_MM)


@pytest.mark.parametrize("seed", range(40))
def test_ordering_the_display_again_changes_nothing(seed: int) -> None:
    """nibabel#1449: a canonical order that is not canonical when asked again. Any rotation, ties among
    them."""
    turn = turned(45) @ turned(90 * (seed % 4)) if seed < 8 else rotation(seed, 180)
    grid = grid_of(nifti_image(numbered_hu(), AXIS_CODES[seed % 48], turn))
    assert nearest_axes(display_affine(grid)) == ((2, 1, 0), (False, False, False))


def test_a_tie_is_stable_against_rounding() -> None:
    exact = nifti_image(numbered_hu(), "LPS", turned(45)).affine
    noise = np.random.default_rng(0).normal(scale=1e-8, size=(20, 4, 4))
    assert len({nearest_axes(exact + part) for part in noise}) == 1


@pytest.mark.parametrize(("codes", "lowest", "highest"), [("LPS", 400.0, 405.0), ("RAI", 400.0, 405.0)])
def test_slice_position_counts_to_the_head(codes: str, lowest: float, highest: float) -> None:
    grid = grid_of(nifti_image(numbered_hu(), codes))
    assert grid.slice_position_mm(0) == pytest.approx(lowest)
    assert grid.slice_position_mm(2) == pytest.approx(highest)


def test_slice_position_of_an_oblique_grid_steps_by_the_spacing() -> None:
    grid = grid_of(nifti_image(numbered_hu(), "SAR", rotation(3, 40)))
    assert grid.slice_position_mm(1) - grid.slice_position_mm(0) == pytest.approx(SPACING_MM[0])


def test_voxel_volume_of_a_sheared_grid_is_that_of_the_leaning_box() -> None:
    affine = lps_affine()
    affine[1, 2] = 1.0  # each slice 1 mm further forward
    grid = SourceGrid((5, 4, 3), affine)
    assert grid.voxel_ml == pytest.approx(2.5 * 0.75 * 0.5 / 1000)
    assert grid.spacing_mm[0] == pytest.approx(np.hypot(2.5, 1.0))
    (warning,) = [text for text in geometry_warnings(grid) if "square" in text]
    assert "21.8°" in warning  # atan(1 / 2.5)


def test_oblique_warning_states_the_angle() -> None:
    assert geometry_warnings(grid_of(nifti_image(numbered_hu(), "LPS", turned(4)))) == ()
    (warning,) = geometry_warnings(grid_of(nifti_image(numbered_hu(), "LPS", turned(12))))
    assert "oblique by 12°" in warning


@pytest.mark.parametrize("codes", AXIS_CODES)
def test_a_mask_in_any_axis_order_lies_on_the_same_grid(codes: str) -> None:
    hu = numbered_hu()
    mask, scan = nifti_image(hu, codes, turned(45)), nifti_image(hu, "PIR", turned(45))
    nudged = SourceGrid(mask.shape, mask.affine + np.random.default_rng(1).normal(scale=1e-5, size=(4, 4)))
    found = reorder_onto(np.asarray(mask.dataobj), nudged, grid_of(scan))
    assert found is not None
    np.testing.assert_array_equal(found, np.asarray(scan.dataobj))


@pytest.mark.parametrize("change", ["shift", "spacing", "shape", "turn"])
def test_another_grid_is_told_apart(change: str) -> None:
    scan = grid_of(nifti_image(numbered_hu()))
    shape, affine = scan.shape, scan.affine.copy()
    if change == "shift":
        affine[0, 3] += 0.26 * min(scan.spacing_mm)
    elif change == "spacing":
        affine[2, 2] *= 1.1
    elif change == "shape":
        shape = (5, 4, 2)
    else:
        affine[:3, :3] = turned(10) @ affine[:3, :3]
    other = SourceGrid(shape, affine)
    assert reorder_onto(np.zeros(shape), other, scan) is None
    if change == "shift":
        assert display_distance_mm(other, scan) == pytest.approx(0.26 * min(scan.spacing_mm))


def test_a_grid_within_the_tolerance_is_the_same() -> None:
    scan = grid_of(nifti_image(numbered_hu()))
    affine = scan.affine.copy()
    affine[0, 3] += 0.24 * min(scan.spacing_mm)
    assert reorder_onto(np.zeros(scan.shape), SourceGrid(scan.shape, affine), scan) is not None


def test_axial_grid_needs_no_reordering() -> None:
    grid = axial_grid(SHAPE, SPACING_MM)
    assert grid.shape == SHAPE[::-1]
    assert (grid.axes, grid.flips) == ((2, 1, 0), (False, False, False))
    assert grid.spacing_mm == SPACING_MM


def test_affines_without_an_inverse_are_not_usable() -> None:
    assert is_usable(lps_affine())
    assert not is_usable(np.zeros((4, 4)))
    assert not is_usable(np.full((4, 4), np.nan))
    flat = lps_affine()
    flat[:3, 2] = flat[:3, 1]
    assert not is_usable(flat)


def test_wrong_shapes_are_programming_errors() -> None:
    grid = axial_grid(SHAPE, SPACING_MM)
    with pytest.raises(ValueError, match=r"\(3, 4, 5\) does not fit the grid of \(5, 4, 3\)"):
        grid.to_display(np.zeros(SHAPE))
    with pytest.raises(ValueError, match="4×4"):
        SourceGrid((1, 2, 3), np.eye(3))


def test_a_header_that_nobody_filled_in_is_doubted() -> None:
    (doubt,) = geometry_warnings(SourceGrid((4, 5, 6), np.eye(4)))
    assert "voxels of exactly 1 mm that begin at 0" in doubt
    placed = np.eye(4)
    placed[0, 3] = -120.5
    assert geometry_warnings(SourceGrid((4, 5, 6), placed)) == ()
