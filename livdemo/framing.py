"""Scans that were cut close around an organ, and how large a picture of them a network should get.

A network knows organs of the sizes that its training slices showed, and those showed the whole width of a body. Cut
down to the liver, the same scan blown up to the same square shows a liver of twice that size. So it is given fewer
pixels, until the body covers about as many of them as it did in training (study "close cut" of RESULTS.md). And a
z-score over the volume counts the air that was cut off, or each grey would come out lower than it was learned.
"""

import math
from dataclasses import replace

import numpy as np

from livdemo.intensity import Preprocessing
from livdemo.volume import Volume

FAT_HU = -150.0  # fat has about −100: what is darker is air, lung or the table
# A body 1.3 times as wide as deep that just fits its square is an ellipse on π / 4 / 1.3 = 0.60 of it. The eleven
# volumes of the six patients with drawn tumours have 0.45 to 0.60, their median 0.50.
WHOLE_BODY = 0.62
TYPICAL_BODY = 0.50
GRID = 16  # sizes are multiples of this, for which every network halves its picture evenly
_STRIDE = 4  # every fourth pixel in each direction is looked at


def body_share(hu: np.ndarray) -> float:
    """The body's share of the square around a slice, (Z, Y, X) in HU -> 0 to 1.

    The upper quartile over the slices: those of the chest, with dark lungs, and beyond the body count less.
    """
    few = hu[:, ::_STRIDE, ::_STRIDE]
    return float(np.percentile((few > FAT_HU).sum(axis=(1, 2)), 75)) / max(few.shape[1:]) ** 2


def suited(preprocessing: Preprocessing, volume: Volume, multiple: int = GRID) -> Preprocessing:
    """The preprocessing for this volume: a smaller picture where the scan was cut close, and in the statistics of a
    z-score over the volume the air that is missing. Else as it is.

    multiple: of which the network takes sides, in pixels. What is not known to be a CT is left alone: without air in
    it nothing tells the body from what is around it.
    """
    share = body_share(volume.hu) if volume.modality == "CT" else 0.0
    if share <= WHOLE_BODY:
        return preprocessing
    step = math.lcm(GRID, multiple)
    wanted = preprocessing.size * math.sqrt(TYPICAL_BODY / share)
    framed = replace(preprocessing, size=min(max(round(wanted / step), 1) * step, preprocessing.size))
    return replace(framed, kept=TYPICAL_BODY / share) if preprocessing.counts_air else framed
