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
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from livdemo.errors import InputError
from livdemo.predictor import pick_device
from livdemo.results import figure
from train.adopted import adopt, adopted_folders
from train.carry_out import asked_again, finish
from train.estimates import Estimates, in_hours
from train.plan import HOUSE, SECOND_COURSE, THIRD_COURSE
from train.planned import PROTOCOLS, Planned, Settings, asked_folds, plan_runs
from train.run_log import Row, append_row, how_asked, read_rows, who
from train.shipped_start import asked_again_is_enough

RUNS = Path("results") / "runs.jsonl"


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
    adopt(planned, asked.adopt, settings.out)
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
    if row is None or row["key"] != one.key or how_asked(row) != one.how_asked:
        return False
    return unseen is None or row["unseen"] is not None


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
        print(f"  {in_hours(seconds):>10}  {one.title}  ({one.run.plan.epochs} epochs)")
    for sentence in impossible:
        print(f"  not possible: {sentence}")
    print(f"About {in_hours(sum(seconds for seconds, _ in queue))} in all.", flush=True)


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
        print(f"{number} of {len(queue)} done, about {in_hours(left)} left.", flush=True)
    return failed


def _told(row: Row) -> str:
    """One line about a finished run."""
    patients = "; ".join(
        f"{p['patient']} liver {figure(p['liver_dice'])} tumour {figure(p.get('tumour_dice'))}" for p in row["patients"]
    )
    name = " ".join(filter(None, (row["study"], row["model"], row["variant"], f"fold {row['fold']}")))
    return f"{name}: {patients or 'nobody scored volume by volume'}; trained for {in_hours(row['seconds'])}"


if __name__ == "__main__":
    sys.exit(main())
