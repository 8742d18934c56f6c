"""The slice strip on slices that a hand can score, and the way from error to error."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livdemo.agreement import (
    SliceProfile,
    error_peaks,
    next_error,
    next_lesion,
    per_slice,
    profile_of,
    worst_slice,
)
from livdemo.metrics import score_case, score_slices
from livdemo.metrics.lesions import label_lesions

SPACING = (5.0, 0.5, 2.0)  # a pixel is 1 mm²


def rows(*lengths: int, label: int = 2, start: int = 0) -> np.ndarray:
    """A label map (Z, 1, 100) with so many pixels in a row in each slice."""
    label_map = np.zeros((len(lengths), 1, 100), np.uint8)
    for z, length in enumerate(lengths):
        label_map[z, 0, start : start + length] = label
    return label_map


def tumour(prediction: np.ndarray, reference: np.ndarray) -> SliceProfile:
    return per_slice(prediction, reference, SPACING)[1]


def test_a_profile_by_hand() -> None:
    profile = tumour(rows(0, 10, 30, 4, 0), rows(0, 20, 20, 0, 5))
    assert profile.label == "tumour"
    assert profile.dice == pytest.approx([math.nan, 2 / 3, 0.8, 0, 0], nan_ok=True)
    assert profile.reference_mm2.tolist() == [0, 20, 20, 0, 5]
    assert profile.prediction_mm2.tolist() == [0, 10, 30, 4, 0]
    assert profile.false_positive_mm2.tolist() == [0, 0, 10, 4, 0]
    assert profile.false_negative_mm2.tolist() == [0, 10, 0, 0, 5]
    assert profile.false_alarm_mm2.tolist() == [0, 0, 0, 4, 0]
    assert profile.wrong_mm2.tolist() == [0, 10, 10, 4, 5]
    assert profile.pooled_dice == pytest.approx(2 * 30 / (44 + 45))
    assert profile.mean_dice == pytest.approx((2 / 3 + 0.8) / 4)


def test_areas_are_in_square_millimetres() -> None:
    liver, _ = per_slice(rows(4, label=1), rows(6, label=2), (5.0, 0.7, 0.8))
    assert liver.reference_mm2.tolist() == pytest.approx([6 * 0.56])
    assert liver.false_negative_mm2.tolist() == pytest.approx([2 * 0.56])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0, 0.6))
def test_it_is_the_case_cut_into_slices(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    prediction, reference = (np.where(rng.random((4, 5, 6)) < density, rng.integers(1, 3), 0) for _ in range(2))
    for profile, metrics in zip(
        per_slice(prediction, reference, SPACING), score_case(prediction, reference, SPACING), strict=True
    ):
        assert profile.pooled_dice == pytest.approx(metrics.dice, nan_ok=True)
        lowest = 1 if profile.label == "liver" else 2
        wrong = ((prediction >= lowest) != (reference >= lowest)).sum(axis=(1, 2))
        assert profile.wrong_mm2.tolist() == wrong.tolist()
        peaks = error_peaks(profile)
        assert bool(peaks.size) == bool(wrong.any())
        if peaks.size:
            assert wrong.argmax() in peaks
            visited, place = set(), -1
            for _ in peaks:
                place = next_error(profile, place)
                visited.add(place)
            assert visited == set(peaks.tolist())


def test_a_profile_from_scores_that_are_there() -> None:
    prediction, reference = rows(3, 9, 1), rows(5, 9, 0)
    again = profile_of(score_slices(prediction, reference)[1], SPACING)
    assert again.wrong_mm2.tolist() == tumour(prediction, reference).wrong_mm2.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("prediction", "reference", "words"),
    [
        ((50, 50, 2, 2), (50, 50, 0, 0), "in 2 slices the model draws where the reference is empty; each counts 0"),
        ((50, 50, 0), (50, 50, 4), "in 1 slice the model draws nothing where the reference is not empty"),
        ((50, 50, 1, 1), (50, 50, 4, 4), "slices with few pixels score worse"),
        ((30, 4, 4), (60, 4, 4), "large slices score worse"),
        ((20, 20), (30, 30), "no difference"),
        ((0, 0), (0, 0), "Neither the reference nor the model shows a tumour"),
    ],
)
def test_why_the_two_figures_differ(prediction: tuple[int, ...], reference: tuple[int, ...], words: str) -> None:
    assert words in tumour(rows(*prediction), rows(*reference)).gap


def test_the_reason_gives_both_figures_and_the_share() -> None:
    gap = tumour(rows(50, 50, 2), rows(50, 50, 0)).gap
    assert gap == (
        "Pooled Dice 0.990, mean of 3 slices 0.667: in 1 slice the model draws where the reference is empty; "
        "each counts 0 in the mean, together they hold 1.0% of the pixels."
    )


def test_the_worst_slice() -> None:
    profile = tumour(rows(0, 10, 0, 7, 0), rows(0, 20, 5, 0, 0))
    assert worst_slice(profile) == 3  # both 2 and 3 have Dice 0
    assert worst_slice(tumour(rows(0, 0), rows(0, 0))) is None


def test_from_error_to_error() -> None:
    profile = tumour(rows(0, 2, 5, 3, 0, 4, 4, 1, 6), rows(*[0] * 9))
    assert error_peaks(profile).tolist() == [2, 5, 8]
    assert [next_error(profile, k) for k in (0, 2, 4, 5, 8)] == [2, 5, 5, 8, 2]


def test_errors_at_both_ends_and_none_at_all() -> None:
    assert error_peaks(tumour(rows(3, 0, 3), rows(0, 0, 0))).tolist() == [0, 2]
    assert error_peaks(tumour(rows(3, 3, 3), rows(0, 0, 0))).tolist() == [0]
    assert next_error(tumour(rows(4, 4), rows(4, 4)), 0) is None


def test_from_lesion_to_lesion() -> None:
    label_map = np.zeros((6, 10, 10), np.uint8)
    for place in (np.s_[1, 1:3, 1:3], np.s_[4, 1:4, 1:4], np.s_[4, 7:9, 7:9]):
        label_map[place] = 2
    lesions = label_lesions(label_map, SPACING).lesions
    where = (0, 0)
    visited = []
    for _ in range(4):
        found = next_lesion(lesions, *where)
        where = (found.slice_index, found.number)
        visited.append(where)
    assert visited == [(1, 2), (4, 1), (4, 3), (1, 2)]
    assert next_lesion(lesions, 2).slice_index == 4
    assert next_lesion((), 0) is None


def test_label_maps_of_two_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(1, 1, 100\).*\(2, 1, 100\)"):
        per_slice(rows(1), rows(1, 2), SPACING)
