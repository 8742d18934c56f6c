"""The preprocessing bench on a network whose answer a hand can work out."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livdemo.bench import SWEEP_CENTERS, SWEEP_WIDTHS, feed, mismatch, sweep
from livdemo.checkpoints import Checkpoint
from livdemo.intensity import Window
from livdemo.predictor import Predictor
from tests.made_up import block_case
from tests.small_model import write_thresholds


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path))
    return write_thresholds(tmp_path)


def test_fed_as_trained_it_is_the_run(checkpoint: Checkpoint) -> None:
    case = block_case()
    fed = feed(case, checkpoint, 2, checkpoint.preprocessing, device="cpu")
    assert np.array_equal(fed.label_map, Predictor(checkpoint, "cpu").predict(case.volume).label_map[2])
    assert fed.matches
    assert fed.dice == {"liver": 1.0, "tumour": 1.0}
    assert fed.badge.startswith("fed as trained")
    assert fed.image.shape == (32, 32)
    assert fed.image.max() == pytest.approx(0.95)


def test_a_window_that_whitens_the_liver_makes_it_all_tumour(checkpoint: Checkpoint) -> None:
    """Liver at 60 HU is 1.0 of a window from -50 to 50: brighter than 0.8, which this network calls tumour."""
    fed = feed(block_case(), checkpoint, 2, mismatch(checkpoint, Window(0, 100), "none"), device="cpu")
    assert (fed.label_map == 2).sum() == 256
    assert fed.dice["tumour"] == pytest.approx(2 * 16 / (16 + 256))
    assert not fed.matches
    assert "trained with window 100/50" in fed.badge
    assert "fed with window 100/0" in fed.badge


def test_slices_without_anything_and_cases_without_reference(checkpoint: Checkpoint) -> None:
    case = block_case()
    assert math.isnan(feed(case, checkpoint, 0, checkpoint.preprocessing, device="cpu").dice["liver"])
    unknown = feed(replace(case, reference=None), checkpoint, 2, checkpoint.preprocessing, device="cpu")
    assert all(math.isnan(value) for value in unknown.dice.values())
    with pytest.raises(IndexError):
        feed(case, checkpoint, 6, checkpoint.preprocessing, device="cpu")


def test_a_sweep_goes_over_every_window_and_stops_when_closed(checkpoint: Checkpoint) -> None:
    running = sweep(block_case(), checkpoint, 2, device="cpu")
    found = [next(running) for _ in range(6)]
    assert [fed.preprocessing.window.width for fed in found] == [*SWEEP_WIDTHS, SWEEP_WIDTHS[0]]
    assert {fed.preprocessing.window.center for fed in found} == set(SWEEP_CENTERS[:2])
    running.close()
    with pytest.raises(StopIteration):
        next(running)
