"""The slice strip: prediction against reference along the body, and where to look next.

liver, tumour = per_slice(prediction, reference, spacing_mm)
tumour.pooled_dice, tumour.mean_dice, tumour.gap     # two figures of one case, and a sentence on why they differ
worst_slice(tumour), next_error(tumour, slice_index), next_lesion(lesions, slice_index)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livdemo.metrics import SliceMetrics, score_slices
from livdemo.metrics.lesions import Lesion

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class SliceProfile:
    """One label of one prediction, slice by slice: arrays have one entry per axial slice, (Z,). Areas in mm²."""

    label: str  # "liver" (tumour included) or "tumour"
    dice: FloatArray  # NaN where neither has a pixel, 0 where one of them has none
    reference_mm2: FloatArray
    prediction_mm2: FloatArray
    false_positive_mm2: FloatArray
    false_negative_mm2: FloatArray
    false_alarm_mm2: FloatArray  # predicted where the slice's reference is empty, else 0
    pooled_dice: float  # all voxels at once, as the volume is scored; NaN where both are empty
    mean_dice: float  # mean over the slices where either has a pixel
    gap: str  # one sentence: both figures, and why they differ

    @property
    def wrong_mm2(self) -> FloatArray:
        """False positives and false negatives together."""
        return self.false_positive_mm2 + self.false_negative_mm2


def per_slice(
    prediction: NDArray[np.integer[Any]], reference: NDArray[np.integer[Any]], spacing_mm: Sequence[float]
) -> tuple[SliceProfile, SliceProfile]:
    """Liver and tumour of two label maps (Z, Y, X). Without a known spacing pass 1.0 and call mm² pixels.

    ValueError names both shapes when they differ.
    """
    liver, tumour = (profile_of(slices, spacing_mm) for slices in score_slices(prediction, reference))
    return liver, tumour


def profile_of(slices: SliceMetrics, spacing_mm: Sequence[float]) -> SliceProfile:
    """The profile of one label whose slices are scored already, as `comparison.Result.slices` holds them."""
    predicted, true = slices.prediction_pixels, slices.reference_pixels
    # Dice is 2 TP over the sum of both: TP comes back exactly.
    both = np.rint(np.nan_to_num(slices.dice) * (predicted + true) / 2)
    total = int((predicted + true).sum())
    pooled = float(2 * both.sum() / total) if total else math.nan
    asked = ~np.isnan(slices.dice)
    mean = float(slices.dice[asked].mean()) if asked.any() else math.nan
    pixel_mm2 = float(spacing_mm[1] * spacing_mm[2])
    return SliceProfile(
        label=slices.label,
        dice=slices.dice,
        reference_mm2=true * pixel_mm2,
        prediction_mm2=predicted * pixel_mm2,
        false_positive_mm2=(predicted - both) * pixel_mm2,
        false_negative_mm2=(true - both) * pixel_mm2,
        false_alarm_mm2=slices.false_positive_on_empty * pixel_mm2,
        pooled_dice=pooled,
        mean_dice=mean,
        gap=_explain_gap(slices, pooled, mean),
    )


def _explain_gap(slices: SliceMetrics, pooled: float, mean: float) -> str:
    """Both figures and the larger of the reasons why they differ: false alarms, slices missed, or small slices."""
    asked = ~np.isnan(slices.dice)
    count = int(asked.sum())
    if not count:
        return f"Neither the reference nor the model shows {_article(slices.label)}: there is no Dice."
    figures = f"Pooled Dice {pooled:.3f}, mean of {_slices(count)} {mean:.3f}"
    if round(pooled, 3) == round(mean, 3):
        return f"{figures}: no difference, the slices score alike or balance each other."
    pixels = slices.reference_pixels + slices.prediction_pixels
    if mean > pooled:
        return f"{figures}: large slices score worse, and only the pooled figure gives them more weight."
    silent = {
        "the model draws where the reference is empty": asked & (slices.reference_pixels == 0),
        "the model draws nothing where the reference is not empty": asked & (slices.prediction_pixels == 0),
    }
    reason, zeros = max(silent.items(), key=lambda item: item[1].sum())
    # What the mean loses to slices of Dice 0, against what it loses to all the others.
    without = float(slices.dice[asked & ~zeros].mean()) if (asked & ~zeros).any() else 0.0
    if zeros.any() and without - mean >= (pooled - mean) / 2:
        share = pixels[zeros].sum() / pixels.sum()
        return (
            f"{figures}: in {_slices(int(zeros.sum()))} {reason}; each counts 0 in the mean, together they hold "
            f"{share:.1%} of the pixels."
        )
    return f"{figures}: slices with few pixels score worse, and the mean gives each as much weight as the largest."


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def _article(label: str) -> str:
    return "a liver" if label == "liver" else "a tumour"


def worst_slice(profile: SliceProfile) -> int | None:
    """The slice of the lowest Dice, of equals the one with the largest wrong area; None where nothing is scored."""
    if np.isnan(profile.dice).all():
        return None
    lowest = profile.dice == np.nanmin(profile.dice)
    return int(np.where(lowest, profile.wrong_mm2, -1).argmax())


def error_peaks(profile: SliceProfile) -> NDArray[np.int64]:
    """Slices where the wrong area is larger than just before and no smaller than just after, in rising order.

    Nearly every slice has a wrong pixel at the rim; these are the ones worth a stop. Of a run of equals the first.
    """
    wrong = np.concatenate([[0.0], profile.wrong_mm2, [0.0]])
    starts = np.flatnonzero(np.diff(wrong)) + 1  # first slice of each run of equals, counted from the 0 in front
    levels = np.concatenate([[0.0], wrong[starts]])
    summits = np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:]))
    return starts[summits] - 1


def next_error(profile: SliceProfile, slice_index: int) -> int | None:
    """The next peak of the wrong area above this slice, and from the last on to the first; None without any error."""
    peaks = error_peaks(profile)
    if not peaks.size:
        return None
    return int(peaks[np.searchsorted(peaks, slice_index, side="right") % peaks.size])


def next_lesion(lesions: Sequence[Lesion], slice_index: int, number: int = 0) -> Lesion | None:
    """The next lesion up the body by the slice where it is largest, and from the last on to the first.

    slice_index and number: where the visitor is, and the lesion shown there (0: none), so that lesions that are
    largest in the same slice come one after the other. None where there are no lesions.
    """
    ordered = sorted(lesions, key=lambda lesion: (lesion.slice_index, lesion.number))
    above = (lesion for lesion in ordered if (lesion.slice_index, lesion.number) > (slice_index, number))
    return next(above, ordered[0] if ordered else None)
