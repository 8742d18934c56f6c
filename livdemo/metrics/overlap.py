"""Overlap of two masks from four voxel counts: Dice, IoU, sensitivity, precision, accuracy and others.

Counts may be whole numbers (one case) or arrays (one entry per slice), and every measure follows their shape.

Rule of empties, everywhere: both masks empty gives NaN ("n/a": there was nothing to find and nothing was
claimed; counted apart), exactly one empty gives 0 ("miss": never dropped from a mean).
"""

from dataclasses import dataclass

import numpy as np

from .mask_pair import LABELS, BoolArray, CroppedPair, FloatArray, IntArray, check_label_maps, crop_pair

Count = int | IntArray
Measure = float | FloatArray


@dataclass(frozen=True, eq=False)
class Confusion:
    """Voxel counts of a mask pair over the whole image; arrays count several pairs at once."""

    true_positive: Count
    false_positive: Count
    false_negative: Count
    true_negative: Count

    @property
    def prediction(self) -> Count:
        return self.true_positive + self.false_positive

    @property
    def reference(self) -> Count:
        return self.true_positive + self.false_negative

    @property
    def total(self) -> Count:
        return self.prediction + self.false_negative + self.true_negative


def count_confusion(prediction: BoolArray, reference: BoolArray, image_voxels: int | None = None) -> Confusion:
    """Count one pair of bool masks of one shape.

    image_voxels is the size of the whole image when the masks are cut to a box (default: the masks' size);
    everything outside the box counts as true negative.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, reference has {reference.shape}")
    both = int(np.count_nonzero(prediction & reference))
    only_prediction = int(np.count_nonzero(prediction)) - both
    only_reference = int(np.count_nonzero(reference)) - both
    total = prediction.size if image_voxels is None else image_voxels
    return Confusion(both, only_prediction, only_reference, total - both - only_prediction - only_reference)


def _ratio(counts: Confusion, part: Count, whole: Count, if_nothing: float) -> Measure:
    """part / whole; NaN where both masks are empty, if_nothing where only the whole is zero."""
    whole_array = np.asarray(whole)
    result = np.full(whole_array.shape, if_nothing)
    np.divide(part, whole_array, out=result, where=whole_array > 0)
    result[np.asarray(counts.prediction + counts.reference) == 0] = np.nan
    return float(result) if result.ndim == 0 else result


def dice(counts: Confusion) -> Measure:
    """2|A∩B| / (|A|+|B|) (Dice 1945). NaN when both masks are empty, 0 when one is."""
    whole = counts.prediction + counts.reference
    return _ratio(counts, 2 * counts.true_positive, whole, if_nothing=np.nan)


def iou(counts: Confusion) -> Measure:
    """|A∩B| / |A∪B| (Jaccard 1912). NaN when both masks are empty, 0 when one is."""
    return _ratio(counts, counts.true_positive, counts.prediction + counts.false_negative, if_nothing=np.nan)


def sensitivity(counts: Confusion) -> Measure:
    """TP / (TP+FN), also called recall. NaN when both masks are empty, 0 when exactly one is."""
    return _ratio(counts, counts.true_positive, counts.reference, if_nothing=0.0)


def precision(counts: Confusion) -> Measure:
    """TP / (TP+FP). NaN when both masks are empty, 0 when exactly one is."""
    return _ratio(counts, counts.true_positive, counts.prediction, if_nothing=0.0)


def specificity(counts: Confusion) -> Measure:
    """TN / (TN+FP) over the whole image. NaN when both masks are empty or the reference fills the image."""
    negatives = counts.true_negative + counts.false_positive
    return _ratio(counts, counts.true_negative, negatives, if_nothing=np.nan)


def accuracy(counts: Confusion) -> Measure:
    """(TP+TN) / all voxels of the image. NaN when both masks are empty.

    Nearly every voxel of a CT is background, so a prediction that finds nothing scores close to 1.
    """
    return _ratio(counts, counts.true_positive + counts.true_negative, counts.total, if_nothing=np.nan)


def psnr_db(counts: Confusion) -> Measure:
    """10 log10(1 / error rate) in dB: the PSNR of two 0/1 masks, whose mean squared error IS the error rate.

    It says nothing that accuracy does not say, and grows with the background that the image happens to hold.
    NaN when both masks are empty, and when no voxel is wrong: it would be infinite.
    """
    wrong = counts.false_positive + counts.false_negative
    error_rate = np.asarray(_ratio(counts, wrong, counts.total, if_nothing=np.nan))
    decades = np.full(error_rate.shape, np.nan)
    np.log10(error_rate, out=decades, where=error_rate > 0)
    result = -10.0 * decades
    return float(result) if result.ndim == 0 else result


@dataclass(frozen=True, eq=False)
class SliceMetrics:
    """Overlap slice by slice of one label; every array has one entry per axial slice, shape (Z,).

    dice, iou, sensitivity and precision follow the rule of empties: NaN where both are empty, 0 where one is.
    A mean over them is a mean over slices, not the volume's Dice: label it so.
    """

    label: str
    dice: FloatArray
    iou: FloatArray
    sensitivity: FloatArray
    precision: FloatArray
    reference_pixels: IntArray
    prediction_pixels: IntArray
    false_positive_on_empty: IntArray  # predicted pixels in slices whose reference is empty, else 0


def _count_slices(pair: CroppedPair, label: str) -> Confusion:
    """Pixel counts of one label per axial slice of the whole image, int64 arrays of shape (Z,)."""
    prediction, reference = pair.masks_of(label)
    depth, height, width = pair.image_shape
    predicted, true, both = np.zeros((3, depth), np.int64)
    for z in range(len(prediction)):
        place = pair.origin[0] + z
        predicted[place] = np.count_nonzero(prediction[z])
        true[place] = np.count_nonzero(reference[z])
        both[place] = np.count_nonzero(prediction[z] & reference[z])
    return Confusion(both, predicted - both, true - both, height * width - predicted - true + both)


def score_slices(prediction: IntArray | BoolArray, reference: IntArray | BoolArray) -> list[SliceMetrics]:
    """Per-slice overlap of liver (labels 1 and 2) and tumour (label 2), in that order.

    Takes label maps (Z, Y, X): 0 background, 1 liver, 2 tumour. ValueError names both shapes if they differ.
    """
    check_label_maps(prediction, reference)
    if prediction.ndim != 3:
        raise ValueError(f"slices are scored in (Z, Y, X) label maps, not in {prediction.shape}")
    pair = crop_pair(prediction, reference, (1.0, 1.0, 1.0))
    return [_slice_metrics(label, _count_slices(pair, label)) for label in LABELS]


def _slice_metrics(label: str, counts: Confusion) -> SliceMetrics:
    predicted, true = np.asarray(counts.prediction), np.asarray(counts.reference)
    return SliceMetrics(
        label=label,
        dice=np.asarray(dice(counts)),
        iou=np.asarray(iou(counts)),
        sensitivity=np.asarray(sensitivity(counts)),
        precision=np.asarray(precision(counts)),
        reference_pixels=true,
        prediction_pixels=predicted,
        false_positive_on_empty=np.where(true == 0, predicted, 0),
    )
