"""Shipped networks as runs: to begin a second course with when the first one's folder is gone, and to be asked again.

Run folders stay on the machine that trained; weights travel with the repository. Their file kept half precision, which
is far finer than what a step of training moves.
"""

from pathlib import Path

from livdemo.checkpoints import Checkpoint, load_model, read_manifest
from train.planned import EVERYBODY, Planned
from train.run import finished_epochs, save_weights
from train.run_log import Row


def is_shipped(one: Planned) -> bool:
    """Whether the weights in the manifest are of this very run."""
    return _shipped(one) is not None


def ships(one: Planned) -> bool:
    """The same, and none of its epochs is here."""
    return not finished_epochs(one.run.out) and is_shipped(one)


def asked_again_is_enough(one: Planned, before: Row) -> bool:
    """Whether the row is of this very network, which ships, and nobody was held out from it: unseen scans are all."""
    return before["key"] == one.key and one.fold == EVERYBODY and is_shipped(one)


def shipped_folder(one: Planned) -> Path:
    """A folder with the shipped weights of the run, for Run.start. It has no history, so nobody takes it for the run.

    InputError when the shipped file is not the one that the manifest pins, or the disk is full.
    """
    checkpoint = _shipped(one)
    assert checkpoint is not None, "ask is_shipped() first"
    folder = one.run.out.with_name(f"{one.run.out.name}-shipped")
    if not (folder / "state.pt").exists():
        save_weights(folder, one.described, load_model(checkpoint.sha256, "cpu").state_dict())
    return folder


def _shipped(one: Planned) -> Checkpoint | None:
    return next((row for row in read_manifest() if row.run == one.key), None)
