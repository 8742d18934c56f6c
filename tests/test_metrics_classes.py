"""Figures over all classes at once, on counts small enough to do by hand."""

import math
from dataclasses import fields

import numpy as np
import pytest

from livdemo.metrics import CLASS_DEFINITIONS, ClassMetrics, score_classes
from livdemo.metrics.classes import count_classes

# Ten voxels: background 4, liver 4, tumour 2.
REFERENCE = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2]], np.uint8)
PREDICTION = np.array([[0, 0, 0, 1, 1, 1, 1, 2, 2, 0]], np.uint8)


def test_counts_have_the_reference_in_rows():
    np.testing.assert_array_equal(count_classes(PREDICTION, REFERENCE), [[3, 1, 0], [0, 3, 1], [1, 0, 1]])


def test_every_figure_of_a_small_case():
    found = score_classes(PREDICTION, REFERENCE)
    assert found.accuracy == 7 / 10
    assert found.foreground_accuracy == 4 / 6
    background, liver, tumour = 3 / 5, 3 / 5, 1 / 3
    assert found.mean_iou == pytest.approx((background + liver + tumour) / 3)
    assert found.mean_iou_foreground == pytest.approx((liver + tumour) / 2)
    # Two voxels are off by 1, one by 2: squared 1 + 1 + 4 over 10.
    assert found.psnr_of_labels_db == pytest.approx(10 * math.log10(10 / 6))


def test_a_network_that_predicts_background_scores_the_background_share():
    # PAPERS.md 12: mean of (.906, 0, 0) is the .302 that UNet++ was reported with.
    reference = np.zeros((1, 1000), np.uint8)
    reference[0, :60], reference[0, 60:94] = 1, 2
    found = score_classes(np.zeros_like(reference), reference)
    assert found.mean_iou == pytest.approx(0.302)
    assert found.mean_iou_foreground == 0.0
    assert found.foreground_accuracy == 0.0
    assert found.accuracy == pytest.approx(0.906)


def test_foreground_accuracy_forgives_false_positives():
    everything = np.full_like(REFERENCE, 1)
    assert score_classes(everything, np.minimum(REFERENCE, 1)).foreground_accuracy == 1.0


def test_a_class_in_neither_map_is_left_out_of_the_mean():
    without_tumour = np.minimum(REFERENCE, 1)
    found = score_classes(without_tumour, without_tumour)
    assert found.mean_iou == 1.0
    assert found.mean_iou_foreground == 1.0


def test_nothing_but_background_has_no_foreground_figures():
    empty = np.zeros_like(REFERENCE)
    found = score_classes(empty, empty)
    assert found.accuracy == 1.0
    assert math.isnan(found.foreground_accuracy)
    assert math.isnan(found.mean_iou_foreground)
    assert math.isnan(found.psnr_of_labels_db)


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(1, 10\).*\(10, 1\)"):
        score_classes(PREDICTION, REFERENCE.T)


def test_every_figure_has_a_definition():
    assert set(CLASS_DEFINITIONS) == {field.name for field in fields(ClassMetrics)}
    assert all(definition.sentence.endswith(".") for definition in CLASS_DEFINITIONS.values())
