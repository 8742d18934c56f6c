"""Losses by hand, on pixels whose probabilities are written out."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from livdemo.models.aunet import DEEP_SUPERVISION
from train.losses import (
    LOSSES,
    S1_WEIGHTS,
    S3_WEIGHTS_IN_LIVER,
    Loss,
    cross_entropy,
    deep_supervision,
    dice,
    dice_and_cross_entropy,
    generalised_cross_entropy,
    house,
    mixed_cross_entropy,
    mixed_dice,
    noise_aware,
    noise_weight,
    soft_dice,
    weighted_cross_entropy,
)

FULL, UNION = torch.tensor([True]), torch.tensor([False])
IMAGE = torch.zeros(1, 1, 1, 2)
# Two pixels: liver-ish background, and a tumour.
TWO = ((0.5, 0.25, 0.25), (0.2, 0.2, 0.6))
EVERY = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
THREE_LABELS = pytest.mark.parametrize(
    "loss", [loss for name, loss in LOSSES.items() if "in_liver" not in name], ids=lambda loss: loss.__name__
)


def _logits(*probabilities: tuple[float, ...]) -> Tensor:
    """One row of pixels with these probabilities: (1, K, 1, W)."""
    return torch.tensor(probabilities).log().T[None, :, None, :]


def _target(*labels: int) -> Tensor:
    return torch.tensor(labels, dtype=torch.uint8)[None, None, :]


def _batch(labels: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four slices of 6 × 6 pixels, two of them with unions, and noise as the picture."""
    generator = torch.Generator().manual_seed(seed)
    full = torch.tensor([True, False, True, False])
    target = torch.randint(0, 3, (4, 6, 6), generator=generator, dtype=torch.uint8)
    target[~full] = target[~full].clamp(max=1)
    logits = torch.randn((4, labels, 6, 6), generator=generator, dtype=dtype)
    return logits, target, full, torch.rand((4, 1, 6, 6), generator=generator)


def _labels_of(loss: Loss) -> int:
    return 2 if loss is LOSSES["weighted_cross_entropy_in_liver"] else 3


def test_cross_entropy_where_everything_is_drawn() -> None:
    loss = cross_entropy(_logits(*TWO), _target(0, 2), FULL, IMAGE)
    assert loss.item() == pytest.approx((-math.log(0.5) - math.log(0.6)) / 2, abs=1e-6)


def test_cross_entropy_where_the_union_is_drawn() -> None:
    loss = cross_entropy(_logits(*TWO), _target(0, 1), UNION, IMAGE)
    assert loss.item() == pytest.approx((-math.log(0.5) - math.log(0.2 + 0.6)) / 2, abs=1e-6)


def test_cross_entropy_of_two_labels_takes_liver_and_tumour_together() -> None:
    logits = _logits((0.9, 0.1), (0.3, 0.7), (0.4, 0.6))
    for full, target in ((FULL, _target(0, 1, 2)), (UNION, _target(0, 1, 1))):
        loss = cross_entropy(logits, target, full, IMAGE)
        assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.7) + math.log(0.6)) / 3, abs=1e-6)


def test_weighted_cross_entropy_divides_by_pixels_and_not_by_weights() -> None:
    logits, target = _logits(*TWO), _target(0, 2)
    loss = weighted_cross_entropy(logits, target, FULL, IMAGE)
    by_hand = 0.78 * math.log(0.5) + 8.57 * math.log(0.6)
    assert loss.item() == pytest.approx(-by_hand / 2, abs=1e-6)
    theirs = torch.nn.functional.cross_entropy(logits, target.long(), torch.tensor([0.78, 0.65, 8.57]))
    assert theirs.item() == pytest.approx(-by_hand / (0.78 + 8.57), abs=1e-6)


def test_weights_of_unions_and_of_two_labels() -> None:
    union = weighted_cross_entropy(_logits(*TWO), _target(0, 1), UNION, IMAGE)
    assert union.item() == pytest.approx(-(0.78 * math.log(0.5) + 0.65 * math.log(0.8)) / 2, abs=1e-6)
    two = _logits((0.9, 0.1), (0.3, 0.7))
    whole = weighted_cross_entropy(two, _target(0, 2), FULL, IMAGE)
    assert whole.item() == pytest.approx(-(0.78 * math.log(0.9) + 0.65 * math.log(0.7)) / 2, abs=1e-6)
    crop = weighted_cross_entropy(two, _target(0, 1), UNION, IMAGE, S3_WEIGHTS_IN_LIVER)
    assert crop.item() == pytest.approx(-(0.65 * math.log(0.9) + 8.57 * math.log(0.7)) / 2, abs=1e-6)


def test_soft_dice_by_hand() -> None:
    # p·g = 0.5, Σp = 1, Σg = 1: 1 − 2·0.5/2 = 0.5
    assert soft_dice(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])).item() == pytest.approx(0.5, abs=1e-4)
    mask = torch.tensor([0.0, 1.0, 1.0])
    assert soft_dice(mask, mask).item() == pytest.approx(0, abs=1e-5)
    assert soft_dice(1 - mask, mask).item() == pytest.approx(1, abs=1e-4)
    assert soft_dice(torch.zeros(3), torch.zeros(3)).item() == 0


def test_dice_is_the_mean_over_background_liver_and_tumour() -> None:
    loss = dice(_logits(*TWO), _target(0, 2), FULL, IMAGE)
    background = 1 - 2 * 0.5 / (0.7 + 1)
    liver = 1.0  # predicted, not drawn
    tumour = 1 - 2 * 0.6 / (0.85 + 1)
    assert loss.item() == pytest.approx((background + liver + tumour) / 3, abs=1e-4)


def test_dice_of_unions_has_two_labels() -> None:
    loss = dice(_logits(*TWO), _target(0, 1), UNION, IMAGE)
    background, inside = 1 - 2 * 0.5 / (0.7 + 1), 1 - 2 * 0.8 / (1.3 + 1)
    assert loss.item() == pytest.approx((background + inside) / 2, abs=1e-4)


def test_dice_of_a_mixed_batch_counts_both_kinds_by_their_slices() -> None:
    logits = _logits(*TWO)
    parts = [dice(logits, _target(0, 2), FULL, IMAGE), dice(logits, _target(0, 1), UNION, IMAGE)]
    three = torch.cat([logits] * 3), torch.cat([_target(0, 2), _target(0, 2), _target(0, 1)])
    loss = dice(*three, torch.tensor([True, True, False]), IMAGE)
    assert loss.item() == pytest.approx((2 * parts[0].item() + parts[1].item()) / 3, abs=1e-4)


def test_s1_is_three_parts_dice_and_seven_cross_entropy() -> None:
    batch = _batch(3)
    expected = 0.3 * dice(*batch) + 0.7 * cross_entropy(*batch)
    torch.testing.assert_close(dice_and_cross_entropy(*batch), expected)
    weighted = 0.3 * dice(*batch) + 0.7 * weighted_cross_entropy(*batch, weights=S1_WEIGHTS)
    torch.testing.assert_close(dice_and_cross_entropy(*batch, weights=S1_WEIGHTS), weighted)
    assert weighted > expected


def test_generalised_cross_entropy_by_hand_and_at_its_ends() -> None:
    logits, target = _logits(*TWO), _target(0, 2)
    loss = generalised_cross_entropy(logits, target, FULL, IMAGE)
    assert loss.item() == pytest.approx(((1 - 0.5**0.7) + (1 - 0.6**0.7)) / 0.7 / 2, abs=1e-6)
    mean_error = generalised_cross_entropy(logits, target, FULL, IMAGE, q=1.0)
    assert mean_error.item() == pytest.approx((0.5 + 0.4) / 2, abs=1e-6)
    nearly = generalised_cross_entropy(logits.double(), target, FULL, IMAGE, q=1e-6)
    assert nearly.item() == pytest.approx(cross_entropy(logits, target, FULL, IMAGE).item(), abs=1e-5)


def test_a_wrong_label_costs_at_most_one_by_q() -> None:
    logits = torch.tensor([40.0, -40.0, 0.0]).reshape(1, 3, 1, 1)
    assert generalised_cross_entropy(logits, _target(1), FULL, IMAGE).item() == pytest.approx(1 / 0.7)


def test_noise_weights_by_hand() -> None:
    """A single bright pixel: its neighbourhood is rough, the rest is even."""
    image = torch.zeros(1, 1, 21, 21)
    image[..., 10, 10] = 1.0
    gaussian = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / 4.5)
    gaussian = torch.outer(gaussian, gaussian) / gaussian.sum() ** 2
    rough = -gaussian
    rough[2, 2] += 1
    n = torch.zeros(21, 21)
    for row in range(21):
        for column in range(21):
            rows = [r for r in range(5) if abs(8 + r - row) <= 2]
            columns = [c for c in range(5) if abs(8 + c - column) <= 2]
            part = rough[rows][:, columns]
            n[row, column] = (part.square().sum() / 25).sqrt()
    expected = torch.exp(-0.5 * n / n[n > 1e-5].median())
    torch.testing.assert_close(noise_weight(image)[0], expected / expected.mean(), rtol=1e-4, atol=1e-4)


def test_noise_weights_have_mean_1_and_prefer_calm_places() -> None:
    image = torch.full((2, 1, 32, 32), 0.5)
    image[..., 16:] += 0.1 * torch.randn(2, 1, 32, 16, generator=torch.Generator().manual_seed(0))
    weight = noise_weight(image)
    assert weight.mean((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert weight[..., :12].mean() > 1.2 * weight[..., 20:].mean()
    assert not weight.requires_grad


def test_a_picture_without_noise_weighs_everything_alike() -> None:
    for grey in (0.0, 1.0):
        torch.testing.assert_close(noise_weight(torch.full((1, 1, 8, 8), grey)), torch.ones(1, 8, 8))


def test_noise_aware_is_weighted_cross_entropy_and_half_dice() -> None:
    logits, target, full, _ = batch = _batch(3)
    even = torch.zeros(4, 1, 6, 6)
    torch.testing.assert_close(noise_aware(logits, target, full, even), cross_entropy(*batch) + 0.5 * dice(*batch))
    steep = torch.arange(6.0).square().expand(4, 1, 6, 6)
    assert noise_aware(logits, target, full, steep) != noise_aware(logits, target, full, even)


def test_house_counts_tumour_four_times() -> None:
    logits, target = _logits(*TWO), _target(0, 2)
    entropy = (-math.log(0.5) - 4 * math.log(0.6)) / 2
    assert mixed_cross_entropy(logits, target, FULL, 4.0).item() == pytest.approx(entropy, abs=1e-6)
    liver, tumour = 1 - 2 * 0.8 / (1.3 + 1), 1 - 2 * 0.6 / (0.85 + 1)
    assert mixed_dice(logits, target, FULL).item() == pytest.approx((liver + tumour) / 2, abs=1e-4)
    assert house(logits, target, FULL, IMAGE).item() == pytest.approx(entropy + 0.5 * (liver + tumour) / 2, abs=1e-4)


def test_house_dice_of_unions_is_the_livers() -> None:
    logits = _logits((0.0001, 0.4999, 0.5), (0.9998, 0.0001, 0.0001))
    assert mixed_dice(logits, _target(1, 0), UNION).item() == pytest.approx(0, abs=1e-3)
    assert mixed_dice(logits, _target(1, 0), FULL).item() > 0.4


def test_deep_supervision_is_the_weighted_sum_of_the_levels() -> None:
    logits, *rest = _batch(3)
    outputs = [logits, 2 * logits, -logits]
    loss = deep_supervision(outputs, (0.5, 0.3, 0.2), cross_entropy, *rest)
    parts = [cross_entropy(each, *rest) for each in outputs]
    torch.testing.assert_close(loss, 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2])
    with pytest.raises(ValueError, match="longer than argument 1"):
        deep_supervision(outputs, (1.0,), cross_entropy, *rest)


@EVERY
def test_deep_supervision_of_one_level_is_the_loss_itself(loss: Loss) -> None:
    logits, *rest = _batch(_labels_of(loss))
    torch.testing.assert_close(deep_supervision([logits] * 4, DEEP_SUPERVISION, loss, *rest), loss(logits, *rest))


@THREE_LABELS
def test_unions_do_not_tell_liver_from_tumour(loss: Loss) -> None:
    logits, target, _, image = _batch(3)
    swapped = logits[:, [0, 2, 1]]
    none = torch.zeros(4, dtype=torch.bool)
    union = target.clamp(max=1)
    torch.testing.assert_close(loss(logits, union, none, image), loss(swapped, union, none, image))
    every = ~none
    assert not torch.isclose(loss(logits, target, every, image), loss(swapped, target, every, image), rtol=1e-3)


def test_a_tumour_painted_into_a_union_is_known() -> None:
    """Label 2 on a union mask was painted there: p(tumour) alone is asked, while 1 stays liver or tumour."""
    logits = _logits((0.1, 0.3, 0.6), (0.1, 0.3, 0.6))
    loss = cross_entropy(logits, _target(2, 1), UNION, IMAGE)
    assert loss.item() == pytest.approx((-math.log(0.6) - math.log(0.9)) / 2, abs=1e-6)


@THREE_LABELS
@pytest.mark.parametrize("labels", [2, 3])
def test_the_right_answer_costs_less_than_a_wrong_one(loss: Loss, labels: int) -> None:
    _, target, full, image = _batch(labels)
    drawn = target.long().clamp(max=labels - 1)
    right = 20.0 * torch.nn.functional.one_hot(drawn, labels).permute(0, 3, 1, 2)
    assert loss(right, target, full, image) < 1e-3
    assert loss(right.roll(1, dims=1), target, full, image) > 0.5


@EVERY
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    logits, target, full, image = _batch(_labels_of(loss), dtype=torch.float64)
    at = logits[:, :, :4, :4].contiguous().requires_grad_()
    part = target[:, :4, :4], full, image[..., :4, :4]
    assert torch.autograd.gradcheck(partial(_at_float64, loss, part), at, atol=1e-6)


def _at_float64(loss: Loss, rest: tuple[Tensor, Tensor, Tensor], logits: Tensor) -> Tensor:
    return loss(logits, *rest)


@EVERY
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("certain", [-1e4, 1e4])
@pytest.mark.parametrize("full", [True, False])
def test_extreme_logits_and_empty_masks_stay_finite(loss: Loss, label: int, certain: float, full: bool) -> None:
    logits = torch.zeros(2, _labels_of(loss), 6, 6)
    logits[:, 0] = certain
    logits.requires_grad_()
    target = torch.full((2, 6, 6), label if full else min(label, 1), dtype=torch.uint8)
    value = loss(logits, target, torch.full((2,), full), torch.zeros(2, 1, 6, 6))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@EVERY
def test_autocast_changes_nothing(loss: Loss) -> None:
    logits, target, full, image = _batch(_labels_of(loss))
    half = logits.bfloat16()
    expected = loss(half.float(), target, full, image)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(half, target, full, image)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@EVERY
def test_a_loss_leaves_its_inputs_alone(loss: Loss) -> None:
    batch = _batch(_labels_of(loss))
    kept = [each.clone() for each in batch]
    loss(*batch)
    assert all(torch.equal(one, other) for one, other in zip(batch, kept, strict=True))
