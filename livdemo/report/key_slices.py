"""Which slices of a comparison are worth a look, and the part of them that shows every mask."""

import math
from dataclasses import dataclass, replace

import numpy as np

from livdemo.agreement import profile_of
from livdemo.comparison import Comparison, Result
from livdemo.metrics import LABELS, Witness

from .provenance import is_trained

MARGIN_MM = 12.0


@dataclass(frozen=True)
class Shot:
    """A slice worth a look: why, for which label errors are coloured, and the pair of voxels that makes the HD."""

    index: int
    label: str  # "liver" or "tumour"
    why: str
    witness: Witness | None = None


def common_shot(comparison: Comparison) -> Shot:
    """The slice with most tumour in the reference; without any, with most in the predictions; else most liver."""
    reference = comparison.case.reference
    predictions = [result.prediction.label_map for result in comparison.results]
    sources = [("predicted", predictions)] if reference is None else [("reference", [reference])]
    if reference is not None:
        sources.append(("predicted", predictions))
    for label, threshold in (("tumour", 2), ("liver", 1)):
        for whose, maps in sources:
            area = np.sum([(labels >= threshold).sum(axis=(1, 2)) for labels in maps], axis=0)
            if area.any():
                return Shot(int(area.argmax()), label, f"most {whose} {label}")
    return Shot(len(comparison.case.volume.hu) // 2, "liver", "the middle, as nothing was found")


def own_shots(result: Result) -> list[Shot]:
    """The slice with most wrong liver pixels, then where the Hausdorff distance of tumour and liver is measured.

    None for random weights: where such a mask is worst says nothing.
    """
    if result.scores is None or not is_trained(result.prediction):
        return []
    shots = []
    wrong = profile_of(result.slices[0], (1.0, 1.0, 1.0)).wrong_mm2
    if wrong.any():  # not the lowest Dice: that is nearly always the sliver where the liver begins or ends
        shots.append(Shot(int(wrong.argmax()), "liver", "most wrong liver pixels"))
    pairs = list(zip(LABELS, result.scores.witnesses, strict=False))
    for label, witness in reversed(pairs):
        if witness is None or witness.distance_mm == 0:
            continue
        index, why = witness.voxel[0], f"Hausdorff distance of the {label}"
        if shots and (shots[0].index, shots[0].label) == (index, label):
            shots[0] = replace(shots[0], why=f"{shots[0].why}, and the {why}", witness=witness)
        else:
            shots.append(Shot(index, label, why, witness))
    return shots


def for_model(shot: Shot, result: Result) -> Shot:
    """A model that knows no tumour is shown with its errors on the liver."""
    return shot if shot.label in result.prediction.checkpoint.labels else replace(shot, label="liver")


def frame_of(comparison: Comparison, indices: list[int]) -> tuple[slice, slice]:
    """The box (rows, columns) around every mask in these slices, with a margin: one scale, and no error cut off.

    Random weights draw anywhere, so they do not count: their masks may run out of the picture.
    """
    maps = [result.prediction.label_map for result in comparison.results if is_trained(result.prediction)]
    maps += [] if comparison.case.reference is None else [comparison.case.reference]
    volume = comparison.case.volume
    anything = np.zeros(volume.hu.shape[1:], bool)
    for labels in maps:
        anything |= (labels[indices] > 0).any(axis=0)
    sides = []
    for axis, spacing in enumerate(volume.spacing_mm[1:]):
        size = int(anything.shape[axis])
        hit = np.flatnonzero(anything.any(axis=1 - axis))
        margin = math.ceil(MARGIN_MM / spacing)
        first, last = (hit[0], hit[-1]) if hit.size else (0, size - 1)
        sides.append(slice(max(int(first) - margin, 0), min(int(last) + 1 + margin, size)))
    return sides[0], sides[1]
