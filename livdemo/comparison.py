"""Several models on one case, as a generator: progress after every slice, a result after every model.

    for event in compare(case, checkpoints):
        ...                                  # Progress or Result; closing the generator cancels
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.metrics import LabelMetrics, SliceMetrics, score_case, score_slices
from livdemo.predictor import PLAIN, Assembly, Inference, Prediction, Predictor
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
class Result:
    """One model's prediction and, where there is a reference, its scores."""

    prediction: Prediction
    metrics: tuple[LabelMetrics, ...]  # liver, tumour; empty without a reference
    slices: tuple[SliceMetrics, ...]  # the same, slice by slice


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
) -> Iterator[Progress | Result]:
    """Run the models one after the other on the case. Raises InputError as loading and devices do.

    untrained: networks by model name for rows of the list that have no file (livdemo/models/untrained.py).
    """
    total = len(checkpoints) * len(case.volume.hu) * (2 if inference.liver else 1)
    began = time.perf_counter()
    done = 0
    phases: Mapping[str, Volume] | None = None
    for checkpoint in checkpoints:
        predictor = Predictor(checkpoint, device, inference, untrained.get(checkpoint.model))
        if checkpoint.phases and phases is None and case.load_phases is not None:
            phases = case.load_phases()
        assembly = Assembly(predictor, case.volume)
        for finished in predictor.stream(case.volume, phases):
            assembly.add(finished)
            done += 1
            seconds_left = (time.perf_counter() - began) / done * (total - done)
            yield Progress(checkpoint, finished.done, finished.total, seconds_left, assembly)
        yield score(case, assembly.finish())


def score(case: Case, prediction: Prediction) -> Result:
    """The prediction with its scores against the case's reference; no reference, no scores."""
    if case.reference is None:
        return Result(prediction, (), ())
    label_map, reference = prediction.label_map, case.reference
    if len(prediction.checkpoint.labels) == 2:  # a model that knows no tumour is not scored on it
        liver_only = score_case(label_map, reference, case.volume.spacing_mm)[:1]
        return Result(prediction, tuple(liver_only), tuple(score_slices(label_map, reference)[:1]))
    return Result(
        prediction,
        tuple(score_case(label_map, reference, case.volume.spacing_mm)),
        tuple(score_slices(label_map, reference)),
    )
