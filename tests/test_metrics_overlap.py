"""Overlap: every figure from counts that can be done in the head, and the rule of empties."""

import math

import numpy as np
import pytest

from livdemo.metrics import count_confusion, overlap, score_slices
from livdemo.metrics.overlap import Confusion

# 100 voxels: 6 found, 2 invented, 4 missed, 88 rightly left alone.
COUNTS = Confusion(true_positive=6, false_positive=2, false_negative=4, true_negative=88)

FOREGROUND_RATIOS = (overlap.dice, overlap.iou, overlap.sensitivity, overlap.precision)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (overlap.dice, 12 / 18),
        (overlap.iou, 6 / 12),
        (overlap.sensitivity, 6 / 10),
        (overlap.precision, 6 / 8),
        (overlap.specificity, 88 / 90),
        (overlap.accuracy, 94 / 100),
        (overlap.psnr_db, 10 * math.log10(100 / 6)),
    ],
)
def test_measures_of_one_pair(measure, expected):
    assert measure(COUNTS) == pytest.approx(expected)


def test_dice_and_iou_of_one_pair_are_the_same_fact():
    dice, iou = overlap.dice(COUNTS), overlap.iou(COUNTS)
    assert dice == pytest.approx(2 * iou / (1 + iou))


def test_counts_of_two_masks():
    prediction = np.array([[1, 1, 0], [0, 0, 0]], bool)
    reference = np.array([[0, 1, 1], [1, 0, 0]], bool)
    counts = count_confusion(prediction, reference)
    assert (counts.true_positive, counts.false_positive) == (1, 1)
    assert (counts.false_negative, counts.true_negative) == (2, 2)


def test_outside_of_the_box_counts_as_true_negative():
    full = np.ones((2, 2), bool)
    assert count_confusion(full, full, image_voxels=100).true_negative == 96


@pytest.mark.parametrize("measure", FOREGROUND_RATIOS)
@pytest.mark.parametrize("missed", [Confusion(0, 3, 0, 7), Confusion(0, 0, 3, 7)])
def test_exactly_one_empty_mask_scores_zero(measure, missed):
    assert measure(missed) == 0.0


@pytest.mark.parametrize("measure", [*FOREGROUND_RATIOS, overlap.specificity, overlap.accuracy, overlap.psnr_db])
def test_two_empty_masks_are_not_applicable(measure):
    assert math.isnan(measure(Confusion(0, 0, 0, 10)))


def test_background_measures_survive_a_miss():
    missed = Confusion(true_positive=0, false_positive=0, false_negative=3, true_negative=97)
    assert overlap.specificity(missed) == 1.0
    assert overlap.accuracy(missed) == 0.97


def test_specificity_without_background_is_not_applicable():
    assert math.isnan(overlap.specificity(Confusion(10, 0, 0, 0)))


def test_psnr_of_a_perfect_mask_is_not_a_number_rather_than_infinite():
    assert math.isnan(overlap.psnr_db(Confusion(5, 0, 0, 5)))


def test_arrays_of_counts_give_arrays_of_measures():
    counts = Confusion(np.array([6, 0, 0]), np.array([2, 0, 1]), np.array([4, 0, 0]), np.array([88, 9, 9]))
    np.testing.assert_allclose(overlap.dice(counts), [12 / 18, np.nan, 0])
    np.testing.assert_allclose(overlap.precision(counts), [6 / 8, np.nan, 0])


def label_stack() -> tuple[np.ndarray, np.ndarray]:
    """Four slices of 4x4: agreement, a miss, a false alarm, nothing at all."""
    prediction, reference = np.zeros((2, 4, 4, 4), np.uint8)
    prediction[0, 0], reference[0, 0, :2] = 1, 1
    reference[1, 1, 1] = 2
    prediction[2, 2, :3] = 2
    return prediction, reference


def test_slices_follow_the_rule_of_empties():
    liver, tumour = score_slices(*label_stack())
    np.testing.assert_allclose(liver.dice, [4 / 6, 0, 0, np.nan])
    np.testing.assert_allclose(tumour.dice, [np.nan, 0, 0, np.nan])
    np.testing.assert_array_equal(liver.reference_pixels, [2, 1, 0, 0])
    np.testing.assert_array_equal(liver.prediction_pixels, [4, 0, 3, 0])


def test_false_positives_are_counted_on_empty_slices_only():
    liver, tumour = score_slices(*label_stack())
    np.testing.assert_array_equal(liver.false_positive_on_empty, [0, 0, 3, 0])
    np.testing.assert_array_equal(tumour.false_positive_on_empty, [0, 0, 3, 0])


def test_slices_agree_with_scoring_each_slice_alone():
    rng = np.random.default_rng(3)
    prediction, reference = rng.integers(0, 3, (2, 6, 5, 7), dtype=np.uint8)
    liver, tumour = score_slices(prediction, reference)
    for z in range(6):
        assert liver.iou[z] == overlap.iou(count_confusion(prediction[z] >= 1, reference[z] >= 1))
        assert tumour.sensitivity[z] == overlap.sensitivity(count_confusion(prediction[z] == 2, reference[z] == 2))


def test_slices_of_different_shapes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\).*\(2, 3, 5\)"):
        score_slices(np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 5), np.uint8))
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        score_slices(np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        count_confusion(np.zeros(2, bool), np.zeros(3, bool))
