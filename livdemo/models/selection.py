"""Models by name, trained or not, ready to be run."""

from collections.abc import Sequence

from torch import nn

from livdemo.checkpoints import Checkpoint, read_manifest
from livdemo.models.registry import get_model
from livdemo.models.untrained import untrained


def select(names: Sequence[str]) -> tuple[list[Checkpoint], dict[str, nn.Module]]:
    """The asked models' rows, and networks with random weights for those that are not trained.

    InputError for a name that is on no list. A name that comes twice counts once.
    """
    trained = {checkpoint.model: checkpoint for checkpoint in read_manifest()}
    chosen, networks = [], {}
    for name in dict.fromkeys(names):
        if name in trained:
            chosen.append(trained[name])
        else:
            checkpoint, networks[name] = untrained(get_model(name))
            chosen.append(checkpoint)
    return chosen, networks
