"""python -m train.ship: the networks that train.reproduce trained on everybody become the weights that livdemo ships.

For each model whose fold `all` is in the log, of the latest course that it took: file, golden block, card and manifest
row, as train.export writes them, with the figures that the log has for them. Safe to repeat. Weights that train.export
brought from another run are replaced only where --models names them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from livdemo.checkpoints import Checkpoint, find_checkpoint, read_manifest, weights_folder
from livdemo.errors import InputError
from livdemo.models import get_model
from train.adopted import adopted_folders
from train.evidence import refresh
from train.export import export
from train.reproduce import RUNS
from train.results import EVERYBODY, tables
from train.run_log import Row, asked_size, latest, read_rows

SERIES = ("third, classroom, 192 pixels", "second, classroom, 128 pixels", "fair, classroom, 128 pixels")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m train.ship", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log", type=Path, default=RUNS, help="the log of train.reproduce")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="where its run folders lie")
    parser.add_argument(
        "--series", nargs="+", default=SERIES, help="tables of RESULTS.md; a model's weights are of the first it is in"
    )
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


def ship(log: Path, out: Path, series: Sequence[str], names: set[str]) -> list[Checkpoint]:
    """Export every chosen model's fold `all`, then bring cards and manifest to what the log says.

    series: the first of them in which a model has that fold is taken. names: empty for all but those whose weights
    are of no run of the log.

    InputError when a chosen model has no such run, or its folder is gone.
    """
    rows = read_rows(log)
    there = {row["model"]: row for one in reversed(series) for row in latest(rows) if _ships(row, one)}
    names = names or there.keys() - _by_hand()
    if missing := sorted(names - there.keys()):
        raise InputError(
            f"{missing[0]} has no fold `{EVERYBODY}` in {log}; run "
            f"python -m train.reproduce --data DIR --folds {EVERYBODY} --models {missing[0]} first."
        )
    folders = adopted_folders(out)
    shipped = []
    for model, row in there.items():
        if model in names:
            folder = Path(folders.get(row["key"], out / f"{model}-{row['key']}"))
            shipped.append(export(get_model(model), folder, row["key"], asked_size(row)).model)
    refresh(tables(rows), weights_folder())
    return [find_checkpoint(model) for model in shipped]


def _by_hand() -> set[str]:
    """Models whose weights are there already and are of no run of train.reproduce."""
    return {row.model for row in read_manifest() if not row.run}


def _ships(row: Row, series: str) -> bool:
    return row["series"] == series and not row["study"] and row["fold"] == EVERYBODY


if __name__ == "__main__":
    sys.exit(main())
