"""Kept runs: they come back as they were, and only for the same voxels and weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.comparison import Result, compare
from livdemo.predictor import Prediction
from livdemo.rescoring import Rule, relabel
from livdemo.run_cache import read_run, runs_folder, write_run
from tests.made_up import block_case
from tests.small_model import write_thresholds


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("LIVDEMO_CACHE", str(tmp_path / "cache"))
    return write_thresholds(tmp_path / "weights")


def run(case: Case, checkpoint: Checkpoint) -> Prediction:
    *_, result = compare(case, [checkpoint], "cpu", quantised=True)
    assert isinstance(result, Result)
    return result.prediction


def test_a_run_comes_back_as_it_was(checkpoint: Checkpoint) -> None:
    case = block_case()
    assert read_run(case, checkpoint) is None
    ran = run(case, checkpoint)
    path = write_run(case, ran)
    assert path.parent == runs_folder()
    kept = read_run(case, checkpoint)
    assert np.array_equal(kept.label_map, ran.label_map)
    assert kept.label_map.dtype == np.uint8
    assert (kept.seconds, kept.device, kept.rule) == (ran.seconds, ran.device, ran.rule)
    assert kept.checkpoint is checkpoint
    rule = Rule(tumour_threshold=0.3, largest_component=False)
    spacing = case.volume.spacing_mm
    assert np.array_equal(relabel(kept.quantised, spacing, rule), relabel(ran.quantised, spacing, rule))


def test_other_voxels_or_weights_are_another_run(checkpoint: Checkpoint) -> None:
    case = block_case()
    write_run(case, run(case, checkpoint))
    other = block_case()
    other.volume.hu[0, 0, 0] += 1
    assert read_run(other, checkpoint) is None
    spacing_known = case.volume.spacing_known
    guessed = replace(case, volume=replace(case.volume, spacing_known=not spacing_known))
    assert read_run(guessed, checkpoint) is None, "the rule cuts necks only where millimetres are known"
    assert read_run(case, replace(checkpoint, sha256="0" * 64)) is None
    assert read_run(case, replace(checkpoint, largest_component=True)) is None
    assert read_run(case, replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=64))) is None


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_no_run(checkpoint: Checkpoint, damage: bytes | None) -> None:
    case = block_case()
    path = write_run(case, run(case, checkpoint))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert read_run(case, checkpoint) is None
    write_run(case, run(case, checkpoint))
    assert read_run(case, checkpoint) is not None
    assert [one.suffix for one in runs_folder().iterdir()] == [".npz"]


def test_an_empty_prediction_is_kept_too(checkpoint: Checkpoint) -> None:
    case = block_case()
    case.volume.hu[:] = -1000
    write_run(case, run(case, checkpoint))
    assert not read_run(case, checkpoint).label_map.any()


def test_what_cannot_be_kept(checkpoint: Checkpoint) -> None:
    case = block_case()
    ran = run(case, checkpoint)
    with pytest.raises(ValueError, match="quantised"):
        write_run(case, replace(ran, quantised=None))
    with pytest.raises(ValueError, match="no weights of its own"):
        write_run(case, replace(ran, checkpoint=replace(checkpoint, sha256="")))
