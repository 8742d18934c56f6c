"""Finished runs that a later course goes on from because they were named, whatever their plan was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from livdemo.errors import InputError
from train.run import Run, read_described


def start_of(run: Run, folders: Sequence[Path]) -> Path:
    """The folder with a run of the same network from which the same patients with drawn tumours were held out.

    InputError where none of them is such a run: another's network may have learned from those patients.
    """
    mine = run.describe()
    for folder in folders:
        if _fits(mine, read_described(folder)):
            return folder
    whom = ", ".join(mine["drawn_patients"]["validation"]) or "nobody"
    raise InputError(
        f"None of the folders named by --begin-with holds a {run.preset} {run.spec.name} from which {whom} "
        f"{'were' if ', ' in whom else 'was'} held out; add it, or choose --models and --folds that are there."
    )


def _fits(mine: dict[str, Any], other: dict[str, Any]) -> bool:
    held_out = [one["drawn_patients"]["validation"] for one in (mine, other)]
    return all(mine[key] == other.get(key) for key in ("model", "preset")) and held_out[0] == held_out[1]


def left_out_all_along(described: dict[str, Any]) -> list[str] | None:
    """Who was on neither side of a run's split, nor of that of any run it goes on from; None where the splits differ
    in that. described: run.json."""
    left_out = described["split"]["left_out"]
    start = described["start"]
    return left_out if start is None or left_out_all_along(start) == left_out else None
