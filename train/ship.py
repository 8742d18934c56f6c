"""python -m train.ship: the networks that train.reproduce trained on everybody become the weights that livdemo ships.

For each model whose fold `all` of the fair protocol is in the log: file, golden block, card and manifest row, as
train.export writes them, with the figures that the log has for them. Safe to repeat.
"""

import argparse
import sys
from pathlib import Path

from livdemo.checkpoints import Checkpoint, find_checkpoint, weights_folder
from livdemo.errors import InputError
from livdemo.models import get_model
from train.evidence import refresh
from train.export import export
from train.reproduce import RUNS, adopted_folders
from train.results import EVERYBODY, tables
from train.run_log import Row, latest, read_rows

SERIES = "fair, classroom, 128 pixels"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m train.ship", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log", type=Path, default=RUNS, help="the log of train.reproduce")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="where its run folders lie")
    parser.add_argument("--series", default=SERIES, help="which table of RESULTS.md the weights are taken from")
    parser.add_argument("--models", help="names with commas (default: all that are there)")
    asked = parser.parse_args(arguments)
    try:
        names = set(filter(None, (asked.models or "").split(",")))
        shipped = ship(asked.log, asked.out, asked.series, names)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    for one in shipped:
        print(f"{one.file}: {one.bytes / 1e6:.2f} MB. {one.weak}")
    print(f"{len(shipped)} models are in {weights_folder()}. Next: python -m train.results")
    return 0


def ship(log: Path, out: Path, series: str, names: set[str]) -> list[Checkpoint]:
    """Export every chosen model's fold `all`, then bring cards and manifest to what the log says.

    InputError when a chosen model has no such run, or its folder is gone.
    """
    rows = read_rows(log)
    there = {row["model"]: row for row in latest(rows) if _ships(row, series)}
    if missing := sorted(names - there.keys()):
        raise InputError(
            f"{missing[0]} has no fold `{EVERYBODY}` in {log}; run "
            f"python -m train.reproduce --data DIR --folds {EVERYBODY} --models {missing[0]} first."
        )
    folders = adopted_folders(out)
    shipped = []
    for model, row in there.items():
        if not names or model in names:
            folder = Path(folders.get(row["key"], out / f"{model}-{row['key']}"))
            shipped.append(export(get_model(model), folder, row["key"]).model)
    refresh(tables(rows), weights_folder())
    return [find_checkpoint(model) for model in shipped]


def _ships(row: Row, series: str) -> bool:
    return row["series"] == series and not row["study"] and row["fold"] == EVERYBODY


if __name__ == "__main__":
    sys.exit(main())
