"""Splits: nobody on both sides, the seed alone decides, and the known traps are refused by name."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livdemo.errors import InputError
from tests.train.slice_folder import write_slices
from train.cache import Slices, cached_slices
from train.sources import find_scans
from train.sources.lits_patients import DRAWN_AGAIN, IRCADB_AGAIN, SHOWN
from train.split import (
    Split,
    check_split,
    folds,
    hold_out,
    read_split,
    slice_names,
    split_by_patient,
    split_by_slice,
    write_split,
)

EACH = 3  # slices of a patient


def people(*groups: tuple[str, str, Sequence[str], bool]) -> Slices:
    """Slices of (source, labels, patients, with tumour), three of each patient, of 2×2 pixels."""
    rows = [(source, labels, patient, ill) for source, labels, names, ill in groups for patient in names]
    source, labels, patient = (np.repeat([row[k] for row in rows], EACH) for k in range(3))
    ill = np.repeat([row[3] for row in rows], EACH)
    n = len(patient)
    mask = np.ones((n, 2, 2), np.uint8)
    mask[ill, 0, 0] = 2
    return Slices(
        image=np.zeros((n, 1, 2, 2), np.int16),
        mask=mask,
        labels=labels,
        source=source,
        patient=patient,
        volume=patient,
        position=np.tile(np.arange(EACH), len(rows)),
        modality=np.full(n, "CT"),
    )


MIXED = people(
    ("lits17", "full", [f"LiTS {k}" for k in range(11, 22)], True),
    ("lits17", "full", ["LiTS 48", "LiTS 49", "LiTS 50"], False),
    ("chaos_ct", "union", [f"CHAOS CT {k}" for k in range(7)], False),
)
LITS_28 = ("lits17", "full", ["LiTS 28", "LiTS 47", "LiTS 48", "LiTS 49", "LiTS 50"], True)
IRCADB = ("3dircadb", "full", ["3D-IRCADb 1", "3D-IRCADb 2"], True)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Slices:
    folder = tmp_path_factory.mktemp("split")
    return cached_slices(find_scans(write_slices(folder / "data")), folder / "cache", 16)


def test_held_out_patients_are_on_one_side(slices: Slices) -> None:
    split = hold_out(slices, ("A", "E"), every=3, seed=0)
    check_split(split, slices)
    assert {"A", "E"} <= set(split.validation)
    assert len([p for p in split.validation if p.startswith("volume")]) == 2
    sides = [set(split.indices(slices, side)) for side in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert len(sides[0]) + len(sides[1]) == len(slices) - 4  # those of volume 10001 are on neither


def test_slices_that_may_show_a_held_out_patient_are_left_out(slices: Slices) -> None:
    for split in (hold_out(slices, ("A",), 3, 0), split_by_patient(slices, 0.3, 0), *folds(slices, 3, 0)):
        assert split.left_out == (DRAWN_AGAIN,)
        assert DRAWN_AGAIN not in (*split.train, *split.validation)


def test_unknown_patient(slices: Slices) -> None:
    with pytest.raises(InputError, match="called Z; there are A, B, E"):
        hold_out(slices, ("Z",), 3, 0)


@pytest.mark.shared
def test_the_split_of_the_shipped_weights(shared_data: Path, tmp_path: Path) -> None:
    """79 patients learn and are validated; the three groups that never learn are whole."""
    scans = [scan for scan in find_scans(shared_data) if scan.modality == "CT"]
    slices = cached_slices(scans, tmp_path, 8)
    split = hold_out(slices, ("A", "E"), every=6, seed=0)
    assert (len(split.train), len(split.validation), split.left_out) == (65, 14, (DRAWN_AGAIN, SHOWN, IRCADB_AGAIN))
    assert split.validation[:2] == ("A", "E")
    assert [len(split.indices(slices, side)) for side in ("train", "validation", "left_out")] == [2099, 288, 129]


@pytest.mark.parametrize("make", [split_by_patient, split_by_slice])
def test_the_seed_alone_decides(make) -> None:
    splits = [make(MIXED, 0.3, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]
    shuffled = np.random.default_rng(0).permutation(len(MIXED))
    other_order = Slices(**{key: getattr(MIXED, key)[shuffled] for key in Slices.__dataclass_fields__})
    assert set(split_by_patient(other_order, 0.3, 0).train) == set(split_by_patient(MIXED, 0.3, 0).train)


def test_a_share_of_every_kind_of_patient() -> None:
    split = split_by_patient(MIXED, 0.3, 0)
    check_split(split, MIXED)
    held = set(split.validation)
    assert len({f"LiTS {k}" for k in range(11, 22)} & held) == 3
    assert len({"LiTS 48", "LiTS 49", "LiTS 50"} & held) == 1
    assert len([p for p in held if p.startswith("CHAOS")]) == 2


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_no_side_is_empty(share: float) -> None:
    for few in (people(("lits17", "full", ["LiTS 11", "LiTS 12"], True)), people(LITS_28), MIXED):
        split = split_by_patient(few, share, 0)
        check_split(split, few)
        assert split.validation
    two_kinds = people(("lits17", "full", ["LiTS 11"], True), ("lits17", "full", ["LiTS 12"], False))
    split = split_by_patient(two_kinds, share, 0)
    check_split(split, two_kinds)
    assert split.validation


def test_what_cannot_be_split() -> None:
    alone = people(("lits17", "full", ["LiTS 11"], True))
    with pytest.raises(InputError, match="1 patient cannot be on two sides"):
        split_by_patient(alone, 0.2, 0)
    for share in (0, 1, -1):
        with pytest.raises(InputError, match="between 0 and 1"):
            split_by_patient(MIXED, share, 0)


def test_everybody_is_validated_once() -> None:
    made = folds(MIXED, 5, seed=3)
    validated = [patient for split in made for patient in split.validation]
    assert sorted(validated) == sorted(set(MIXED.patient))
    for split in made:
        check_split(split, MIXED)
        assert set(split.train) == set(MIXED.patient) - set(split.validation)
        ill = MIXED.has_tumour()[split.indices(MIXED, "validation")].sum() / EACH
        assert ill in (2, 3)  # 11 patients in 5 folds
    assert folds(MIXED, 5, seed=3) == made
    assert folds(MIXED, 5, seed=4) != made


def test_folds_that_cannot_be_made() -> None:
    with pytest.raises(InputError, match="12 folds need 12 patients with drawn tumours and there are 11"):
        folds(MIXED, 12, 0)
    for k in (1, 99):
        with pytest.raises(InputError, match="dealt into"):
            folds(MIXED, k, 0)
    healthy = people(("chaos_ct", "union", [f"CHAOS CT {k}" for k in range(4)], False))
    assert len(folds(healthy, 4, 0)) == 4


def test_a_split_by_slice_is_leaky_and_says_so(tmp_path: Path) -> None:
    split = split_by_slice(MIXED, 0.25, seed=0)
    check_split(split, MIXED)
    held = split.indices(MIXED, "validation")
    assert len(held) == round(0.25 * len(MIXED))
    assert len(held) + len(split.indices(MIXED, "train")) == len(MIXED)
    assert set(MIXED.patient[held]) & set(MIXED.patient[split.indices(MIXED, "train")])
    assert split.kind == "slice"
    assert "Leaky" in str(split.warning)
    assert split_by_patient(MIXED, 0.25, 0).warning is None
    write_split(split, tmp_path / "split.json")
    assert "Leaky" in (tmp_path / "split.json").read_text()
    assert len(set(slice_names(MIXED))) == len(MIXED)


def _moved(split: Split, patient: str, to: str) -> Split:
    sides = {
        side: tuple(p for p in getattr(split, side) if p != patient) for side in ("train", "validation", "left_out")
    }
    sides[to] = (*sides[to], patient)
    return replace(split, **sides)


TRAPS = [
    ((LITS_28, IRCADB), "LiTS 28", "3D-IRCADb 1", "LiTS volumes 28 to 47 are the twenty patients of 3D-IRCADb-01"),
    (
        (("ct_liver_tumour", "full", "ABC", True), ("ct_liver_only", "union", [DRAWN_AGAIN, "volume 10020"], False)),
        DRAWN_AGAIN,
        "B",
        "show the patients A to F of LiTS volumes 0 to 10",
    ),
    (
        (LITS_28, ("ct_liver_only", "union", ["volume 10060", "volume 10061"], False)),
        "volume 10060",
        "LiTS 48",
        "LiTS patients under numbers that are not known",
    ),
    (
        (
            ("chaos_mr", "union", ["CHAOS MR 1", "CHAOS MR 2", "CHAOS MR 3"], False),
            ("mr_t1_liver", "union", ["mr_t1_liver"], False),
        ),
        "mr_t1_liver",
        "CHAOS MR 1",
        "made from CHAOS MR without saying from whom",
    ),
]


@pytest.mark.parametrize(("groups", "double", "kept", "why"), TRAPS)
@pytest.mark.parametrize("sides", [("train", "validation"), ("validation", "train")])
def test_the_same_people_in_two_data_sets(groups, double: str, kept: str, why: str, sides: tuple[str, str]) -> None:
    slices = people(*groups)
    for split in (split_by_patient(slices, 0.4, 0), *folds(slices, 2, 0)):
        assert double in split.left_out  # no splitter steps into it
        check_split(split, slices)
        trapped = _moved(_moved(split, double, sides[0]), kept, sides[1])
        with pytest.raises(InputError, match=f"{why}; put them on one side"):
            check_split(trapped, slices)


def test_lits_alone_keeps_its_twenty_patients_of_ircadb() -> None:
    slices = people(LITS_28)
    assert split_by_patient(slices, 0.4, 0).left_out == ()


def test_one_patient_under_two_data_sets_is_on_one_side() -> None:
    slices = people(("msd", "full", ["LiTS 12", "LiTS 13"], True), ("lits17", "full", ["LiTS 12", "LiTS 14"], True))
    for split in folds(slices, 3, 0):
        check_split(split, slices)
        sides = [set(slices.patient[split.indices(slices, side)]) for side in ("train", "validation")]
        assert not sides[0] & sides[1]


def test_a_patient_on_both_sides() -> None:
    split = split_by_patient(MIXED, 0.3, 0)
    with pytest.raises(InputError, match=f"The patient {split.train[0]} is in train and in validation"):
        check_split(replace(split, validation=(*split.validation, split.train[0])), MIXED)
    leaky = split_by_slice(MIXED, 0.3, 0)
    with pytest.raises(InputError, match=r"The slice .* is in train and in validation"):
        check_split(replace(leaky, validation=(*leaky.validation, leaky.train[0])), MIXED)


def test_a_split_of_other_data() -> None:
    split = split_by_patient(MIXED, 0.3, 0)
    with pytest.raises(InputError, match=f"other data: it lacks {split.train[0]}"):
        check_split(replace(split, train=split.train[1:]), MIXED)
    with pytest.raises(InputError, match=r"other data: it has LiTS 99"):
        check_split(replace(split, train=(*split.train, "LiTS 99")), MIXED)
    with pytest.raises(InputError, match="nobody to train on"):
        check_split(replace(split, train=(), validation=split.train + split.validation), MIXED)


def test_everybody_can_be_trained_on(slices: Slices) -> None:
    split = hold_out(slices, (), 0, seed=0)
    check_split(split, slices)
    assert split.validation == ()
    assert {*split.train, DRAWN_AGAIN} == set(slices.patient)


def test_a_split_is_written_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split = split_by_patient(MIXED, 0.3, 0)
    write_split(split, path)
    write_split(split, path)
    assert read_split(path) == split
    before = path.read_text()
    with pytest.raises(InputError, match=r"split\.json holds another split, which is kept"):
        write_split(split_by_patient(MIXED, 0.3, 1), path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["split.json"]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"train": ["A"]}', '{"train": [1], "validation": [], "left_out": [], "kind": "patient", "seed": 0}'],
)
def test_what_is_no_split(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"split\.json is no split"):
        read_split(path)
    with pytest.raises(InputError, match="does not exist"):
        read_split(tmp_path / "none.json")
