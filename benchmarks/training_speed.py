"""Images per second and time spent waiting for data: train/loop.py against MONAI's data classes, the same network.

    python -m benchmarks.training_speed                          classroom U-Net at 128 and 256 pixels, about 10 min
    python -m benchmarks.training_speed --sizes 128 --rounds 2 --seconds 5
    python -m benchmarks.training_speed --data DIR               on your slices instead of two phantoms

ours       train.loop.Training: memory that stays with the process (mallopt), channels-last, whole batches augmented
monai-N    a plain PyTorch loop over MONAI's CacheDataset and DataLoader with N worker processes, its dictionary
           transforms slice by slice, torch's defaults for everything else
Both train unet64 (classroom) with the same loss, AdamW, batch of 8 and the same kinds of augmentation (turn, shear,
zoom, shift, gain, offset, half resolution, narrow window, noise). Exponential average and clipping are off in both.
Each side is a process of its own, since malloc's settings are the process's. The sides take turns in rounds, each
of some untimed steps (which also use up what workers had ready) and then as many as fit into --seconds. Figures are
medians of rounds, ratios medians of the rounds' ratios to the faster MONAI side.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from livdemo.models import get_model
from train.cache import Slices, cached_slices
from train.losses import LOSSES
from train.plan import HOUSE
from train.sources import find_scans, phantom_scans
from train.split import Split

MODEL = "unet64"
SIDES = ("ours", "monai-0", "monai-2")
PLAN = replace(HOUSE, average=None, clip=None, slices_per_epoch=1 << 20)
PHANTOMS, PHANTOM_SHAPE = range(2), (48, 192, 192)
PREFETCHED = 2  # batches that each worker process holds ready, torch's default
GOAL_RATIO, GOAL_WAITING = 1.5, 0.05


def read_slices(data: str, cache: Path, size: int) -> Slices:
    """CT slices at `size` pixels, from a folder or (data "") from phantoms."""
    scans = find_scans(Path(data)) if data else phantom_scans(PHANTOMS, PHANTOM_SHAPE)
    return cached_slices([scan for scan in scans if scan.modality == "CT"], cache, size)


def sized_spec(size: int) -> Any:
    spec = get_model(MODEL)
    there = spec.preprocessing["classroom"]
    return replace(spec, preprocessing={**spec.preprocessing, "classroom": replace(there, size=size)})


class Ours:
    """The project's loop."""

    settings = "mallopt keeps freed memory, channels-last, batches augmented as a whole in the training process"
    untimed = 2

    def __init__(self, slices: Slices, size: int) -> None:
        from accelerate import Accelerator

        from train.loop import Training, keep_freed_memory
        from train.run import Run

        keep_freed_memory()
        everybody = Split(tuple(sorted(set(slices.patient.tolist()))), ())
        run = Run(sized_spec(size), "classroom", PLAN, slices, everybody, seed=0, out=Path("unused"))
        self.training = Training(run, Accelerator())
        self.training.begin()
        self.training.supervised.train()
        self.batches = self.training.feed.epoch(0, seed=0)

    def step(self, batch: Any) -> None:
        self.training.step(batch)


class Monai:
    """The same work the way MONAI's tutorials write it."""

    def __init__(self, slices: Slices, size: int, workers: int) -> None:
        from monai.data import CacheDataset, DataLoader

        self.settings = f"torch's defaults; CacheDataset, DataLoader(num_workers={workers}), dictionary transforms"
        self.untimed = 2 + PREFETCHED * workers
        torch.manual_seed(0)
        spec = sized_spec(size)
        self.network = spec.build("classroom").train()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), PLAN.learning_rate, weight_decay=PLAN.weight_decay
        )
        items = [{"image": slices.image[i], "label": slices.mask[i][None]} for i in range(len(slices))]
        window = spec.preprocessing["classroom"].window
        transforms = monai_transforms(window.center - window.width / 2, window.center + window.width / 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI's own use of what torch and numpy have deprecated
            data = CacheDataset(items, transforms, progress=False)
            self.loader = DataLoader(data, workers, batch_size=PLAN.batch_size, shuffle=True, drop_last=True)
        self.batches = self._for_ever()

    def _for_ever(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            for batch in self.loader:
                yield batch["image"].as_tensor(), batch["label"].as_tensor()[:, 0].to(torch.uint8)

    def step(self, batch: Any) -> None:
        image, target = batch
        full = torch.ones(len(image), dtype=torch.bool)
        loss = LOSSES[PLAN.loss](self.network(image), target, full, image)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        loss.item()


def monai_transforms(low: float, high: float) -> Any:
    """The house augmentation (train.augment.HOUSE) and the window from `low` to `high` HU in MONAI's transforms."""
    from monai.transforms import (
        Compose,
        EnsureTyped,
        RandAffined,
        RandGaussianNoised,
        RandLambdad,
        RandShiftIntensityd,
        RandSimulateLowResolutiond,
        ScaleIntensityRanged,
    )

    both = ("image", "label")
    return Compose(
        [
            EnsureTyped(both, dtype=torch.float32),
            RandAffined(
                both,
                prob=1,
                rotate_range=np.deg2rad(12),
                shear_range=np.tan(np.deg2rad(5)),
                translate_range=20,
                scale_range=(-0.3, 0.2),  # of the view, which is the inverse of the zoom
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandLambdad("image", _gain, prob=1),
            RandShiftIntensityd("image", offsets=15, prob=1),
            RandSimulateLowResolutiond("image", prob=0.25, zoom_range=(0.5, 0.5), upsample_mode="bilinear"),
            RandLambdad("image", _narrow, prob=0.25),
            RandGaussianNoised("image", prob=1, std=25),
            ScaleIntensityRanged("image", low, high, 0, 1, clip=True),
        ]
    )


def _gain(hu: torch.Tensor) -> torch.Tensor:
    return torch.where(hu > 0, hu * random.uniform(0.5, 1.35), hu)


def _narrow(hu: torch.Tensor) -> torch.Tensor:
    return torch.where(hu < 0, -160.0, hu)


def timed_round(side: Ours | Monai, seconds: float) -> dict[str, float]:
    """Images per second and the share of the time in which the loop waited for its next batch."""
    for _ in range(side.untimed):
        side.step(next(side.batches))
    began = time.perf_counter()
    waited, steps = 0.0, 0
    while steps < 2 or time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        batch = next(side.batches)
        waited += time.perf_counter() - asked
        side.step(batch)
        steps += 1
    took = time.perf_counter() - began
    return {"images_per_second": steps * PLAN.batch_size / took, "waiting": waited / took}


def serve(name: str, data: str, cache: Path, size: int, seconds: float) -> None:
    """One side's process: a line in, a round, a line of JSON out."""
    slices = read_slices(data, cache, size)
    side = Ours(slices, size) if name == "ours" else Monai(slices, size, int(name.partition("-")[2]))
    print(json.dumps({"settings": side.settings, "threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(timed_round(side, seconds)), flush=True)


class Side:
    """The other end of `serve`."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "benchmarks.training_speed", "--serve", name, *arguments]
        self.name = name
        self.rounds: list[dict[str, float]] = []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin
        assert self.process.stdout
        self.asks, self.answers = self.process.stdin, self.process.stdout
        self.described = self._read()

    def round(self) -> None:
        self.asks.write("\n")
        self.asks.flush()
        self.rounds.append(self._read())

    def _read(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self.process.wait()}; its error stands above.")
        return json.loads(line)

    def median(self, figure: str) -> float:
        return statistics.median(one[figure] for one in self.rounds)

    def close(self) -> None:
        self.asks.close()
        self.process.wait()
        self.answers.close()


def compare_at(size: int, asked: argparse.Namespace, cache: Path) -> None:
    """Rounds in turn at one size, and the table."""
    read_slices(asked.data, cache, size)  # once, before the clocks
    arguments = ["--sizes", str(size), "--seconds", str(asked.seconds), "--data", asked.data, "--cache", str(cache)]
    sides = [Side(name, arguments) for name in asked.sides]
    try:
        for number in range(asked.rounds):
            # Who begins changes, so that nobody always runs after the same neighbour.
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                side.round()
    finally:
        for side in sides:
            side.close()
    print(f"\n{MODEL}, classroom preset, {size} × {size} pixels, batch {PLAN.batch_size}, {asked.rounds} rounds")
    for side in sides:
        rounds = ", ".join(f"{one['images_per_second']:.1f}" for one in side.rounds)
        print(
            f"  {side.name:<8} {side.median('images_per_second'):7.2f} images/s   waiting for data "
            f"{side.median('waiting'):6.1%}   (rounds {rounds}; {side.described['threads']} threads; "
            f"{side.described['settings']})"
        )
    _print_ratio(sides)


def _print_ratio(sides: list[Side]) -> None:
    ours = next((side for side in sides if side.name == "ours"), None)
    theirs = [side for side in sides if side.name != "ours"]
    if ours is None or not theirs:
        return
    best = max(theirs, key=lambda side: side.median("images_per_second"))
    pairs = zip(ours.rounds, best.rounds, strict=True)
    ratio = statistics.median(a["images_per_second"] / b["images_per_second"] for a, b in pairs)
    waiting = ours.median("waiting")
    print(f"  ours is {ratio:.2f} times as fast as {best.name}: {_verdict(ratio >= GOAL_RATIO)} (goal {GOAL_RATIO})")
    print(f"  ours waits {waiting:.1%} for data: {_verdict(waiting < GOAL_WAITING)} (goal under {GOAL_WAITING:.0%})")


def _verdict(reached: bool) -> str:
    return "goal reached" if reached else "GOAL MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15, help="of each timed round")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--data", default="", help="folder with CT data sets (default: two phantoms)")
    parser.add_argument("--cache", type=Path, help="where resized slices are kept (default: thrown away)")
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.data, asked.cache, asked.sizes[0], asked.seconds)
        return
    busy = f", load {os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else ""
    print(f"torch {torch.__version__}, {os.cpu_count()} cores{busy}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in asked.sizes:
            compare_at(size, asked, asked.cache or Path(folder))


if __name__ == "__main__":
    main()
