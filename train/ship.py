"""python -m train.ship: the networks that train.reproduce trained on everybody become the weights that livdemo ships.

For each model whose fold `all` is in the log, of the latest course that it took (EARLIER names who stays with the one
before): file, golden block, card and manifest row, as train.export writes them, with the figures that the log has for
them. Safe to repeat. Weights that train.export brought from another run are replaced only where --models names them.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
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
# Whose latest course cost more on livers of strangers than it gave, and the course that ships instead. DALU-Net's third
# took the liver Dice of lits117 from 0.929 to 0.863, of chaos from 0.958 to 0.952, and gave lowres 0.002.
EARLIER: Mapping[str, str] = {"dalunet": "second, classroom, 128 pixels"}


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
    there = latest_courses(rows, series, EARLIER if series is SERIES else {})
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


def latest_courses(rows: list[Row], series: Sequence[str], earlier: Mapping[str, str]) -> dict[str, Row]:
    """By model its fold `all` of the first series that has one; of those in `earlier` not before the series named."""
    everybody = {
        (row["model"], row["series"]): row for row in latest(rows) if not row["study"] and row["fold"] == EVERYBODY
    }
    found: dict[str, Row] = {}
    for model, _ in everybody:
        first = series.index(earlier[model]) if model in earlier else 0
        courses = [everybody[model, one] for one in series[first:] if (model, one) in everybody]
        if courses:
            found[model] = courses[0]
    return found


def _by_hand() -> set[str]:
    """Models whose weights are there already and are of no run of train.reproduce."""
    return {row.model for row in read_manifest() if not row.run}


if __name__ == "__main__":
    sys.exit(main())
