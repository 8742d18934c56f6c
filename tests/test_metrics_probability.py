"""The precision-recall curve, on scores that can be ranked by eye."""

import math

import numpy as np
import pytest

from livdemo.metrics import precision_recall

# Ranked: true at .9, false at .8, true at .6, false at .3.
SCORES = np.array([[0.9, 0.8], [0.6, 0.3]])
TRUTH = np.array([[True, False], [True, False]])


def test_curve_and_area_of_four_voxels():
    curve = precision_recall(SCORES, TRUTH, levels=10)
    np.testing.assert_allclose(curve.thresholds, np.arange(11) / 10)
    np.testing.assert_allclose(curve.recall, [1] * 7 + [0.5] * 3 + [0])
    np.testing.assert_allclose(curve.precision, [0.5, 0.5, 0.5, 0.5, 2 / 3, 2 / 3, 2 / 3, 0.5, 0.5, 1, np.nan])
    # Recall rises by a half at precision 1 and by a half at precision 2/3.
    assert curve.area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert curve.chance == 0.5


def test_perfect_and_useless_scores():
    assert precision_recall(TRUTH.astype(float), TRUTH).area == 1.0
    assert precision_recall(np.full((2, 2), 0.5), TRUTH).area == 0.5  # no better than chance


def test_a_threshold_is_the_mask_at_or_above_it():
    rng = np.random.default_rng(0)
    scores = rng.random((4, 5, 6)).astype(np.float32)
    truth = rng.random(scores.shape) < scores
    curve = precision_recall(scores, truth, levels=100)
    for level in (0, 37, 99):
        mask = scores >= level / 100
        assert curve.precision[level] == pytest.approx((mask & truth).sum() / mask.sum())
        assert curve.recall[level] == pytest.approx((mask & truth).sum() / truth.sum())


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_scores_on_a_level_reach_it(kind):
    levels = (np.arange(101) / 100).astype(kind)
    curve = precision_recall(levels, np.ones(101, bool), levels=100)
    np.testing.assert_allclose(curve.recall * 101, np.arange(101, 0, -1))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_scores_a_hair_below_a_level_do_not_reach_it(kind):
    levels = (np.arange(1, 101) / 100).astype(kind)
    curve = precision_recall(np.nextafter(levels, kind(0)), np.ones(100, bool), levels=100)
    np.testing.assert_allclose(curve.recall * 100, np.arange(100, -1, -1))


def test_without_reference_there_is_no_curve():
    curve = precision_recall(SCORES, np.zeros_like(TRUTH))
    assert math.isnan(curve.area)
    assert np.isnan(curve.recall).all()
    assert curve.chance == 0.0


@pytest.mark.parametrize(
    ("scores", "truth", "complaint"),
    [
        (SCORES, np.zeros((2, 3), bool), r"\(2, 2\).*\(2, 3\)"),
        (SCORES * 2, TRUTH, r"\[0, 1\]"),
        (np.full((2, 2), np.nan), TRUTH, r"\[0, 1\]"),
        (np.zeros((2, 2), int), TRUTH, "float probabilities"),
        (SCORES, TRUTH.astype(int), "bool reference"),
    ],
)
def test_what_is_not_a_probability_is_refused(scores, truth, complaint):
    with pytest.raises(ValueError, match=complaint):
        precision_recall(scores, truth)
