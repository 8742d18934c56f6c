"""Lesions as objects: found or missed, how large, how dense, and how many were invented.

A lesion is a connected component of label 2 (neighbours share a face, an edge or a corner). Reference and
predicted lesions are matched one to one: a pair is a hit when its IoU reaches MIN_IOU, there are as many hits
as can be, and among such matchings the sum of IoUs is largest. One prediction that swallows two lesions can
hit one of them only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist

from .mask_pair import LIVER, TUMOUR, BoolArray, IntArray, check_label_maps, check_spacing, joint_box

# Low on purpose: a hit asks "was it found?", and the Dice beside it says how well it was outlined.
MIN_IOU = 0.1

# SFAN's three groups; printed there in mm, which its own slice spacing rules out (PAPERS.md 33).
SIZE_GROUPS = ("< 5 cm", "5-10 cm", "> 10 cm")

LESION_COLUMNS = {
    "volume_ml": "Voxels of the lesion times the volume of one voxel, in mL.",
    "diameter_mm": "Longest distance in mm between two voxels of the lesion in one axial slice, edge to edge "
    "(as RECIST 1.1 measures); it decides the size group.",
    "mean_hu": "Mean of the CT over the lesion's voxels, in HU.",
    "contrast_hu": "Mean HU of the lesion minus mean HU of the liver around it (label 1 of the same map).",
    "dice": "Dice of the lesion and the one predicted lesion matched to it; 0 when there is none.",
    "found": f"Whether the matched lesion's IoU reaches {MIN_IOU}.",
}


@dataclass(frozen=True)
class Lesion:
    """One connected component of tumour. HU figures are NaN without a CT or without liver around."""

    number: int  # 1 is the largest
    voxels: int
    volume_ml: float
    diameter_mm: float
    size_group: str
    mean_hu: float
    contrast_hu: float
    slice_index: int  # the axial slice where its area is largest
    first_slice: int
    last_slice: int
    centre: tuple[int, int, int]  # a voxel OF the lesion near the middle of that slice, (z, y, x)


@dataclass(frozen=True)
class LesionMatch:
    """What one model made of one reference lesion: Dice and IoU with the predicted lesion matched to it."""

    found: bool
    dice: float
    iou: float
    predicted: Lesion | None  # None: no predicted lesion was matched


@dataclass(frozen=True)
class LesionReport:
    """All lesions of one case for one model. matches[k] belongs to reference[k]."""

    reference: tuple[Lesion, ...]
    matches: tuple[LesionMatch, ...]
    false_positives: tuple[Lesion, ...]  # predicted lesions that hit nothing
    min_iou: float

    @property
    def n_found(self) -> int:
        return sum(match.found for match in self.matches)


@dataclass(frozen=True)
class DetectionRow:
    """Detection over cases in one size group ("all": every lesion). sensitivity is NaN without lesions.

    Lesions are grouped by the reference's diameter, false positives by their own.
    """

    size_group: str
    n_cases: int
    n_lesions: int
    n_found: int
    sensitivity: float
    n_false_positives: int
    false_positives_per_case: float


@dataclass(frozen=True, eq=False)
class LabelledLesions:
    """Lesions of one label map and where they are: within the box, components == lesion.number."""

    lesions: tuple[Lesion, ...]
    components: NDArray[np.int32]  # (z, y, x), cut to the box that holds every lesion
    box: tuple[slice, ...]
    image_shape: tuple[int, ...]


def size_group(diameter_mm: float) -> str:
    """SFAN's group of a diameter in mm: below 5 cm, 5 to 10 cm (both included), above 10 cm."""
    if diameter_mm < 50:
        return SIZE_GROUPS[0]
    return SIZE_GROUPS[1] if diameter_mm <= 100 else SIZE_GROUPS[2]


def label_lesions(label_map: IntArray, spacing_mm: Sequence[float], hu: NDArray[Any] | None = None) -> LabelledLesions:
    """Find the lesions (components of label 2) of a (Z, Y, X) label map, the largest first.

    hu is the CT of the same shape; without it the HU figures are NaN. ValueError names both shapes when they
    differ.
    """
    check_label_maps(label_map, label_map)
    if label_map.ndim != 3:
        raise ValueError(f"lesions are counted in (Z, Y, X) label maps, not in {label_map.shape}")
    if hu is not None and hu.shape != label_map.shape:
        raise ValueError(f"label map has shape {label_map.shape}, hu has {hu.shape}")
    spacing = check_spacing(spacing_mm, 3)
    tumour = label_map == TUMOUR
    box = joint_box(tumour, tumour)
    mask = tumour[box]
    found, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    # Number by size, and by position among equals, so that lesion 1 is the largest on every machine.
    sizes = np.bincount(found[mask], minlength=count + 1)[1:]
    number_of = np.zeros(count + 1, np.int32)
    number_of[np.argsort(-sizes, kind="stable") + 1] = np.arange(1, count + 1)
    components = np.take(number_of, found, out=found, mode="clip")  # in place: "raise" would buffer
    places = ndimage.find_objects(components) if count else []
    hu_in_box = None if hu is None else hu[box]
    liver_hu = math.nan if hu is None or not count else _mean_hu(hu, label_map == LIVER)
    start = tuple(part.start for part in box)
    lesions = tuple(
        _measure(number, components, place, start, spacing, hu_in_box, liver_hu)
        for number, place in enumerate(places, start=1)
    )
    return LabelledLesions(lesions, components, box, label_map.shape)


def _mean_hu(hu: NDArray[Any], mask: BoolArray) -> float:
    return float(hu[mask].mean(dtype=np.float64)) if mask.any() else math.nan


def _measure(
    number: int,
    components: NDArray[np.int32],
    place: tuple[slice, ...],  # the lesion's box inside components
    start: tuple[int, ...],  # where components begin in the image
    spacing_mm: tuple[float, ...],
    hu: NDArray[Any] | None,
    liver_hu: float,
) -> Lesion:
    mask = components[place] == number
    areas = np.count_nonzero(mask, axis=(1, 2))
    voxels, largest = int(areas.sum()), int(areas.argmax())
    diameter = longest_axial_diameter_mm(mask, spacing_mm)
    mean = math.nan if hu is None else _mean_hu(hu[place], mask)
    pixels = np.argwhere(mask[largest])
    middle = pixels[np.linalg.norm(pixels - pixels.mean(axis=0), axis=1).argmin()]
    z, y, x = (int(a + part.start) for a, part in zip(start, place, strict=True))
    return Lesion(
        number=number,
        voxels=voxels,
        volume_ml=voxels * math.prod(spacing_mm) / 1000.0,
        diameter_mm=diameter,
        size_group=size_group(diameter),
        mean_hu=mean,
        contrast_hu=mean - liver_hu,
        slice_index=z + largest,
        first_slice=z,
        last_slice=z + len(areas) - 1,
        centre=(z + largest, y + int(middle[0]), x + int(middle[1])),
    )


def longest_axial_diameter_mm(mask: BoolArray, spacing_mm: Sequence[float]) -> float:
    """Longest distance in mm between two voxels of a (Z, Y, X) mask within one axial slice, edge to edge.

    Centre to centre plus one voxel width: ten voxels of 1 mm in a row measure 10 mm, one voxel 1 mm.
    ValueError on an empty mask. The in-plane longest diameter is RECIST 1.1's.
    """
    if not mask.any():
        raise ValueError(f"an empty mask of shape {mask.shape} has no diameter")
    in_plane = np.asarray(spacing_mm[1:], dtype=float)
    longest = max(_widest_mm(image, in_plane) for image in mask if image.any())
    return longest + float(np.sqrt(in_plane.prod()))


def _widest_mm(image: BoolArray, spacing_mm: NDArray[np.float64]) -> float:
    """Largest distance between centres of two pixels of a slice; only ends of rows can be that far apart."""
    rows = np.flatnonzero(image.any(axis=1))
    first = image[rows].argmax(axis=1)
    last = image.shape[1] - 1 - image[rows, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])
    return float(pdist(ends * spacing_mm).max())


def match_lesions(predicted: LabelledLesions, reference: LabelledLesions, min_iou: float = MIN_IOU) -> LesionReport:
    """Match predicted to reference lesions one to one: as many hits as can be, then the largest sum of IoUs.

    Pairs that reach min_iou are hits; predicted lesions without a hit are false positives. ValueError names
    both shapes when the label maps differ.
    """
    if predicted.image_shape != reference.image_shape:
        raise ValueError(f"prediction has shape {predicted.image_shape}, reference has {reference.image_shape}")
    if not 0 < min_iou <= 1:
        raise ValueError(f"min_iou must lie in (0, 1], not {min_iou}")
    shared = _shared_voxels(reference, predicted)
    sizes = [np.array([lesion.voxels for lesion in side.lesions]) for side in (reference, predicted)]
    both = np.add.outer(*sizes)
    iou = shared / (both - shared) if both.size else np.zeros(both.shape)
    # A hit outweighs any sum of IoUs below it, since no more than min(both.shape) pairs can be matched.
    worth = iou + (iou >= min_iou) * (1 + min(both.shape))
    partner = dict(zip(*linear_sum_assignment(worth, maximize=True), strict=True))
    matches = []
    for r in range(len(reference.lesions)):
        p = partner.get(r)
        if p is None or not shared[r, p]:
            matches.append(LesionMatch(found=False, dice=0.0, iou=0.0, predicted=None))
        else:
            dice = float(2 * shared[r, p] / both[r, p])
            hit = bool(iou[r, p] >= min_iou)
            matches.append(LesionMatch(hit, dice, float(iou[r, p]), predicted.lesions[p]))
    hits = {match.predicted.number for match in matches if match.found and match.predicted}
    false_positives = tuple(lesion for lesion in predicted.lesions if lesion.number not in hits)
    return LesionReport(reference.lesions, tuple(matches), false_positives, min_iou)


def _shared_voxels(reference: LabelledLesions, predicted: LabelledLesions) -> NDArray[np.int64]:
    """Voxels shared by each pair of lesions, (reference lesions, predicted lesions)."""
    shared = np.zeros((len(reference.lesions), len(predicted.lesions)), np.int64)
    pairs = list(zip(reference.box, predicted.box, strict=True))
    common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in pairs]
    if any(part.start >= part.stop for part in common):
        return shared
    inside = [
        side.components[
            tuple(
                slice(part.start - own.start, part.stop - own.start) for part, own in zip(common, side.box, strict=True)
            )
        ]
        for side in (reference, predicted)
    ]
    both = (inside[0] > 0) & (inside[1] > 0)
    np.add.at(shared, (inside[0][both] - 1, inside[1][both] - 1), 1)
    return shared


def lesion_ledger(
    predictions: Mapping[str, IntArray],
    reference: IntArray,
    spacing_mm: Sequence[float],
    hu: NDArray[Any] | None = None,
    min_iou: float = MIN_IOU,
) -> dict[str, LesionReport]:
    """Lesion by lesion what each model found: label maps (Z, Y, X) by model name -> report by model name.

    Every report holds the same reference lesions in the same order, so row k of a table is matches[k] of
    each. ValueError names both shapes when a map's differs from the reference's.
    """
    truth = label_lesions(reference, spacing_mm, hu)
    reports = {}
    for model, prediction in predictions.items():
        check_label_maps(prediction, reference)
        reports[model] = match_lesions(label_lesions(prediction, spacing_mm, hu), truth, min_iou)
    return reports


def detection_table(reports: Sequence[LesionReport]) -> list[DetectionRow]:
    """Detection of one model over cases (one report each): a row for all lesions, then one per size group."""
    return [_detection_row(group, reports) for group in ("all", *SIZE_GROUPS)]


def _detection_row(group: str, reports: Sequence[LesionReport]) -> DetectionRow:
    matches = [
        match
        for report in reports
        for lesion, match in zip(report.reference, report.matches, strict=True)
        if group in ("all", lesion.size_group)
    ]
    invented = [lesion for report in reports for lesion in report.false_positives]
    false = sum(group in ("all", lesion.size_group) for lesion in invented)
    found = sum(match.found for match in matches)
    return DetectionRow(
        size_group=group,
        n_cases=len(reports),
        n_lesions=len(matches),
        n_found=found,
        sensitivity=found / len(matches) if matches else math.nan,
        n_false_positives=false,
        false_positives_per_case=false / len(reports) if reports else math.nan,
    )
