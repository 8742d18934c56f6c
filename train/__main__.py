"""python -m train NAME --data DIR: train one model; every model has its short script in this folder."""

import argparse
import importlib
import sys
from dataclasses import replace
from pathlib import Path

from livdemo.errors import InputError
from livdemo.models import get_model
from train.data import read_slices, split_by_patient
from train.loop import Run, train


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("name", help="a model of `python -m livdemo models`")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the slice folders")
    parser.add_argument("--preset", choices=("classroom", "paper"), default="classroom")
    parser.add_argument("--epochs", type=int, help="instead of the script's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="run folder (default runs/NAME)")
    parser.add_argument("--start", type=Path, help="finished run to begin with, by the script's second plan")
    parser.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
    asked = parser.parse_args(arguments)
    try:
        run = _prepare(asked)
        train(run, resume=asked.resume)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Done. Next: python -m train.export {run.spec.name} {run.out}")
    return 0


def _prepare(asked: argparse.Namespace) -> Run:
    spec = get_model(asked.name)
    try:
        script = importlib.import_module(f"train.{spec.name}")
    except ModuleNotFoundError as error:
        raise InputError(f"{spec.name} has no training script yet (train/{spec.name}.py).") from error
    plan = script.PLAN if asked.start is None else script.SECOND_PLAN
    if asked.epochs is not None:
        plan = replace(plan, epochs=asked.epochs)
    slices = read_slices(asked.data)
    split = split_by_patient(slices, script.VALIDATION_PATIENTS, script.UNION_VALIDATION_EVERY, asked.seed)
    out = asked.out or Path("runs") / spec.name
    return Run(spec, asked.preset, plan, slices, split, asked.seed, out, asked.start)


if __name__ == "__main__":
    sys.exit(main())
