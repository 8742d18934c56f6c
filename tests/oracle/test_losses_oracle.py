"""The same losses in torch and MONAI, where everything is drawn."""

import importlib
from types import ModuleType

import pytest
import torch
from torch import Tensor

from train.losses import (
    S1_WEIGHTS,
    S3_WEIGHTS,
    SMOOTH,
    cross_entropy,
    dice,
    dice_and_cross_entropy,
    noise_weight,
    weighted_cross_entropy,
)

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def library(name: str) -> ModuleType:
    """The library, or a skip where it is absent or does not fit this torch."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name} does not import here: {error}")


@pytest.fixture(params=[0, 1, 2])
def batch(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(request.param)
    logits = 3 * torch.randn((3, 3, 12, 12), generator=generator)
    target = torch.randint(0, 3, (3, 12, 12), generator=generator, dtype=torch.uint8)
    return logits, target, torch.ones(3, dtype=torch.bool), torch.rand((3, 1, 12, 12), generator=generator)


def test_cross_entropy_is_torchs(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    logits, target, _, _ = batch
    torch.testing.assert_close(cross_entropy(*batch), torch.nn.functional.cross_entropy(logits, target.long()))


def test_weighted_cross_entropy_is_torchs_sum_over_the_pixels(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    logits, target, _, _ = batch
    theirs = torch.nn.functional.cross_entropy(logits, target.long(), torch.tensor(S3_WEIGHTS), reduction="sum")
    torch.testing.assert_close(weighted_cross_entropy(*batch), theirs / target.numel())


def test_dice_is_monais(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    logits, target, _, _ = batch
    theirs = library("monai.losses").DiceLoss(
        softmax=True, to_onehot_y=True, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH
    )
    torch.testing.assert_close(dice(*batch), theirs(logits, target[:, None]))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), S1_WEIGHTS])
def test_dice_and_cross_entropy_is_monais(
    batch: tuple[Tensor, Tensor, Tensor, Tensor], weights: tuple[float, ...]
) -> None:
    logits, target, _, _ = batch
    losses = library("monai.losses")
    overlap = losses.DiceLoss(softmax=True, to_onehot_y=True, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH)
    # The weighted mean of torch divides by Σ w_y, S1's and S3's by the pixels.
    entropy = torch.nn.functional.cross_entropy(logits, target.long(), torch.tensor(weights), reduction="sum")
    theirs = 0.3 * overlap(logits, target[:, None]) + 0.7 * entropy / target.numel()
    torch.testing.assert_close(dice_and_cross_entropy(*batch, weights=weights), theirs)


def test_the_gradient_of_dice_is_monais(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    logits, target, full, image = batch
    theirs = library("monai.losses").DiceLoss(
        softmax=True, to_onehot_y=True, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH
    )
    ours, other = (logits.clone().requires_grad_() for _ in range(2))
    dice(ours, target, full, image).backward()
    theirs(other, target[:, None]).backward()
    torch.testing.assert_close(ours.grad, other.grad)


def test_the_noise_is_what_kornias_filters_leave(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    filters = library("kornia.filters")
    image = batch[3]
    rough = image - filters.gaussian_blur2d(image, 5, (1.5, 1.5))
    n = filters.box_blur(rough.square(), 5)[:, 0].sqrt()
    weight = torch.exp(-0.5 * n / n.flatten(1).median(1).values[:, None, None])
    torch.testing.assert_close(noise_weight(image), weight / weight.mean((1, 2), keepdim=True))
