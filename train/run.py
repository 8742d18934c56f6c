"""A run and its folder.

run.json      what was asked for: model, plan, seed, data, versions
split.json    who is on which side
state.pt      everything that is needed to go on after the last finished epoch
history.csv   a row an epoch, and curves.png drawn from it
"""

import csv
import errno
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

import livdemo
from livdemo.errors import InputError
from livdemo.models import ModelSpec, Preset
from train.cache import Slices
from train.plan import Plan
from train.sampling import long_enough, runs_of
from train.split import Split, write_split

History = list[dict[str, float]]


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
    start: Path | None = None  # folder of a finished run whose weights this one begins with
    pseudo: Mapping[str, Any] | None = None  # whose tumours stand on slices where none were drawn (pseudo_labels.py)

    def describe(self) -> dict[str, Any]:
        """What run.json holds; two runs are the same when this is, versions apart."""
        sides = {side: self.split.indices(self.slices, side) for side in ("train", "validation")}
        tumour = self.slices.has_tumour()
        # These two stand there where there is something to say: runs from before they existed stay the same.
        pseudo = {} if self.pseudo is None else {"pseudo_labels": self.pseudo}
        learnable = long_enough(runs_of(self.slices), sides["train"], self.spec.slices_at_once(self.preset))
        fewer = {} if len(learnable) == len(sides["train"]) else {"learned": self._facts(learnable)}
        return json.loads(
            json.dumps(
                {
                    "model": self.spec.name,
                    "preset": self.preset,
                    "size": self.spec.preprocessing[self.preset].size,
                    "seed": self.seed,
                    "plan": self.plan.described(),
                    "start": None if self.start is None else read_described(self.start),
                    "split": asdict(self.split),
                    **pseudo,
                    **fewer,
                    "sources": sorted(set(self.slices.source)),
                    "slices": {side: len(chosen) for side, chosen in sides.items()},
                    "tumour_slices": {side: int(tumour[chosen].sum()) for side, chosen in sides.items()},
                    "drawn_patients": {
                        side: sorted(set(self.slices.patient[chosen][self.slices.full[chosen]]))
                        for side, chosen in sides.items()
                    },
                    "versions": {"torch": torch.__version__, "livdemo": livdemo.__version__, "commit": commit()},
                }
            )
        )

    def _facts(self, learnable: np.ndarray) -> dict[str, Any]:
        """What there is to say of the slices that the network can learn from, by their indices."""
        patient = self.slices.patient[learnable]
        return {
            "slices": len(learnable),
            "tumour_slices": int(self.slices.has_tumour()[learnable].sum()),
            "sources": sorted(set(self.slices.source[learnable])),
            "patients": sorted(set(patient)),
            "drawn_patients": sorted(set(patient[self.slices.full[learnable]])),
        }


def learned(described: dict[str, Any]) -> dict[str, Any]:
    """Of run.json, what the network learned from: "slices", "tumour_slices", "sources", "patients", "drawn_patients".

    That is the training side, but for a network of sequences or blocks those of it that have enough neighbours.
    """
    return described.get("learned") or {
        "slices": described["slices"]["train"],
        "tumour_slices": described["tumour_slices"]["train"],
        "sources": described["sources"],
        "patients": described["split"]["train"],
        "drawn_patients": described["drawn_patients"]["train"],
    }


def commit() -> str:
    """The commit of the code in use, or "unknown" outside of a clone."""
    here = Path(__file__).parent
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def read_described(folder: Path) -> dict[str, Any]:
    """run.json of a run folder; InputError when it is none or damaged."""
    path = folder / "run.json"
    if not path.exists():
        raise InputError(
            f"{folder} is no run folder: it has no run.json. Train first: python -m train NAME --data DIR."
        )
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); train again into another --out.") from error


def begin(run: Run) -> None:
    """Make the folder of a new run; InputError when it holds one already."""
    if (run.out / "run.json").exists():
        raise InputError(f"{run.out} holds a run already; add --resume to go on with it, or name another --out.")
    with _plain_disk_errors(run.out):
        run.out.mkdir(parents=True, exist_ok=True)
        write_split(run.split, run.out / "split.json")
        _replace(run.out / "run.json", json.dumps(run.describe(), indent=2) + "\n")


def without_versions(described: dict[str, Any]) -> dict[str, Any]:
    """What decides the weights: run.json, and that of the run it began with, less the versions of the code and what
    follows from the rest."""
    start = described.get("start")
    kept = {key: value for key, value in described.items() if key not in ("versions", "learned")}
    return {**kept, "start": without_versions(start) if start else None}


def check_same(run: Run) -> None:
    """InputError when the folder holds a run that was asked for differently."""
    asked, there = without_versions(run.describe()), without_versions(read_described(run.out))
    different = [key for key in asked if asked[key] != there.get(key)]
    if different:
        raise InputError(f"{run.out} holds another run: {', '.join(different)} differ. Name another --out.")


def save_state(out: Path, state: dict[str, Any], history: History) -> None:
    """Write beside and rename: an end at any moment leaves the last whole state. InputError when the disk is full."""
    with _plain_disk_errors(out):
        torch.save({**state, "history": history}, out / "state.part")
        os.replace(out / "state.part", out / "state.pt")
        write_history(out, history)


def save_weights(out: Path, described: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """A folder to begin another run with: the weights and what they are, no history and nothing to go on with."""
    with _plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _replace(out / "run.json", json.dumps(described, indent=2) + "\n")
        torch.save({"model": weights}, out / "state.part")
        os.replace(out / "state.part", out / "state.pt")


def write_history(out: Path, history: History) -> None:
    """history.csv, a row an epoch."""
    with open(out / "history.part", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    os.replace(out / "history.part", out / "history.csv")


def read_history(out: Path) -> History:
    """The reverse of write_history."""
    with open(out / "history.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def finished_epochs(folder: Path) -> int:
    """How many epochs the run of a folder has behind it; 0 where there is none yet."""
    return len(read_history(folder)) if (folder / "history.csv").exists() else 0


def read_state(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """state.pt; InputError when there is none or it was cut short."""
    path = folder / "state.pt"
    if not path.exists():
        raise InputError(f"{folder} holds no finished epoch; train first: python -m train NAME --data DIR.")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError, BadZipFile) as error:
        raise InputError(f"{path} is cut short or damaged; delete the folder and train again.") from error


def exported_weights(folder: Path) -> dict[str, Tensor]:
    """The weights that a run stands for: its best epoch if the plan keeps that, else the average or the last."""
    state = read_state(folder)
    if state.get("best") is not None:
        return state["best"]["weights"]
    if state.get("average") is None:
        return state["model"]
    prefix = "module."  # of torch's averaged model
    return {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)


@contextmanager
def _plain_disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer hides the system's error in a RuntimeError of its own.
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "PytorchStreamWriter" in str(error):
            raise InputError(
                f"{out} cannot be written, the disk is full; the last whole epoch is kept. "
                "Make room and go on with --resume."
            ) from error
        if isinstance(error, PermissionError):
            raise InputError(f"{out} cannot be written; name a folder of your own with --out.") from error
        raise
