"""The weights that ship: each file is what the manifest pins, small, and gives what it gave when it was exported."""

from dataclasses import replace

import numpy as np
import pytest

from livdemo.cases import load_case
from livdemo.checkpoints import Checkpoint, fetch, read_manifest
from livdemo.metrics import score_case
from livdemo.models import get_model
from livdemo.predictor import FAT_HU, Predictor
from livdemo.volume import read_label_map, read_volume
from tests.conftest import REPOSITORY
from train.export import GOLDEN_TOLERANCE, MAX_BYTES, golden_logits

WEIGHTS = REPOSITORY / "weights"
SHIPPED = read_manifest(WEIGHTS)


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda c: c.model)
def test_a_shipped_file(checkpoint: Checkpoint) -> None:
    assert len(fetch(checkpoint)) == checkpoint.bytes < MAX_BYTES
    assert checkpoint.parameters == get_model(checkpoint.model).parameters(checkpoint.preset)
    preset = get_model(checkpoint.model).preprocessing[checkpoint.preset]
    assert checkpoint.preprocessing == replace(preset, size=checkpoint.preprocessing.size)
    assert checkpoint.fat_hu == FAT_HU
    golden = np.load(WEIGHTS / f"{checkpoint.model}.golden.npz")
    assert golden_logits(checkpoint, golden["hu"]) == pytest.approx(golden["logits"], abs=GOLDEN_TOLERANCE)
    card = (WEIGHTS / f"{checkpoint.model}.md").read_text()
    assert checkpoint.sha256 in card
    assert checkpoint.weak in card


def test_something_is_trained() -> None:
    assert "unet64" in {checkpoint.model for checkpoint in SHIPPED}


def test_the_unet_finds_the_liver_of_the_phantom() -> None:
    case = load_case("phantom")
    checkpoint = next(c for c in SHIPPED if c.model == "unet64")
    prediction = Predictor(checkpoint, "cpu").predict(case.volume)
    liver, tumour = score_case(prediction.label_map, case.reference, case.volume.spacing_mm)
    assert liver.dice > 0.93
    assert tumour.dice > 0.1


@pytest.mark.shared
def test_the_unet_finds_the_liver_of_a_stranger(shared_data) -> None:
    """CHAOS was never trained on: another hospital, other scanners, healthy donors."""
    volume = read_volume(shared_data / "volumes" / "chaos_ct.nii.gz")
    reference = read_label_map(shared_data / "volumes" / "chaos_seg.nii.gz", volume)
    checkpoint = next(c for c in SHIPPED if c.model == "unet64")
    prediction = Predictor(checkpoint, "cpu").predict(volume)
    liver, _ = score_case(prediction.label_map, reference, volume.spacing_mm)
    assert liver.dice >= 0.93
