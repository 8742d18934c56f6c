"""The training command as people type it: what it takes, and what it says when it cannot."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import train.plan
from livdemo.models import list_models
from tests.train.data_trees import write_kvasir
from tests.train.slice_folder import write_slices
from train.__main__ import main
from train.export import main as export_main
from train.run import read_history


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where fast means a step or two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train.plan, "FAST_SLICES_PER_EPOCH", 16)
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path


def arguments(name: str, *data: str | Path, size: int = 32) -> list[str]:
    return [name, "--data", *map(str, data), "--epochs", "1", "--fast", "--size", str(size)]


def refused(asked: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence of a command that must end with status 2."""
    assert main(asked) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("spec", [s for s in list_models() if not s.phases], ids=lambda s: s.name)
def test_every_model_takes_a_step_by_its_papers_recipe(spec, folder: Path) -> None:
    data = write_slices(folder / "data", slices_per_patient=max(spec.sequence, spec.depth["classroom"], 4))
    size = 32 if spec.margin < 32 else 96
    assert main([*arguments(spec.name, data, size=size), "--hold-out", "A"]) == 0
    row = read_history(Path("runs") / spec.name)[-1]
    assert np.isfinite(row["loss"])
    assert np.isfinite(row["validation_loss"])
    assert 0 <= row["liver_dice"] <= 1
    described = json.loads((folder / "runs" / spec.name / "run.json").read_text())
    assert described["plan"]["recipe"] == "paper"
    assert "Shortened" in described["plan"]["shortened"]


def test_contrast_phases_come_from_phantoms(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("train.__main__.PHANTOM_SHAPE", (16, 48, 48))
    assert main(arguments("clstm4d", "phantom:0-1")) == 0
    assert export_main(["clstm4d", "runs/clstm4d"]) == 0
    assert "never seen a real scan" in (folder / "weights" / "clstm4d.md").read_text()
    data = write_slices(folder / "data")
    assert "--data phantom" in refused([*arguments("clstm4d", data), "--out", "other"], capsys)


def test_polyps_have_two_classes_and_stay_out_of_the_app(folder: Path, capsys) -> None:
    write_kvasir(folder / "kvasir")
    assert main(arguments("transunet", folder / "kvasir")) == 0
    row = read_history(Path("runs/transunet"))[-1]
    assert "object_dice" in row
    assert "tumour_dice" not in row
    assert export_main(["transunet", "runs/transunet"]) == 2
    assert "learned from kvasir" in capsys.readouterr().err
    assert "not made for colour pictures" in refused(arguments("sfan", folder / "kvasir"), capsys)


def test_a_leaky_split_is_stamped(folder: Path, capsys) -> None:
    data = write_slices(folder / "data")
    assert main([*arguments("unet64", data), "--split", "slice"]) == 0
    assert "LEAKY" in capsys.readouterr().out
    assert export_main(["unet64", "runs/unet64"]) == 0
    assert "LEAKY" in (folder / "weights" / "unet64.md").read_text()


def test_all_hold_nobody_out(folder: Path) -> None:
    data = write_slices(folder / "data")
    assert main([*arguments("unet64", data), "--all", "--recipe", "house"]) == 0
    assert export_main(["unet64", "runs/unet64"]) == 0
    assert "nobody was held out" in (folder / "weights" / "unet64.md").read_text()


def test_bad_data_is_one_sentence_and_nothing_is_begun(folder: Path, capsys) -> None:
    data = write_slices(folder / "whole")
    tumour = data / "ct_liver_tumour"
    name = sorted(path.name for path in (tumour / "masks").iterdir())[0]

    def damaged() -> tuple[Path, Path]:
        shutil.rmtree(folder / "bad", ignore_errors=True)
        shutil.copytree(data, folder / "bad")
        return folder / "bad", folder / "bad" / "ct_liver_tumour"

    bad, there = damaged()
    (there / "masks" / name).unlink()
    assert "is missing" in refused(arguments("unet64", bad), capsys)
    bad, there = damaged()
    (there / "images" / name).unlink()
    assert "is missing" in refused(arguments("unet64", bad), capsys)
    bad, there = damaged()
    cv2.imwrite(str(there / "masks" / name), np.full((64, 64), 7, np.uint8))
    assert "label 7" in refused(arguments("unet64", bad), capsys)
    assert not (folder / "runs" / "unet64").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--size", "30"], "multiples of 16"),
        (["--epochs", "0"], "at least one is needed"),
        (["--fold", "3/3"], "for example 0/3"),
        (["--hold-out", "Z"], "No fully drawn patient is called Z"),
        (["--modality", "MR"], "no MR pictures"),
        (["--split", "nowhere.json"], "nowhere.json"),
        (["--painted", "2"], "between 0 and 1"),
        (["--view", "2"], "a share of up to 1"),
        (["--view", "0.5"], "needs 32 pixels or more"),
        (["--start", "nowhere"], "no run folder"),
    ],
)
def test_what_cannot_be_done_is_said(more: list[str], said: str, folder: Path, capsys) -> None:
    data = write_slices(folder / "data")
    assert said in refused([*arguments("unet64", data), *more], capsys)


def test_unknown_names(folder: Path, capsys) -> None:
    assert "There is no model called" in refused(arguments("nnunet", "phantom"), capsys)
    data = write_slices(folder / "data")
    assert "needs more than that" in refused(arguments("unet_valid", data, size=64), capsys)
    assert "names no phantoms" in refused(arguments("unet64", "phantom:x"), capsys)
    (folder / "empty").mkdir()
    assert "empty" in refused(arguments("unet64", folder / "empty"), capsys)
