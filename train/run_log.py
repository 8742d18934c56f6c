"""The log of finished runs, kept as data: a line of JSON a run, appended whole or not at all.

A row holds who (protocol, study, variant, model, fold), how (plan, size, seed, budget, commit, device) and what came
out (patients, volumes, unseen volumes). Where two rows say who alike, the later one counts.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from livdemo.checkpoints import Checkpoint
from livdemo.errors import InputError
from livdemo.models import get_model

Row = dict[str, Any]
WHO = ("series", "study", "variant", "model", "fold")


def who(row: Row) -> tuple[str, ...]:
    """What tells the rows of the tables apart."""
    return tuple(row[field] for field in WHO)


def asked_size(row: Row) -> int:
    """Side of the input with which the figures came about, in pixels. Rows from before there was a choice name none."""
    return row["asked_size"] if "asked_size" in row else row["size"]


def neck_mm(row: Row) -> float:
    """Thickness of the necks at which other organs were cut off, in mm; 0, for none, in rows from before that."""
    return row.get("neck_mm", 0.0)


def speck_ml(row: Row) -> float:
    """Volume in mL below which tumours were dropped; 0, for none, in rows from before that."""
    return row.get("speck_ml", 0.0)


def fat_hu(row: Row) -> float | None:
    """What is darker in HU counted as fat; None, where it did not, in rows from before that."""
    return row.get("fat_hu")


def how_asked(row: Row) -> dict[str, float | None]:
    """As train.planned.Planned.how_asked."""
    return {
        "asked_size": asked_size(row),
        "neck_mm": neck_mm(row),
        "speck_ml": speck_ml(row),
        "fat_hu": fat_hu(row),
    }


def how_shipped(checkpoint: Checkpoint) -> dict[str, float | None]:
    """The same, of a network by the row that the app feeds it with."""
    return {
        "asked_size": checkpoint.preprocessing.size,
        "neck_mm": checkpoint.neck_mm,
        "speck_ml": checkpoint.speck_ml,
        "fat_hu": checkpoint.fat_hu,
    }


def asked_anew(before: Row, checkpoint: Checkpoint, unseen: list[dict[str, Any]] | None) -> Row:
    """The row of a network that was asked in another way since: `unseen` is what it says so of scans of strangers."""
    preprocessing = checkpoint.preprocessing.describe()
    return {**before, **how_shipped(checkpoint), "unseen": unseen, "preprocessing": preprocessing}


def slices_at_once(row: Row) -> int:
    """Neighbouring slices that the network sees together. Rows from before that was told are of the models' own."""
    own: int = row.get("slices_at_once", 0) or get_model(row["model"]).slices_at_once(row["preset"])
    return own


def learned_from_twins(row: Row) -> bool:
    """Whether its network may have learned from held-out or test patients under other names.

    So it is with rows from before it was known who is who in ct_liver_only (train/sources/lits_patients.py): they do
    not say whom the split left out. But not with networks of sequences or blocks: those slices have too few neighbours
    (tests/train/test_who_is_who.py), so no such network learned from one.
    """
    return slices_at_once(row) == 1 and "ct_liver_only" in row["sources"] and "left_out" not in row


def read_rows(path: Path) -> list[Row]:
    """All whole rows, in their order; no file is no rows. A last line cut short by a kill is left out.

    InputError names the line that is no row.
    """
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            row = json.loads(line)
            who(row)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"Line {number} of {path} is no row of a run ({error}); delete that line.") from error
        rows.append(row)
    return rows


def latest(rows: list[Row]) -> list[Row]:
    """The last row of each run, in the order in which the runs first appeared."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        found[who(row)] = row
    return list(found.values())


def append_row(path: Path, row: Row) -> None:
    """Append one row and force it to the disk; what a kill left of an earlier one is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(without_nan(row), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def without_nan(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
