"""Runs that were made elsewhere and are part of a plan: which folder holds which."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from livdemo.errors import InputError
from train.planned import Planned
from train.run import finished_epochs, read_described, without_versions


def adopt(planned: Sequence[Planned], folders: Sequence[Path], out: Path) -> None:
    """Note that these folders hold runs of the plan; InputError where one does not, or is not finished."""
    noted = adopted_folders(out)
    for folder in folders:
        there = without_versions(read_described(folder))
        one = _same(planned, there, folder)
        epochs, wanted = finished_epochs(folder), one.run.plan.epochs
        if epochs < wanted and one.run.plan.stop_after is None:
            raise InputError(f"{folder} has {epochs} of {wanted} epochs; finish it with python -m train … --resume.")
        noted[one.key] = str(folder.absolute())
    if folders:
        out.mkdir(parents=True, exist_ok=True)
        _adopted_file(out).write_text(json.dumps(noted, indent=1) + "\n")


def _same(planned: Sequence[Planned], there: dict[str, Any], folder: Path) -> Planned:
    """The planned run that the folder holds; else InputError with what differs from the nearest one."""
    plain = [one for one in planned if one.is_plain]
    for one in plain:
        if one.described == there:
            return one
    candidates = [one for one in plain if one.run.spec.name == there.get("model")]
    if not candidates:
        raise InputError(f"{folder} holds a run of {there.get('model')}, which is not in the plan.")
    differing = min((_differing(one.described, there) for one in candidates), key=len)
    raise InputError(f"{folder} is no run of the plan: {', '.join(differing)} differ from what is planned.")


def _differing(asked: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Names of the fields that differ, those of the plan and the split one by one."""
    found = []
    for key, value in asked.items():
        other = there.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found += [f"{key}.{name}" for name in value if value[name] != other.get(name)]
        elif value != other:
            found.append(key)
    return found


def _adopted_file(out: Path) -> Path:
    return out / "adopted.json"


def adopted_folders(out: Path) -> dict[str, str]:
    """Folder by run key, of the runs that were made elsewhere."""
    path = _adopted_file(out)
    return json.loads(path.read_text()) if path.exists() else {}
