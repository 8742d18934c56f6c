"""A run on tiny slices: it learns, a kill loses one epoch, and the export is what the app loads."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from livdemo.checkpoints import find_checkpoint, load_model
from livdemo.errors import InputError
from livdemo.intensity import Preprocessing
from livdemo.models import ModelSpec, get_model
from livdemo.models.unet import UNet
from tests.conftest import REPOSITORY
from tests.train.slice_folder import write_slices
from train.batches import Feed
from train.cache import Slices, cached_slices
from train.export import GOLDEN_STRIDE, export, golden_logits
from train.loop import Training, train
from train.plan import HOUSE, Plan
from train.run import Run, exported_weights, read_described, read_state
from train.sources import find_scans
from train.split import hold_out

PLAN = replace(HOUSE, epochs=3, slices_per_epoch=32, average=0.8, augmentation="s4")
LEARNS = replace(PLAN, epochs=18, slices_per_epoch=64, learning_rate=1e-2)  # enough for a disc, with room to spare
MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Slices:
    root = write_slices(tmp_path_factory.mktemp("data"))
    return cached_slices(find_scans(root), tmp_path_factory.mktemp("cache"), 64)


def small(name: str) -> ModelSpec:
    """A very small U-Net under the name of the real one."""
    spec = get_model(name)
    return replace(
        spec,
        architecture=lambda preset: UNet(widths=(4, 8), norm=True, classes=len(spec.labels)),
        preprocessing={"classroom": Preprocessing(spec.preprocessing["classroom"].window, size=64)},
    )


@pytest.fixture
def make_run(slices: Slices, tmp_path: Path) -> MakeRun:
    split = hold_out(slices, ("A",), 3, 0)

    def make(name: str, plan: Plan = PLAN, model: str = "unet64") -> Run:
        return Run(small(model), "classroom", plan, slices, split, 7, tmp_path / name)

    return make


def test_it_learns_the_bright_disc(make_run: MakeRun) -> None:
    last = train(make_run("learns", LEARNS))
    assert last["liver_dice"] > 0.7
    assert last["validation_volumes"] == 3


@pytest.mark.parametrize(("bf16", "mend"), [(True, "without --bf16"), (False, "smaller learning rate")])
def test_a_loss_that_is_no_number_ends_the_run(make_run: MakeRun, bf16: bool, mend: str) -> None:
    """The weights are spoilt with it, so the rest of the epochs would be wasted and the row a lie."""
    run = make_run("spoilt", replace(PLAN, bf16=bf16, clip=None, learning_rate=1e30))
    training = Training(run, Accelerator())
    training.begin()
    with pytest.raises(InputError, match=rf"unet64 is no number any more, in step \d+ of epoch 1; .*{mend}"):
        training.epoch(0)


def test_a_two_label_network_learns_the_union(make_run: MakeRun) -> None:
    last = train(make_run("union", LEARNS, "unet_liver"))
    assert last["liver_dice"] > 0.7
    assert "tumour_dice" not in last


def test_parts_of_slices_are_learned_from_and_whole_ones_asked(make_run: MakeRun) -> None:
    """Views of 32 pixels out of slices of 64, each pixel as large as in the slice; held-out slices are whole."""
    run = make_run("parts", replace(LEARNS, view=0.5))
    feed = Feed(run.spec, run.preset, run.plan, run.slices, run.split.indices(run.slices, "train"))
    batch = feed.batch(feed.inside[:8], torch.Generator().manual_seed(0))
    assert batch.image.shape == (8, 1, 32, 32)
    assert batch.target.shape == (8, 32, 32)
    assert feed.preprocess(run.slices.image[:2].astype(np.float32), np.arange(2)).shape == (2, 1, 64, 64)
    assert train(run)["liver_dice"] > 0.7
    assert read_described(run.out)["plan"]["view"] == 0.5
    assert "view" not in make_run("whole").describe()["plan"], "a run from before there was a choice stays the same"


def test_a_killed_process_goes_on_to_the_same_result(make_run: MakeRun, tmp_path: Path) -> None:
    """kill -9 of the real command, in the middle of an epoch, and the same command with --resume."""
    data = write_slices(tmp_path / "data")
    command = [sys.executable, "-m", "train", "unet64", "--data", str(data), "--size", "32", "--hold-out", "A"]
    command += ["--recipe", "house", "--fast", "--epochs", "3", "--cache", str(tmp_path / "cache")]
    # 1,024 slices an epoch would take seconds; a plan of few is set from outside the command line.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    small_plan = "import train.plan as p; p.FAST_SLICES_PER_EPOCH = 64; import sys; from train.__main__ import main; "
    command[1:3] = ["-c", small_plan + "sys.exit(main(sys.argv[1:]))"]

    def run(out: Path, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, "--out", str(out), *more], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL
        )

    assert run(tmp_path / "whole").wait() == 0
    broken = run(tmp_path / "broken")
    deadline = time.monotonic() + 120
    while not (tmp_path / "broken" / "state.pt").exists():
        assert broken.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(broken.pid, signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    assert run(tmp_path / "broken", "--resume").wait() == 0

    whole, resumed = (read_state(tmp_path / name) for name in ("whole", "broken"))
    assert len(whole["history"]) == 3
    assert all(torch.equal(whole["average"][k], resumed["average"][k]) for k in whole["average"])
    assert [row["loss"] for row in whole["history"]] == [row["loss"] for row in resumed["history"]]


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    """Two CPU processes end with the same weights, written once. torchrun, since accelerate needs MPI to start them."""
    data = write_slices(tmp_path / "data")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["train", "unet64", "--data", str(data), "--size", "32", "--hold-out", "A", "--epochs", "1", "--fast"]
    command += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    state = read_state(tmp_path / "run")
    assert len(state["history"]) == 1
    assert np.isfinite(state["history"][0]["loss"])


def test_a_folder_with_a_run_is_not_overwritten(make_run: MakeRun) -> None:
    run = make_run("once", replace(PLAN, epochs=1))
    train(run)
    with pytest.raises(InputError, match="--resume"):
        train(run)
    with pytest.raises(InputError, match="another run: plan differ"):
        train(replace(run, plan=PLAN), resume=True)
    with pytest.raises(InputError, match="another run: model"):
        train(replace(run, spec=small("unet_liver")), resume=True)


def test_a_state_cut_short_is_said_so(make_run: MakeRun) -> None:
    run = make_run("cut", replace(PLAN, epochs=1))
    train(run)
    whole = (run.out / "state.pt").read_bytes()
    (run.out / "state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short"):
        train(run, resume=True)


def test_a_full_disk_keeps_the_last_whole_epoch(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("full", replace(PLAN, epochs=1))
    train(run)
    before = (run.out / "state.pt").read_bytes()
    longer = replace(run, plan=replace(PLAN, epochs=1), out=run.out)

    def no_room(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", no_room)
    from train.run import save_state

    with pytest.raises(InputError, match="disk is full"):
        save_state(longer.out, {"model": {}}, [{"epoch": 0}])
    assert (run.out / "state.pt").read_bytes() == before


def test_the_best_epoch_is_kept_and_stopping_is_early(make_run: MakeRun) -> None:
    plan = replace(PLAN, epochs=12, average=None, schedule="plateau", plateau=(0.5, 0), keep="best", stop_after=2)
    run = make_run("best", replace(plan, learning_rate=0.05, optimiser="sgd", momentum=0.9))
    train(run)
    state = read_state(run.out)
    losses = [row["validation_loss"] for row in state["history"]]
    assert state["best"]["epoch"] == int(np.argmin(losses))
    assert len(losses) == min(int(np.argmin(losses)) + 3, 12)
    kept = exported_weights(run.out)
    assert all(torch.equal(kept[k], state["best"]["weights"][k]) for k in kept)


def test_export_gives_what_training_had(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    run = make_run("export", replace(PLAN, epochs=20).fast().with_epochs(1))
    train(run)
    export(run.spec, run.out)

    checkpoint = find_checkpoint("unet64")
    assert checkpoint.preprocessing == run.spec.preprocessing["classroom"]
    model = UNet(widths=(4, 8), norm=True)
    model.load_state_dict(exported_weights(run.out))
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert load_model(checkpoint.sha256, "cpu")(x) == pytest.approx(model.eval()(x), abs=2e-2)

    golden = np.load(tmp_path / "weights" / "unet64.golden.npz")
    assert golden["logits"].shape == (3, 64 // GOLDEN_STRIDE, 64 // GOLDEN_STRIDE)
    assert golden_logits(checkpoint, golden["hu"]) == pytest.approx(golden["logits"], abs=1e-4)
    assert export(run.spec, run.out, size=80).preprocessing.size == 80
    assert np.load(tmp_path / "weights" / "unet64.golden.npz")["logits"].shape[1] == 80 // GOLDEN_STRIDE
    with pytest.raises(InputError, match="takes multiples of 16"):
        export(run.spec, run.out, size=81)
    card = (tmp_path / "weights" / "unet64.md").read_text()
    assert "not for clinical use" in card
    assert "Shortened for a classroom machine" in card
    assert checkpoint.sha256 in card
    assert (tmp_path / "weights" / "unet64.curves.png").stat().st_size > 5000
    assert (run.out / "unet64.safetensors").exists()


def test_export_of_nothing_or_of_another_model(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run folder"):
        export(get_model("unet64"), tmp_path)
    run = make_run("other", replace(PLAN, epochs=1))
    train(run)
    with pytest.raises(InputError, match="a run of unet64, not of sfan"):
        export(get_model("sfan"), run.out)
