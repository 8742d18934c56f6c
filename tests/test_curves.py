"""Precision and recall from the kept bytes are what they are from the probabilities themselves."""

import numpy as np
import pytest

from livdemo.curves import LOWEST_KNOWN, curves_of
from livdemo.metrics import precision_recall
from livdemo.rescoring import Quantised, Rule, quantise, relabel
from tests.test_rescoring import SPACING, random_probabilities


@pytest.fixture
def probabilities() -> np.ndarray:
    maps = random_probabilities(7, shape=(6, 20, 18))
    maps[:, :, :4] = np.array([1, 0, 0], np.float32)[:, None, None, None]  # certain background: nothing is kept there
    return maps


@pytest.fixture
def reference(probabilities: np.ndarray) -> np.ndarray:
    """Drawn from the probabilities, and some liver and tumour where they say there is none."""
    drawn = np.random.default_rng(3).random(probabilities.shape[1:])
    label_map = (drawn > probabilities[0]).astype(np.uint8) + (drawn > probabilities[0] + probabilities[1])
    label_map[2:4, 1:3, 1:3] = 2
    return label_map.astype(np.uint8)


def test_they_are_the_curves_of_the_probabilities(probabilities: np.ndarray, reference: np.ndarray) -> None:
    kept = Quantised.pack(quantise(probabilities))
    assert kept.inside.size < reference.size
    liver, tumour = curves_of(kept, reference)
    for curve, scores, truth in (
        (liver, probabilities[1] + probabilities[2], reference >= 1),
        (tumour, probabilities[2], reference == 2),
    ):
        exact = precision_recall(np.clip(scores, 0, 1), truth, levels=255)
        known = (exact.thresholds >= LOWEST_KNOWN) & (exact.thresholds < 1)
        np.testing.assert_allclose(curve.recall[known], exact.recall[known], atol=0.02)
        np.testing.assert_allclose(curve.precision[known], exact.precision[known], atol=0.05)
        assert curve.area == pytest.approx(exact.area, abs=0.01)
        assert curve.chance == exact.chance
        assert (curve.recall[0], curve.precision[0]) == (1, pytest.approx(curve.chance))


def test_the_livers_mask_lies_on_its_curve(probabilities: np.ndarray, reference: np.ndarray) -> None:
    kept = Quantised.pack(quantise(probabilities))
    mask = relabel(kept, SPACING, Rule(largest_component=False)) >= 1
    (liver,) = curves_of(kept, reference, labels=1)
    at_half = 128  # code 128 of 255 is the lowest above 0.5
    assert liver.recall[at_half] == pytest.approx((mask & (reference >= 1)).sum() / (reference >= 1).sum())
    assert liver.precision[at_half] == pytest.approx((mask & (reference >= 1)).sum() / mask.sum())


def test_nothing_kept_finds_nothing(reference: np.ndarray) -> None:
    empty = Quantised.pack(np.zeros((2, *reference.shape), np.uint8))
    liver, tumour = curves_of(empty, reference)
    assert liver.recall[1:].max() == 0
    assert tumour.area == pytest.approx(tumour.chance)
    with pytest.raises(ValueError, match=r"reference of \(2, 2, 2\)"):
        curves_of(empty, np.zeros((2, 2, 2), np.uint8))
