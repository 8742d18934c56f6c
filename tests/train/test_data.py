"""Slice folders: what is read, what the greys mean, and that no patient is on both sides."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from livdemo.errors import InputError
from tests.train.slice_folder import write_slices
from train.data import MAYBE_DRAWN, GreyScale, read_slices, split_by_patient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_slices(tmp_path)


def test_both_kinds_of_masks_are_read(folder: Path) -> None:
    slices = read_slices(folder)
    assert len(slices) == (3 + 7) * 4
    assert slices.full.sum() == 12
    assert slices.mask[slices.full].max() == 2
    assert slices.mask[~slices.full].max() == 1
    assert slices.has_tumour().sum() == 12


def test_greys_become_hounsfield_units() -> None:
    table = GreyScale(-160, 240).table()
    assert table[0] == -160
    assert table[255] == 240
    assert table[51] == -160 + 51 / 255 * 400
    assert GreyScale(0, 255, black_below=2).table()[:4].tolist() == [-160, -160, 2, 3]


def test_no_patient_is_on_both_sides(folder: Path) -> None:
    slices = read_slices(folder)
    split = split_by_patient(slices, ("A", "E"), every=3, seed=0)
    assert not set(split.train) & set(split.validation)
    assert {"A", "E"} <= set(split.validation)
    assert len([p for p in split.validation if p.startswith("volume")]) == 2
    sides = [set(split.indices(slices, side)) for side in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert len(sides[0]) + len(sides[1]) == len(slices) - 4  # those of volume 10001 are on neither


def test_slices_that_may_show_a_held_out_patient_are_left_out(folder: Path) -> None:
    split = split_by_patient(read_slices(folder), ("A",), every=3, seed=0)
    assert split.left_out == (MAYBE_DRAWN,)
    assert MAYBE_DRAWN not in (*split.train, *split.validation)


def test_the_split_depends_on_the_seed_alone(folder: Path) -> None:
    slices = read_slices(folder)
    splits = [split_by_patient(slices, ("A",), 2, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_unknown_patient(folder: Path) -> None:
    with pytest.raises(InputError, match="called Z; there are A, B, E"):
        split_by_patient(read_slices(folder), ("Z",), 3, 0)


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no slices.*index\.csv"):
        read_slices(tmp_path)


def test_missing_mask(folder: Path) -> None:
    (folder / "ct_liver_tumour" / "masks" / "0_001.png").unlink()
    with pytest.raises(InputError, match=r"masks/0_001\.png is missing"):
        read_slices(folder)


def test_label_without_meaning(folder: Path) -> None:
    path = folder / "ct_liver_only" / "masks" / "20001_000.png"
    cv2.imwrite(str(path), np.full((64, 64), 2, np.uint8))
    with pytest.raises(InputError, match="label 2, which has no meaning"):
        read_slices(folder)


def test_mask_of_another_size(folder: Path) -> None:
    cv2.imwrite(str(folder / "ct_liver_tumour" / "masks" / "0_000.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(InputError, match=r"\(64, 64\) and mask \(32, 32\)"):
        read_slices(folder)
