"""One training loop for every slice model: random views, exponential average of the weights, resumable.

A run folder holds
  run.json      what was asked for, the split, the versions
  state.pt      everything that is needed to go on after the last finished epoch
  history.csv   a row an epoch
"""

import csv
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

import livdemo
from livdemo.errors import InputError
from livdemo.intensity import Preprocessing
from livdemo.models import ModelSpec, Preset
from train.augment import Augmentation, augment
from train.data import Slices, Split
from train.losses import mixed_cross_entropy, mixed_dice


@dataclass(frozen=True)
class Plan:
    """How our own run goes, which is not how the paper's went; the card prints both."""

    epochs: int
    images_per_epoch: int = 2048
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    tumour_weight: float = 4.0
    dice_share: float = 0.5
    union_share: float = 0.35  # of the images come from slices where only the union is drawn
    tumour_share: float = 0.6  # of the fully drawn ones show a tumour
    average: float = 0.99  # decay of the exponential average of the weights, per step
    full_view_epochs: int = 0  # the last epochs see whole slices instead of crops
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True, eq=False)
class Run:
    """What a run is made of; `out` is its folder."""

    spec: ModelSpec
    preset: Preset
    plan: Plan
    slices: Slices
    split: Split
    seed: int
    out: Path
    start: Path | None = None  # folder of a finished run whose averaged weights this one begins with


def train(run: Run, resume: bool = False) -> dict[str, float]:
    """Train to the last epoch and return the last row of history.csv.

    With `resume` it goes on after the last finished epoch; random numbers depend on seed and epoch alone,
    so the result is that of an undisturbed run. Raises InputError when the folder holds another run.
    """
    torch.manual_seed(run.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = run.spec.build(run.preset)
    if run.start is not None:
        model.load_state_dict(averaged_weights(run.start))
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists it not
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(run.plan.average), use_buffers=True
    )
    steps = run.plan.images_per_epoch // run.plan.batch_size
    optimiser = torch.optim.AdamW(model.parameters(), run.plan.learning_rate, weight_decay=run.plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, run.plan.learning_rate, total_steps=run.plan.epochs * steps, pct_start=0.1
    )
    parts = {"model": model, "average": average, "optimiser": optimiser, "schedule": schedule}
    history = _resume(run, parts, device) if resume else _start(run)

    for epoch in range(len(history), run.plan.epochs):
        began = time.perf_counter()
        loss = _one_epoch(run, epoch, steps, device, model, average, optimiser, schedule)
        row = {"epoch": epoch, "loss": loss, **validate(run, average, device)}
        row["seconds"] = time.perf_counter() - began
        history.append(row)
        _save(run.out, {**{name: part.state_dict() for name, part in parts.items()}, "history": history})
        _write_history(run.out, history)
        tqdm.write(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
    return history[-1]


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's last finished epoch. InputError when there is none."""
    if not (folder / "state.pt").exists():
        raise InputError(f"{folder} holds no finished epoch; train first: python -m train NAME --data DIR.")
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)["average"]
    prefix = "module."  # of torch's averaged model
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _one_epoch(
    run: Run,
    epoch: int,
    steps: int,
    device: torch.device,
    model: nn.Module,
    average: torch.optim.swa_utils.AveragedModel,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """Mean loss over one epoch of random views."""
    generator = torch.Generator().manual_seed(run.seed * 100_003 + epoch)
    drawn = _draw(run, steps * run.plan.batch_size, np.random.default_rng([run.seed, epoch]))
    model.train()
    losses = []
    bar = tqdm(range(steps), desc=f"epoch {epoch + 1}/{run.plan.epochs}", unit="batch", mininterval=5)
    for step in bar:
        chosen = drawn[step * run.plan.batch_size : (step + 1) * run.plan.batch_size]
        image, target = _batch(run, epoch, chosen, generator)
        image, target = image.to(device), target.to(device)
        full = torch.from_numpy(run.slices.full[chosen]).to(device)
        logits = model(image)
        loss = mixed_cross_entropy(logits, target, full, run.plan.tumour_weight)
        loss = loss + run.plan.dice_share * mixed_dice(logits, target, full)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
    return float(np.mean(losses))


def _draw(run: Run, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of n training slices: a fixed share of union masks and of tumour, no volume drowns the others."""
    inside = run.split.indices(run.slices, "train")
    tumour, full = run.slices.has_tumour()[inside], run.slices.full[inside]
    weight = np.zeros(len(inside))
    for group, share in _shares(full, tumour, run.plan):
        _, where, counts = np.unique(run.slices.patient[inside][group], return_inverse=True, return_counts=True)
        one = 1 / np.sqrt(counts[where])  # between "every slice alike" and "every patient alike"
        weight[group] = share * one / one.sum()
    return inside[rng.choice(len(inside), n, p=weight / weight.sum())]


def _shares(full: np.ndarray, tumour: np.ndarray, plan: Plan) -> list[tuple[np.ndarray, float]]:
    """Groups of slices (masks over all) and the share of images that each gets; empty groups leave it to the others."""
    union_share = plan.union_share if not full.all() else 0.0
    tumour_share = plan.tumour_share if (full & ~tumour).any() else 1.0
    if not tumour.any():
        tumour_share = 0.0
    drawn = 1 - union_share if full.any() else 0.0
    groups = (
        (~full, union_share),
        (full & tumour, drawn * tumour_share),
        (full & ~tumour, drawn * (1 - tumour_share)),
    )
    return [(group, share) for group, share in groups if share > 0]


def _batch(run: Run, epoch: int, chosen: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Network input (B, 1, S, S) and labels (B, S, S) of random views of the chosen slices."""
    hu = torch.from_numpy(run.slices.hu(chosen)).float()
    mask = torch.from_numpy(run.slices.mask[chosen])
    how = run.plan.augmentation
    preprocessing = run.spec.preprocessing[run.preset]
    if epoch >= run.plan.epochs - run.plan.full_view_epochs:
        how = Augmentation(crop=preprocessing.size, zoom=(0.8, 1.4))
    hu, mask = augment(hu, mask, how, generator)
    return _network_input(hu.numpy(), Preprocessing(**{**vars(preprocessing), "size": how.crop})), mask


def _network_input(hu: np.ndarray, preprocessing: Preprocessing) -> Tensor:
    image = torch.from_numpy(preprocessing(hu))[:, None]  # (B, 1, S, S)
    return image.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def validate(run: Run, model: nn.Module, device: torch.device, batch: int = 16) -> dict[str, float]:
    """Pooled Dice over all pixels of the validation slices: liver (tumour included) and tumour.

    Also the mean Dice of the liver over volumes, so that a long volume does not speak for the others.
    """
    model.eval()
    inside = run.split.indices(run.slices, "validation")
    counts: dict[str, np.ndarray] = {}  # volume -> (liver, tumour) x (both, prediction, reference)
    for start in range(0, len(inside), batch):
        chosen = inside[start : start + batch]
        preprocessing = run.spec.preprocessing[run.preset]
        image = _network_input(run.slices.hu(chosen), preprocessing).to(device)
        predicted = model(image).argmax(1).cpu().numpy()
        for i, label_map in zip(chosen, predicted, strict=True):
            reference = run.slices.mask[i]
            one = np.zeros((2, 3))
            one[0] = _overlap(label_map > 0, reference > 0)
            if run.slices.full[i]:
                one[1] = _overlap(label_map == 2, reference == 2)
            volume = str(run.slices.volume[i])
            counts[volume] = counts.get(volume, np.zeros((2, 3))) + one
    pooled = sum(counts.values(), np.zeros((2, 3)))
    return {
        "liver_dice": _dice(pooled[0]),
        "tumour_dice": _dice(pooled[1]),
        "liver_dice_per_volume": float(np.mean([_dice(c[0]) for c in counts.values()])),
        "validation_volumes": len(counts),
    }


def _overlap(prediction: np.ndarray, reference: np.ndarray) -> tuple[int, int, int]:
    return int((prediction & reference).sum()), int(prediction.sum()), int(reference.sum())


def _dice(counts: np.ndarray) -> float:
    both, prediction, reference = counts
    return float(2 * both / (prediction + reference)) if prediction + reference else float("nan")


def _describe(run: Run) -> dict[str, Any]:
    return {
        "model": run.spec.name,
        "preset": run.preset,
        "seed": run.seed,
        "plan": asdict(run.plan),
        "start": None if run.start is None else json.loads((run.start / "run.json").read_text()),
        "split": asdict(run.split),
        "slices": {side: len(run.split.indices(run.slices, side)) for side in ("train", "validation")},
        "tumour_slices": {
            side: int(run.slices.has_tumour()[run.split.indices(run.slices, side)].sum())
            for side in ("train", "validation")
        },
        "versions": {"torch": torch.__version__, "livdemo": livdemo.__version__},
    }


def _start(run: Run) -> list[dict[str, float]]:
    if (run.out / "state.pt").exists():
        raise InputError(f"{run.out} holds a run already; add --resume to go on with it, or name another --out.")
    run.out.mkdir(parents=True, exist_ok=True)
    (run.out / "run.json").write_text(json.dumps(_describe(run), indent=2) + "\n")
    return []


def _resume(run: Run, parts: dict[str, Any], device: torch.device) -> list[dict[str, float]]:
    if not (run.out / "state.pt").exists():
        return _start(run)
    asked, there = json.loads(json.dumps(_describe(run))), json.loads((run.out / "run.json").read_text())
    different = [key for key in asked if key != "versions" and asked[key] != there.get(key)]
    if different:
        raise InputError(f"{run.out} holds another run: {', '.join(different)} differ. Name another --out.")
    state = torch.load(run.out / "state.pt", map_location=device, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["history"]


def _save(out: Path, state: dict[str, Any]) -> None:
    """Write beside and rename: an end at any moment leaves the last whole state."""
    torch.save(state, out / "state.part")
    os.replace(out / "state.part", out / "state.pt")


def _write_history(out: Path, history: list[dict[str, float]]) -> None:
    with open(out / "history.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
