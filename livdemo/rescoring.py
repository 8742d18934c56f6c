"""Other labels from the same probabilities, without running the network again.

codes = quantise(probabilities)                      # per slice, while the network runs
cached = Quantised.pack(codes_of_all_slices)         # kept: 2 bytes a voxel of the box around the liver
label_map = relabel(cached, spacing_mm, Rule(largest_component=checkpoint.largest_component))    # as the model has it
label_map = relabel(cached, spacing_mm, Rule(tumour_threshold=0.3, smallest_lesion_ml=0.5))      # as the visitor has it

Probabilities are kept as bytes, on the CT's grid: the way back from the network's grid interpolates, and bytes that
are interpolated afterwards would no longer fall on the same side of a threshold. Codes 128 and above stand for "yes"
at the default thresholds whatever the rounding, so the default rule gives the predictor's label map voxel for voxel.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livdemo.pieces import Mask, cut_at_necks, drop_specks, fill_holes, largest_piece

Codes = NDArray[np.uint8]

# Below this nothing is kept, and no threshold can be set: nearly all of a CT is certain background.
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.05, 0.95
_FULL = 255  # the code of probability 1
_YES = 128  # the lowest code above 0.5


@dataclass(frozen=True)
class Rule:
    """How probabilities become labels, in this order. The defaults are the papers' thresholds.

    A voxel is inside the liver where p(liver) + p(tumour) > liver_threshold. Inside, it is tumour where tumour is
    more than tumour_threshold of that sum: at 0.5 where it is the larger of the two. ValueError for a threshold
    outside [0.05, 0.95] or a negative volume or thickness.
    """

    liver_threshold: float = 0.5
    tumour_threshold: float = 0.5
    largest_component: bool = True  # only the largest connected piece is the liver
    neck_mm: float = 0.0  # of that piece, what hangs on it by a neck thinner than this is another organ; 0: nothing is
    liver_gate: bool = True  # tumour only in the liver; without: also where p(tumour) itself > tumour_threshold
    fill_holes: bool = False  # slice by slice: holes of the liver become liver, holes of a tumour tumour
    smallest_lesion_ml: float = 0.0  # smaller connected tumours become what is around them

    def __post_init__(self) -> None:
        for name in ("liver_threshold", "tumour_threshold"):
            if not LOWEST_THRESHOLD <= getattr(self, name) <= HIGHEST_THRESHOLD:
                allowed = f"{LOWEST_THRESHOLD} to {HIGHEST_THRESHOLD}"
                raise ValueError(f"{name} should be {allowed}, not {getattr(self, name)}")
        for name, unit in (("smallest_lesion_ml", "a volume in mL"), ("neck_mm", "a thickness in mm")):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} should be {unit}, 0 or more, not {getattr(self, name)}")

    def describe(self) -> str:
        """One line for cards and exports."""
        share = f"more than {self.tumour_threshold:g} of that sum"
        parts = (
            f"liver and tumour where their probabilities sum to more than {self.liver_threshold:g}",
            f"tumour where it is {'the larger' if self.tumour_threshold == 0.5 else share}",
            "largest connected piece kept" if self.largest_component else "",
            neck_words(self.neck_mm if self.largest_component else 0.0),
            "holes filled slice by slice" if self.fill_holes else "",
            "" if self.liver_gate else f"tumour also outside the liver where above {self.tumour_threshold:g}",
            speck_words(self.smallest_lesion_ml),
        )
        return "; ".join(part for part in parts if part)


def neck_words(neck_mm: float) -> str:
    """What cutting at necks does, a phrase for cards and exports; "" where nothing is cut."""
    return f"what hangs on it by a neck thinner than {neck_mm:g} mm cut off" if neck_mm else ""


def speck_words(smallest_lesion_ml: float) -> str:
    """What dropping small tumours does, likewise."""
    return f"tumours below {smallest_lesion_ml:g} mL dropped" if smallest_lesion_ml else ""


@dataclass(frozen=True, eq=False)
class Quantised:
    """The probabilities of a volume as bytes, cut to the box where liver or tumour is thinkable at all."""

    shape: tuple[int, int, int]  # of the CT
    box: tuple[slice, slice, slice]  # where the codes lie in it; outside, everything is background
    inside: Codes  # (z, y, x): p(liver) + p(tumour), 255 is 1
    share: Codes  # (z, y, x): p(tumour) / (p(liver) + p(tumour)), 255 is 1

    @classmethod
    def pack(cls, codes: Codes) -> "Quantised":
        """Codes of a whole volume, (2, Z, Y, X) -> the same without the empty rest around."""
        found = ndimage.find_objects((codes[0] > 0).view(np.uint8))
        box = found[0] if found else (slice(0, 0),) * 3
        depth, height, width = codes.shape[1:]
        inside, share = codes[0][box].copy(), codes[1][box].copy()
        return cls((depth, height, width), box, inside, share)

    @property
    def nbytes(self) -> int:
        """Memory that is held."""
        return self.inside.nbytes + self.share.nbytes

    def probabilities(self, slice_index: int) -> NDArray[np.float32]:
        """Background, liver and tumour of one slice, float32 (3, Y, X), each within 1/255 of what was packed.

        Where p(liver) + p(tumour) was below 0.05 it is background for certain.
        """
        maps = np.zeros((3, *self.shape[1:]), np.float32)
        z, *plane = self.box
        if z.start <= slice_index < z.stop:
            inside = self.inside[slice_index - z.start].astype(np.float32) / _FULL
            share = self.share[slice_index - z.start].astype(np.float32) / _FULL
            maps[(slice(1, 3), *plane)] = inside * (1 - share), inside * share
        maps[0] = 1 - maps[1] - maps[2]
        return maps


def quantise(probabilities: np.ndarray) -> Codes:
    """Softmax maps (labels, ...), background first -> uint8 (2, ...): inside and tumour's share of it.

    Give it what the predictor decides on: float32, on the CT's grid. A model that knows no tumour (2 labels) gets the
    share 0.
    """
    possible = 1 - probabilities[0] >= LOWEST_THRESHOLD
    codes = np.zeros((2, *possible.shape), np.uint8)
    background, *others = probabilities[:, possible]  # (labels, N)
    codes[0, possible] = _to_code(1 - background, background < 0.5)
    if len(others) > 1:
        liver, tumour = others
        codes[1, possible] = _to_code(tumour / (liver + tumour), tumour > liver)
    return codes


def quantise_in_liver(liver: Mask, p_tumour: np.ndarray) -> Codes:
    """A cascade's two answers as codes: the first stage's liver is certain, the second gives p(tumour) in it.

    liver: bool (...), p_tumour: float32 of the same shape. Returns uint8 (2, ...), 0 outside the liver.
    """
    return np.where(liver, [np.full(liver.shape, _FULL, np.uint8), _to_code(p_tumour, p_tumour > 0.5)], np.uint8(0))


def _to_code(values: np.ndarray, yes: Mask) -> Codes:
    """Values in [0, 1] to the nearest code, but on the side of 0.5 that the decision took."""
    nearest = np.rint(np.clip(values, 0, 1) * _FULL).astype(np.uint8)
    return np.where(yes, np.maximum(nearest, _YES), np.minimum(nearest, _YES - 1))


def relabel(cached: Quantised, spacing_mm: tuple[float, float, float], rule: Rule) -> NDArray[np.uint8]:
    """The label map (Z, Y, X), 0 background, 1 liver, 2 tumour, that the rule makes of the probabilities."""
    label_map = np.zeros(cached.shape, np.uint8)
    if not cached.inside.size:
        return label_map
    liver = cached.inside > _last_no(rule.liver_threshold)
    if rule.largest_component:
        liver = cut_at_necks(largest_piece(liver), spacing_mm, rule.neck_mm)
    if rule.fill_holes:
        liver = fill_holes(liver)
    tumour = liver & (cached.share > _last_no(rule.tumour_threshold))
    if not rule.liver_gate:
        p_tumour = cached.inside.astype(np.uint16) * cached.share
        tumour |= p_tumour > rule.tumour_threshold * _FULL**2
    if rule.fill_holes:
        tumour = fill_holes(tumour)
    tumour = drop_specks(tumour, spacing_mm, rule.smallest_lesion_ml)
    label_map[cached.box] = np.where(tumour, np.uint8(2), liver.view(np.uint8))
    return label_map


def _last_no(threshold: float) -> int:
    return int(threshold * _FULL)
