"""What a paper fixes about its model, and the list of all models.

A new model is one new file that calls `register`, and one import line in livdemo/models/__init__.py.
The app does not build models: it runs the TorchScript file that the manifest names. Training does.

A module of the list is called with one tensor and returns logits, nothing else (shapes: `input_shape`).
Besides forward it may export
  forward_aux(x) -> List[Tensor]       deep supervision: the main logits first, all of the same shape
  explain(x) -> Dict[str, Tensor]      what it looked at; the keys and their meaning are `ModelSpec.explains`
                                       maps (B, N, h, w), to be drawn on the slice; bars (B, N)
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import nn

from livdemo.errors import InputError
from livdemo.intensity import Preprocessing

Preset = Literal["paper", "classroom"]
InputKind = Literal["slice", "slice sequence", "3D", "phases"]
SMALLEST_SIDE = 32  # pixels; a liver on less is a blot


@dataclass(frozen=True)
class Recipe:
    """How the paper trained: None where it is silent (PAPERS.md says what we chose instead)."""

    loss: str
    optimiser: str
    learning_rate: float | None
    epochs: int | None
    batch_size: int | None
    data: str
    note: str = ""


@dataclass(frozen=True)
class Reported:
    """A result as a paper prints it; never shown without its unit and data set."""

    metric: str
    value: str
    unit: str
    data: str
    note: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """Everything about a model that does not depend on a training run."""

    number: int  # 1 for M01 of PAPERS.md; the order of the list
    name: str
    title: str
    source: str  # the paper that proposes, trains or compares it
    idea: str  # two sentences
    labels: tuple[str, ...]  # of the output channels
    input_kind: InputKind
    size_multiple: int  # height and width of the input must be multiples of this (before `margin` is added)
    preprocessing: dict[Preset, Preprocessing]
    architecture: Callable[[Preset], nn.Module]
    recipe: Recipe
    reported: tuple[Reported, ...] = ()
    equations: tuple[str, ...] = ()  # what is particular to it, as the code computes it
    deviations: tuple[str, ...] = ()  # what the paper leaves open or gets wrong, and what was chosen
    our_reading: bool = field(default=False)  # True: a reconstruction, the paper gives no layer table
    explains: dict[str, str] = field(default_factory=dict)  # key of explain() -> one sentence for the screen
    margin: int = 0  # mirrored pixels to add on each side; the output is then centre-cropped to the size
    sequence: int = 1  # slices of a "slice sequence"; any number runs
    phases: tuple[str, ...] = ()  # of "phases", in the order of time; any number runs
    depth: dict[Preset, int] = field(default_factory=lambda: {"paper": 1, "classroom": 1})  # slices of a block
    depth_multiple: int = 1
    aux_weights: tuple[float, ...] = ()  # of the losses of forward_aux, main first; empty: no deep supervision
    imagenet: bool = False  # True: the paper starts from ImageNet weights (livdemo/models/pretrained.py)

    def build(self, preset: Preset) -> nn.Module:
        """A fresh module with the seed's random weights."""
        return self.architecture(preset)

    def parameters(self, preset: Preset) -> int:
        """Number of trainable and frozen parameters, counted without allocating them."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.build(preset).parameters())

    @property
    def smallest_side(self) -> int:
        """Of its input in pixels; a mirrored margin cannot be wider than what it mirrors."""
        return max(SMALLEST_SIDE, self.margin + 1)

    def resized(self, preset: Preset, size: int) -> "ModelSpec":
        """The same with an input of `size` pixels a side. InputError where the network takes no such square."""
        if size < SMALLEST_SIDE or size % self.size_multiple:
            raise InputError(
                f"--size {size}: {self.name} takes multiples of {self.size_multiple} from {SMALLEST_SIDE} pixels on."
            )
        if size <= self.margin:
            raise InputError(f"--size {size}: {self.name} mirrors {self.margin} pixels, so it needs more than that.")
        there = replace(self.preprocessing[preset], size=size)
        return replace(self, preprocessing={**self.preprocessing, preset: there})

    def slices_at_once(self, preset: Preset) -> int:
        """Neighbouring slices that the network sees together: of a sequence, of a block, or a single one."""
        return {"slice": 1, "slice sequence": self.sequence}.get(self.input_kind, self.depth[preset])

    def slices_an_item(self, preset: Preset) -> int:
        """All slices of one input: those that it sees together, in each of its contrast phases."""
        return self.slices_at_once(preset) * max(len(self.phases), 1)

    def input_shape(self, preset: Preset, batch: int = 1, size: int | None = None) -> tuple[int, ...]:
        """Shape of one input for slices of `size` pixels (the preset's own size when None).

        slice (B, 1, H, W); slice sequence (B, T, 1, H, W); 3D (B, 1, D, H, W); phases (B, T, 1, D, H, W).
        """
        side = (self.preprocessing[preset].size if size is None else size) + 2 * self.margin
        steps = {"slice sequence": (self.sequence,), "phases": (len(self.phases),)}.get(self.input_kind, ())
        depth = (self.depth[preset],) if self.input_kind in ("3D", "phases") else ()
        return (batch, *steps, 1, *depth, side, side)


_SPECS: dict[str, ModelSpec] = {}


def register(spec: ModelSpec) -> ModelSpec:
    """Put a model on the list; a second one of the same name or number is a programming error."""
    for there in _SPECS.values():
        if spec.name == there.name or spec.number == there.number:
            raise ValueError(
                f"{spec.name!r} (number {spec.number}) cannot be registered beside "
                f"{there.name!r} (number {there.number})"
            )
    _SPECS[spec.name] = spec
    return spec


def list_models() -> list[ModelSpec]:
    """All models in the order of PAPERS.md."""
    return sorted(_SPECS.values(), key=lambda spec: spec.number)


def get_model(name: str) -> ModelSpec:
    """The model of that name; an unknown one raises InputError with the names there are."""
    if name not in _SPECS:
        names = ", ".join(spec.name for spec in list_models())
        raise InputError(f"There is no model called {name!r}; the models are {names}.")
    return _SPECS[name]
