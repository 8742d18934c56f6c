"""A run on tiny slices: it learns, a kill loses one epoch, and the export is what the app loads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import train.loop
from livdemo.checkpoints import find_checkpoint, load_model
from livdemo.errors import InputError
from livdemo.intensity import Preprocessing
from livdemo.models import get_model
from livdemo.models.unet import UNet
from tests.train.slice_folder import write_slices
from train.augment import Augmentation
from train.data import read_slices, split_by_patient
from train.export import GOLDEN_STRIDE, export, golden_logits
from train.loop import Plan, Run

PLAN = Plan(
    epochs=3,
    images_per_epoch=32,
    batch_size=8,
    average=0.8,
    augmentation=Augmentation(crop=64, zoom=(0.9, 1.1), noise_hu=5, narrow_share=0, gain=(0.9, 1.1)),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slices(tmp_path_factory.mktemp("data"))


@pytest.fixture
def make_run(data: Path, tmp_path: Path):
    """Runs of a very small U-Net under the name of the real one."""
    spec = replace(
        get_model("unet64"),
        architecture=lambda preset: UNet(widths=(4, 8), norm=True),
        preprocessing={"classroom": Preprocessing(get_model("unet64").preprocessing["classroom"].window, size=64)},
    )
    slices = read_slices(data)
    split = split_by_patient(slices, ("A",), 3, 0)

    def make(name: str, plan: Plan = PLAN) -> Run:
        return Run(spec, "classroom", plan, slices, split, 7, tmp_path / name)

    return make


def test_it_learns_the_bright_disc(make_run) -> None:
    plan = replace(PLAN, epochs=24, learning_rate=1e-2)
    last = train.loop.train(make_run("learns", plan))
    assert last["liver_dice"] > 0.8
    assert last["validation_volumes"] == 3


def test_a_killed_run_goes_on_to_the_same_result(make_run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_run("whole")
    train.loop.train(whole)

    broken = make_run("broken")
    genuine = train.loop._one_epoch

    def killed_in_the_second_epoch(run: Run, epoch: int, *rest: object) -> float:
        loss = genuine(run, epoch, *rest)
        if epoch == 1:
            raise KeyboardInterrupt
        return loss

    monkeypatch.setattr(train.loop, "_one_epoch", killed_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train.loop.train(broken)
    monkeypatch.setattr(train.loop, "_one_epoch", genuine)
    train.loop.train(broken, resume=True)

    states = [torch.load(run.out / "state.pt", weights_only=True) for run in (whole, broken)]
    assert all(torch.equal(states[0]["average"][k], states[1]["average"][k]) for k in states[0]["average"])
    assert [row["loss"] for row in states[0]["history"]] == [row["loss"] for row in states[1]["history"]]


def test_a_folder_with_a_run_is_not_overwritten(make_run) -> None:
    run = make_run("once", replace(PLAN, epochs=1))
    train.loop.train(run)
    with pytest.raises(InputError, match="--resume"):
        train.loop.train(run)
    with pytest.raises(InputError, match="another run: plan differ"):
        train.loop.train(replace(run, plan=PLAN), resume=True)


def test_draws_keep_the_asked_shares(make_run) -> None:
    run = make_run("draws", replace(PLAN, union_share=0.25))
    drawn = train.loop._draw(run, 4000, np.random.default_rng(0))
    assert (~run.slices.full[drawn]).mean() == pytest.approx(0.25, abs=0.03)
    assert set(run.slices.patient[drawn]).isdisjoint(run.split.validation)


def test_export_gives_what_training_had(make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    run = make_run("export", replace(PLAN, epochs=1))
    train.loop.train(run)
    export(run.spec, run.out)

    checkpoint = find_checkpoint("unet64")
    assert checkpoint.preprocessing == run.spec.preprocessing["classroom"]
    state = torch.load(run.out / "state.pt", weights_only=True)["average"]
    model = UNet(widths=(4, 8), norm=True)
    model.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")})
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert load_model(checkpoint.sha256, "cpu")(x) == pytest.approx(model.eval()(x), abs=2e-2)

    golden = np.load(tmp_path / "weights" / "unet64.golden.npz")
    assert golden["logits"].shape == (3, 64 // GOLDEN_STRIDE, 64 // GOLDEN_STRIDE)
    assert golden_logits(checkpoint, golden["hu"]) == pytest.approx(golden["logits"], abs=1e-4)
    card = (tmp_path / "weights" / "unet64.md").read_text()
    assert "not for clinical use" in card
    assert checkpoint.sha256 in card
    assert (run.out / "unet64.safetensors").exists()


def test_export_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished epoch"):
        export(get_model("unet64"), tmp_path)
