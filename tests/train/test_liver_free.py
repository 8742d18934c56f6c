"""Slices without liver: chest and lower belly, in other HU for every seed, read only when asked for."""

import numpy as np
import pytest

from train.liver_free import liver_free_scans, other_tissues
from train.scans import Loaded


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return liver_free_scans([4], size=64)[0].load()


def test_scans_hold_body_but_no_liver(loaded: Loaded) -> None:
    image, mask, position = loaded
    assert (image.dtype, mask.dtype) == (np.int16, np.uint8)
    assert image.shape == (len(position), 1, 64, 64)
    assert mask.shape == (len(position), 64, 64)
    assert not mask.any()
    assert 12 < len(position) < 30
    assert (np.diff(position) >= 1).all()
    assert (np.diff(position) > 10).sum() == 1  # some lie below the liver, some above it
    assert ((image > -200).mean((1, 2, 3)) > 0.1).all()  # a body in each
    lung = ((image < -700) & (image > -950)).sum((1, 2, 3))
    assert lung[-1] > 2 * lung[0]


def test_every_seed_has_another_body_and_the_same_seed_the_same(loaded: Loaded) -> None:
    same, other = liver_free_scans([4, 5], size=64)
    assert (same.source, same.patient, other.patient) == ("phantom", "phantom 4", "phantom 5")
    assert len({scan.volume for scan in (same, other, *liver_free_scans([4], size=32))}) == 3
    for one, two in zip(loaded, same.load(), strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(loaded[0][0], other.load()[0][0])


def test_tissues_keep_their_order() -> None:
    hu = np.arange(-1024, 3072)
    for seed in range(50):
        moved = other_tissues(np.random.default_rng(seed))(hu)
        assert (np.diff(moved) >= 0).all()
        assert (moved[0], moved[-1]) == (-1024, 3071)
        assert abs(int(moved[110 + 1024]) - 110) <= 22  # the organs
