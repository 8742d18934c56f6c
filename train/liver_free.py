"""Slices that show no liver, so that a network learns that chest and pelvis hold none.

LiTS and MSD volumes have such slices when they are read as distributed; slice collections that were cut down to the
liver have none. Here they come from the phantom: its chest and lower belly, in other HU for every seed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from livdemo.phantom import PHASES, make_phantom
from train.scans import Loaded, Scan

# 300 mm hold every organ that the phantom has; beyond them is a trunk without content.
HEIGHT_MM, WIDTH_MM = 300.0, 358.0
GAP_MM = 6.0
# What stays what it is, from air over lung, fat, water, muscle and organs to vessels and bone; HU by how much each may
# lie elsewhere. Never so far that two change places.
KNOTS_HU = (-1024, -862, -104, 0, 50, 110, 165, 300, 460, 3071)
JITTER_HU = (0, 60, 20, 8, 12, 22, 26, 40, 90, 0)


def liver_free_scans(seeds: Sequence[int], size: int = 256) -> list[Scan]:
    """A Scan per seed: the slices of that seed's phantom that show no liver (about 20 of 50), masks all 0.

    Phase and HU of the tissues are drawn by the seed. Nothing is drawn before a scan is loaded, which takes about a
    second. Slices are size × size pixels over 358 mm, numbered from the feet. The patient is the phantom of that
    seed: in a split by patient these slices follow its others.
    """
    return [
        Scan(
            source="phantom",
            volume=f"{seed} without liver {size}",  # all that decides the voxels: no file's change could tell a cache
            patient=f"phantom {seed}",
            labels="full",
            modality="CT",
            load=partial(_load, seed, size),
        )
        for seed in seeds
    ]


def _load(seed: int, size: int) -> Loaded:
    """image int16 (N, 1, H, W) in HU, mask uint8 (N, H, W), position int (N,)."""
    rng = np.random.default_rng([seed, 21])
    shape = (round(HEIGHT_MM / GAP_MM), size, size)
    phantom = make_phantom(seed, shape, (GAP_MM, WIDTH_MM / size, WIDTH_MM / size), str(rng.choice(PHASES)))
    position = np.flatnonzero(~phantom.label_map.any(axis=(1, 2)))
    image = other_tissues(rng)(phantom.hu[position])
    return image[:, None], phantom.label_map[position], position


def other_tissues(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A rising curve from HU to HU, int16, that moves fat, water, organs and bone each by a random amount."""
    moved = np.add(KNOTS_HU, rng.uniform(-1, 1, len(KNOTS_HU)) * JITTER_HU)

    def remap(hu: np.ndarray) -> np.ndarray:
        return np.rint(np.interp(hu, KNOTS_HU, moved)).astype(np.int16)

    return remap
