"""Scans cut close around an organ, with much air or with oblong pixels: what picture of them a network should get.

A network knows organs of the sizes that its training slices showed, and those showed the whole width of a body. Cut
down to the liver, the same scan blown up to the same square shows a liver of twice that size. So it is given fewer
pixels, until the body covers about as many of them as it did in training (study "close cut" of RESULTS.md). A small
body in a wide field of view is cut out of its air first, for the same reason: on the CHAOS CT with 1.4 times its field
DALU-Net's liver Dice was 0.927 instead of 0.957, on the box around the body it is 0.959. And a z-score over the volume
counts the air that was cut off, or each grey would come out lower than it was learned.

Pixels that are higher than wide, as in a scan that was taken or stored from the front, show every organ squashed. They
are made square (intensity.py), whatever the modality.
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
SQUARE = 0.01  # by how much a pixel's height may differ from its width, as a part of it: headers are rounded
FINE_ENOUGH = 128  # pixels of a slice's side: of fewer, every fourth tells too little of a body's outline


def body_share(hu: np.ndarray, aspect: float = 1.0) -> float:
    """The body's share of the square around a slice, (Z, Y, X) in HU -> 0 to 1. aspect: a pixel's height over width.

    The upper quartile over the slices: those of the chest, with dark lungs, and beyond the body count less.
    """
    few = hu[:, ::_STRIDE, ::_STRIDE]
    height, width = few.shape[1] * aspect, few.shape[2]
    return float(np.percentile((few > FAT_HU).sum(axis=(1, 2)), 75)) * aspect / max(height, width) ** 2


def body_box(hu: np.ndarray, aspect: float = 1.0) -> Box | None:
    """The square of a slice in which the body has a typical share, (Z, Y, X) in HU; None where that is all of it.

    As large at the least as the largest piece that is no air, without its thin parts: a table, clothes, a tube.
    aspect: a pixel's height over its width; lengths below are in widths of a pixel.
    """
    if min(hu.shape[1:]) < FINE_ENOUGH:
        return None
    body = largest_piece(ndimage.binary_opening(hu[:, ::_STRIDE, ::_STRIDE] > FAT_HU, np.ones((1, 3, 3), bool)))
    if not body.any():
        return None
    pixel = (aspect, 1.0)
    whole = max(hu.shape[1] * aspect, hu.shape[2])
    box = ndimage.find_objects(body.view(np.uint8))[0][1:]
    reach = max((side.stop - side.start) * one for side, one in zip(box, pixel, strict=True)) * _STRIDE
    area = float(np.percentile(body.sum(axis=(1, 2)), 75)) * _STRIDE**2 * aspect
    side = max(math.sqrt(area / TYPICAL_BODY), reach)
    if side >= whole:
        return None
    ends = []
    for found, length, one in zip(box, hu.shape[1:], pixel, strict=True):
        pixels = math.ceil(side / one)
        start = (found.start + found.stop) * _STRIDE // 2 - pixels // 2
        ends += [max(start, 0), min(start + pixels, length)]
    top, bottom, left, right = ends
    return top, bottom, left, right


def suited(preprocessing: Preprocessing, volume: Volume, multiple: int = GRID) -> Preprocessing:
    """The preprocessing for this volume: square pixels where its own are not; a smaller picture where the scan was cut
    close, and in the statistics of a z-score over the volume the air that is missing; where the body is small, a box
    around it. Else as it is.

    multiple: of which the network takes sides, in pixels. What is not known to be a CT is not looked at for its body:
    without air in it nothing tells the body from what is around it.
    """
    preprocessing = replace(preprocessing, aspect=aspect_of(volume))
    if volume.modality != "CT":
        return preprocessing
    share = body_share(volume.hu, preprocessing.aspect)
    if share < SMALL_BODY:
        return replace(preprocessing, box=body_box(volume.hu, preprocessing.aspect))
    if share <= WHOLE_BODY:
        return preprocessing
    step = math.lcm(GRID, multiple)
    wanted = preprocessing.size * math.sqrt(TYPICAL_BODY / share)
    framed = replace(preprocessing, size=min(max(round(wanted / step), 1) * step, preprocessing.size))
    return replace(framed, kept=TYPICAL_BODY / share) if preprocessing.counts_air else framed


def aspect_of(volume: Volume) -> float:
    """A pixel's height over its width; 1 where they are as good as the same, or not known."""
    _, height, width = volume.spacing_mm
    return 1.0 if not volume.spacing_known or abs(height / width - 1) < SQUARE else height / width
