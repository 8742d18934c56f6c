"""python -m train.ask_again --unseen CASES: what ships, asked again of scans that nobody trained on.

For when the rule for its answers has changed. A row of the log with the figures of weights that ship is written anew as
they are asked now; nothing is trained, and no run folder has to be there. Next: python -m train.results
"""

import argparse
import sys
from pathlib import Path

from livdemo.checkpoints import Checkpoint, load_model, read_manifest
from livdemo.errors import InputError
from livdemo.predictor import PLAIN, pick_device
from train.fold_scores import score_unseen
from train.planned import EVERYBODY
from train.reproduce import RUNS
from train.run_log import Row, append_row, asked_anew, how_asked, how_shipped, latest, read_rows


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m train.ask_again", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--unseen", type=Path, required=True, help="folder of scans with references")
    parser.add_argument("--log", type=Path, default=RUNS, help="the log of train.reproduce")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    asked = parser.parse_args(arguments)
    try:
        number = ask_again(asked.log, asked.unseen, pick_device(asked.device))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{number} rows were added to {asked.log}. Next: python -m train.results")
    return 0


def ask_again(log: Path, unseen: Path, device: str) -> int:
    """Append a row for all whose weights ship and are asked otherwise than it says; how many those were.

    InputError as reading weights or a scan does.
    """
    shipped = {checkpoint.run: checkpoint for checkpoint in read_manifest() if checkpoint.run}
    stale = [row for row in latest(read_rows(log)) if _is_stale(row, shipped)]
    for row in stale:
        checkpoint = shipped[row["key"]]
        network = load_model(checkpoint.sha256, device)
        figures = score_unseen(checkpoint, {checkpoint.model: network}, unseen, PLAIN, device)
        append_row(log, asked_anew(row, checkpoint, figures))
        print(f"{checkpoint.model}: " + ", ".join(f"{one['case']} {one['label']} {one['dice']:.3f}" for one in figures))
    return len(stale)


def _is_stale(row: Row, shipped: dict[str, Checkpoint]) -> bool:
    if row["study"] or row["fold"] != EVERYBODY or row["key"] not in shipped:
        return False
    return how_asked(row) != how_shipped(shipped[row["key"]])


if __name__ == "__main__":
    sys.exit(main())
