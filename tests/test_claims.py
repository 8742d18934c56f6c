"""The claim checker against numbers that PAPERS.md worked out from the five papers."""

import math

import pytest

from livdemo.metrics.claims import (
    CANNOT,
    HOLDS,
    POSSIBLE,
    background_only_mean_iou,
    check_accuracy,
    check_background_only,
    check_convolution_size,
    check_dice_and_iou,
    check_double_sigmoid,
    check_mean_dice_and_iou,
    check_psnr_and_accuracy,
    convolution_size,
    dice_from_iou,
    double_sigmoid_floor,
    iou_from_dice,
)


def test_dice_and_iou_of_one_pair_are_inverse():
    assert iou_from_dice(0.5) == pytest.approx(1 / 3)
    assert dice_from_iou(1 / 3) == pytest.approx(0.5)
    for value in (0.0, 0.3, 1.0):
        assert dice_from_iou(iou_from_dice(value)) == pytest.approx(value)


def test_ltnet_cannot_be_one_mask_pair():
    found = check_dice_and_iou(0.9733, 0.9705)
    assert found.verdict == CANNOT
    assert found.figures["implied_iou"] == pytest.approx(0.9480, abs=5e-5)
    assert found.figures["implied_dice"] == pytest.approx(0.9850, abs=5e-5)
    assert "0.9480" in found.sentence


def test_ltnet_is_possible_as_means_with_one_answer():
    found = check_mean_dice_and_iou(0.9733, 0.9705)
    assert found.verdict == POSSIBLE
    assert found.figures["poor_iou"] == pytest.approx(0.105, abs=5e-4)
    assert found.figures["poor_dice"] == pytest.approx(0.190, abs=5e-4)
    assert found.figures["poor_share"] == pytest.approx(0.033, abs=5e-4)
    assert "96.7%" in found.sentence


def test_the_mixture_gives_back_the_means_it_was_solved_from():
    figures = check_mean_dice_and_iou(0.8, 0.7).figures
    q, d, j = figures["poor_share"], figures["poor_dice"], figures["poor_iou"]
    assert (1 - q) + q * d == pytest.approx(0.8)
    assert (1 - q) + q * j == pytest.approx(0.7)
    assert j == pytest.approx(iou_from_dice(d))


@pytest.mark.parametrize(
    ("dice", "iou", "verdict"),
    [
        (0.8, 0.6667, HOLDS),  # every item alike
        (0.8, 0.66, CANNOT),  # below the curve: no items can do that
        (0.8, 0.81, CANNOT),  # an IoU above its Dice
        (0.5, 0.5, POSSIBLE),  # half the items perfect, half missed
        (1.0, 1.0, HOLDS),
        (1.0, 0.99, CANNOT),
        (0.0, 0.0, HOLDS),
    ],
)
def test_means_lie_between_the_curve_and_its_chord(dice, iou, verdict):
    assert check_mean_dice_and_iou(dice, iou).verdict == verdict


def test_rounding_is_forgiven_and_no_more():
    assert check_dice_and_iou(0.97, 0.95, decimals=2).verdict == HOLDS  # 0.9417 to 0.9512 round to .94 or .95
    assert check_dice_and_iou(0.97, 0.95, decimals=4).verdict == CANNOT
    assert check_dice_and_iou(0.8, 0.6667).verdict == HOLDS


def test_background_only_reproduces_unetpp():
    assert background_only_mean_iou(0.906) == pytest.approx(0.302)
    found = check_background_only(0.3021, 0.906)
    assert found.verdict == POSSIBLE
    assert "no evidence" in found.sentence
    assert check_background_only(0.4641, 0.906).verdict == HOLDS
    assert background_only_mean_iou(0.9, classes=2) == pytest.approx(0.45)


def test_accuracy_under_imbalance():
    # 0.14 % of the voxels wrong; with 1 % foreground up to 14 % of it may be missed, with 0.1 % all of it.
    better = check_accuracy(0.9986, 0.01)
    assert better.verdict == HOLDS
    assert better.figures["largest_missed_share"] == pytest.approx(0.14)
    worthless = check_accuracy(0.9986, 0.001)
    assert worthless.verdict == POSSIBLE
    assert worthless.figures["largest_missed_share"] == 1.0
    assert worthless.figures["accuracy_of_nothing"] == pytest.approx(0.999)


@pytest.mark.parametrize(("share", "floor"), [(0.10, 0.688), (0.15, 0.649), (0.20, 0.614)])
def test_double_sigmoid_floor(share, floor):
    assert double_sigmoid_floor(share) == pytest.approx(floor, abs=5e-4)


def test_double_sigmoid_floor_is_the_least_value_of_the_loss():
    def loss(inside: float, outside: float, f: float = 0.15) -> float:
        p, q = (1 / (1 + math.exp(-1 / (1 + math.exp(-logit)))) for logit in (inside, outside))
        bce = -f * math.log(p) - (1 - f) * math.log(1 - q)
        return 0.3 * (1 - 2 * p * f / (p * f + q * (1 - f) + f)) + 0.7 * bce

    assert loss(40, -40) == pytest.approx(double_sigmoid_floor(0.15))
    assert all(loss(a, b) > double_sigmoid_floor(0.15) for a in (-3, 0, 3) for b in (-3, 0, 3))


def test_the_kvasir_plateau_sits_just_above_the_floor():
    assert check_double_sigmoid(0.7129, 0.15).verdict == POSSIBLE
    assert check_double_sigmoid(0.7129, 0.15).figures["above_floor"] == pytest.approx(0.064, abs=1e-3)
    assert check_double_sigmoid(0.5, 0.15).verdict == CANNOT


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ((224, 7, 3, 2), 112),
        ((572, 3), 570),
        ((5, 5), 1),
        ((10, 3, 1, 1, 1), 10),
        ((10, 3, 2, 1, 2), 10),  # dilation 2 reaches 5
        ((7, 2, 0, 2), 3),  # the last pixel is dropped
    ],
)
def test_convolution_size(arguments, output):
    assert convolution_size(*arguments) == output


def test_convolution_claim_shows_its_arithmetic():
    found = check_convolution_size(224, 112, kernel=7, padding=3, stride=2)
    assert found.verdict == HOLDS
    assert "112.5" in found.arithmetic[1]
    wrong = check_convolution_size(572, 570, kernel=3, padding=1)
    assert wrong.verdict == CANNOT
    assert "572, not 570" in wrong.sentence


def test_psnr_of_ltnet_does_not_fit_its_accuracy():
    found = check_psnr_and_accuracy(25.4429, 0.9986)
    assert found.verdict == CANNOT
    assert found.figures["expected_psnr_db"] == pytest.approx(28.5, abs=0.05)
    assert found.figures["per_wrong_pixel"] == pytest.approx(2.0, abs=0.1)
    assert check_psnr_and_accuracy(28.54, 0.9986).verdict == HOLDS


@pytest.mark.parametrize(
    "call",
    [
        lambda: check_dice_and_iou(97.33, 97.05),
        lambda: check_mean_dice_and_iou(0.9, 90.0),
        lambda: check_dice_and_iou(0.9, 0.8, decimals=-1),
        lambda: background_only_mean_iou(1.2),
        lambda: background_only_mean_iou(0.9, classes=1),
        lambda: check_accuracy(0.99, 0.0),
        lambda: check_accuracy(99.86, 0.01),
        lambda: double_sigmoid_floor(0.0),
        lambda: convolution_size(3, 5),
        lambda: convolution_size(3, 3, stride=0),
        lambda: check_psnr_and_accuracy(25, 1.0),
    ],
)
def test_numbers_that_are_no_such_figure_are_refused(call):
    with pytest.raises(ValueError, match=r"must|does not fit|at least|leaves no error"):
        call()


def test_every_verdict_can_be_read_out():
    for found in (
        check_dice_and_iou(0.9, 0.8182),
        check_mean_dice_and_iou(0.9733, 0.9705),
        check_background_only(0.3, 0.9),
        check_accuracy(0.99, 0.05),
        check_double_sigmoid(0.7, 0.1),
        check_convolution_size(10, 8, kernel=3),
        check_psnr_and_accuracy(20, 0.99),
    ):
        assert found.verdict in (HOLDS, POSSIBLE, CANNOT)
        assert found.arithmetic
        assert found.sentence.endswith(".")
        assert all(isinstance(value, float | int) for value in found.figures.values())
