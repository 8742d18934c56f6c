"""The phantom as training data: invented abdomens, any number of them, in one or several contrast phases.

Nothing on the disk is recognised as a phantom: it is asked for by seeds.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from livdemo.errors import InputError
from livdemo.phantom import PHASES, make_phantom
from train.scans import Loaded, Scan

Shape = tuple[int, int, int]
PHANTOM_SHAPE: Shape = (48, 192, 192)  # (z, y, x) of the bodies that networks are trained on


def phantom_scans(
    seeds: Iterable[int], shape: Shape = (64, 256, 256), phases: Sequence[str] = ("portal",)
) -> list[Scan]:
    """One scan a seed: shape is (z, y, x), and each slice has a channel a phase, all of one geometry and truth.

    InputError for a phase that the phantom does not have.
    """
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown or not phases:
        raise InputError(f"The phantom has no phase {', '.join(unknown) or 'at all'}: choose from {', '.join(PHASES)}.")
    return [_scan(seed, shape, tuple(phases)) for seed in seeds]


def _scan(seed: int, shape: Shape, phases: tuple[str, ...]) -> Scan:
    return Scan(
        source="phantom",
        # All that decides the voxels is in the name, since there is no file whose change a cache could notice.
        volume=f"{seed} {'x'.join(map(str, shape))} {'+'.join(phases)}",
        patient=f"phantom {seed}",
        labels="full",
        modality="CT",
        load=partial(_load, seed, shape, phases),
    )


def _load(seed: int, shape: Shape, phases: tuple[str, ...]) -> Loaded:
    """image (Z, phases, Y, X)."""
    try:
        made = [make_phantom(seed, shape, phase=phase) for phase in phases]
    except ValueError as error:
        raise InputError(f"The phantom {seed} cannot be drawn: {error}.") from error
    return np.stack([phantom.hu for phantom in made], axis=1), made[0].label_map, np.arange(shape[0])
