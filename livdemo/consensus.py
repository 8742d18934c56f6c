"""What several models make of one case together: where they agree, how unsure they are, what they say as one.

voters = [Voter("unet64", prediction.label_map), Voter("sfan", ...), Voter("unet_liver", ..., knows_tumour=False)]
count_votes(voters, "tumour").count                  # agreement map: how many say tumour
vote_entropy_bits(voters, z)                         # 0 where all agree; the same for probabilities: entropy_bits
majority(voters).label_map, staple(voters).label_map # one more row of the table, scored like a model

A consensus is no network and has seen no reference: models that share a mistake agree on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from livdemo.errors import InputError
from livdemo.metrics.mask_pair import joint_box

Label = Literal["liver", "tumour"]
_LOWEST = {"liver": 1, "tumour": 2}  # the liver is labels 1 and 2 together

_STAPLE_ITERATIONS = 200  # it converges in fewer than 20 on livers; without a limit ITK allows 2^32


@dataclass(frozen=True, eq=False)
class Voter:
    """One model's label map, uint8 (Z, Y, X). A model that knows no tumour has no vote on tumours."""

    name: str
    label_map: NDArray[np.uint8]
    knows_tumour: bool = True


@dataclass(frozen=True, eq=False)
class Votes:
    """How many say so, voxel by voxel, and how many were asked."""

    count: NDArray[np.uint8]  # (Z, Y, X)
    asked: int


@dataclass(frozen=True)
class Reliability:
    """How good STAPLE believes one voter to be: judged by the other voters, not by a reference."""

    name: str
    label: Label
    sensitivity: float
    specificity: float  # within the box around everything that anyone outlined


@dataclass(frozen=True, eq=False)
class Consensus:
    """The label map of several models together, with what to call it and what to say about it."""

    title: str
    label_map: NDArray[np.uint8]  # (Z, Y, X)
    note: str
    knows_tumour: bool
    reliability: tuple[Reliability, ...] = ()  # STAPLE only


def count_votes(voters: Sequence[Voter], label: Label) -> Votes:
    """Agreement map: how many voters say liver (tumour included) or tumour. ValueError when shapes differ."""
    masks = _masks(voters, label)
    count = np.zeros(_shape(voters), np.uint8)
    for mask in masks:
        count += mask
    return Votes(count, len(masks))


def entropy_bits(shares: np.ndarray) -> NDArray[np.float32]:
    """Shannon's entropy in bits of shares (labels, ...) that sum to 1: 0 is certain, log2(labels) no idea at all."""
    kept = np.where(shares > 0, shares, 1).astype(np.float32)
    return np.maximum(-(kept * np.log2(kept)).sum(axis=0), 0)


def vote_entropy_bits(voters: Sequence[Voter], slice_index: int) -> NDArray[np.float32]:
    """Entropy in bits of the voters' labels in one slice, float32 (Y, X); 0 where they agree, at most log2(3).

    Only models that know tumours count, unless none does: liver is another answer for those that have no other.
    """
    _shape(voters)
    asked = [voter for voter in voters if voter.knows_tumour] or voters
    slices = [voter.label_map[slice_index] for voter in asked]
    shares = [np.mean([one == label for one in slices], axis=0) for label in range(3)]
    return entropy_bits(np.stack(shares))


def majority(voters: Sequence[Voter]) -> Consensus:
    """A voxel counts when more than half of those asked say so; a tie is a no. InputError below two voters."""
    _check_enough(voters)
    masks = []
    for label in _labels(voters):
        votes = count_votes(voters, label)
        masks.append(votes.count > votes.asked // 2)
    note = f"More than half say so; made from {_names(voters)}. No network of its own, and no reference went in."
    return Consensus(f"Majority of {len(voters)}", _nest(masks), note, len(masks) == 2)


def staple(voters: Sequence[Voter]) -> Consensus:
    """STAPLE (Warfield, Zou and Wells 2004): votes weighted by how reliable each voter seems, both estimated at once.

    Liver and tumour are asked one after the other; a voxel counts where its posterior is above 0.5. InputError below
    two voters. The prior is the voters' mean share of the box that holds all their outlines, so the air around the
    body has no say in it. What all of them say stands, and so does what none says. Computed by SimpleITK.
    """
    _check_enough(voters)
    masks, reliability = [], []
    for label in _labels(voters):
        mask, judged = _staple_of(voters, label)
        masks.append(mask)
        reliability += judged
    note = (
        f"STAPLE: votes weighted by the sensitivity and specificity that each voter seems to have; made from "
        f"{_names(voters)}. No network of its own, and no reference went in."
    )
    return Consensus(f"STAPLE of {len(voters)}", _nest(masks), note, len(masks) == 2, tuple(reliability))


def _staple_of(voters: Sequence[Voter], label: Label) -> tuple[NDArray[np.bool_], list[Reliability]]:
    masks, names = _masks(voters, label), [voter.name for voter in voters if label == "liver" or voter.knows_tumour]
    anyone = np.logical_or.reduce(masks)
    if len(masks) == 1 or not anyone.any():  # nobody to be weighed against, or nothing to weigh
        return anyone, []
    box = joint_box(anyone, anyone)
    margin = int(anyone[box].all())  # a box without background: there would be no specificity
    cut = [np.pad(mask[box].view(np.uint8), margin) for mask in masks]
    estimate = sitk.STAPLEImageFilter()
    estimate.SetForegroundValue(1)
    estimate.SetMaximumIterations(_STAPLE_ITERATIONS)
    inner = (slice(margin, -margin or None),) * anyone.ndim
    posterior = sitk.GetArrayFromImage(estimate.Execute([sitk.GetImageFromArray(one) for one in cut]))
    # The equations have a mirrored solution too, in which voters mean the opposite of what they say.
    consensus = np.logical_and.reduce(masks)
    consensus[box] |= (posterior[inner] > 0.5) & anyone[box]
    figures = zip(names, estimate.GetSensitivity(), estimate.GetSpecificity(), strict=True)
    return consensus, [Reliability(name, label, *pair) for name, *pair in figures]


def _masks(voters: Sequence[Voter], label: Label) -> list[NDArray[np.bool_]]:
    _shape(voters)
    return [v.label_map >= _LOWEST[label] for v in voters if label == "liver" or v.knows_tumour]


def _labels(voters: Sequence[Voter]) -> tuple[Label, ...]:
    return ("liver", "tumour") if any(voter.knows_tumour for voter in voters) else ("liver",)


def _nest(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Liver and perhaps tumour -> label map. Not every voter was asked about tumours, so these may stick out: cut."""
    label_map = masks[0].astype(np.uint8)
    for tumour in masks[1:]:
        label_map[tumour & masks[0]] = 2
    return label_map


def _shape(voters: Sequence[Voter]) -> tuple[int, ...]:
    shapes = {voter.name: voter.label_map.shape for voter in voters}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"voters need label maps of one shape, not {shapes}")
    return voters[0].label_map.shape


def _check_enough(voters: Sequence[Voter]) -> None:
    if len(voters) < 2:
        raise InputError("A consensus needs at least two models: choose another one and run it.")


def _names(voters: Sequence[Voter]) -> str:
    *others, last = [voter.name for voter in voters]
    return f"{', '.join(others)} and {last}"
