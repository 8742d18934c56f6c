"""Losses as formulas. logits (B, 3, H, W); target (B, H, W) uint8; full (B,) bool: tumour is drawn.

Where only the union of liver and tumour is drawn (full is False), p(liver) + p(tumour) is compared with it.
"""

import torch
from torch import Tensor

SMOOTH = 1e-5  # keeps Dice defined where nothing is drawn and nothing predicted


def mixed_cross_entropy(logits: Tensor, target: Tensor, full: Tensor, tumour_weight: float) -> Tensor:
    """−log p(true label), averaged over all pixels Ω; a tumour pixel counts `tumour_weight` times.

    On union masks −log(p_liver + p_tumour) inside and −log p_background outside. Divides by |Ω|, not by the
    sum of weights (S3's reference 5 does the same; torch's weighted mean does not).
    """
    log_p = logits.log_softmax(1)  # (B, 3, H, W)
    inside = torch.logsumexp(log_p[:, 1:], dim=1)  # log(p_liver + p_tumour)
    union = torch.where(target > 0, inside, log_p[:, 0])
    drawn = log_p.gather(1, target[:, None].long())[:, 0] * torch.where(target == 2, tumour_weight, 1.0)
    return -torch.where(full[:, None, None], drawn, union).mean()


def soft_dice(p: Tensor, g: Tensor) -> Tensor:
    """1 − (2 Σ p g + s) / (Σ p + Σ g + s), sums over batch and pixels (PAPERS.md section 3)."""
    return 1 - (2 * (p * g).sum() + SMOOTH) / (p.sum() + g.sum() + SMOOTH)


def mixed_dice(logits: Tensor, target: Tensor, full: Tensor) -> Tensor:
    """Mean soft Dice loss of liver (tumour included, all slices) and tumour (only where it is drawn)."""
    p = logits.softmax(1)
    liver = soft_dice(p[:, 1] + p[:, 2], (target > 0).float())
    if not full.any():
        return liver
    return (liver + soft_dice(p[full, 2], (target[full] == 2).float())) / 2
