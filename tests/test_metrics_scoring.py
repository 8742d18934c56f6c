"""One row per label: the rules that hold for every figure, and the ways a case can be wrong."""

import dataclasses
import math

import numpy as np
import pytest

from livdemo.metrics import DEFINITIONS, LabelMetrics, score_case, score_mask, score_slices

SPACING = (2.5, 1.0, 2.0)
OVERLAPS = ("dice", "iou", "sensitivity", "precision", "nsd", "boundary_iou")
DISTANCES = ("hd_mm", "hd95_mm", "assd_mm")


def labels(shape: tuple[int, ...] = (6, 8, 10)) -> np.ndarray:
    """Liver 4x4x4 with a tumour of 2x2x2 in its corner."""
    label_map = np.zeros(shape, np.uint8)
    label_map[1:5, 1:5, 1:5] = 1
    label_map[1:3, 1:3, 1:3] = 2
    return label_map


def rows(prediction: np.ndarray, reference: np.ndarray, **options: float) -> tuple[LabelMetrics, LabelMetrics]:
    liver, tumour = score_case(prediction, reference, SPACING, **options)
    assert (liver.label, tumour.label) == ("liver", "tumour")
    return liver, tumour


def test_a_case_scored_against_itself_is_perfect():
    for row in rows(labels(), labels()):
        assert row.state == "ok"
        assert [getattr(row, name) for name in OVERLAPS] == [1.0] * len(OVERLAPS)
        assert [getattr(row, name) for name in DISTANCES] == [0.0] * len(DISTANCES)
        assert row.volume_difference == 0.0


def test_tumour_counts_as_liver():
    # All of the tumour taken for liver: the liver is still found whole, the tumour not at all.
    liver, tumour = rows(np.minimum(labels(), 1), labels())
    assert liver.dice == 1.0
    assert tumour.state == "prediction empty"
    assert tumour.dice == 0.0


def test_volumes_are_in_millilitres():
    liver, tumour = rows(np.minimum(labels(), 1), labels())
    assert liver.volume_ml == pytest.approx(64 * 5 / 1000)
    assert tumour.reference_volume_ml == pytest.approx(8 * 5 / 1000)
    assert tumour.volume_difference == -1.0


def test_relative_volume_difference_has_a_sign():
    larger = labels()
    larger[1:5, 1:5, 5] = 1
    liver, _ = rows(larger, labels())
    assert liver.volume_difference == pytest.approx(16 / 64)
    assert rows(labels(), larger)[0].volume_difference == pytest.approx(-16 / 80)


@pytest.mark.parametrize("missing", ["prediction", "reference"])
def test_exactly_one_empty_mask_is_a_miss_in_every_figure(missing):
    empty = np.zeros_like(labels())
    pair = (empty, labels()) if missing == "prediction" else (labels(), empty)
    diagonal = math.dist((0, 0, 0), (6 * 2.5, 8 * 1.0, 10 * 2.0))
    for row in rows(*pair):
        assert row.state == f"{missing} empty"
        assert [getattr(row, name) for name in OVERLAPS] == [0.0] * len(OVERLAPS)
        assert [getattr(row, name) for name in DISTANCES] == [pytest.approx(diagonal)] * len(DISTANCES)


def test_both_empty_leaves_volumes_and_nothing_else():
    empty = np.zeros_like(labels())
    for row in rows(empty, empty):
        assert row.state == "both empty"
        defined = {name for name in DEFINITIONS if not math.isnan(getattr(row, name))}
        assert defined == {"volume_ml", "reference_volume_ml", "tolerance_mm"}


def test_a_wrong_spacing_order_changes_the_millimetres():
    moved = np.roll(labels(), 1, axis=0)
    assert score_case(moved, labels(), (2.5, 1, 1))[0].hd_mm == 2.5
    assert score_case(moved, labels(), (1, 1, 2.5))[0].hd_mm == 1.0


def test_tolerance_is_kept_beside_the_figures_it_decides():
    moved = np.roll(labels(), 1, axis=0)
    strict, lenient = rows(moved, labels(), nsd_tolerance_mm=1.0)[0], rows(moved, labels())[0]
    wide = rows(moved, labels(), nsd_tolerance_mm=2.5)[0]
    assert (strict.tolerance_mm, lenient.tolerance_mm) == (1.0, 2.0)
    assert strict.nsd < 1.0
    assert wide.nsd == 1.0


def test_every_figure_is_the_same_for_every_integer_type():
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 3, (2, 5, 6, 7))
    expected = score_case(prediction, reference, SPACING)
    for kind in (np.uint8, np.int16, np.uint64):
        assert score_case(prediction.astype(kind), reference.astype(kind), SPACING) == expected


def test_bool_means_liver():
    whole = labels() > 0
    liver, tumour = score_case(whole, whole, SPACING)
    assert liver.dice == 1.0
    assert tumour.state == "both empty"


def test_a_slice_has_no_volume_but_all_the_rest():
    flat = score_case(labels()[1], labels()[1], (1.0, 2.0))[0]
    assert flat.dice == 1.0
    assert flat.hd_mm == 0.0
    assert math.isnan(flat.volume_ml)


def test_a_single_slice_scores_alike_in_two_and_three_dimensions():
    rng = np.random.default_rng(2)
    prediction, reference = rng.integers(0, 3, (2, 9, 9))
    flat = score_case(prediction, reference, (1.0, 2.0))
    deep = score_case(prediction[None], reference[None], (5.0, 1.0, 2.0))
    for a, b in zip(flat, deep, strict=True):
        for name in (*OVERLAPS, *DISTANCES):
            assert getattr(a, name) == getattr(b, name), name


def test_a_mask_alone_scores_as_the_label_it_is():
    rng = np.random.default_rng(4)
    prediction, reference = rng.integers(0, 3, (2, 5, 6, 7))
    row = score_mask(prediction == 2, reference == 2, SPACING, label="tumour")
    assert row == score_case(prediction, reference, SPACING)[1]


def test_inputs_are_left_as_they_were():
    prediction, reference = labels(), np.roll(labels(), 1, axis=2)
    score_case(prediction, reference, SPACING)
    np.testing.assert_array_equal(prediction, labels())
    np.testing.assert_array_equal(reference, np.roll(labels(), 1, axis=2))


def test_random_cases_keep_every_figure_in_its_range():
    rng = np.random.default_rng(8)
    for _ in range(40):
        shape = tuple(rng.integers(1, 7, 3))
        density = rng.random(2)
        maps = [rng.choice(3, size=shape, p=[1 - d, d * 0.7, d * 0.3]) for d in density]
        for row in score_case(*maps, SPACING):
            for name, definition in DEFINITIONS.items():
                value = getattr(row, name)
                assert not math.isinf(value), name
                if definition.unit == "" and definition.better == "higher" and not math.isnan(value):
                    assert 0.0 <= value <= 1.0, name
                if definition.unit == "mm" and not math.isnan(value):
                    assert value >= 0.0, name
            if row.state == "ok":
                assert row.hd_mm >= row.hd95_mm
                assert row.hd_mm >= row.assd_mm
                assert row.dice == pytest.approx(2 * row.iou / (1 + row.iou))


def test_swapping_the_masks_swaps_sensitivity_and_precision_and_nothing_symmetric():
    rng = np.random.default_rng(9)
    a, b = rng.integers(0, 3, (2, 5, 6, 7))
    for one, two in zip(score_case(a, b, SPACING), score_case(b, a, SPACING), strict=True):
        for name in ("dice", "iou", "accuracy", *DISTANCES, "nsd", "boundary_iou"):
            assert getattr(one, name) == pytest.approx(getattr(two, name)), name
        assert one.sensitivity == two.precision


def test_every_figure_has_a_definition_and_every_definition_a_figure():
    figures = {field.name for field in dataclasses.fields(LabelMetrics)} - {"label", "state"}
    assert figures == set(DEFINITIONS)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_say_everything_the_hover_text_needs(name):
    title, unit, better, sentence, source = DEFINITIONS[name]
    assert title
    assert source
    assert better in ("higher", "lower", "nearer 0", "")
    assert sentence.endswith(".")
    assert len(sentence) < 200
    for ending, expected in (("_mm", "mm"), ("_ml", "mL"), ("_db", "dB")):
        assert (unit == expected) == name.endswith(ending)


@pytest.mark.parametrize(
    ("prediction", "reference", "complaint"),
    [
        (np.zeros((2, 3, 4), np.uint8), np.zeros((2, 4, 3), np.uint8), r"\(2, 3, 4\).*\(2, 4, 3\)"),
        (np.zeros((2, 3, 4), np.uint8), np.zeros((3, 4), np.uint8), r"\(2, 3, 4\).*\(3, 4\)"),
        (np.zeros((1, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8), r"\(1, 3, 4\).*\(2, 3, 4\)"),
        (np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), "float64"),
        (np.full((2, 3, 4), 3, np.uint8), np.zeros((2, 3, 4), np.uint8), "from 3 to 3"),
        (np.zeros((2, 3, 4), np.int8), np.full((2, 3, 4), -1, np.int8), "reference.*from -1 to -1"),
        (np.zeros(4, np.uint8), np.zeros(4, np.uint8), "2 or 3 axes"),
        ([[[0]]], np.zeros((1, 1, 1), np.uint8), "numpy array"),
    ],
)
def test_what_is_not_a_pair_of_label_maps_is_refused(prediction, reference, complaint):
    with pytest.raises(ValueError, match=complaint):
        score_case(prediction, reference, SPACING[: np.ndim(prediction)])
    if np.ndim(prediction) == 3:
        with pytest.raises(ValueError, match=complaint):
            score_slices(prediction, reference)


@pytest.mark.parametrize("tolerance", [-1.0, math.inf, math.nan])
def test_a_tolerance_must_be_a_distance(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        score_case(labels(), labels(), SPACING, nsd_tolerance_mm=tolerance)
