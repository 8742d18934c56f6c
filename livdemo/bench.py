"""The preprocessing bench: one slice, fed to a network as it was trained and as it was not.

    own = feed(case, checkpoint, slice_index, checkpoint.preprocessing)
    other = feed(case, checkpoint, slice_index, mismatch(checkpoint, Window(40, 400), "none"))
    for fed in sweep(case, checkpoint, slice_index): ...      # every window of a grid

ARCHITECTURE.md: display is not input; this is the one place where a visitor changes what a network gets.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.intensity import Equalisation, Preprocessing, Window
from livdemo.metrics import score_slices
from livdemo.predictor import Predictor

SWEEP_CENTERS = (-50.0, 0.0, 50.0, 100.0, 150.0)  # HU: from fat to well perfused liver
SWEEP_WIDTHS = (100.0, 150.0, 250.0, 400.0, 800.0)  # HU


@dataclass(frozen=True, eq=False)
class Fed:
    """What a network made of one slice under one preprocessing. Dice is NaN without a reference or where empty."""

    checkpoint: Checkpoint  # as it was trained
    preprocessing: Preprocessing  # as it was fed
    image: np.ndarray  # float32 (Y, X) in [0, 1]: windowed and equalised, on the CT's grid
    label_map: np.ndarray  # uint8 (Y, X), before anything that needs the whole volume
    dice: Mapping[str, float]  # by label, of this slice

    @property
    def matches(self) -> bool:
        """Whether it was fed as it was trained; how the scan was framed (framing.py) is no mismatch."""
        trained = self.checkpoint.preprocessing
        framing = {name: getattr(trained, name) for name in ("size", "kept", "box", "aspect")}
        return replace(self.preprocessing, **framing) == trained

    @property
    def badge(self) -> str:
        """What has to stand beside every picture and figure of a mismatch."""
        trained, fed = self.checkpoint.preprocessing.describe(), self.preprocessing.describe()
        return f"fed as trained: {fed}" if self.matches else f"trained with {trained}; fed with {fed}"


def mismatch(checkpoint: Checkpoint, window: Window, equalisation: Equalisation) -> Preprocessing:
    """The checkpoint's preprocessing with another window and equalisation; size and normalisation stay."""
    return replace(checkpoint.preprocessing, window=window, equalisation=equalisation)


def feed(
    case: Case,
    checkpoint: Checkpoint,
    slice_index: int,
    preprocessing: Preprocessing,
    network: nn.Module | None = None,
    device: str = "auto",
) -> Fed:
    """Run one slice. InputError as Predictor; IndexError for a slice that the case does not have."""
    predictor = Predictor(replace(checkpoint, preprocessing=preprocessing), device, network=network)
    phases = case.load_phases() if checkpoint.phases and case.load_phases is not None else None
    found = predictor.one_slice(case.volume, slice_index, phases)
    steps = {
        step.name: step.image
        for step in replace(preprocessing, normalisation="unit").steps(case.volume.hu[slice_index])
    }
    image = steps.get("equalised", steps["windowed"])
    dice = _dice(case, slice_index, found.label_map, checkpoint)
    return Fed(checkpoint, found.preprocessing, image, found.label_map, dice)


def _dice(case: Case, slice_index: int, label_map: np.ndarray, checkpoint: Checkpoint) -> dict[str, float]:
    labels = checkpoint.labels[1:]
    if case.reference is None:
        return dict.fromkeys(labels, math.nan)
    scored = score_slices(label_map[None], case.reference[slice_index][None])
    return {one.label: float(one.dice[0]) for one in scored if one.label in labels}


def sweep(
    case: Case, checkpoint: Checkpoint, slice_index: int, network: nn.Module | None = None, device: str = "auto"
) -> Iterator[Fed]:
    """Every window of SWEEP_CENTERS × SWEEP_WIDTHS, centres outermost; closing the generator stops the work."""
    equalisation = checkpoint.preprocessing.equalisation
    for center in SWEEP_CENTERS:
        for width in SWEEP_WIDTHS:
            preprocessing = mismatch(checkpoint, Window(center, width), equalisation)
            yield feed(case, checkpoint, slice_index, preprocessing, network, device)
