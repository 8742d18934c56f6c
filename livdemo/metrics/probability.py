"""Precision and recall over every threshold: what a network's scores are worth before one is chosen."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mask_pair import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """The precision-recall curve of one label; entry k is the mask `probabilities >= thresholds[k]`.

    precision is NaN where nothing is predicted, recall where the reference is empty. area is the average
    precision: the sum of precision times the gain in recall as the threshold falls, without the interpolation
    between points that would flatter; NaN when the reference is empty. chance is what random scores reach:
    the share of the image that is reference.
    """

    thresholds: FloatArray  # ascending, (levels + 1,)
    precision: FloatArray
    recall: FloatArray
    area: float
    chance: float


def precision_recall(
    probabilities: NDArray[np.floating[Any]], reference: BoolArray, levels: int = 1000
) -> PrecisionRecall:
    """Precision and recall at the thresholds 0, 1/levels, ... 1, for probabilities of one label in [0, 1].

    probabilities and the bool reference have one shape. Scores are counted into levels + 1 bins slab by slab,
    so a whole CT costs little memory. ValueError names both shapes when they differ, and refuses scores
    outside [0, 1] or NaN.
    """
    if probabilities.shape != reference.shape:
        raise ValueError(f"probabilities have shape {probabilities.shape}, reference has {reference.shape}")
    if probabilities.dtype.kind != "f" or reference.dtype != np.bool_:
        raise ValueError(
            f"float probabilities and a bool reference are needed, not {probabilities.dtype} and {reference.dtype}"
        )
    if levels < 1 or probabilities.ndim < 1 or probabilities.size == 0:
        raise ValueError(f"a level and a voxel are needed, not {levels} levels and {probabilities.shape}")
    thresholds = (np.arange(levels + 1) / levels).astype(probabilities.dtype)
    in_reference, outside = np.zeros((2, levels + 1), np.int64)
    for scores, truth in zip(probabilities, reference, strict=True):
        scores, truth = np.atleast_1d(scores), np.atleast_1d(truth)
        if not (scores.min() >= 0 and scores.max() <= 1):
            raise ValueError(f"probabilities must lie in [0, 1], these run from {scores.min()} to {scores.max()}")
        level = _level_of(scores, thresholds)
        in_reference += np.bincount(level[truth], minlength=levels + 1)
        outside += np.bincount(level[~truth], minlength=levels + 1)
    return curve_of_counts(in_reference, outside)


def _level_of(scores: NDArray[np.floating[Any]], thresholds: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """The highest threshold that each score reaches, compared in the scores' own precision."""
    highest = len(thresholds) - 1
    # In floating point 0.29 * 100 may fall just short of 29: the guess is put right against its neighbours.
    level = (scores * scores.dtype.type(highest)).astype(np.intp).clip(0, highest)
    level += thresholds[(level + 1).clip(max=highest)] <= scores
    level -= thresholds[level.clip(max=highest)] > scores
    return level.clip(max=highest)


def curve_of_counts(in_reference: NDArray[np.int64], outside: NDArray[np.int64]) -> PrecisionRecall:
    """The curve of scores that are counted already: voxels per level 0 ... 1, in the reference and outside of it."""
    levels = len(in_reference) - 1
    true_positive = np.cumsum(in_reference[::-1])[::-1]
    predicted = true_positive + np.cumsum(outside[::-1])[::-1]
    positives, voxels = int(true_positive[0]), int(predicted[0])
    shape = true_positive.shape
    precision = np.divide(true_positive, predicted, out=np.full(shape, math.nan), where=predicted > 0)
    recall = true_positive / positives if positives else np.full(shape, math.nan)
    gained = in_reference > 0
    area = float((precision[gained] * in_reference[gained]).sum() / positives) if positives else math.nan
    return PrecisionRecall(np.arange(levels + 1) / levels, precision, recall, area, positives / voxels)
