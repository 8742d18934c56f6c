"""What synthetic tumours may look like (`Painting`), and the draw of their numbers, places, shapes and HU.

Every figure marked "measured" comes from the 981 outlines in 695 slices of the LiTS patients B, C, D and F (256 pixels
across, livers of 75 to 105 HU), as 5th, 50th and 95th percentile. Four patients prove little, so the ranges go on
beyond them, to the kinds that radiology knows.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Range = tuple[float, float]
Kind = Literal["dark", "fluid", "rimmed", "bright", "calcified"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIVER, TUMOUR = 1, 2
MOST = 6  # tumours to a slice


@dataclass(frozen=True)
class Painting:
    """Ranges to draw from. Lengths in mm are right for a slice that shows `field_of_view_mm`."""

    # Shares of the slices (or slabs) with 0, 1, ... 6 tumours. Measured where there is any: 1, 2, 5.
    number: tuple[float, ...] = (0.10, 0.34, 0.20, 0.14, 0.10, 0.07, 0.05)
    # Radius over that of a disc as large as the liver in view. Measured: 0.04, 0.15, 0.54.
    radius: Range = (0.04, 0.50)
    smaller: float = 1.1  # exponent of a uniform number: 1 spreads the logarithm evenly, above 1 favours small ones
    smallest_px: float = 1.3  # fewer pixels show nothing that could be learned
    stretch: Range = (0.8, 1.25)  # of each half-axis. Measured, long over short: 1.07, 1.25, 2.0
    wobble: Range = (0.03, 0.18)  # unevenness of the outline over the radius. Measured solidity: 0.77, 0.93, 0.96
    neighbours: float = 0.35  # of the tumours lie against the one before: clusters and lobes
    kinds: tuple[float, ...] = (0.66, 0.10, 0.08, 0.10, 0.06)  # shares of KINDS
    # Nobody can learn what cannot be seen: |HU to the liver| · √(pixels) is at least so many times the liver's noise
    # (Rose's criterion: 5), up to 70 HU.
    visible: float = 5.0
    dark_hu: Range = (-75.0, -12.0)  # to the liver's median. Measured: -63, -49, -25
    fluid_hu: Range = (0.0, 22.0)  # not to the liver: cysts and ablated tumours hold water
    rimmed_hu: Range = (-10.0, 10.0)
    bright_hu: Range = (10.0, 60.0)
    mottle_hu: Range = (0.0, 7.0)  # uneven uptake, grain of 8 mm. Measured, with the noise's coarse part: 2, 5, 10
    noise: Range = (0.8, 1.1)  # to that of the liver. Measured: 0.78, 0.92, 1.07
    # Standard deviation of the soft edge. Measured: 10 to 90 % of the contrast within 2.5 to 3 pixels, so about 1.5 mm
    # with the drawing's own error.
    edge_mm: Range = (0.5, 2.5)
    rim_share: float = 0.25
    rim_mm: Range = (1.0, 4.0)
    rim_hu: Range = (12.0, 45.0)  # brighter by that; every third is a dark one, by half of it
    core_share: float = 0.30  # have a necrotic core, of those with a radius above core_from_mm
    core_from_mm: float = 8.0
    core_hu: Range = (-35.0, -8.0)  # to the rest of the tumour. Measured, middle to margin: -13, -2, +7
    calcification_hu: Range = (300.0, 800.0)
    push_share: float = 0.4  # press their surroundings away
    push: Range = (0.05, 0.15)  # over the radius
    push_mm: float = 4.0  # and no further
    slice_gap_mm: Range = (1.0, 5.0)  # from slice to slice of a slab
    field_of_view_mm: float = 360.0

    def __post_init__(self) -> None:
        if not 1 < len(self.number) <= MOST + 1 or min(self.number) < 0 or sum(self.number) <= 0:
            raise ValueError(f"number {self.number} should be shares of 0 to at most {MOST} tumours")
        if len(self.kinds) != len(KINDS) or min(self.kinds) < 0 or sum(self.kinds) <= 0:
            raise ValueError(f"kinds {self.kinds} should be a share for each of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Tumour:
    """Lengths in pixels, angles in radians, HU to the liver's median unless it says otherwise."""

    centre: tuple[float, float, float]  # slice, row, column
    radius: float
    stretch: tuple[float, float, float]  # slice, row, column; product 1
    turn: float  # in the plane
    waves: tuple[tuple[float, float], ...]  # cosine and sine of 2, 3, ... waves around the outline, over the radius
    rough: float  # over the radius
    contrast: float
    mottle: float
    noise: float  # to the liver's
    edge: float
    rim: float  # to the rest of the tumour; 0 for none
    rim_width: float
    core: float  # to the rest of the tumour; 0 for none
    calcification: float  # 0 for none
    push: float


@dataclass(frozen=True, eq=False)
class Liver:
    """What is known of one item's liver."""

    mask: Tensor  # uint8 (D, H, W)
    pixels: Tensor  # int (n, 3) inside of it, not at its edge unless that is all there is: slice, row, column
    hu: float  # median
    noise: float  # 1.4826 median absolute deviation
    radius: float  # px, of a disc as large as the liver, tumours included, in the slice that shows most of it


def find_liver(image: Tensor, mask: Tensor) -> Liver | None:
    """image float32 and mask uint8 (D, H, W); None where no pixel is liver."""
    room = mask == LIVER
    if not room.any():
        return None
    inside = F.avg_pool2d(room.float(), 3, stride=1, padding=1) > 0.99  # tells the median nothing of fat
    pixels = (inside if inside.any() else room).nonzero()
    values = image[tuple(pixels.T)]
    hu = values.median()
    area = int((mask > 0).sum((1, 2)).max())
    return Liver(mask, pixels, hu.item(), 1.4826 * (values - hu).abs().median().item(), math.sqrt(area / math.pi))


def pick(shares: tuple[float, ...], generator: Generator) -> int:
    """An index, drawn by those shares."""
    weights = torch.tensor(shares, dtype=torch.float32)
    return int(torch.multinomial(weights, 1, generator=generator))


def draw_tumours(liver: Liver, number: int, pixel_mm: float, how: Painting, generator: Generator) -> list[Tumour]:
    drawn: list[Tumour] = []
    for _ in range(number):
        tumour = _draw_tumour(liver, pixel_mm, how, generator)
        if drawn and uniform((0, 1), generator) < how.neighbours:
            centre = _beside(drawn[-1], tumour.radius, generator)
            tumour = replace(tumour, centre=centre) if _in_liver(centre, liver.mask) else tumour
        drawn.append(tumour)
    return drawn


def uniform(limits: Range, generator: Generator) -> float:
    return limits[0] + (limits[1] - limits[0]) * torch.rand((), generator=generator).item()


def _draw_tumour(liver: Liver, pixel_mm: float, how: Painting, generator: Generator) -> Tumour:
    """Its middle is any pixel inside the liver, so that large ones often reach the edge."""

    def within(limits: Range) -> float:
        return uniform(limits, generator)

    def happens(share: float) -> bool:
        return within((0, 1)) < share

    kind = KINDS[pick(how.kinds, generator)]
    radius = _draw_radius(liver, how, generator)
    cored = kind != "fluid" and radius * pixel_mm > how.core_from_mm and happens(how.core_share)
    rimmed = kind == "rimmed" or happens(how.rim_share)
    least = min(how.visible * liver.noise / (math.sqrt(math.pi) * radius), 70.0)
    slice_index, row, column = liver.pixels[int(within((0, 1)) * len(liver.pixels))].tolist()
    return Tumour(
        centre=(slice_index, row, column),
        radius=radius,
        stretch=_draw_stretch(how, generator),
        turn=within((0, math.pi)),
        waves=_draw_waves(how, generator),
        rough=within((0, 0.12)),
        contrast=_draw_contrast(kind, liver.hu, least, how, generator),
        mottle=within(how.mottle_hu),
        noise=within(how.noise),
        edge=min(within(how.edge_mm) / pixel_mm, 0.45 * radius),  # or a small one would fade altogether
        rim=max(within(how.rim_hu), least) * (-0.5 if happens(1 / 3) else 1.0) if rimmed else 0.0,
        rim_width=within(how.rim_mm) / pixel_mm,
        core=within(how.core_hu) if cored else 0.0,
        calcification=within(how.calcification_hu) if kind == "calcified" else 0.0,
        push=min(within(how.push) * radius, how.push_mm / pixel_mm) if happens(how.push_share) else 0.0,
    )


def _draw_radius(liver: Liver, how: Painting, generator: Generator) -> float:
    low, high = how.radius
    share = low * (high / low) ** (uniform((0, 1), generator) ** how.smaller)
    return max(share * liver.radius, how.smallest_px)


def _draw_stretch(how: Painting, generator: Generator) -> tuple[float, float, float]:
    z, y, x = (uniform(how.stretch, generator) for _ in range(3))
    mean = (z * y * x) ** (1 / 3)
    return z / mean, y / mean, x / mean


def _draw_waves(how: Painting, generator: Generator) -> tuple[tuple[float, float], ...]:
    """The more waves to the outline, the lower."""
    height = uniform(how.wobble, generator)
    drawn = torch.randn(4, 2, generator=generator).tolist()
    return tuple((height * a / count, height * b / count) for count, (a, b) in enumerate(drawn, start=2))


def _draw_contrast(kind: Kind, liver_hu: float, least: float, how: Painting, generator: Generator) -> float:
    """HU to the liver's, at least that much either way; solid tissue is never thinner than water.

    The more contrast agent is in the liver, the more it stands out from what takes up little.
    """
    if kind == "fluid":
        return uniform(how.fluid_hu, generator) - liver_hu
    if kind == "rimmed":
        return uniform(how.rimmed_hu, generator)  # its rim is seen
    if kind == "bright":
        return max(uniform(how.bright_hu, generator), least)
    dark = uniform(how.dark_hu, generator) * min(max(liver_hu / 100, 1.0), 1.8)
    return max(min(dark, -least), min(5 - liver_hu, -8))


def _beside(last: Tumour, radius: float, generator: Generator) -> tuple[float, float, float]:
    """Where a tumour of that radius touches or overlaps the last one, in the same slice."""
    angle = uniform((0, 2 * math.pi), generator)
    apart = (last.radius + radius) * uniform((0.6, 1.15), generator)
    z, y, x = last.centre
    return z, y + apart * math.sin(angle), x + apart * math.cos(angle)


def _in_liver(centre: tuple[float, float, float], mask: Tensor) -> bool:
    at = [round(axis) for axis in centre]
    inside = all(0 <= place < side for place, side in zip(at, mask.shape, strict=True))
    return inside and mask[tuple(at)].item() == LIVER
