"""Which slices a batch is made of: draws over patients, and the neighbours that a block needs."""

import numpy as np

from train.cache import Slices
from train.plan import Plan


def volume_keys(slices: Slices) -> np.ndarray:
    """str (N,): source and volume, since two sources may call different volumes alike."""
    return np.array([f"{source}/{volume}" for source, volume in zip(slices.source, slices.volume, strict=True)])


def runs_of(slices: Slices) -> np.ndarray:
    """int (N,): number of the unbroken run of neighbouring slices that each slice belongs to."""
    keys = volume_keys(slices)
    new_volume = keys[1:] != keys[:-1]
    gap = np.diff(slices.position) != 1
    return np.concatenate([[0], np.cumsum(new_volume | gap)])


def block_around(runs: np.ndarray, chosen: np.ndarray, depth: int) -> np.ndarray:
    """Indices (B, depth) of the block around each chosen slice; at the end of a run its last slice is repeated.

    runs: of all slices (`runs_of`); chosen: (B,).
    """
    first = np.searchsorted(runs, runs[chosen], side="left")[:, None]
    last = np.searchsorted(runs, runs[chosen], side="right")[:, None] - 1
    wanted = chosen[:, None] + np.arange(depth) - depth // 2
    return np.clip(wanted, first, last)


def long_enough(runs: np.ndarray, inside: np.ndarray, depth: int) -> np.ndarray:
    """Those of `inside` whose run has at least `depth` slices."""
    return inside[np.bincount(runs)[runs[inside]] >= depth]


def draw(slices: Slices, inside: np.ndarray, n: int, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Indices (n,) of slices of `inside` for one epoch.

    Without a `union_share` every slice comes once, in random order, and again only if n asks for more. With it
    the kinds of masks and the tumours get fixed shares, and no patient drowns the others.
    """
    if plan.union_share is None:
        rounds = [rng.permutation(inside) for _ in range(-(-n // len(inside)))]
        return np.concatenate(rounds)[:n]
    full, tumour = slices.full[inside], slices.has_tumour()[inside]
    weight = np.zeros(len(inside))
    for group, share in _shares(full, tumour, plan.union_share, plan.tumour_share):
        _, where, counts = np.unique(slices.patient[inside][group], return_inverse=True, return_counts=True)
        one = 1 / np.sqrt(counts[where])  # between "every slice alike" and "every patient alike"
        weight[group] = share * one / one.sum()
    return inside[rng.choice(len(inside), n, p=weight / weight.sum())]


def _shares(
    full: np.ndarray, tumour: np.ndarray, union_share: float, tumour_share: float
) -> list[tuple[np.ndarray, float]]:
    """Groups of slices (masks over all) and the share that each gets; empty groups leave it to the others."""
    if full.all():
        union_share = 0.0
    if not (full & ~tumour).any():
        tumour_share = 1.0
    if not tumour.any():
        tumour_share = 0.0
    drawn = 1 - union_share if full.any() else 0.0
    groups = (
        (~full, union_share if full.any() else 1.0),
        (full & tumour, drawn * tumour_share),
        (full & ~tumour, drawn * (1 - tumour_share)),
    )
    return [(group, share) for group, share in groups if share > 0 and group.any()]
