"""Scans that were cut close around an organ or hold much air, and how large a picture of them a network should get.

A network knows organs of the sizes that its training slices showed, and those showed the whole width of a body. Cut
down to the liver, the same scan blown up to the same square shows a liver of twice that size. So it is given fewer
pixels, until the body covers about as many of them as it did in training (study "close cut" of RESULTS.md). A small
body in a wide field of view is cut out of its air first, for the same reason: on the CHAOS CT with 1.4 times its field
DALU-Net's liver Dice was 0.927 instead of 0.957, on the box around the body it is 0.959. And a z-score over the volume
counts the air that was cut off, or each grey would come out lower than it was learned.
"""

import math
from dataclasses import replace

import numpy as np
from scipy import ndimage

from livdemo.intensity import Box, Preprocessing
from livdemo.pieces import largest_piece
from livdemo.volume import Volume

FAT_HU = -150.0  # fat has about −100: what is darker is air, lung or the table
# A body 1.3 times as wide as deep that just fits its square is an ellipse on π / 4 / 1.3 = 0.60 of it. The eleven
# volumes of the six patients with drawn tumours have 0.45 to 0.60, their median 0.50.
WHOLE_BODY = 0.62
TYPICAL_BODY = 0.50
SMALL_BODY = 0.35  # on less of its square than any of theirs; CHAOS's CT has 0.41
GRID = 16  # sizes are multiples of this, for which every network halves its picture evenly
_STRIDE = 4  # every fourth pixel in each direction is looked at
FINE_ENOUGH = 128  # pixels of a slice's side: of fewer, every fourth tells too little of a body's outline


def body_share(hu: np.ndarray) -> float:
    """The body's share of the square around a slice, (Z, Y, X) in HU -> 0 to 1.

    The upper quartile over the slices: those of the chest, with dark lungs, and beyond the body count less.
    """
    few = hu[:, ::_STRIDE, ::_STRIDE]
    return float(np.percentile((few > FAT_HU).sum(axis=(1, 2)), 75)) / max(few.shape[1:]) ** 2


def body_box(hu: np.ndarray) -> Box | None:
    """The square of a slice in which the body has a typical share, (Z, Y, X) in HU; None where that is all of it.

    As large at the least as the largest piece that is no air, without its thin parts: a table, clothes, a tube.
    """
    whole = max(hu.shape[1:])
    if whole < FINE_ENOUGH:
        return None
    body = largest_piece(ndimage.binary_opening(hu[:, ::_STRIDE, ::_STRIDE] > FAT_HU, np.ones((1, 3, 3), bool)))
    if not body.any():
        return None
    box = ndimage.find_objects(body.view(np.uint8))[0][1:]
    reach = max(side.stop - side.start for side in box) * _STRIDE
    area = float(np.percentile(body.sum(axis=(1, 2)), 75)) * _STRIDE**2
    side = max(math.ceil(math.sqrt(area / TYPICAL_BODY)), reach)
    if side >= whole:
        return None
    ends = []
    for one, length in zip(box, hu.shape[1:], strict=True):
        start = (one.start + one.stop) * _STRIDE // 2 - side // 2
        ends += [max(start, 0), min(start + side, length)]
    top, bottom, left, right = ends
    return top, bottom, left, right


def suited(preprocessing: Preprocessing, volume: Volume, multiple: int = GRID) -> Preprocessing:
    """The preprocessing for this volume: a smaller picture where the scan was cut close, and in the statistics of a
    z-score over the volume the air that is missing; where the body is small, a box around it. Else as it is.

    multiple: of which the network takes sides, in pixels. What is not known to be a CT is left alone: without air in
    it nothing tells the body from what is around it.
    """
    if volume.modality != "CT":
        return preprocessing
    share = body_share(volume.hu)
    if share < SMALL_BODY:
        return replace(preprocessing, box=body_box(volume.hu))
    if share <= WHOLE_BODY:
        return preprocessing
    step = math.lcm(GRID, multiple)
    wanted = preprocessing.size * math.sqrt(TYPICAL_BODY / share)
    framed = replace(preprocessing, size=min(max(round(wanted / step), 1) * step, preprocessing.size))
    return replace(framed, kept=TYPICAL_BODY / share) if preprocessing.counts_air else framed
