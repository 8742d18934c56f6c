"""python -m train.reproduce --data DIR: every model of the table, trained and scored by one protocol.

python -m train.reproduce --data DIR                              all models alike: three folds by patient, 128 pixels
python -m train.reproduce --data DIR --protocol second            on from there, for twenty epochs more
python -m train.reproduce --data DIR --protocol third             and for ten more, with finer pictures
python -m train.reproduce --data DIR --protocol recipe            each as its paper trained it
python -m train.reproduce --data DIR --protocol ablations         one thing changed at a time
python -m train.reproduce --data DIR --folds 6 --size 256         in full, where there is a GPU
python -m train.reproduce --data DIR --folds 3 all --unseen CASES    also on everybody, and on scans of strangers

It says what it is going to do and how long that takes, begins with what is cheapest, and goes on after a kill: finished
runs are skipped, a broken one is resumed after its last epoch. Every finished run is a line of results/runs.jsonl;
`python -m train.results` makes the tables from it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from livdemo.checkpoints import Checkpoint
from livdemo.errors import InputError
from livdemo.predictor import Inference, Predictor, pick_device
from livdemo.results import figure
from train.fold_scores import fold_network, held_out_scans, per_patient, score_unseen, score_volumes
from train.loop import Training, train
from train.plan import HOUSE, SECOND_COURSE, THIRD_COURSE
from train.planned import EVERYBODY, PROTOCOLS, Planned, Settings, asked_folds, plan_runs
from train.pseudo_labels import SURE, pseudo_labelled
from train.run import History, Run, commit, finished_epochs, read_described, read_history, without_versions
from train.run_log import Row, append_row, asked_size, latest, neck_mm, read_rows, who
from train.shipped_start import is_shipped, shipped_folder, ships

RUNS = Path("results") / "runs.jsonl"
FORWARD_SHARE = 0.4  # of a training step's time that a slice takes when it is only looked at


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0; 2 after one plain sentence on stderr, or when a run could not be made."""
    asked = _parser().parse_args(arguments)
    try:
        return reproduce(asked)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the data sets")
    add("--protocol", choices=PROTOCOLS, default="fair")
    add("--models", help="names with commas (default: all)")
    add("--studies", help="of the ablations, names with commas (default: all)")
    add("--folds", nargs="+", default=["3"], help="3, 6, or each fold's patients with commas: A,E B,F; all: nobody")
    add("--size", type=int, default=128, help="side of the network's input in pixels")
    add("--preset", choices=("classroom", "paper"), default="classroom")
    add("--full", action="store_true", help="the papers' recipes unshortened")
    add("--bf16", action="store_true", help="half the memory; faster where the processor knows bfloat16")
    add("--liver-free", action="store_true", help="also train on phantom slices of chest and pelvis, without liver")
    add("--unseen", type=Path, help="folder of scans with references that nobody trained on")
    add("--out", type=Path, default=Path("runs/reproduce"), help="where the run folders lie")
    add("--cache", type=Path, default=Path("runs/cache"), help="where resized volumes are kept")
    add("--log", type=Path, default=RUNS, help="the log that rows are appended to")
    add("--adopt", type=Path, nargs="+", default=[], metavar="RUN", help="finished runs that are part of the plan")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser


def _settings(asked: argparse.Namespace) -> Settings:
    return Settings(
        protocol=asked.protocol,
        data=asked.data,
        cache=asked.cache,
        out=asked.out,
        models=tuple(filter(None, (asked.models or "").split(","))),
        studies=tuple(filter(None, (asked.studies or "").split(","))),
        folds=asked_folds(asked.folds),
        size=asked.size,
        house=HOUSE,
        second_course=SECOND_COURSE,
        third_course=THIRD_COURSE,
        preset=asked.preset,
        full=asked.full,
        bf16=asked.bf16,
        liver_free=asked.liver_free,
    )


def reproduce(asked: argparse.Namespace) -> int:
    """Plan, print, then run what is not done; 2 when something could not be done. InputError as planning does."""
    device = pick_device(asked.device)
    if device == "cpu" and torch.cuda.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "1"
    settings = _settings(asked)
    planned, impossible = plan_runs(settings)
    _adopt(planned, asked.adopt, settings.out)
    folders = adopted_folders(settings.out)
    planned = [one.placed(folders) for one in planned]
    log = read_rows(asked.log)
    rows = {who(row): row for row in log}
    todo = [one for one in planned if not _is_done(one, rows.get(one.who), asked.unseen)]
    estimates = Estimates(settings.out / "estimates.json", log, device)
    queue = _queue(todo, estimates, impossible)
    _print_plan(len(planned), len(todo), queue, impossible, device)
    if asked.dry_run:
        return 0
    failed = [*impossible, *_work(queue, rows, asked, device)]
    print(f"Log: {asked.log}. Next: python -m train.results")
    for sentence in failed:
        print(f"not done: {sentence}", file=sys.stderr)
    return 2 if failed else 0


def _is_done(one: Planned, row: Row | None, unseen: Path | None) -> bool:
    if row is None or (row["key"], *_asked(row)) != (one.key, one.asked_size, one.variant.neck_mm):
        return False
    return unseen is None or row["unseen"] is not None


def _asked(row: Row) -> tuple[int, float]:
    return asked_size(row), neck_mm(row)


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


def _queue(todo: Sequence[Planned], estimates: Estimates, impossible: list[str]) -> list[tuple[float, Planned]]:
    """(seconds, run), cheapest model first and its folds together; what cannot be run is told in `impossible`."""
    queue = []
    for one in todo:
        try:
            queue.append((estimates.seconds(one), one))
        except InputError as error:
            impossible.append(f"{one.title}: {error}")
    groups: dict[tuple[str, ...], float] = {}
    for seconds, one in queue:
        groups[one.who[:-1]] = max(groups.get(one.who[:-1], 0.0), seconds)
    order = list(groups)
    return sorted(queue, key=lambda pair: (groups[pair[1].who[:-1]], order.index(pair[1].who[:-1])))


def _print_plan(
    planned: int, todo: int, queue: Sequence[tuple[float, Planned]], impossible: Sequence[str], device: str
) -> None:
    print(f"{planned} runs in the plan, {planned - todo} of them done; {len(queue)} to do on {device}:")
    for seconds, one in queue:
        print(f"  {_hours(seconds):>10}  {one.title}  ({one.run.plan.epochs} epochs)")
    for sentence in impossible:
        print(f"  not possible: {sentence}")
    print(f"About {_hours(sum(seconds for seconds, _ in queue))} in all.", flush=True)


def _work(
    queue: Sequence[tuple[float, Planned]], rows: Mapping[tuple[str, ...], Row], asked: argparse.Namespace, device: str
) -> list[str]:
    """Run the queue; sentences about the runs that could not be finished, the others go on. rows: the log, by who()."""
    failed: list[str] = []
    began, total, over = time.perf_counter(), sum(seconds for seconds, _ in queue), 0.0
    for number, (seconds, one) in enumerate(queue, start=1):
        try:
            before = rows.get(one.who)
            if before is not None and asked_again_is_enough(one, before):
                row = asked_again(one, before, asked.unseen, device)
            else:
                row = finish(one, asked.unseen, device, adopted=one.key in adopted_folders(asked.out))
            append_row(asked.log, row)
            print(_told(row))
        except InputError as error:
            failed.append(f"{one.title}: {error}")
            print(f"{one.title}: {error}", file=sys.stderr)
        over += seconds
        left = (time.perf_counter() - began) / over * (total - over) if over else 0.0
        print(f"{number} of {len(queue)} done, about {_hours(left)} left.", flush=True)
    return failed


def finish(one: Planned, unseen: Path | None, device: str, adopted: bool = False) -> Row:
    """Train the run to its end (or what is left of it), score it, and give its row. InputError as both do."""
    train(_begun(one, device), resume=True)
    history = read_history(one.run.out)
    variant = one.variant
    checkpoint, network = fold_network(one.run, variant.largest_component, one.asked_size, variant.neck_mm)
    inference, liver = one.inference, None
    if one.first_stage is not None:
        train(one.first_stage.run, resume=True)
        found, liver = fold_network(one.first_stage.run)
        inference = replace(inference, liver=found)
    volumes: list[dict[str, Any]] = []
    if scans := held_out_scans(one.run, one.scans):
        predictor = Predictor(checkpoint, device, inference, network, liver)
        volumes = score_volumes(predictor, scans, one.rule, variant.cut)
    scored = None
    if unseen is not None:
        ct = (one.run.slices.modality == "CT").all() and variant.cut == 1
        networks = {checkpoint.model: network} | ({"unet_liver": liver} if liver else {})
        scored = score_unseen(checkpoint, networks, unseen, inference, device, one.rule) if ct else []
    return _row(one, history, volumes, scored, device, adopted, checkpoint, inference)


def asked_again_is_enough(one: Planned, before: Row) -> bool:
    """Whether the row is of this very network, which ships, and nobody was held out from it: unseen scans are all."""
    return before["key"] == one.key and one.fold == EVERYBODY and is_shipped(one)


def asked_again(one: Planned, before: Row, unseen: Path | None, device: str) -> Row:
    """The row with the shipped network asked as the plan has it now; its folder need not be here. InputError as
    reading scans does."""
    run, variant = replace(one.run, out=shipped_folder(one)), one.variant
    checkpoint, network = fold_network(run, variant.largest_component, one.asked_size, variant.neck_mm)
    scored = None
    if unseen is not None:
        scored = score_unseen(checkpoint, {checkpoint.model: network}, unseen, one.inference, device, one.rule)
    asked: Row = {"asked_size": one.asked_size, "neck_mm": variant.neck_mm, "unseen": scored}
    return {**before, **asked, "preprocessing": checkpoint.preprocessing.describe()}


def _begun(one: Planned, device: str) -> Run:
    """The run with what it begins with: the course before, trained here unless it ships and no epoch of it is here;
    and with the tumours that its teachers find."""
    if one.teachers:
        for teacher in one.teachers:
            train(teacher.run, resume=True)
        slices, inside = one.run.slices, one.run.split.indices(one.run.slices, "train")
        teachers = [teacher.run for teacher in one.teachers]
        return replace(one.run, slices=pseudo_labelled(slices, inside, teachers, SURE, device))
    if one.begins_with is None:
        return one.run
    if ships(one.begins_with):
        return replace(one.run, start=shipped_folder(one.begins_with))
    if finished_epochs(one.begins_with.run.out) < one.begins_with.run.plan.epochs:
        train(_begun(one.begins_with, device), resume=True)
    return one.run


def _row(
    one: Planned,
    history: History,
    volumes: list[dict[str, Any]],
    unseen: list[dict[str, Any]] | None,
    device: str,
    adopted: bool,
    checkpoint: Checkpoint,
    inference: Inference,
) -> Row:
    described = one.described
    rule = one.rule.describe() if one.rule else ""
    best = described["plan"]["keep"] == "best"
    kept = min(history, key=lambda epoch: epoch["validation_loss"]) if best else history[-1]
    return {
        **dict(zip(("series", "study", "variant", "model", "fold"), one.who, strict=True)),
        "command": one.command,
        "key": one.key,
        "preset": one.run.preset,
        "plan": described["plan"],
        "size": described["size"],
        "asked_size": one.asked_size,
        "preprocessing": checkpoint.preprocessing.describe(),
        "inference": "; ".join(filter(None, (inference.describe(), rule))) or "plain",
        "largest_component": one.variant.largest_component,
        "neck_mm": one.variant.neck_mm,
        "seed": one.run.seed,
        "sources": described["sources"],
        "split": described["split"]["kind"],
        "slices": described["slices"],
        "drawn_patients": described["drawn_patients"],
        "parameters": checkpoint.parameters,
        "budget": {"epochs": len(history), "slices": len(history) * one.slices_an_epoch},
        "seconds": sum(epoch["seconds"] for epoch in history),
        "pace": pace_of(one, device),
        "device": _device_name(device),
        "torch": torch.__version__,
        "commit": commit(),
        "adopted": adopted,
        "pooled": {key: value for key, value in kept.items() if key not in ("epoch", "rate", "seconds")},
        "patients": per_patient(volumes),
        "volumes": volumes,
        "unseen": unseen,
    }


def _adopt(planned: Sequence[Planned], folders: Sequence[Path], out: Path) -> None:
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


def _told(row: Row) -> str:
    """One line about a finished run."""
    patients = "; ".join(
        f"{p['patient']} liver {figure(p['liver_dice'])} tumour {figure(p.get('tumour_dice'))}" for p in row["patients"]
    )
    name = " ".join(filter(None, (row["study"], row["model"], row["variant"], f"fold {row['fold']}")))
    return f"{name}: {patients or 'nobody scored volume by volume'}; trained for {_hours(row['seconds'])}"


def _hours(seconds: float) -> str:
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    return f"{hours} h {minutes - 60 * hours} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _device_name(device: str) -> str:
    if device == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    return f"cpu, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    sys.exit(main())
