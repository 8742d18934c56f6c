"""What can be chosen to stand on the wall: every model, the trained ones first; the untrained say so."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from livdemo.checkpoints import Checkpoint, read_manifest
from livdemo.errors import InputError
from livdemo.models.registry import list_models
from livdemo.models.selection import select

# What stands on the wall at first: the plain U-Net and a proposal of each paper, as far as they are trained.
FIRST = ("unet64", "transunet_sca", "ltnet_unet", "sfan", "dalunet", "dtan")
FIRST_COUNT = 4  # with the reference they fit the window, and a first run ends soon


@dataclass(frozen=True)
class Choice:
    """One model of the list. title is what stands on its pane."""

    name: str
    title: str
    trained: bool

    @property
    def label(self) -> str:
        return self.title if self.trained else f"{self.title} · untrained"


def model_choices() -> list[Choice]:
    """Trained models, then the others, both in the order of the papers; first what only the manifest knows."""
    specs = list_models()
    numbers = {spec.name: spec.number for spec in specs}
    rows = sorted(read_manifest(), key=lambda checkpoint: numbers.get(checkpoint.model, 0))
    trained = [Choice(checkpoint.model, checkpoint.title, True) for checkpoint in rows]
    there = {choice.name for choice in trained}
    return trained + [Choice(spec.name, spec.title, False) for spec in specs if spec.name not in there]


def first_models() -> list[str]:
    """Up to FIRST_COUNT trained models to begin with; others where those of FIRST are not trained."""
    trained = [choice.name for choice in model_choices() if choice.trained]
    wanted = [name for name in FIRST if name in trained] + [name for name in trained if name not in FIRST]
    return [name for name in trained if name in wanted[:FIRST_COUNT]]


def first_model() -> str | None:
    """The one to begin with in the steps: the plain U-Net, or what there is; None where nothing is trained."""
    first = first_models()
    return FIRST[0] if FIRST[0] in first else next(iter(first), None)


def explains_of(name: str) -> dict[str, str]:
    """What a model's maps of one slice are called and mean; empty for a model that has none."""
    specs = {spec.name: spec for spec in list_models()}
    return dict(specs[name].explains) if name in specs and specs[name].input_kind == "slice" else {}


def known_names(asked: object) -> list[str]:
    """The asked names that are on the list, in its order; anything else that a visitor's call may hold is left out."""
    wanted = asked if isinstance(asked, list) else []
    return [choice.name for choice in model_choices() if choice.name in wanted]


def refuse_unknown(names: Sequence[str]) -> None:
    """InputError for the first name that is not on the list."""
    known = [choice.name for choice in model_choices()]
    for name in names:
        if name not in known:
            raise InputError(f"There is no model called {name!r}: choose one of {', '.join(known)}.")


def ready_to_run(name: str) -> tuple[Checkpoint, dict[str, nn.Module]]:
    """A model's row and, if it is not trained, its network with random weights. InputError for an unknown name."""
    refuse_unknown([name])
    checkpoints, networks = select([name])
    return checkpoints[0], networks
