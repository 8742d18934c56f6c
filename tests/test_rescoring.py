"""Labels from cached probabilities: the default is the predictor's answer, and every knob does what it says."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from livdemo.phantom import make_phantom
from livdemo.pieces import largest_piece
from livdemo.predictor import decide
from livdemo.rescoring import Quantised, Rule, quantise, quantise_in_liver, relabel

SPACING = (5.0, 1.0, 2.0)  # a voxel is 0.01 mL
RAW = Rule(largest_component=False)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=0))
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def random_probabilities(seed: int, labels: int = 3, shape: tuple[int, ...] = (5, 14, 12)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return softmax(ndimage.gaussian_filter(rng.standard_normal((labels, *shape)), (0, 1, 1, 1)) * 8)


def cached(probabilities: np.ndarray) -> Quantised:
    return Quantised.pack(quantise(probabilities))


def decided(probabilities: np.ndarray) -> np.ndarray:
    return np.stack([decide(one) for one in probabilities.swapaxes(0, 1)])


def painted(*boxes: tuple[tuple[slice, ...], float, float], shape: tuple[int, int, int] = (4, 12, 12)) -> Quantised:
    """Background, and boxes of (place, p(liver), p(tumour)) painted over it in turn."""
    probabilities = np.zeros((3, *shape), np.float32)
    probabilities[0] = 1
    for place, liver, tumour in boxes:
        for label, p in enumerate((1 - liver - tumour, liver, tumour)):
            probabilities[label][place] = p
    return cached(probabilities)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), labels=st.sampled_from([2, 3]))
def test_the_default_is_the_predictors_label_map(seed: int, labels: int) -> None:
    probabilities = random_probabilities(seed, labels)
    expected = decided(probabilities)
    assert np.array_equal(relabel(cached(probabilities), SPACING, RAW), expected)
    kept = np.where(largest_piece(expected > 0), expected, 0)
    assert np.array_equal(relabel(cached(probabilities), SPACING, Rule()), kept)


def test_the_default_is_exact_on_either_side_of_every_boundary() -> None:
    half = np.float32(0.5)
    below, above = np.nextafter(half, np.float32(0)), np.nextafter(half, np.float32(1))
    background = np.array([below, half, above, 0.4, 0.4, 0.4], np.float32)
    liver = np.array([0.5, 0.5, 0.5, 0.3, np.nextafter(np.float32(0.3), np.float32(1)), 0.3], np.float32)
    tumour = np.array([0, 0, 0, 0.3, 0.3, np.nextafter(np.float32(0.3), np.float32(1))], np.float32)
    probabilities = np.stack([background, liver, tumour])[:, None, None]
    assert relabel(cached(probabilities), SPACING, RAW)[0, 0].tolist() == [1, 0, 0, 1, 1, 2]
    assert np.array_equal(relabel(cached(probabilities), SPACING, RAW), decided(probabilities))


def test_probabilities_come_back_within_a_code() -> None:
    probabilities = random_probabilities(3)
    probabilities[:, :, :3] = np.array([1, 0, 0], np.float32)[:, None, None, None]
    kept = cached(probabilities)
    again = np.stack([kept.probabilities(z) for z in range(len(probabilities[0]))], axis=1)
    known = 1 - probabilities[0] > 0.06
    assert np.abs(again - probabilities)[:, known].max() < 1.5 / 255
    assert again[0, ~known].min() > 0.93
    assert again.sum(axis=0) == pytest.approx(1, abs=1e-6)


def test_only_the_box_is_kept() -> None:
    kept = painted((np.s_[1:3, 4:8, 5:7], 0.9, 0.0), (np.s_[0:1, 0:1, 0:1], 0.04, 0.0))
    assert kept.box == np.s_[1:3, 4:8, 5:7]
    assert kept.nbytes == 2 * 2 * 4 * 2
    assert kept.probabilities(0)[0].min() == 1


def test_a_volume_of_nothing_stays_one() -> None:
    kept = painted()
    assert kept.nbytes == 0
    assert relabel(kept, SPACING, Rule(fill_holes=True, smallest_lesion_ml=1)).shape == (4, 12, 12)
    assert not relabel(kept, SPACING, Rule()).any()


def test_the_liver_threshold() -> None:
    kept = painted((np.s_[:, :, :], 0.2, 0.0), (np.s_[:, 2:10, 2:10], 0.6, 0.0), (np.s_[:, 4:8, 4:8], 0.9, 0.0))
    voxels = {t: int((relabel(kept, SPACING, Rule(liver_threshold=t)) == 1).sum()) for t in (0.1, 0.5, 0.7, 0.95)}
    assert voxels == {0.1: 4 * 144, 0.5: 4 * 64, 0.7: 4 * 16, 0.95: 0}


def test_the_tumour_threshold_asks_for_the_share_of_the_inside() -> None:
    kept = painted((np.s_[:, 2:10, 2:10], 0.9, 0.0), (np.s_[1, 4:6, 4:6], 0.4, 0.2))  # a third of the inside
    assert not (relabel(kept, SPACING, Rule()) == 2).any()
    assert not (relabel(kept, SPACING, Rule(tumour_threshold=0.35)) == 2).any()
    assert (relabel(kept, SPACING, Rule(tumour_threshold=0.3)) == 2).sum() == 4


def test_the_gate_holds_back_tumours_outside_the_liver() -> None:
    kept = painted(
        (np.s_[:, 1:7, 1:7], 0.9, 0.0),
        (np.s_[2, 3:5, 3:5], 0.2, 0.7),
        (np.s_[2, 10:12, 10:12], 0.2, 0.7),  # a piece of its own
        (np.s_[0, 10:12, 10:12], 0.1, 0.3),  # background: the larger of two small ones
    )
    gated, free = (relabel(kept, SPACING, Rule(liver_gate=gate)) for gate in (True, False))
    assert (gated == 2).sum() == 4
    assert (free == 2).sum() == 8
    assert np.array_equal(free > gated, free * (gated == 0) == 2)
    strict = relabel(kept, SPACING, Rule(liver_threshold=0.95, liver_gate=False))
    assert (strict == 2).sum() == 8
    assert not (strict == 1).any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.floats(0.05, 0.95), step=st.floats(0, 0.3))
def test_what_a_knob_adds_it_only_adds(seed: int, threshold: float, step: float) -> None:
    kept = cached(random_probabilities(seed))
    base = relabel(kept, SPACING, Rule(tumour_threshold=threshold, largest_component=False))
    stricter = Rule(tumour_threshold=min(threshold + step, 0.95), largest_component=False)
    assert not ((relabel(kept, SPACING, stricter) == 2) & (base != 2)).any()
    ungated = relabel(kept, SPACING, Rule(tumour_threshold=threshold, largest_component=False, liver_gate=False))
    filled = relabel(kept, SPACING, Rule(tumour_threshold=threshold, largest_component=False, fill_holes=True))
    for looser in (ungated, filled):
        assert (looser >= base).all()


def test_holes_are_filled_slice_by_slice() -> None:
    kept = painted(
        (np.s_[1, 1:11, 1:11], 0.9, 0.0),
        (np.s_[1, 2:4, 2:4], 0.1, 0.0),  # a hole of the liver
        (np.s_[1, 5:10, 5:10], 0.1, 0.8),
        (np.s_[1, 7, 7], 0.9, 0.0),  # a hole of the tumour
    )
    plain, filled = (relabel(kept, SPACING, Rule(fill_holes=fill)) for fill in (False, True))
    assert plain[1, 2, 2] == 0
    assert plain[1, 7, 7] == 1
    assert filled[1, 2, 2] == 1
    assert filled[1, 7, 7] == 2
    assert (filled > 0).sum() == 100


def test_lesions_below_the_smallest_become_liver() -> None:
    kept = painted(
        (np.s_[:, :, :], 0.9, 0.0),
        (np.s_[0, 1:3, 1:3], 0.1, 0.8),  # 0.04 mL
        (np.s_[2:4, 6:9, 6:9], 0.1, 0.8),  # 0.18 mL
    )
    voxels = [
        int((relabel(kept, SPACING, Rule(smallest_lesion_ml=ml)) == 2).sum()) for ml in (0, 0.04, 0.05, 0.18, 0.2)
    ]
    assert voxels == [22, 22, 18, 18, 0]
    assert relabel(kept, SPACING, Rule(smallest_lesion_ml=0.05))[0, 1, 1] == 1


def test_the_codes_of_a_cascade_give_the_cascades_labels() -> None:
    liver = np.zeros((3, 6, 6), bool)
    liver[:, 1:5, 1:5] = True
    p_tumour = np.random.default_rng(1).random(liver.shape, np.float32)
    expected = np.where(liver, np.where(p_tumour > 0.5, 2, 1), 0)
    assert np.array_equal(relabel(Quantised.pack(quantise_in_liver(liver, p_tumour)), SPACING, RAW), expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"liver_threshold": 0.01},
        {"tumour_threshold": 1.0},
        {"smallest_lesion_ml": -1.0},
        {"neck_mm": np.inf},
        {"liver_threshold": np.nan},
    ],
)
def test_a_rule_that_is_none(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rule(**wrong)


def test_a_rule_says_what_it_does() -> None:
    assert Rule().describe() == (
        "liver and tumour where their probabilities sum to more than 0.5; tumour where it is the larger; "
        "largest connected piece kept"
    )
    changed = Rule(0.4, 0.3, largest_component=False, liver_gate=False, fill_holes=True, smallest_lesion_ml=0.25)
    for words in ("more than 0.4", "more than 0.3 of", "holes filled", "outside the liver", "below 0.25 mL"):
        assert words in changed.describe()
    assert "largest" not in changed.describe()
    assert Rule(neck_mm=28).describe().endswith("kept; what hangs on it by a neck thinner than 28 mm cut off")
    assert "neck" not in Rule(neck_mm=28, largest_component=False).describe(), "no largest piece that it could hang on"


def test_every_knob_at_once_is_quick() -> None:
    """A slider has to follow the hand: 200 ms of processor time for 100×256×256."""
    phantom = make_phantom(seed=0, shape=(100, 256, 256))
    logits = np.stack([(phantom.label_map == label) * 4.0 for label in range(3)]).astype(np.float32)
    kept = cached(softmax(ndimage.gaussian_filter(logits, (0, 1, 2, 2))))
    rule = Rule(0.4, 0.4, fill_holes=True, liver_gate=False, smallest_lesion_ml=0.1)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        label_map = relabel(kept, phantom.spacing_mm, rule)
        seconds.append(time.process_time() - began)
    assert (label_map == 2).any()
    assert min(seconds) < 0.2
