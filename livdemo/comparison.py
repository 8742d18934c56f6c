"""Several models on one case, as a generator: progress after every slice, a result after every model.

for event in compare(case, checkpoints):
    ...                                  # Progress or Result; closing the generator cancels
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from torch import nn

from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.metrics import (
    ClassMetrics,
    LabelMetrics,
    PrecisionRecall,
    SliceMetrics,
    Witness,
    hausdorff_witness,
    precision_recall,
    score_case,
    score_classes,
    score_slices,
    surface_distances,
)
from livdemo.metrics.lesions import LesionReport, lesion_ledger
from livdemo.predictor import PLAIN, Assembly, Inference, Prediction, Predictor, why_not
from livdemo.rescoring import Rule, relabel
from livdemo.volume import Volume


@dataclass(frozen=True, eq=False)
class Progress:
    """One more slice is done. `assembly` holds what there is so far, to be drawn, not to be kept."""

    checkpoint: Checkpoint
    done: int  # slices of this model
    total: int
    seconds_left: float  # of the whole comparison, at the pace so far
    assembly: Assembly


@dataclass(frozen=True, eq=False)
class Scores:
    """Everything that is known of one label map against its reference."""

    metrics: tuple[LabelMetrics, ...]  # liver, tumour
    slices: tuple[SliceMetrics, ...]  # the same, slice by slice
    witnesses: tuple[Witness | None, ...]  # per label the pair of voxels that makes its Hausdorff distance
    classes: ClassMetrics  # figures over background, liver and tumour together
    lesions: LesionReport | None  # tumours one by one; None for a model that knows no tumour
    curves: tuple[PrecisionRecall, ...] = ()  # per label, if probabilities were kept


@dataclass(frozen=True, eq=False)
class Result:
    """One model's prediction and, where there is a reference, its scores."""

    prediction: Prediction
    scores: Scores | None

    @property
    def metrics(self) -> tuple[LabelMetrics, ...]:
        """Liver and tumour; empty without a reference."""
        return self.scores.metrics if self.scores else ()

    @property
    def slices(self) -> tuple[SliceMetrics, ...]:
        """The same, slice by slice."""
        return self.scores.slices if self.scores else ()


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found on one case."""

    case: Case
    results: tuple[Result, ...]


def compare(
    case: Case,
    checkpoints: Sequence[Checkpoint],
    device: str = "auto",
    inference: Inference = PLAIN,
    untrained: Mapping[str, nn.Module] = MappingProxyType({}),
    curves: bool = False,
    quantised: bool = False,
) -> Iterator[Progress | Result]:
    """Run the models one after the other on the case. Raises InputError as loading and devices do.

    curves: keep the probabilities, 6 bytes a voxel, and work out precision against recall from them.
    quantised: keep them as bytes of the box around the liver, for other rules without another run (rescoring.py).
    untrained: networks by model name for rows that have no file (livdemo/models/untrained.py), a cascade's too.
    """
    total = len(checkpoints) * len(case.volume.hu) * inference.passes
    began = time.perf_counter()
    done = 0
    phases: Mapping[str, Volume] | None = None
    liver = untrained.get(inference.liver.model) if inference.liver else None
    for checkpoint in checkpoints:
        predictor = Predictor(checkpoint, device, inference, untrained.get(checkpoint.model), liver)
        if checkpoint.phases and phases is None and case.load_phases is not None:
            phases = case.load_phases()
        assembly = Assembly(predictor, case.volume, curves, quantised)
        for finished in predictor.stream(case.volume, phases):
            assembly.add(finished)
            done += 1
            seconds_left = (time.perf_counter() - began) / done * (total - done)
            yield Progress(checkpoint, finished.done, finished.total, seconds_left, assembly)
        yield score(case, assembly.finish())


def able(
    case: Case, checkpoints: Sequence[Checkpoint], inference: Inference = PLAIN
) -> tuple[list[Checkpoint], list[str]]:
    """Of models that nobody named one by one, those that can read the case so, and why the others cannot."""
    reasons = {
        checkpoint.model: why_not(checkpoint, inference, checkpoint.phases if case.load_phases else ())
        for checkpoint in checkpoints
    }
    return [one for one in checkpoints if not reasons[one.model]], list(filter(None, reasons.values()))


def score(case: Case, prediction: Prediction) -> Result:
    """The prediction with its scores against the case's reference; no reference, no scores."""
    if case.reference is None:
        return Result(prediction, None)
    labels = len(prediction.checkpoint.labels) - 1  # a model that knows no tumour is not scored on it
    volume = case.volume
    scores = score_maps(prediction.label_map, case.reference, volume.spacing_mm, volume.hu, labels)
    if prediction.probabilities is None:
        return Result(prediction, scores)
    # The liver is liver and tumour together, as everywhere.
    found = (1 - prediction.probabilities[0], *prediction.probabilities[2:])
    curves = tuple(precision_recall(p, case.reference > label) for label, p in enumerate(found))
    return Result(prediction, replace(scores, curves=curves))


def rescore(case: Case, result: Result, rule: Rule) -> Result:
    """The result that another rule makes of the same probabilities, without running the network again.

    ValueError when they were not kept (compare(..., quantised=True)).
    """
    prediction = result.prediction
    if prediction.quantised is None:
        raise ValueError(f"{prediction.checkpoint.model}: its probabilities were not kept")
    label_map = relabel(prediction.quantised, case.volume.spacing_mm, rule)
    return score(case, replace(prediction, label_map=label_map, rule=rule.describe()))


def score_maps(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: tuple[float, float, float],
    hu: np.ndarray | None = None,
    labels: int = 2,
) -> Scores:
    """Score one label map (Z, Y, X) against another; with `hu` lesions get their density.

    labels: 2 for liver and tumour, 1 for the liver alone. ValueError names both shapes when they differ.
    """
    masks = [(prediction >= label, reference >= label) for label in range(1, labels + 1)]
    return Scores(
        metrics=tuple(score_case(prediction, reference, spacing_mm)[:labels]),
        slices=tuple(score_slices(prediction, reference)[:labels]),
        witnesses=tuple(hausdorff_witness(surface_distances(*pair, spacing_mm)) for pair in masks),
        classes=score_classes(prediction, reference),
        lesions=lesion_ledger({"": prediction}, reference, spacing_mm, hu)[""] if labels > 1 else None,
    )
