"""Losses as formulas: p softmax, y the drawn label of pixel x, Ω all pixels of the batch (PAPERS.md section 3).

    loss = LOSSES["dice_and_cross_entropy"](logits, target, full, image)

Every loss takes
    logits   (B, K, H, W)   K = 3: background, liver, tumour. K = 2: background and object (liver with its tumours,
                            or a polyp)
    target   (B, H, W)      uint8 labels 0, 1, 2
    full     (B,)           bool: liver and tumour are drawn apart; False: 1 is their union
    image    (B, C, H, W)   the network's input, for losses that look at it
and returns a scalar, float32 also under autocast. Where only the union is drawn, or K is 2, what is compared with the
mask is the summed probability p_liver + p_tumour, so such slices teach nothing about which of the two it is.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

SMOOTH = 1e-5  # keeps Dice defined where nothing is drawn and nothing predicted (S1)
S3_WEIGHTS = (0.78, 0.65, 8.57)  # background, liver, tumour: S3's reference 5
S3_WEIGHTS_IN_LIVER = (0.65, 8.57)  # two labels: of the crop around the liver
S1_WEIGHTS = (1.0, 2.0, 4.0)  # stand in S1's code alone, not in its text
NOISE_FREE = 1e-5  # below it a pixel was clipped by the window, in units of the network's input


def cross_entropy(logits: Tensor, target: Tensor, full: Tensor, image: Tensor) -> Tensor:
    """−(1/|Ω|) Σ_x log p_y(x). On unions p_y is p_liver + p_tumour inside."""
    return -_log_p_drawn(logits, target, full).mean()


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, full: Tensor, image: Tensor, weights: Sequence[float] = S3_WEIGHTS
) -> Tensor:
    """−(1/|Ω|) Σ_x w_y(x) log p_y(x). On unions the inside has the liver's weight. S3 names it and prints no formula.

    Divides by the number of pixels, not by Σ w as torch's `CrossEntropyLoss(weight=…)` does. With K = 2 the first
    two weights count.
    """
    weight = torch.tensor(weights, device=logits.device)[_drawn_label(target, logits.shape[1])]
    return -(weight * _log_p_drawn(logits, target, full)).mean()


def soft_dice(p: Tensor, g: Tensor) -> Tensor:
    """1 − (2 Σ p g + s) / (Σ p + Σ g + s) of one label, sums over batch and pixels (S1). p, g of any one shape."""
    return 1 - (2 * (p * g).sum() + SMOOTH) / (p.sum() + g.sum() + SMOOTH)


def dice(logits: Tensor, target: Tensor, full: Tensor, image: Tensor) -> Tensor:
    """(1/K) Σ_i soft_dice(p_i, g_i) over all labels, background among them (S1).

    Slices with unions make a Dice of their own, of the two labels background and p_liver + p_tumour; the two kinds
    count by their numbers of slices.
    """
    p = _log_p(logits).exp()
    joined = torch.stack([p[:, 0], p[:, 1:].sum(1)], 1)
    loss = p.new_zeros(())
    for kind, q in ((full, p), (~full, joined)):
        inside = kind[:, None, None].to(p.dtype)
        label = _drawn_label(target, q.shape[1])
        each = [soft_dice(q[:, i] * inside, (label == i) * inside) for i in range(q.shape[1])]
        loss = loss + kind.to(p.dtype).mean() * torch.stack(each).mean()
    return loss


def dice_and_cross_entropy(
    logits: Tensor, target: Tensor, full: Tensor, image: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0)
) -> Tensor:
    """0.3 L_Dice + 0.7 L_CE (S1). `weights` S1_WEIGHTS gives its code's cross-entropy instead of its text's."""
    entropy = weighted_cross_entropy(logits, target, full, image, weights)
    return 0.3 * dice(logits, target, full, image) + 0.7 * entropy


def generalised_cross_entropy(logits: Tensor, target: Tensor, full: Tensor, image: Tensor, q: float = 0.7) -> Tensor:
    """(1/|Ω|) Σ_x (1 − p_y^q) / q (Zhang and Sabuncu 2018): q → 0 is cross-entropy, q = 1 the mean error.

    A pixel with a wrong label can cost 1/q at most.
    """
    return -torch.expm1(q * _log_p_drawn(logits, target, full)).mean() / q


def noise_aware(logits: Tensor, target: Tensor, full: Tensor, image: Tensor) -> Tensor:
    """(1/|Ω|) Σ_x w(x) (−log p_y(x)) + 0.5 L_Dice: noisy pixels count less (S2 claims it, PAPERS.md defines it).

    `noise_weight` says what w is, and that it discounts boundaries too.
    """
    entropy = -(noise_weight(image) * _log_p_drawn(logits, target, full)).mean()
    return entropy + 0.5 * dice(logits, target, full, image)


@torch.no_grad()
def noise_weight(image: Tensor, strength: float = 0.5) -> Tensor:
    """w = exp(−λ n / median n), rescaled to a mean of 1 in each slice: image (B, C, H, W) -> (B, H, W), no gradient.

    n(x) is the root mean square over 5 × 5 pixels of I − G * I, G a Gaussian of 5 × 5 pixels and σ 1.5. The median is
    of the pixels where there is any noise: a window clips most of a slice to even black. Known to fail: n is large at
    edges as well, so the boundary counts less, which is what a segmentation is about.
    """
    with torch.autocast(image.device.type, enabled=False):
        rough = image.float() - _gaussian(image.float())
        n = _mean_5x5(rough.square().mean(1, keepdim=True))[:, 0].sqrt()
        noisy = n.masked_fill(n < NOISE_FREE, torch.nan).flatten(1)
        weight = torch.exp(-strength * n / noisy.nanmedian(1).values.nan_to_num(1.0)[:, None, None])
        return weight / weight.mean((1, 2), keepdim=True)


def mixed_cross_entropy(logits: Tensor, target: Tensor, full: Tensor, tumour_weight: float) -> Tensor:
    """The weighted cross-entropy in which a drawn tumour pixel counts `tumour_weight` times, all else once."""
    return weighted_cross_entropy(logits, target, full, logits, (1.0, 1.0, tumour_weight))


def mixed_dice(logits: Tensor, target: Tensor, full: Tensor) -> Tensor:
    """Mean soft Dice loss of the liver (tumour included, all slices) and of the tumour (only where it is drawn)."""
    p = _log_p(logits).exp()
    liver = soft_dice(p[:, 1:].sum(1), (target > 0).to(p.dtype))
    if p.shape[1] == 2 or not full.any():
        return liver
    return (liver + soft_dice(p[full, 2], (target[full] == 2).to(p.dtype))) / 2


def house(logits: Tensor, target: Tensor, full: Tensor, image: Tensor) -> Tensor:
    """Our own: cross-entropy with tumour pixels four times, + 0.5 Dice of liver and tumour."""
    return mixed_cross_entropy(logits, target, full, 4.0) + 0.5 * mixed_dice(logits, target, full)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "weighted_cross_entropy": weighted_cross_entropy,
    "weighted_cross_entropy_in_liver": partial(weighted_cross_entropy, weights=S3_WEIGHTS_IN_LIVER),
    "dice_and_cross_entropy": dice_and_cross_entropy,
    "noise_aware": noise_aware,
    "generalised_cross_entropy": generalised_cross_entropy,
    "house": house,
}


def deep_supervision(
    outputs: Sequence[Tensor],
    weights: Sequence[float],
    loss: Loss,
    target: Tensor,
    full: Tensor,
    image: Tensor,
) -> Tensor:
    """Σ_l a_l L_l over the logits (B, K, H, W) of all levels, the finest first (S4).

    S4 is silent about the weights a: its models carry (1, ½, ¼, ⅛) / 1.875. ValueError when there are not as many
    weights as outputs.
    """
    parts = [a * loss(logits, target, full, image) for a, logits in zip(weights, outputs, strict=True)]
    return torch.stack(parts).sum()


def _log_p(logits: Tensor) -> Tensor:
    """Log-softmax over the labels, at least in float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)


def _drawn_label(target: Tensor, labels: int) -> Tensor:
    """(B, H, W) int64: the drawn label; with K = 2 everything inside is 1.

    On a union mask 1 means "liver or tumour" and 2, if it is there at all, a tumour that was painted in.
    """
    return (target > 0).long() if labels == 2 else target.long()


def _log_p_drawn(logits: Tensor, target: Tensor, full: Tensor) -> Tensor:
    """(B, H, W): log p_y of every pixel, where a union is drawn log(p_liver + p_tumour) inside."""
    log_p = _log_p(logits)
    label = _drawn_label(target, logits.shape[1])
    drawn = log_p.gather(1, label[:, None])[:, 0]
    if logits.shape[1] == 2:
        return drawn
    inside = ~full[:, None, None] & (label == 1)
    return torch.where(inside, log_p[:, 1:].logsumexp(1), drawn)


def _gaussian(image: Tensor) -> Tensor:
    """G * I with 5 × 5 pixels and σ 1.5, mirrored at the border. (B, C, H, W)."""
    line = torch.exp(-torch.arange(-2.0, 3.0, device=image.device).square() / (2 * 1.5**2))
    line = line / line.sum()
    channels = image.shape[1]
    for shape, pad in (((1, 1, 5, 1), (0, 0, 2, 2)), ((1, 1, 1, 5), (2, 2, 0, 0))):
        kernel = line.reshape(shape).expand(channels, -1, -1, -1)
        image = F.conv2d(F.pad(image, pad, mode="reflect"), kernel, groups=channels)
    return image


def _mean_5x5(image: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
