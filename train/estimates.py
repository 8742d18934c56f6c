"""How long planned runs will take, for whoever starts them."""

import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from accelerate import Accelerator

from train.loop import Training
from train.planned import Planned
from train.run import finished_epochs
from train.run_log import Row, latest, who
from train.shipped_start import asked_again_is_enough, ships

FORWARD_SHARE = 0.4  # of a training step's time that a slice takes when it is only looked at


class Estimates:
    """Seconds that a run will take: known from a run of the same kind, else measured on two of its batches."""

    def __init__(self, path: Path, rows: Sequence[Row], device: str) -> None:
        self.path = path
        self.known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        self.before = {who(row): row for row in rows}
        self.device = device
        for row in latest(list(rows)):
            if row["device"].startswith(device) and row["budget"]["slices"]:
                self.known[row["pace"]] = row["seconds"] / row["budget"]["slices"]

    def seconds(self, one: Planned) -> float:
        """What is left of the training, and the scoring. InputError where the data do not suit the model."""
        if one.who in self.before and asked_again_is_enough(one, self.before[one.who]):
            return 0.0  # a scan or two
        return self._training(one) + self._pace(one) * _held_out(one)

    def _training(self, one: Planned) -> float:
        """The epochs that are left, with their validations, and those of the networks that it needs first."""
        plan, done = one.run.plan, finished_epochs(one.run.out)
        course = None if done or one.begins_with is None or ships(one.begins_with) else one.begins_with
        first = [needed for needed in (course, one.first_stage, *one.teachers) if needed is not None]
        slices = (plan.epochs - done) * (one.slices_an_epoch + FORWARD_SHARE * _held_out(one))
        slices += plan.pretext_slices if not done and _has_pretext(one) else 0
        return self._pace(one) * slices + sum(self._training(needed) for needed in first)

    def _pace(self, one: Planned) -> float:
        """Seconds a slice."""
        pace = pace_of(one, self.device)
        if pace not in self.known:
            self.known[pace] = _measured(one)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known, indent=1) + "\n")
        return self.known[pace]


def pace_of(one: Planned, device: str) -> str:
    """Runs with the same pace take the same time a slice."""
    plan, spec = one.run.plan, one.run.spec
    size = spec.preprocessing[one.run.preset].size * plan.view
    network = one.variant.name if one.variant.network else ""
    return f"{device} {spec.name} {network} {one.run.preset} {size:g} batch {plan.batch_size} {plan.augmentation}"


def _held_out(one: Planned) -> int:
    """Slices that a validation looks at."""
    return len(one.run.split.indices(one.run.slices, "validation"))


def _has_pretext(one: Planned) -> bool:
    return hasattr(one.run.spec.build(one.run.preset), "freeze")


def _measured(one: Planned) -> float:
    """Seconds a slice of the second of two training steps; the first one pays for setting up."""
    training = Training(one.run, Accelerator(mixed_precision="bf16" if one.run.plan.bf16 else "no"))
    seconds, began = 0.0, time.perf_counter()
    for batch in islice(training.feed.epoch(0, one.run.seed), 2):
        training.step(batch)
        seconds, began = time.perf_counter() - began, time.perf_counter()
    return seconds / (one.run.plan.batch_size * one.run.spec.slices_an_item(one.run.preset))


def in_hours(seconds: float) -> str:
    """Seconds for reading: 2 h 5 min, 5 min, 40 s."""
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    return f"{hours} h {minutes - 60 * hours} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
