"""The phantom: exact truth, believable tissue, the same body whatever the voxels, the phase or the part in view."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from livdemo.phantom import PHASES, Phantom, make_phantom
from livdemo.phantom.solids import (
    cover,
    ellipsoid,
    loft,
    make_grid,
    smooth_noise,
    smooth_tube,
    tube_distance,
)
from livdemo.phantom.tissue import TISSUE_HU

SMALL = (16, 64, 64)  # 16 × 5.6 × 5.6 mm: quick to draw


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make_phantom(seed=0, shape=SMALL)


@pytest.fixture(scope="module")
def full() -> Phantom:
    return make_phantom()


def _ml(phantom: Phantom, label: int) -> float:
    return float((phantom.label_map == label).sum() * np.prod(phantom.spacing_mm) / 1000)


def test_a_plane_fills_voxels_by_its_share() -> None:
    """A wall at x = 0.25 mm in voxels of 1 mm: the voxel around 0, from -0.5 to 0.5, is three quarters full."""
    grid = make_grid((3, 3, 5), (1.0, 1.0, 1.0))  # x = -2 ... 2
    hu = np.zeros(grid.shape, np.float32)
    cover(hu, np.broadcast_to(grid.x - 0.25, grid.shape), 100.0, grid.spacing_mm)
    np.testing.assert_allclose(hu[1, 1], [100, 100, 75, 0, 0], atol=1e-4)


def test_thick_slices_are_softer_along_z() -> None:
    """A floor at z = 1 mm in slices of 4 mm: the slice around 0 is 3/4 full. In the plane nothing is mixed."""
    grid = make_grid((3, 4, 4), (4.0, 1.0, 1.0))
    hu = np.zeros(grid.shape, np.float32)
    cover(hu, np.broadcast_to(grid.z - 1, grid.shape), 100.0, grid.spacing_mm)
    np.testing.assert_allclose(hu[:, 1, 1], [100, 75, 0], atol=1e-4)


def test_cover_draws_into_a_part_of_a_picture() -> None:
    hu = np.zeros((4, 6, 6), np.float32)
    part = hu[1:3, 1:5, 1:5]
    cover(part, np.full(part.shape, -9, np.float32), np.full(part.shape, 7, np.float32), (1.0, 1.0, 1.0))
    assert hu.sum() == 7 * part.size
    assert hu[0].sum() == 0


def test_solids_have_their_volumes() -> None:
    """Voxels of 1 mm³ with centres inside: ball of 20 mm radius, disc of 20 mm, tube of 5 mm; within 2 or 3 %."""
    grid = make_grid((64, 64, 64), (1.0, 1.0, 1.0))
    ball = ellipsoid(grid, (0, 0, 0), (20, 20, 20))
    assert (ball < 0).sum() == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.02)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    circle = [(20 * float(np.cos(a)), 20 * float(np.sin(a))) for a in angles]
    disc = loft(grid, {-10.0: circle, 10.0: circle})
    assert (disc[20:44] < 0).sum() == pytest.approx(np.pi * 20**2 * 24, rel=0.02)
    closed = loft(grid, {-10.0: circle, 10.0: circle}, close_mm=8)
    assert not (closed[[0, -1]] < 0).any()
    tube = smooth_tube([(-20, 0, 0, 5), (0, 0, 0, 5), (20, 0, 0, 5)])
    inside = tube_distance(grid, tube, reach_mm=3) < 0
    assert inside.sum() == pytest.approx(np.pi * 5**2 * 40 + 4 / 3 * np.pi * 5**3, rel=0.03)


def test_noise_is_one_field_on_any_grid() -> None:
    whole = make_grid((8, 60, 60), (4.0, 2.0, 2.0))
    part = whole.part((slice(2, 5), slice(10, 30), slice(7, 9)))
    field = smooth_noise(np.random.default_rng(5), whole, (10, 10, 10))
    np.testing.assert_allclose(
        smooth_noise(np.random.default_rng(5), part, (10, 10, 10)), field[2:5, 10:30, 7:9], atol=1e-5
    )
    assert 0.8 < field.std() < 1.2


def test_shape_and_types(full: Phantom) -> None:
    assert full.hu.shape == full.label_map.shape == (64, 256, 256)
    assert full.spacing_mm == pytest.approx((4.0, 1.4, 1.4))
    assert full.hu.dtype == np.int16
    assert full.label_map.dtype == np.uint8
    assert full.hu.flags.c_contiguous
    assert full.label_map.flags.c_contiguous
    assert set(np.unique(full.label_map)) == {0, 1, 2}
    assert full.hu.min() >= -1024


def test_the_truth_of_seed_0_is_pinned(full: Phantom) -> None:
    """Volumes, not a hash: another processor may round a voxel on a surface to the other side."""
    assert _ml(full, 1) == pytest.approx(1411.3, rel=2e-3)
    assert _ml(full, 2) == pytest.approx(39.89, rel=2e-3)
    kinds = [tumour.kind for tumour in full.tumours]
    assert kinds[:3] == ["carcinoma", "necrotic metastasis", "haemangioma"]
    assert len(set(kinds)) == 5


def test_same_seed_same_volume(small: Phantom) -> None:
    again = make_phantom(seed=0, shape=SMALL)
    np.testing.assert_array_equal(again.hu, small.hu)
    np.testing.assert_array_equal(again.label_map, small.label_map)


def test_the_truth_does_not_depend_on_the_voxel_size(full: Phantom, small: Phantom) -> None:
    assert _ml(small, 1) + _ml(small, 2) == pytest.approx(_ml(full, 1) + _ml(full, 2), rel=0.02)
    assert [tumour.kind for tumour in small.tumours] == [tumour.kind for tumour in full.tumours]


def test_a_smaller_view_is_a_part_of_the_whole(full: Phantom) -> None:
    middle = make_phantom(shape=(8, 128, 128), spacing_mm=(4.0, 1.4, 1.4))
    np.testing.assert_array_equal(middle.label_map > 0, full.label_map[28:36, 64:192, 64:192] > 0)


def test_tumours_are_as_large_as_they_say_and_inside_the_liver(full: Phantom) -> None:
    """Each alone: voxels labelled tumour within its reach make up its ball, roughly, for they are uneven."""
    depth, height, width = full.label_map.shape
    z, y, x = np.ogrid[:depth, :height, :width]
    for tumour in full.tumours:
        steps = (
            (axis - (count - 1) / 2) * mm - centre
            for axis, count, mm, centre in zip(
                (z, y, x), full.label_map.shape, full.spacing_mm, tumour.centre_mm, strict=True
            )
        )
        near = sum(step**2 for step in steps) < (0.75 * tumour.diameter_mm + 1) ** 2
        found = (full.label_map[near] == 2).sum() * np.prod(full.spacing_mm)
        assert found == pytest.approx(np.pi / 6 * tumour.diameter_mm**3, rel=0.45), tumour


@pytest.mark.parametrize("seed", [2, 3])
def test_every_seed_has_two_to_eight_tumours_and_a_liver_of_believable_size(small: Phantom, seed: int) -> None:
    phantom = make_phantom(seed=seed, shape=SMALL)
    assert 2 <= len(phantom.tumours) <= 8
    diameters = [tumour.diameter_mm for tumour in phantom.tumours]
    assert 20 < max(diameters) <= 50
    assert (phantom.label_map != small.label_map).any(), "another body"
    assert 1000 < _ml(phantom, 1) + _ml(phantom, 2) < 2000
    assert _ml(phantom, 2) > 0


def test_radiological_orientation(full: Phantom) -> None:
    """hu[z] is upright: liver on the left of the picture, spine at the back, lungs in the upper slices."""
    width = full.hu.shape[2]
    liver_z, liver_y, liver_x = np.argwhere(full.label_map > 0).mean(axis=0)
    assert liver_x < 0.42 * width
    assert liver_z > 32
    spine_y, spine_x = np.argwhere(full.hu[:16] > 300)[:, 1:].mean(axis=0)
    assert spine_y > liver_y + 20
    assert abs(spine_x - width / 2) < 5
    assert full.hu[60, 128, 60] < -800, "right lung"
    assert full.hu[60, 128, 190] < -800, "left lung"
    assert full.hu[36, 81:87, 175].max() < -600, "the stomach's gas is on the patient's left, and in front"
    assert full.hu[36, 110, 175] > -20, "its content behind"


@pytest.mark.parametrize("phase", ["native", "arterial"])
def test_phases_share_the_truth_and_differ_in_contrast(small: Phantom, phase: str) -> None:
    phantom = make_phantom(seed=0, shape=SMALL, phase=phase)
    np.testing.assert_array_equal(phantom.label_map, small.label_map)
    assert phantom.tumours == small.tumours
    expected = TISSUE_HU["liver"][PHASES.index(phase)]
    within = binary_erosion(small.label_map == 1)
    assert np.median(phantom.hu[within]) == pytest.approx(expected, abs=4)


def test_noise_has_the_size_of_ct(full: Phantom) -> None:
    """Neighbours differ by noise and little else: their difference over a homogeneous liver, robustly."""
    liver = (full.label_map == 1)[:, :, :-8] & (full.label_map == 1)[:, :, 8:]
    difference = (full.hu[:, :, 8:].astype(int) - full.hu[:, :, :-8])[liver]
    sigma = 1.4826 * np.median(np.abs(difference)) / np.sqrt(2)
    assert 8 < sigma < 14


def test_most_tumours_are_darker_than_the_portal_liver(full: Phantom) -> None:
    liver, tumour = full.hu[full.label_map == 1], full.hu[full.label_map == 2]
    assert np.median(tumour) < np.median(liver) - 15


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="venous"):
        make_phantom(phase="venous")
    with pytest.raises(ValueError, match="20 mm"):
        make_phantom(shape=(4, 64, 64))
    with pytest.raises(ValueError, match="too little of the liver"):
        make_phantom(shape=(4, 16, 16), spacing_mm=(1.0, 1.0, 1.0))
