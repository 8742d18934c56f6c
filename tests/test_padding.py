"""A frame of water around a picture becomes air, and nothing else does."""

import numpy as np
import pytest

from livdemo.padding import without_padding


def body(side: int = 40, depth: int = 3) -> np.ndarray:
    """Noisy tissue in air, (depth, side, side); no two slices alike."""
    rng = np.random.default_rng(0)
    row, column = np.indices((side, side)) - side / 2
    inside = row**2 + column**2 < (side / 3) ** 2
    return np.where(inside, rng.normal(50, 10, (depth, side, side)), rng.normal(-1000, 5, (depth, side, side))).astype(
        np.int16
    )


@pytest.mark.parametrize("value", [0, 50, -200])
def test_a_frame_around_the_picture_is_air(value: int) -> None:
    framed = np.full((3, 60, 60), value, np.int16)
    framed[:, 10:50, 10:50] = body()
    found, (warning,) = without_padding(framed.copy())
    assert (found[:, :10] == -1000).all()
    assert np.array_equal(found[:, 10:50, 10:50], body()), "not a voxel of the picture"
    assert f"the file has {value} HU" in warning


def test_a_round_picture_and_a_slice_of_nothing() -> None:
    hu = body(160)
    row, column = np.indices((160, 160)) - 79.5
    hu[:, row**2 + column**2 > 79.5**2] = 0
    hu[2] = 0
    found, _ = without_padding(hu.copy())
    assert np.count_nonzero(found[:2] == 0) < 0.05 * np.count_nonzero(hu[:2] == 0), "but where it is a voxel wide"
    assert (found[2] == -1000).all()


@pytest.mark.parametrize("value", [-1000, -1024, -2000])
def test_padding_of_air_is_left_alone(value: int) -> None:
    framed = np.full((3, 60, 60), value, np.int16)
    framed[:, 10:50, 10:50] = body()
    found, warnings = without_padding(framed.copy())
    assert np.array_equal(found, framed)
    assert warnings == ()


def test_tissue_that_reaches_the_border_stays() -> None:
    hu = np.random.default_rng(1).normal(50, 10, (2, 40, 40)).astype(np.int16)
    hu[:, 15:25, 15:25] = -1000
    found, warnings = without_padding(hu.copy())
    assert np.array_equal(found, hu)
    assert warnings == ()


def test_without_air_the_numbers_may_be_no_hu() -> None:
    mr = np.zeros((2, 40, 40), np.int16)
    mr[:, 10:30, 10:30] = 300
    found, warnings = without_padding(mr.copy())
    assert np.array_equal(found, mr)
    assert warnings == ()
