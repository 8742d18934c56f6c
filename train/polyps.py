"""S1's second experiment: the two TransUNets on Kvasir-SEG, colour pictures of polyps, two classes."""

from dataclasses import replace
from functools import partial

from livdemo.errors import InputError
from livdemo.intensity import Preprocessing
from livdemo.models import ModelSpec, Preset
from livdemo.models.transunet import polyp_network
from train.plan import Plan
from train.scans import EIGHT_BIT

# S1 states loss, epochs and batch; optimiser and rates are those of its repository (PAPERS.md, table 1).
PAPER = Plan(
    recipe="paper",
    epochs=30,
    batch_size=16,
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    optimiser="sgd",
    loss="dice_and_cross_entropy",
    augmentation="s1_kvasir",
)


def polyp_variant(spec: ModelSpec) -> ModelSpec:
    """The same network for polyps. InputError for a model that S1 did not try on them."""
    if spec.name not in ("transunet", "transunet_sca"):
        raise InputError(
            f"{spec.name} was not made for colour pictures; on Kvasir-SEG train transunet or transunet_sca."
        )
    sizes: dict[Preset, int] = {"paper": 352, "classroom": 128}
    return replace(
        spec,
        labels=("background", "polyp"),
        architecture=partial(polyp_network, attention=spec.name == "transunet_sca"),
        preprocessing={preset: Preprocessing(EIGHT_BIT, size=size) for preset, size in sizes.items()},
    )
