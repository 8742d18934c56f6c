"""One row of figures per label and case: the fields of `LabelMetrics` are the metrics.

To add a metric, write one function (on `Confusion` in overlap.py, on `SurfaceDistances` in surface.py), give
`LabelMetrics` one field that names it, and test it on a mask whose answer can be worked out by hand. Tables,
hover texts, CSV columns and the tests of the rules follow from the field.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from . import overlap, surface
from .mask_pair import (
    LABELS,
    BoolArray,
    IntArray,
    State,
    check_label_maps,
    check_masks,
    check_tolerance,
    crop_pair,
    state_of,
)
from .overlap import Confusion, count_confusion
from .surface import SurfaceDistances, cropped_surface_distances

NSD_TOLERANCE_MM = 2.0


class Definition(NamedTuple):
    """What a figure is, for hover texts, CSV headers and lessons."""

    title: str
    unit: str  # "" for a pure number
    better: str  # "higher" | "lower" | "nearer 0" | "" where neither is better
    sentence: str
    source: str


@dataclass(frozen=True, eq=False)
class MaskPair:
    """One label's two masks, cut to a box that holds both; counts and distances are worked out once.

    surfaces counts voxels from the box's corner, which no figure depends on.
    """

    prediction: BoolArray
    reference: BoolArray
    spacing_mm: tuple[float, ...]
    image_shape: tuple[int, ...]
    tolerance_mm: float

    @cached_property
    def confusion(self) -> Confusion:
        return count_confusion(self.prediction, self.reference, math.prod(self.image_shape))

    @cached_property
    def surfaces(self) -> SurfaceDistances:
        return cropped_surface_distances(self.prediction, self.reference, self.spacing_mm, self.image_shape)

    @property
    def state(self) -> State:
        return state_of(int(self.confusion.prediction), int(self.confusion.reference))

    def volume_ml(self, voxels: int) -> float:
        """Volume of so many voxels in mL; NaN for a 2D image, which has an area only."""
        return voxels * math.prod(self.spacing_mm) / 1000.0 if self.prediction.ndim == 3 else math.nan


def _metric(compute: Callable[[MaskPair], Any], title: str, unit: str, better: str, sentence: str, source: str) -> Any:
    """A field of LabelMetrics with the function that fills it and the definition that stands beside it."""
    definition = Definition(title, unit, better, sentence, source)
    return dataclasses.field(metadata={"compute": compute, "definition": definition})


def _volume_difference(pair: MaskPair) -> float:
    """(prediction - reference) / reference; NaN where the reference is empty."""
    reference = int(pair.confusion.reference)
    return (int(pair.confusion.prediction) - reference) / reference if reference else math.nan


@dataclass(frozen=True)
class LabelMetrics:
    """Every figure of one label in one case. NaN means n/a.

    state says which mask is empty. Both empty: everything but the volumes is NaN. Exactly one empty: overlap
    and NSD are 0 and distances are the image diagonal in mm, so that a miss weighs in every mean.
    """

    label: str
    state: State
    dice: float = _metric(
        lambda p: overlap.dice(p.confusion),
        "Dice",
        "",
        "higher",
        "Twice the shared volume over the sum of both volumes, over all voxels of the case: 2|A∩B| / (|A|+|B|).",
        "Dice 1945; PAPERS.md section 3",
    )
    iou: float = _metric(
        lambda p: overlap.iou(p.confusion),
        "IoU",
        "",
        "higher",
        "Shared volume over joint volume, |A∩B| / |A∪B|; for one mask pair IoU = Dice / (2 - Dice).",
        "Jaccard 1912; PAPERS.md section 3",
    )
    sensitivity: float = _metric(
        lambda p: overlap.sensitivity(p.confusion),
        "Sensitivity",
        "",
        "higher",
        "Share of the reference's voxels that were found, TP / (TP+FN); with two classes this is also what "
        "fastai's scripts call foreground accuracy.",
        "PAPERS.md section 3",
    )
    specificity: float = _metric(
        lambda p: overlap.specificity(p.confusion),
        "Specificity",
        "",
        "higher",
        "Share of the background's voxels left alone, TN / (TN+FP); near 1 for nearly everything, because a "
        "CT is mostly background.",
        "PAPERS.md section 3",
    )
    precision: float = _metric(
        lambda p: overlap.precision(p.confusion),
        "Precision",
        "",
        "higher",
        "Share of the predicted voxels that are right, TP / (TP+FP).",
        "van Rijsbergen 1979",
    )
    accuracy: float = _metric(
        lambda p: overlap.accuracy(p.confusion),
        "Accuracy",
        "",
        "higher",
        "Share of all voxels, background included, that are right; finding nothing at all scores close to 1.",
        "the Accuracy of LT-Net's Table 4; PAPERS.md section 3",
    )
    psnr_db: float = _metric(
        lambda p: overlap.psnr_db(p.confusion),
        "PSNR",
        "dB",
        "higher",
        "10 log10(1 / error rate) of the two 0/1 masks: accuracy on another scale, so it says little about a "
        "mask. n/a when no voxel is wrong, since it would be infinite.",
        "S2 eq 6 with R = 1; PAPERS.md section 3",
    )
    hd_mm: float = _metric(
        lambda p: surface.hd_mm(p.surfaces),
        "HD",
        "mm",
        "lower",
        "Hausdorff distance: how far the loneliest surface voxel of either mask is from the other surface.",
        "Huttenlocher et al. 1993; surface voxels as MONAI",
    )
    hd95_mm: float = _metric(
        lambda p: surface.hd95_mm(p.surfaces),
        "HD95",
        "mm",
        "lower",
        "The larger of the two directed 95th percentiles of the distances between surface voxels.",
        "MONAI's definition; not medpy's pooled percentile",
    )
    assd_mm: float = _metric(
        lambda p: surface.assd_mm(p.surfaces),
        "ASSD",
        "mm",
        "lower",
        "Average symmetric surface distance: the mean over the surface voxels of both masks pooled.",
        "Heimann et al. 2009 (SLIVER07); MONAI's symmetric average",
    )
    nsd: float = _metric(
        lambda p: surface.nsd(p.surfaces, p.tolerance_mm),
        "NSD",
        "",
        "higher",
        "Normalised surface distance: share of both surfaces' voxels that lie within the tolerance of the "
        "other surface.",
        "Nikolov et al. 2018, counted over voxels as MONAI",
    )
    boundary_iou: float = _metric(
        lambda p: surface.boundary_iou(p.prediction, p.reference, p.surfaces, p.tolerance_mm),
        "Boundary IoU",
        "",
        "higher",
        "IoU of the two rims: the voxels of each mask within the tolerance of its own surface.",
        "Cheng et al. 2021, with the tolerance in mm as width",
    )
    volume_ml: float = _metric(
        lambda p: p.volume_ml(int(p.confusion.prediction)),
        "Volume",
        "mL",
        "",
        "Predicted voxels times the volume of one voxel; n/a for a 2D image.",
        "count times spacing",
    )
    reference_volume_ml: float = _metric(
        lambda p: p.volume_ml(int(p.confusion.reference)),
        "Reference volume",
        "mL",
        "",
        "Reference voxels times the volume of one voxel; n/a for a 2D image.",
        "count times spacing",
    )
    volume_difference: float = _metric(
        _volume_difference,
        "Relative volume difference",
        "",
        "nearer 0",
        "(Predicted volume - reference volume) / reference volume; -1 when nothing was predicted, n/a "
        "without a reference volume.",
        "Heimann et al. 2009 (SLIVER07), with its sign",
    )
    tolerance_mm: float = _metric(
        lambda p: p.tolerance_mm,
        "Tolerance",
        "mm",
        "",
        "The distance that NSD forgives and the width of the rim in boundary IoU.",
        "chosen by the caller",
    )


METRIC_FIELDS = tuple(field for field in dataclasses.fields(LabelMetrics) if "compute" in field.metadata)

DEFINITIONS: dict[str, Definition] = {field.name: field.metadata["definition"] for field in METRIC_FIELDS}


def score_case(
    prediction: IntArray | BoolArray,
    reference: IntArray | BoolArray,
    spacing_mm: Sequence[float],
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> list[LabelMetrics]:
    """Score a predicted label map: one row for the liver (labels 1 and 2 together), one for the tumour (2).

    Takes label maps (Z, Y, X) or (Y, X) of integers (0 background, 1 liver, 2 tumour; bool means liver alone)
    and the spacing in mm per axis. ValueError names both shapes when they differ, and what is wrong with
    labels, spacing or tolerance.
    """
    check_label_maps(prediction, reference)
    tolerance_mm = check_tolerance(nsd_tolerance_mm)
    cropped = crop_pair(prediction, reference, spacing_mm)
    rows = []
    for label in LABELS:
        inner = crop_pair(*cropped.masks_of(label), cropped.spacing_mm)
        pair = MaskPair(inner.prediction, inner.reference, inner.spacing_mm, cropped.image_shape, tolerance_mm)
        rows.append(_score(label, pair))
    return rows


def score_mask(
    prediction: BoolArray | IntArray,
    reference: BoolArray | IntArray,
    spacing_mm: Sequence[float],
    label: str = "mask",
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> LabelMetrics:
    """Score one mask against another: bool (or 0 and 1), (Z, Y, X) or (Y, X), same rules as `score_case`."""
    check_masks(prediction, reference)
    tolerance_mm = check_tolerance(nsd_tolerance_mm)
    cut = crop_pair(prediction, reference, spacing_mm)
    masks = cut.prediction.astype(bool, copy=False), cut.reference.astype(bool, copy=False)
    return _score(label, MaskPair(*masks, cut.spacing_mm, cut.image_shape, tolerance_mm))


def _score(label: str, pair: MaskPair) -> LabelMetrics:
    figures = {field.name: float(field.metadata["compute"](pair)) for field in METRIC_FIELDS}
    return LabelMetrics(label=label, state=pair.state, **figures)
