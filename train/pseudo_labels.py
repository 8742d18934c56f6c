"""Tumours on slices where nobody drew them apart from the liver: there where several networks agree on one.

A union mask says "liver or tumour" (1). Where the networks are sure of a tumour it becomes 2, as a painted one has it;
where they are not it stays 1, for a tumour that they missed must not be taught as liver. In a cross-validation the
networks are those of the same fold, so that no held-out patient has had a part in the labels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from train.batches import Feed
from train.cache import Slices
from train.run import Run, exported_weights
from train.validation import probabilities

SURE = 0.5  # the networks' mean probability of tumour from which on a pixel is one


def pseudo_labelled(
    slices: Slices, inside: np.ndarray, teachers: Sequence[Run], sure: float = SURE, device: str = "cpu"
) -> Slices:
    """The same slices, with 2 in the union masks of `inside` (indices) where the teachers are sure of a tumour.

    teachers: finished runs of networks that know tumours, on slices of this size. ValueError when there is none;
    InputError where one's folder has no weights.
    """
    if not teachers:
        raise ValueError("pseudo-labels need a network to make them")
    union = inside[slices.labels[inside] == "union"]
    tumour = np.mean([_tumour(run, slices, union, device) for run in teachers], axis=0)
    mask = np.array(slices.mask)
    mask[union] = np.where((mask[union] == 1) & (tumour >= sure), 2, mask[union])
    return replace(slices, mask=mask)


def _tumour(run: Run, slices: Slices, inside: np.ndarray, device: str) -> np.ndarray:
    """Probability of tumour, float32 (n, S, S), by the network that the run stands for."""
    network = run.spec.build(run.preset)
    network.load_state_dict(exported_weights(run.out))
    feed = Feed(run.spec, run.preset, run.plan, slices, inside)
    found = np.zeros((len(inside), *slices.mask.shape[1:]), np.float32)
    place = {index: k for k, index in enumerate(inside.tolist())}
    for index, maps in probabilities(network.to(device), feed, inside, torch.device(device)):
        found[place[index]] = maps[2]
    return found
