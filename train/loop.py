"""One training loop for every model: slices, sequences, blocks, phases; one process or many; resumable.

train(run)   begins, or goes on after the last finished epoch, and returns the last row of history.csv
"""

import copy
import ctypes
import math
import sys
import time
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from livdemo.errors import InputError
from train.batches import Batch, Feed, folded
from train.curves import draw_curves
from train.losses import LOSSES, deep_supervision
from train.optimisation import Rate, freeze_encoder, make_optimiser, thaw
from train.pretext import pretrained_encoder
from train.run import History, Run, begin, check_same, exported_weights, read_state, save_state
from train.validation import validate


class Supervised(nn.Module):
    """The network as the loss wants it: the main logits, and those of the deeper levels where there are any.

    A module of its own, because gradients are gathered from several processes only through forward.
    """

    def __init__(self, network: nn.Module, deep: bool) -> None:
        super().__init__()
        self.network: Any = network  # forward_aux is not a method of every module
        self.deep = deep

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network.forward_aux(x) if self.deep else [self.network(x)]


class Training:
    """What moves during a run: weights, optimiser, rate, average, best epoch, history."""

    def __init__(self, run: Run, accelerator: Accelerator) -> None:
        self.run, self.accelerator, self.plan = run, accelerator, run.plan
        device = accelerator.device
        self.feed = Feed(run.spec, run.preset, run.plan, run.slices, run.split.indices(run.slices, "train"))
        self.held_out = run.split.indices(run.slices, "validation")
        if not len(self.feed.inside):
            raise InputError(
                f"This data has no unbroken run of slices on the training side that is long enough for {run.spec.name}."
            )
        self.steps = self.feed.steps(accelerator.num_processes)

        torch.manual_seed(run.seed)
        self.network: Any = run.spec.build(run.preset).to(device)
        if run.spec.input_kind == "slice":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists it not
        if run.plan.thawed:
            thaw(self.network)
        optimiser = make_optimiser(self.network, run.plan)
        self.rate = Rate(optimiser, run.plan, self.steps)
        supervised = Supervised(self.network, bool(run.spec.aux_weights))
        self.supervised, self.optimiser = accelerator.prepare(supervised, optimiser)
        self.average: AveragedModel | None = None
        self.best: dict[str, Any] | None = None
        self.history: History = []

    def begin(self) -> None:
        """A new run: the weights to begin with, and the folder."""
        if self.run.start is not None:
            self.network.load_state_dict(exported_weights(self.run.start))
        elif self.plan.pretext_slices and hasattr(self.network, "freeze"):
            encoder = pretrained_encoder(self.run, self.feed, self.accelerator)
            self.network.encoder.load_state_dict(encoder)
        self._make_average()

    def restore(self) -> None:
        """Go on where state.pt ends."""
        state = read_state(self.run.out, self.accelerator.device)
        self.network.load_state_dict(state["model"])
        self._make_average()
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rate.load_state_dict(state["rate"])
        self.best, self.history = state["best"], state["history"]

    def _make_average(self) -> None:
        if self.plan.average is not None:
            how = get_ema_multi_avg_fn(self.plan.average)
            self.average = AveragedModel(self.network, multi_avg_fn=how, use_buffers=True)

    @property
    def judged(self) -> nn.Module:
        """The weights that are validated and exported: the average where there is one."""
        return self.network if self.average is None else self.average.module

    def epoch(self, number: int) -> float:
        """One epoch of random views; its mean loss."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        torch.manual_seed((self.run.seed * 100_003 + number) * 1_009 + rank)  # dropout
        self.supervised.train()
        if self.plan.frozen_epochs:
            freeze_encoder(self.network, number < self.plan.frozen_epochs)
        losses: list[float] = []
        bar = tqdm(
            self.feed.epoch(number, self.run.seed, rank, world),
            total=self.steps,
            desc=f"epoch {number + 1}/{self.plan.epochs}",
            unit="batch",
            mininterval=2,
            disable=not self.accelerator.is_main_process,
        )
        for batch in bar:
            losses.append(self.step(batch))
            self._check(losses[-1], f"step {len(losses)} of epoch {number + 1}")
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
        return float(np.mean(losses))

    def _check(self, loss: float, where: str) -> None:
        """InputError when the run can only go on with weights that are no numbers."""
        if not math.isfinite(loss):
            mend = "train without --bf16" if self.plan.bf16 else "train with a smaller learning rate or another --seed"
            raise InputError(f"The loss of {self.run.spec.name} is no number any more, in {where}; {mend}.")

    def step(self, batch: Batch) -> float:
        """Forward, backward, one move of the weights."""
        device = self.accelerator.device
        with self.accelerator.autocast():
            outputs = self.supervised(batch.image.to(device))
        loss = self.loss(outputs, batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.plan.clip is not None:
            self.accelerator.clip_grad_norm_(self.supervised.parameters(), self.plan.clip)
        self.optimiser.step()
        self.rate.after_step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return loss.item()

    def loss(self, outputs: list[Tensor], batch: Batch) -> Tensor:
        """The plan's loss over all supervised levels, in float32 whatever the network ran in."""
        device, side = self.accelerator.device, batch.target.shape[-1]
        target, full, grey = batch.target.to(device), batch.full.to(device), batch.grey.to(device)
        slices = [folded(one.float(), self.run.spec.input_kind, side) for one in outputs]
        named = LOSSES[self.plan.loss]
        if len(slices) == 1:
            return named(slices[0], target, full, grey)
        return deep_supervision(slices, self.run.spec.aux_weights, named, target, full, grey)

    def finish_epoch(self, number: int, loss: float, began: float) -> None:
        """Validate, remember the best, write the state. Only the main process writes."""
        # One process judges and tells the others, so that all lower their rate and stop at the same epoch.
        told: list[Any] = [None]
        if self.accelerator.is_main_process:
            told[0] = validate(self.judged, self.feed, self.held_out, self.accelerator.device)
        figures: dict[str, float] = broadcast_object_list(told)[0]
        row = {"epoch": number, "loss": loss, **figures, "rate": self.optimiser.param_groups[0]["lr"]}
        row["seconds"] = time.perf_counter() - began
        self.history.append(row)
        self.rate.after_epoch(figures["validation_loss"])
        if self.plan.keep == "best" and self._is_best(figures["validation_loss"]):
            weights = copy.deepcopy(self.judged.state_dict())
            self.best = {"epoch": number, "validation_loss": figures["validation_loss"], "weights": weights}
        if self.accelerator.is_main_process:
            save_state(self.run.out, self._state(), self.history)
            tqdm.write(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
        self.accelerator.log(row, step=number)
        self.accelerator.wait_for_everyone()

    def stop_early(self) -> bool:
        """True when the validation loss has not fallen for `stop_after` epochs."""
        if self.plan.stop_after is None or not self.history:
            return False
        losses = [row["validation_loss"] for row in self.history]
        return len(losses) - 1 - int(np.argmin(losses)) >= self.plan.stop_after

    def _is_best(self, validation_loss: float) -> bool:
        return self.best is None or validation_loss < self.best["validation_loss"]

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rate": self.rate.state_dict(),
            "best": self.best,
        }


def train(run: Run, resume: bool = False, track: str | None = None) -> dict[str, float]:
    """Train to the last epoch (or until the plan stops early) and return the last row of history.csv.

    With `resume` it goes on after the last finished epoch. Random numbers depend on seed, epoch and process alone,
    so the result is that of an undisturbed run. `track`: "tensorboard" or "trackio", if installed.
    Raises InputError when the folder holds another run, or is damaged, or the disk is full.
    """
    keep_freed_memory()
    accelerator = Accelerator(
        mixed_precision="bf16" if run.plan.bf16 else "no",
        log_with=track,
        project_dir=str(run.out),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=run.plan.frozen_epochs > 0)],
    )
    resumes = resume and (run.out / "state.pt").exists()
    if accelerator.is_main_process:
        if resume and (run.out / "run.json").exists():
            check_same(run)
        else:
            begin(run)
    accelerator.wait_for_everyone()
    training = Training(run, accelerator)
    training.restore() if resumes else training.begin()
    if track:
        accelerator.init_trackers("livdemo", config={"model": run.spec.name, "seed": run.seed})
    for number in range(len(training.history), run.plan.epochs):
        if training.stop_early():
            break
        began = time.perf_counter()
        training.finish_epoch(number, training.epoch(number), began)
    if accelerator.is_main_process:
        draw_curves(training.history, run.out / "curves.png")
    accelerator.end_training()
    return training.history[-1]


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory: without it every step's maps are returned to the kernel and asked for again.

    Measured as 1.4 times the images per second for a U-Net on two CPU cores (`python -m benchmarks.training_speed`).
    Elsewhere than on Linux nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, 1 << 30)
        mallopt(m_trim_threshold, (1 << 31) - 1)
