"""A model that nobody has trained yet, so that it can be run and looked at; it says so everywhere."""

import torch
from torch import nn

from livdemo.checkpoints import Checkpoint
from livdemo.models.registry import ModelSpec


def untrained(spec: ModelSpec, seed: int = 0) -> tuple[Checkpoint, nn.Module]:
    """The classroom preset with random weights, and a row that the manifest does not have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = spec.build("classroom").eval()
    checkpoint = Checkpoint(
        model=spec.name,
        title=f"{spec.title} (untrained)",
        preset="classroom",
        file="",
        sha256="",
        bytes=0,
        parameters=spec.parameters("classroom"),
        preprocessing=spec.preprocessing["classroom"],
        labels=spec.labels,
        input_kind=spec.input_kind,
        size_multiple=spec.size_multiple,
        largest_component=False,
        trained_on="Nothing: the weights are random.",
        weak="Untrained: its weights are random, so its mask means nothing.",
        validation={},
        seed=seed,
        commit="",
        licence="",
        margin=spec.margin,
        sequence=spec.sequence,
        depth=spec.depth["classroom"],
        phases=spec.phases,
    )
    return checkpoint, network
