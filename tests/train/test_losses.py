"""Losses by hand."""

import math

import pytest
import torch

from train.losses import mixed_cross_entropy, mixed_dice, soft_dice


def _logits(*probabilities: tuple[float, float, float]) -> torch.Tensor:
    """One row of pixels with these probabilities: (1, 3, 1, W)."""
    return torch.tensor(probabilities).log().T[None, :, None, :]


def _target(*labels: int) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.uint8)[None, None, :]


FULL, UNION = torch.tensor([True]), torch.tensor([False])


def test_cross_entropy_where_everything_is_drawn() -> None:
    logits = _logits((0.5, 0.25, 0.25), (0.2, 0.2, 0.6))
    loss = mixed_cross_entropy(logits, _target(0, 2), FULL, tumour_weight=3)
    assert loss.item() == pytest.approx((-math.log(0.5) - 3 * math.log(0.6)) / 2, abs=1e-6)


def test_cross_entropy_where_the_union_is_drawn() -> None:
    logits = _logits((0.5, 0.25, 0.25), (0.2, 0.2, 0.6))
    loss = mixed_cross_entropy(logits, _target(0, 1), UNION, tumour_weight=3)
    assert loss.item() == pytest.approx((-math.log(0.5) - math.log(0.8)) / 2, abs=1e-6)


def test_the_union_does_not_tell_liver_from_tumour() -> None:
    as_liver, as_tumour = _logits((0.1, 0.8, 0.1)), _logits((0.1, 0.1, 0.8))
    losses = [mixed_cross_entropy(x, _target(1), UNION, 3.0) for x in (as_liver, as_tumour)]
    assert losses[0].item() == pytest.approx(losses[1].item())


def test_dice_of_a_perfect_mask_is_zero_loss() -> None:
    mask = torch.tensor([0.0, 1.0, 1.0])
    assert soft_dice(mask, mask).item() == pytest.approx(0, abs=1e-5)
    assert soft_dice(1 - mask, mask).item() == pytest.approx(1, abs=1e-4)
    assert soft_dice(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(0)


def test_dice_by_hand() -> None:
    # p·g = 0.5, Σp = 1, Σg = 1: 1 − 2·0.5/2 = 0.5
    assert soft_dice(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])).item() == pytest.approx(0.5, abs=1e-4)


def test_tumour_counts_only_where_it_is_drawn() -> None:
    logits = _logits((0.0001, 0.4999, 0.5), (0.9998, 0.0001, 0.0001))
    union = mixed_dice(logits, _target(1, 0), UNION)
    full = mixed_dice(logits, _target(1, 0), FULL)
    assert union.item() == pytest.approx(0, abs=1e-3)
    assert full.item() > 0.4
