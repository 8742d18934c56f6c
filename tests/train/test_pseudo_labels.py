"""Tumours that networks put on liver-only slices: by hand, and in the plan without a held-out patient's part."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livdemo.intensity import Preprocessing, Window
from livdemo.models import get_model
from tests.small_model import Thresholds
from tests.train.slice_folder import write_slices
from tests.train.test_reproduce import PLAN, tiny
from train.cache import Slices
from train.planned import Settings, plan_runs
from train.pseudo_labels import pseudo_labelled
from train.reproduce import main
from train.run import Run, save_weights
from train.run_log import read_rows
from train.split import hold_out

SIDE = 16
GREY_OF_HU = Preprocessing(Window(50, 100), size=SIDE)  # HU 0 … 100 -> grey 0 … 1


def _slices() -> Slices:
    """One slice of patient A with a drawn tumour, one with a union mask of X, one of Y: in each the liver is a square
    of 60 HU with a spot of 90 HU in it, beside it lies bone of 95 HU."""
    hu = np.zeros((3, 1, SIDE, SIDE), np.int16)
    hu[:, :, 4:12, 4:12] = 60
    hu[:, :, 6:8, 6:8] = 90
    hu[:, :, 0:2, 0:2] = 95
    mask = np.zeros((3, SIDE, SIDE), np.uint8)
    mask[:, 4:12, 4:12] = 1
    mask[0, 10:12, 10:12] = 2
    return Slices(
        image=hu,
        mask=mask,
        labels=np.array(["full", "union", "union"]),
        source=np.array(["drawn", "liver", "liver"]),
        patient=np.array(["A", "X", "Y"]),
        volume=np.array(["0", "1", "2"]),
        position=np.zeros(3, int),
        modality=np.array(["CT"] * 3),
    )


def _teacher(folder: Path, slices: Slices, tumour_from: float) -> Run:
    spec = replace(
        get_model("unet64"),
        size_multiple=1,
        preprocessing={"classroom": GREY_OF_HU},
        architecture=lambda preset: Thresholds(tumour_from),
    )
    run = Run(spec, "classroom", PLAN, slices, hold_out(slices, (), 0, 0), 0, folder)
    save_weights(folder, run.describe(), Thresholds(tumour_from).state_dict())
    return run


def test_a_tumour_stands_where_the_mean_of_the_networks_is_sure(tmp_path: Path) -> None:
    """One network sees the spot of 90 HU (p near 1), the other does not (p near 0): the mean is a half."""
    slices = _slices()
    sees, blind = (_teacher(tmp_path / str(k), slices, k) for k in (0.8, 0.99))
    inside = np.array([0, 1])
    spot = np.zeros((SIDE, SIDE), bool)
    spot[6:8, 6:8] = True

    found = pseudo_labelled(slices, inside, [sees], 0.5)
    assert np.array_equal(found.mask[1] == 2, spot), "the spot, and not the brighter bone outside of the mask"
    assert np.array_equal(found.mask[1] > 0, slices.mask[1] > 0)
    assert np.array_equal(found.mask[0], slices.mask[0]), "what a hand drew stays"
    assert np.array_equal(found.mask[2], slices.mask[2]), "a slice that was not asked about stays"
    assert (slices.mask[1] != 2).all(), "the cache's own masks are not written to"
    assert not found.has_tumour()[1], "no draw takes it for a slice with a drawn tumour"

    for sure, seen in ((0.45, True), (0.55, False)):
        both = pseudo_labelled(slices, inside, [sees, blind], sure)
        assert bool((both.mask[1] == 2).any()) is seen
    with pytest.raises(ValueError, match="need a network"):
        pseudo_labelled(slices, inside, [])


def test_the_plan_trains_the_same_folds_networks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.planned.get_model", tiny)
    monkeypatch.setattr("train.reproduce.HOUSE", replace(PLAN, epochs=1))
    taught: list[tuple[list[str], list[tuple[str, ...]]]] = []
    own = pseudo_labelled

    def watched(slices: Slices, inside: np.ndarray, teachers: list[Run], *more: object) -> Slices:
        taught.append((sorted(set(slices.patient[inside])), [run.split.validation for run in teachers]))
        marked = own(slices, inside, teachers, 0.0)  # every pixel: an untrained network need not be sure of any
        assert (marked.mask[inside][slices.labels[inside] == "union"] != 1).all()
        held_out = np.setdiff1d(np.arange(len(slices)), inside)
        assert np.array_equal(marked.mask[held_out], slices.mask[held_out])
        return marked

    monkeypatch.setattr("train.carry_out.pseudo_labelled", watched)
    data = write_slices(tmp_path / "data")
    asked = ["--data", str(data), "--size", "32", "--device", "cpu", "--out", str(tmp_path / "out")]
    asked += ["--cache", str(tmp_path / "cache"), "--log", str(tmp_path / "runs.jsonl"), "--folds", "A"]
    study = ["--protocol", "ablations", "--studies", "pseudo-labels"]
    assert main([*asked, *study]) == 0
    none, pseudo = read_rows(tmp_path / "runs.jsonl")
    assert none["key"] != pseudo["key"]
    ((patients, held_out),) = taught
    assert "A" not in patients
    assert len(held_out) == 3
    assert all("A" in names for names in held_out), "none of the three has seen the patient"
    told = json.loads((tmp_path / "out" / f"unet64-{pseudo['key']}" / "run.json").read_text())["pseudo_labels"]
    assert none["key"] in told["networks"], "the comparison is one of them"
    assert len(list((tmp_path / "out").glob("*-*"))) == 4, "three networks and the one that learned from them"

    monkeypatch.setattr("train.loop.Training.epoch", lambda *_: pytest.fail("it was trained already"))
    assert main([*asked, *study]) == 0
    assert len(taught) == 1


def test_a_run_without_them_is_called_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.planned.get_model", tiny)
    data = write_slices(tmp_path / "data")
    settings = Settings("fair", data, tmp_path / "cache", tmp_path / "out", ("unet64",), folds=("A",), size=32)
    (fair,) = plan_runs(settings)[0]
    assert "pseudo_labels" not in fair.described
    planned, _ = plan_runs(replace(settings, protocol="ablations", studies=("pseudo-labels",)))
    assert planned[0].key == fair.key != planned[1].key
    assert not planned[1].is_plain, "another command's folder is not adopted for it"
