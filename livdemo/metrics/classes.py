"""Figures over all classes at once, as S1 and S2 report some of theirs: named for what they are.

Here label 1 is liver WITHOUT tumour, as a softmax sees it; `score_case` counts the tumour to the liver.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mask_pair import BACKGROUND, TUMOUR, BoolArray, IntArray, check_label_maps, joint_box
from .scoring import Definition

CLASSES = TUMOUR + 1


@dataclass(frozen=True)
class ClassMetrics:
    """Figures of one case over the classes 0 background, 1 liver, 2 tumour. NaN means n/a."""

    accuracy: float
    foreground_accuracy: float
    mean_iou: float
    mean_iou_foreground: float
    psnr_of_labels_db: float


CLASS_DEFINITIONS = {
    "accuracy": Definition(
        "Accuracy (all voxels)",
        "",
        "higher",
        "Share of voxels whose class is right, background included; what S2 presumably reports as custom "
        "foreground accuracy, since scripts like its own leave out a class that does not exist.",
        "fastai scripts; PAPERS.md section 3",
    ),
    "foreground_accuracy": Definition(
        "Foreground accuracy",
        "",
        "higher",
        "Share right among the voxels whose reference is not background; false positives outside the liver "
        "cost nothing. n/a when the reference is empty.",
        "fastai's foreground_acc; PAPERS.md section 3",
    ),
    "mean_iou": Definition(
        "Mean IoU with background",
        "",
        "higher",
        "Mean of the IoUs of background, liver and tumour, over the classes present in either map; the "
        "background's is near 1 whatever the network does.",
        "S1, section 6: the mean over all classes, background among them",
    ),
    "mean_iou_foreground": Definition(
        "Mean IoU without background",
        "",
        "higher",
        "Mean of the IoUs of liver (without tumour) and tumour, over those present in either map. n/a when "
        "both maps are empty.",
        "S1's metric, the other reading",
    ),
    "psnr_of_labels_db": Definition(
        "PSNR of class numbers",
        "dB",
        "higher",
        "10 log10(1 / mean squared difference of the class numbers 0, 1, 2): tumour taken for background "
        "costs four times what it costs as liver, for no reason. It means nothing; shown because LT-Net "
        "reports a PSNR. n/a when no voxel is wrong.",
        "S2 eq 6 with R = 1; PAPERS.md 25",
    ),
}


def count_classes(prediction: IntArray | BoolArray, reference: IntArray | BoolArray) -> NDArray[np.int64]:
    """Voxel counts (3, 3): row = class in the reference, column = class in the prediction."""
    check_label_maps(prediction, reference)
    box = joint_box(prediction, reference)
    pairs = reference[box].astype(np.uint8) * np.uint8(CLASSES) + prediction[box].astype(np.uint8)
    counts = np.bincount(pairs.ravel(), minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    counts[BACKGROUND, BACKGROUND] += prediction.size - pairs.size
    return counts


def score_classes(prediction: IntArray | BoolArray, reference: IntArray | BoolArray) -> ClassMetrics:
    """Figures over all classes of two label maps (0 background, 1 liver, 2 tumour) of one shape.

    ValueError names both shapes when they differ.
    """
    counts = count_classes(prediction, reference)
    ious = class_ious(counts)
    return ClassMetrics(
        accuracy=float(np.trace(counts) / counts.sum()),
        foreground_accuracy=foreground_accuracy(counts),
        mean_iou=_mean_of_present(ious),
        mean_iou_foreground=_mean_of_present(ious[BACKGROUND + 1 :]),
        psnr_of_labels_db=_psnr_of_labels_db(counts),
    )


def class_ious(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of each class from the (3, 3) counts; NaN for a class that is in neither map."""
    shared = np.diag(counts).astype(float)
    joint = counts.sum(axis=0) + counts.sum(axis=1) - shared
    return np.divide(shared, joint, out=np.full(CLASSES, math.nan), where=joint > 0)


def foreground_accuracy(counts: NDArray[np.int64]) -> float:
    """Share right among the voxels whose reference is not background; NaN when there is none."""
    foreground = counts[BACKGROUND + 1 :]
    total = int(foreground.sum())
    return float((np.trace(counts) - counts[BACKGROUND, BACKGROUND]) / total) if total else math.nan


def _mean_of_present(values: NDArray[Any]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else math.nan


def _psnr_of_labels_db(counts: NDArray[np.int64]) -> float:
    classes = np.arange(CLASSES)
    squared = (classes[:, None] - classes[None, :]) ** 2
    mean_squared = float((counts * squared).sum() / counts.sum())
    return -10.0 * math.log10(mean_squared) if mean_squared else math.nan
