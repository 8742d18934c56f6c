"""Precision against recall from what is kept of a run (rescoring.py): no network runs again.

liver, tumour = curves_of(prediction.quantised, reference)
"""

import numpy as np
from numpy.typing import NDArray

from livdemo.metrics import PrecisionRecall
from livdemo.metrics.probability import curve_of_counts
from livdemo.rescoring import LOWEST_THRESHOLD, Codes, Quantised

_FULL = 255  # the code of probability 1
LOWEST_KNOWN = LOWEST_THRESHOLD  # below, nothing was kept: a curve says nothing there


def curves_of(kept: Quantised, reference: NDArray[np.uint8], labels: int = 2) -> tuple[PrecisionRecall, ...]:
    """Curves of liver (tumours included) and tumour over all voxels of the CT, at the thresholds 0, 1/255, ... 1.

    reference: label map (Z, Y, X) of the CT's shape, else ValueError. labels: 1 for a model that knows no tumour.
    What was below 0.05 counts as 0, so the curve is known from LOWEST_KNOWN on.
    """
    if reference.shape != kept.shape:
        raise ValueError(f"probabilities of {kept.shape}, reference of {reference.shape}")
    codes = (kept.inside, _product(kept.inside, kept.share))[:labels]
    return tuple(_curve(code, kept, reference >= label) for label, code in enumerate(codes, start=1))


def _product(inside: Codes, share: Codes) -> Codes:
    """p(tumour) as a code: the nearest to inside times share."""
    return ((inside.astype(np.uint16) * share + _FULL // 2) // _FULL).astype(np.uint8)


def _curve(codes: Codes, kept: Quantised, truth: NDArray[np.bool_]) -> PrecisionRecall:
    here = truth[kept.box]
    found, wrong = (np.bincount(codes[mask], minlength=_FULL + 1) for mask in (here, ~here))
    beyond = int(truth.sum() - here.sum())  # voxels of the reference where nothing was kept
    found[0] += beyond
    wrong[0] += truth.size - here.size - beyond
    return curve_of_counts(found, wrong)
