"""python -m train NAME --data DIR: train one model; every model has its short script in this folder.

python -m train unet64 --data DIR                     the paper's recipe
python -m train unet64 --data DIR --fast              the same within a classroom machine's reach
python -m train unet64 --data DIR --recipe house      the one protocol that is the same for all models
python -m train clstm4d --data phantom:0-9            rendered contrast phases, which no data set here has
python -m train transunet --data kvasir_seg           two classes, colour
accelerate launch -m train unet64 --data DIR          several GPUs
"""

import argparse
import importlib
import sys
from dataclasses import replace
from pathlib import Path

from livdemo.errors import InputError
from livdemo.models import ModelSpec, get_model
from train.batches import view_side
from train.cache import Slices, cached_slices
from train.liver_free import liver_free_scans
from train.loop import train
from train.plan import HOUSE, Plan
from train.polyps import PAPER as POLYP_PLAN
from train.polyps import polyp_variant
from train.run import Run
from train.scans import EIGHT_BIT, Scan
from train.sources import find_scans, phantom_scans
from train.sources.phantom import PHANTOM_SHAPE
from train.split import Split, check_split, folds, hold_out, read_split, split_by_patient, split_by_slice


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        run = prepare(asked)
        train(run, resume=asked.resume, track=asked.track)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if run.split.kind == "slice":
        print("LEAKY: slices of one patient were on both sides, so these figures are too good. Never quote them.")
    print(f"Done. Next: python -m train.export {run.spec.name} {run.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("name", help="a model of `python -m livdemo models`")
    add(
        "--data",
        nargs="+",
        required=True,
        help="folders with data sets as they are distributed, phantom[:0-9], liver-free[:0-9] (phantom slices)",
    )
    add("--modality", choices=("CT", "MR", "RGB"), help="which of the pictures found (default: CT if there is any)")
    add("--preset", choices=("classroom", "paper"), default="classroom")
    add("--recipe", choices=("paper", "house"), default="paper", help="the paper's own, or the same for all models")
    add("--fast", action="store_true", help="shorten the recipe for a classroom machine; the card says so")
    add("--epochs", type=int, help="instead of the recipe's own number")
    add("--painted", type=float, help="share of the CT items into which synthetic tumours are painted")
    add(
        "--view",
        type=float,
        help="share of the slice's side that a training view shows; less learns from finer pictures",
    )
    add("--size", type=int, help="side of the network's input in pixels, instead of the preset's")
    add("--seed", type=int, default=0)
    sides = parser.add_mutually_exclusive_group()
    sides.add_argument("--hold-out", metavar="A,E", help="these patients are for validation, and a sixth of the others")
    sides.add_argument("--fold", metavar="K/N", help="cross-validation by patient: fold K of N, from 0")
    sides.add_argument("--split", metavar="FILE|slice", help="a split file; `slice` shows the leak and is stamped so")
    sides.add_argument("--all", action="store_true", help="train on everybody, validate on nobody")
    add("--out", type=Path, help="run folder (default runs/NAME)")
    add("--cache", type=Path, default=Path("runs/cache"), help="where resized volumes are kept")
    add("--start", type=Path, help="a finished run whose weights to begin with")
    add("--resume", action="store_true", help="go on after the last finished epoch")
    add("--bf16", action="store_true", help="half the memory; faster where the processor knows bfloat16")
    add("--track", choices=("tensorboard", "trackio"), help="also log there, if it is installed")
    return parser


def prepare(asked: argparse.Namespace) -> Run:
    """Data, split, model and plan of what was asked for."""
    spec = get_model(asked.name)
    scans = _scans(asked.data, spec, asked.modality)
    colour = scans[0].modality == "RGB"
    spec = polyp_variant(spec) if colour else spec
    if scans[0].modality == "MR":
        spec = _for_greys(spec)
    if asked.size is not None:
        spec = spec.resized(asked.preset, asked.size)
    slices = cached_slices(scans, asked.cache, spec.preprocessing[asked.preset].size)
    if spec.phases and slices.image.shape[1] != len(spec.phases):
        raise InputError(
            f"{spec.name} reads {len(spec.phases)} contrast phases, which this data lacks; use --data phantom."
        )
    split = _split(asked, slices)
    check_split(split, slices)
    plan = _plan(asked, spec, POLYP_PLAN if colour else None)
    out = asked.out or Path("runs") / spec.name
    return Run(spec, asked.preset, plan, slices, split, asked.seed, out, asked.start)


def _scans(data: list[str], spec: ModelSpec, modality: str | None) -> list[Scan]:
    """Scans of one modality under the folders; CT where there is any and nothing was asked for."""
    found: list[Scan] = []
    for one in data:
        if one.startswith("phantom"):
            found += phantom_scans(_seeds(one), PHANTOM_SHAPE, spec.phases or ("portal",))
        elif one.startswith("liver-free"):
            found += liver_free_scans(_seeds(one))
        else:
            found += find_scans(Path(one))
    modalities = sorted({scan.modality for scan in found})
    wanted = modality or ("CT" if "CT" in modalities else modalities[0])
    chosen = [scan for scan in found if scan.modality == wanted]
    if not chosen:
        raise InputError(f"There are no {wanted} pictures under {', '.join(data)}; found: {', '.join(modalities)}.")
    return chosen


def _seeds(asked: str) -> range:
    """phantom, phantom:7 or phantom:0-9: the seeds to render."""
    kind, _, seeds = asked.partition(":")
    first, _, last = (seeds or "0-9").partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        raise InputError(f"{asked} names no phantoms; write {kind}:7 for one seed, {kind}:0-9 for ten.")
    return range(int(first), int(last or first) + 1)


def _for_greys(spec: ModelSpec) -> ModelSpec:
    """MR has no Hounsfield units: its 8-bit greys are taken as they are."""
    greys = {preset: replace(there, window=EIGHT_BIT) for preset, there in spec.preprocessing.items()}
    return replace(spec, preprocessing=greys)


def _split(asked: argparse.Namespace, slices: Slices) -> Split:
    if asked.all:
        return hold_out(slices, (), 0, asked.seed)
    if asked.hold_out:
        return hold_out(slices, tuple(asked.hold_out.split(",")), 6, asked.seed)
    if asked.fold:
        number, _, count = asked.fold.partition("/")
        if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
            raise InputError(f"--fold {asked.fold}: write the fold and how many there are, for example 0/3.")
        return folds(slices, int(count), asked.seed)[int(number)]
    if asked.split == "slice":
        return split_by_slice(slices, 0.2, asked.seed)
    if asked.split:
        return read_split(Path(asked.split))
    return split_by_patient(slices, 0.2, asked.seed)


def _plan(asked: argparse.Namespace, spec: ModelSpec, paper: Plan | None) -> Plan:
    house = HOUSE.in_items(spec.slices_an_item(asked.preset))
    plan = house if asked.recipe == "house" else paper or importlib.import_module(f"train.{asked.name}").PAPER
    if asked.fast:
        plan = plan.fast()
    if asked.epochs is not None:
        if asked.epochs < 1:
            raise InputError(f"--epochs {asked.epochs}: at least one is needed.")
        plan = plan.with_epochs(asked.epochs)
    if asked.painted is not None:
        if not 0 <= asked.painted <= 1:
            raise InputError(f"--painted {asked.painted}: a share lies between 0 and 1.")
        plan = replace(plan, painted=asked.painted)
    if asked.view is not None:
        plan = replace(plan, view=asked.view)
        if asked.view > 1 or view_side(spec, asked.preset, plan) < spec.smallest_side:
            least = f"{spec.name} needs {spec.smallest_side} pixels or more"
            raise InputError(f"--view {asked.view}: a share of up to 1, and {least}.")
    return replace(plan, bf16=asked.bf16)


if __name__ == "__main__":
    sys.exit(main())
