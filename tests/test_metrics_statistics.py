"""Statistics over cases, on lists short enough to check by hand."""

import dataclasses
import math

import numpy as np
import pytest

from livdemo.metrics import LabelMetrics, score_case
from livdemo.metrics.statistics import (
    MIN_CASES,
    bootstrap_mean,
    compare_models,
    holm,
    pooled_dice,
    rank_models,
    summarise,
)

NAN = math.nan


def liver_row(found: int, predicted: int, true: int) -> LabelMetrics:
    """Row of a case with so many shared, predicted and reference voxels in a line of 1 mm voxels."""
    prediction, reference = np.zeros((2, 1, 1, 60), np.uint8)
    prediction[..., :predicted] = 1
    reference[..., predicted - found : predicted - found + true] = 1
    return score_case(prediction, reference, (1, 1, 1))[0]


def test_mean_and_interval_bracket_each_other():
    scores = [0.9, 0.8, 0.7, 0.95, 0.6, 0.85]
    for method in ("BCa", "percentile"):
        found = bootstrap_mean(scores, method=method)
        assert found.low < found.mean < found.high
        assert found.mean == pytest.approx(0.8)
        assert (found.n, found.method) == (6, method)


def test_percentile_interval_of_two_cases_can_be_worked_out():
    # Means of two draws from {0, 1}: 0 with chance 1/4, 1 with chance 1/4.
    found = bootstrap_mean([0.0, 1.0], level=0.6, method="percentile")
    assert (found.low, found.high) == (0.0, 1.0)
    narrow = bootstrap_mean([0.0, 1.0], level=0.4, method="percentile")
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(100):
        found = bootstrap_mean(rng.normal(0.5, 0.1, 60), level=0.9, seed=trial, resamples=500)
        covered += found.low <= 0.5 <= found.high
    assert 80 <= covered <= 98


def test_same_seed_same_interval():
    scores = [0.2, 0.4, 0.9, 0.7, 0.5]
    assert bootstrap_mean(scores, seed=3) == bootstrap_mean(scores, seed=3)
    assert bootstrap_mean(scores, seed=3) != bootstrap_mean(scores, seed=4)


def test_what_is_not_applicable_is_left_out_and_few_cases_are_said():
    found = bootstrap_mean([0.5, NAN, 0.7])
    assert found.mean == pytest.approx(0.6)
    assert found.n == 2
    assert "2 cases" in found.reason
    assert bootstrap_mean(np.linspace(0, 1, 60)).reason == ""


@pytest.mark.parametrize(
    ("scores", "mean", "word"),
    [([], NAN, "no case"), ([NAN], NAN, "no case"), ([0.4], 0.4, "one case")],
)
def test_below_two_cases_there_is_a_reason_and_no_interval(scores, mean, word):
    found = bootstrap_mean(scores)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.low)
    assert word in found.reason


def test_equal_scores_have_an_interval_without_width():
    found = bootstrap_mean([0.5] * 7)
    assert (found.low, found.high) == (0.5, 0.5)
    assert "same" in found.reason


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({"level": 1.0}, "level"), ({"method": "median"}, "method"), ({"scores": [1, math.inf]}, "finite")],
)
def test_options_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        bootstrap_mean(**{"scores": [0.1, 0.2], **options})


def test_summary_keeps_misses_and_counts_the_rest():
    rows = [
        liver_row(10, 10, 10),  # perfect
        liver_row(0, 0, 10),  # missed
        liver_row(0, 10, 0),  # false alarm
        liver_row(0, 0, 0),  # nothing to find, nothing claimed
    ]
    found = summarise(rows, "dice")
    assert found.interval.mean == pytest.approx(1 / 3)
    assert (found.n, found.n_empty, found.n_missed, found.n_false_alarm) == (3, 1, 1, 1)
    assert (found.median, found.worst, found.label) == (0.0, 0.0, "liver")
    assert found.sd == pytest.approx(math.sqrt(1 / 3))
    distance = summarise(rows, "hd95_mm")
    assert distance.worst == pytest.approx(math.hypot(60, 1, 1))
    assert distance.interval.mean == pytest.approx(2 * math.hypot(60, 1, 1) / 3)


def test_summary_of_nothing_but_empty_cases():
    found = summarise([liver_row(0, 0, 0)] * 3, "dice")
    assert (found.n, found.n_empty) == (0, 3)
    assert math.isnan(found.interval.mean)
    assert math.isnan(found.worst)


def test_summary_refuses_mixed_labels_and_figures_without_direction():
    rows = score_case(np.ones((1, 2, 2), np.uint8), np.ones((1, 2, 2), np.uint8), (1, 1, 1))
    with pytest.raises(ValueError, match=r"liver.*tumour"):
        summarise(rows, "dice")
    with pytest.raises(ValueError, match="none"):
        summarise([], "dice")
    with pytest.raises(ValueError, match="volume_ml"):
        summarise(rows[:1], "volume_ml")


def test_pooled_dice_weighs_by_volume_and_the_mean_does_not():
    # A large lesion half found and a small one missed: per case (2/3 + 0) / 2, pooled 40 of 64.
    large, small = liver_row(20, 20, 40), liver_row(0, 0, 4)
    assert np.mean([large.dice, small.dice]) == pytest.approx(1 / 3)
    assert pooled_dice([large, small]) == pytest.approx(40 / 64)
    assert pooled_dice([large, liver_row(0, 0, 0)]) == pytest.approx(large.dice)
    assert math.isnan(pooled_dice([liver_row(0, 0, 0)]))


def test_holm_by_hand():
    # Sorted .01 .02 .04 times 3, 2, 1 gives .03 .04 .04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_leaves_out_tests_that_were_not_made():
    corrected = holm([0.01, NAN, 0.02])
    assert corrected[0] == pytest.approx(0.02)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.02)


def test_wilcoxon_of_a_model_that_always_wins():
    # Six cases, all differences positive and distinct: the exact two-sided p is 2 / 2**6.
    a = [0.9, 0.8, 0.85, 0.7, 0.95, 0.6]
    b = [x - 0.01 * (k + 1) for k, x in enumerate(a)]
    (pair,) = compare_models({"a": a, "b": b}, "dice")
    assert (pair.model, pair.other, pair.n, pair.reason) == ("a", "b", 6, "")
    assert pair.p == pytest.approx(2 / 2**6)
    assert pair.p_holm == pair.p
    assert pair.mean_difference == pytest.approx(0.035)
    assert pair.interval.low > 0


def test_three_models_are_corrected_together():
    rng = np.random.default_rng(0)
    scores = {name: (rng.random(12) + shift).tolist() for name, shift in (("a", 0), ("b", 0.1), ("c", 2))}
    pairs = compare_models(scores, "dice")
    assert [(pair.model, pair.other) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.p_holm for pair in pairs] == pytest.approx(holm([pair.p for pair in pairs]))
    assert max(pairs[1].p_holm, pairs[2].p_holm) < 0.05


def test_no_test_below_five_cases():
    (pair,) = compare_models({"a": [1, 2, 3, 4], "b": [0, 1, 2, 3]}, "dice")
    assert math.isnan(pair.p)
    assert math.isnan(pair.p_holm)
    assert pair.mean_difference == 1.0
    assert "4 cases" in pair.reason
    assert str(MIN_CASES) in pair.reason


def test_equal_models_differ_in_nothing():
    (pair,) = compare_models({"a": [0.5] * 6, "b": [0.5] * 6}, "dice")
    assert (pair.p, pair.p_holm, pair.mean_difference) == (1.0, 1.0, 0.0)


def test_a_false_alarm_does_not_vanish_from_the_comparison():
    # Case 0: nothing to find; a said nothing (n/a), b raised a false alarm (0). Case 1: both said nothing.
    a = [NAN, NAN, 0.8, 0.8, 0.8, 0.8]
    b = [0.0, NAN, 0.8, 0.8, 0.8, 0.8]
    (pair,) = compare_models({"a": a, "b": b}, "dice")
    assert (pair.n, pair.n_left_out, pair.n_filled) == (5, 1, 1)
    assert pair.mean_difference == pytest.approx(1 / 5)


def test_lists_must_be_of_the_same_cases():
    with pytest.raises(ValueError, match=r"'a': 3.*'b': 2"):
        compare_models({"a": [1, 2, 3], "b": [1, 2]}, "dice")
    with pytest.raises(ValueError, match=r"'a': 3.*'b': 2"):
        rank_models({"a": [1, 2, 3], "b": [1, 2]}, "dice")


def test_ranking_of_models_that_never_change_places():
    scores = {"worst": [0.1] * 5, "best": [0.9] * 5, "middle": [0.5] * 5}
    found = rank_models(scores, "dice")
    assert found.ranked
    assert found.order == ("best", "middle", "worst")
    assert found.share["best"] == (1.0, 0.0, 0.0)
    assert found.share["worst"] == (0.0, 0.0, 1.0)
    assert rank_models(scores, "hd95_mm").order == ("worst", "middle", "best")


def test_ranking_shows_how_shaky_a_lead_is():
    # b wins four cases narrowly and loses one by a lot: on average a leads, but not in every draw.
    scores = {"a": [0.5, 0.5, 0.5, 0.5, 0.9], "b": [0.55, 0.55, 0.55, 0.55, 0.1]}
    found = rank_models(scores, "dice")
    assert found.order == ("a", "b")
    # Only draws without the last case favour b: (4/5)**5 = 0.328 of them.
    assert found.share["b"][0] == pytest.approx(0.8**5, abs=0.03)
    assert found == rank_models(scores, "dice")


def test_models_that_tie_share_the_better_place():
    found = rank_models({"a": [0.5] * 5, "b": [0.5] * 5, "c": [0.1] * 5}, "dice")
    assert found.share["a"] == found.share["b"] == (1.0, 0.0, 0.0)
    assert found.share["c"] == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(("n", "words"), [(0, "0 cases"), (1, "1 case:"), (4, "4 cases")])
def test_nothing_is_ranked_below_five_cases_and_the_reason_is_said(n, words):
    found = rank_models({"a": [0.9] * n, "b": [0.1] * n}, "dice")
    assert not found.ranked
    assert found.order == ()
    assert words in found.reason


def test_cases_without_anything_to_score_do_not_count_towards_the_five():
    found = rank_models({"a": [0.9] * 4 + [NAN], "b": [0.1] * 4 + [NAN]}, "dice")
    assert (found.ranked, found.n) == (False, 4)


def test_a_distance_is_ranked_the_other_way_and_a_silence_counts_as_none():
    far, silent = [9.0] * 5, [9.0] * 4 + [NAN]
    found = rank_models({"far": far, "silent": silent}, "hd_mm")
    assert found.order == ("silent", "far")
    assert found.mean["silent"] == pytest.approx(36 / 5)


@pytest.mark.parametrize("metric", ["volume_ml", "volume_difference", "psnr_db", "beauty"])
def test_models_are_compared_by_figures_with_a_best_value_only(metric):
    with pytest.raises(ValueError, match=metric):
        rank_models({"a": [1.0]}, metric)
    with pytest.raises(ValueError, match=metric):
        compare_models({"a": [1.0]}, metric)


def test_results_are_plain_data():
    for result in (
        bootstrap_mean([0.1, 0.2]),
        summarise([liver_row(5, 5, 5)], "dice"),
        rank_models({"a": [0.1] * 5}, "dice"),
    ):
        assert dataclasses.asdict(result)
