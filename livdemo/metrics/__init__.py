"""How good is a mask? Pure functions on numpy arrays: mm, mL, and the definition beside every figure.

Lesions, statistics over cases, other libraries' conventions and the claim checker are imported from their own
modules (`from livdemo.metrics.lesions import ...`): they need parts of scipy that take a second to load.
"""

from .classes import CLASS_DEFINITIONS, ClassMetrics, score_classes
from .mask_pair import LABELS, State
from .overlap import Confusion, SliceMetrics, count_confusion, score_slices
from .probability import PrecisionRecall, precision_recall
from .scoring import DEFINITIONS, NSD_TOLERANCE_MM, Definition, LabelMetrics, score_case, score_mask
from .surface import SurfaceDistances, Witness, hausdorff_witness, surface_distances

__all__ = [
    "CLASS_DEFINITIONS",
    "DEFINITIONS",
    "LABELS",
    "NSD_TOLERANCE_MM",
    "ClassMetrics",
    "Confusion",
    "Definition",
    "LabelMetrics",
    "PrecisionRecall",
    "SliceMetrics",
    "State",
    "SurfaceDistances",
    "Witness",
    "count_confusion",
    "hausdorff_witness",
    "precision_recall",
    "score_case",
    "score_classes",
    "score_mask",
    "score_slices",
    "surface_distances",
]
