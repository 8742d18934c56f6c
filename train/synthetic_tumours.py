"""Synthetic tumours painted into real livers, because six patients show too little of how tumours vary.

    painted = paint_tumours(image, mask, Painting(), generator)

After Hu et al., "Label-Free Liver Tumor Segmentation", CVPR 2023, who trained on such tumours alone and came close to
real labels: uneven shape, texture, soft edge, mass effect, capsule. Deviations: theirs are 3D, ours batches of slices
or thin slabs; theirs invent the texture, ours keeps the scan's own noise; ours are bright, fluid and calcified too.

What a mask says afterwards, and how a loss reads it:
  full labels    0, 1 and 2 as before; painted pixels are 2.
  union labels   painted pixels are 2: known tumour. 1 still means "liver, or a tumour that nobody drew". So at 2
                 compare p(tumour), at 1 p(liver) + p(tumour), at 0 p(background): on a slice without painted tumours
                 that is the union loss as it is. `known` tells where a tumour Dice may look. Nothing on such a slice
                 speaks against tumour: with many of them a network may learn to see tumours in that source alone, so
                 paint full slices in the first place.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from train.tumour_draws import LIVER, TUMOUR, Liver, Painting, Tumour, draw_tumours, find_liver, pick, uniform

__all__ = ["Painted", "Painting", "known", "paint_tumours"]

TOUCHED = 2.2  # radii around a tumour where its mass effect ends
Box = tuple[slice, slice, slice]


class Painted(NamedTuple):
    """image float32 (B, D, H, W) in HU; mask uint8 (B, D, H, W); painted bool (B, D): the slice got tumour pixels."""

    image: Tensor
    mask: Tensor
    painted: Tensor


def paint_tumours(image: Tensor, mask: Tensor, how: Painting, generator: Generator) -> Painted:
    """image float32 (B, D, H, W) in HU and mask uint8 (B, D, H, W) -> the same with 0 to 6 tumours an item.

    The D slices of an item are neighbours in one CT, of one contrast phase, and show the same tumours in section. All
    on the CPU. The arguments are not changed, nor are items without liver. Tumours cover liver alone, never one that
    is drawn already; mass effect moves the surroundings, and the liver's edge with them, in image and mask alike.
    Paint before `augment`, whose gain and noise then treat all alike. ValueError for shapes that do not fit.
    """
    if image.ndim != 4 or image.shape != mask.shape:
        raise ValueError(f"image {tuple(image.shape)} and mask {tuple(mask.shape)} should both be (B, D, H, W)")
    image, mask = image.clone(), mask.clone()
    painted = torch.zeros(mask.shape[:2], dtype=torch.bool)
    for item, (picture, labels) in enumerate(zip(image, mask, strict=True)):
        number = pick(how.number, generator)
        liver = find_liver(picture, labels)
        if number and liver:
            painted[item] = _paint_item(picture, labels, liver, number, how, generator)
    return Painted(image, mask, painted)


def known(target: Tensor, full: Tensor) -> Tensor:
    """bool (B, H, W): where the target tells tumour from liver. target uint8 (B, H, W), full bool (B,).

    Everywhere on full slices; on union slices at background and painted tumour, not at 1.
    """
    return full[:, None, None] | (target != LIVER)


def _paint_item(image: Tensor, mask: Tensor, liver: Liver, number: int, how: Painting, generator: Generator) -> Tensor:
    """Paint into image and mask (D, H, W), in place; bool (D,): the slice got tumour pixels."""
    pixel_mm = how.field_of_view_mm / image.shape[-1]
    gap = uniform(how.slice_gap_mm, generator) / pixel_mm
    tumours = draw_tumours(liver, number, pixel_mm, how, generator)
    for tumour in tumours:
        if tumour.push:
            _push_away(image, mask, tumour, gap)
    view = _liver_box(mask, margin=2)
    room = mask[view] == LIVER
    layers = _split(image[view], room, liver, pixel_mm)
    uneven = _noise(room.shape, 8 / pixel_mm, generator)
    inside = torch.zeros_like(room)
    for tumour in tumours:
        moved = _seen_from(view, tumour)
        box = _box_around(moved, 2 * tumour.radius + 3 * tumour.edge, gap, room.shape)
        distance = _distance(moved, box, gap, uneven[box])
        value = _value(moved, distance, liver.hu, uneven[box], 3 / pixel_mm, generator)
        _cover(layers, box, moved, distance, value)
        inside[box] |= distance < 0
    inside &= room
    image[view] = layers.tissue + layers.noise + layers.vessels + layers.rest
    mask[view][inside] = TUMOUR
    return inside.flatten(1).any(1)


def _liver_box(mask: Tensor, margin: int) -> Box:
    """The rows and columns of a mask (D, H, W) that show liver, and so many more on each side."""
    liver = (mask > 0).any(0)
    rows, columns = liver.any(1).nonzero(), liver.any(0).nonzero()
    height, width = liver.shape
    return (
        slice(0, len(mask)),
        slice(max(0, int(rows[0]) - margin), min(height, int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)),
    )


def _seen_from(view: Box, tumour: Tumour) -> Tumour:
    z, y, x = (at - axis.start for at, axis in zip(tumour.centre, view, strict=True))
    return replace(tumour, centre=(z, y, x))


def _box_around(tumour: Tumour, reach: float, gap: float, shape: torch.Size) -> Box:
    """All voxels of (D, H, W) within that many pixels, at least one."""
    spans = []
    for at, far, side in zip(tumour.centre, (reach / gap, reach, reach), shape, strict=True):
        start = min(max(0, math.floor(at - far)), side - 1)
        spans.append(slice(start, max(start + 1, min(side, math.ceil(at + far) + 1))))
    z, y, x = spans
    return z, y, x


def _noise(shape: tuple[int, ...], grain: float, generator: Generator) -> Tensor:
    """Smooth noise (D, H, W) of standard deviation about 1; grain in pixels, and four slices along a slab."""
    depth, height, width = shape
    nodes = [1 if depth == 1 else 2 + depth // 4, *(max(2, round(side / grain)) for side in (height, width))]
    field = 1.5 * torch.randn(1, 1, *nodes, generator=generator)  # interpolation takes a third of the deviation
    return F.interpolate(field, (depth, height, width), mode="trilinear", align_corners=True)[0, 0]


def _from_centre(tumour: Tumour, box: Box, gap: float) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels from the centre along slice, row and column: (D, 1, 1), (H, 1), (W,)."""
    z, y, x = (torch.arange(axis.start, axis.stop) - at for axis, at in zip(box, tumour.centre, strict=True))
    return gap * z[:, None, None], y[:, None], x


def _in_radii(tumour: Tumour, z: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same along the tumour's own axes in units of its half-axes: an even ellipsoid's surface has length 1."""
    cos, sin = math.cos(tumour.turn), math.sin(tumour.turn)
    rz, ry, rx = (tumour.radius * stretch for stretch in tumour.stretch)
    return z / rz, y * (cos / ry) - x * (sin / ry), x * (cos / rx) + y * (sin / rx)


def _distance(tumour: Tumour, box: Box, gap: float, noise: Tensor) -> Tensor:
    """Distance to the uneven surface in pixels (D, H, W), negative inside; right near the surface."""
    z, y, x = _in_radii(tumour, *_from_centre(tumour, box, gap))
    length = (x * x + y * y + z * z).sqrt_().clamp_(min=1e-3)
    cos, sin = x / length, y / length  # both fade towards the poles, and the waves with them
    wave_cos, wave_sin = cos, sin
    surface = 1 + tumour.rough * noise
    for a, b in tumour.waves:
        wave_cos, wave_sin = wave_cos * cos - wave_sin * sin, wave_sin * cos + wave_cos * sin  # one wave more
        surface += a * wave_cos + b * wave_sin
    return (length - surface.clamp_(0.4, 1.5)).mul_(tumour.radius)


def _push_away(image: Tensor, mask: Tensor, tumour: Tumour, gap: float) -> None:
    """Press the surroundings of one tumour away from it, in place: by `push` at its surface, by 0 beyond TOUCHED radii.

    Nothing moves deep inside: the tumour will cover it, with the noise that is there.
    """
    box = _box_around(tumour, TOUCHED * tumour.radius * max(tumour.stretch) + 1, gap, image.shape)
    z, y, x = _from_centre(tumour, box, gap)
    along = _in_radii(tumour, z, y, x)
    length = (along[0] ** 2 + along[1] ** 2 + along[2] ** 2).sqrt_()
    strength = ((length - 0.7) / 0.3).clamp_(0, 1) * ((TOUCHED - length) / (TOUCHED - 1)).clamp_(0, 1).square_()
    strength *= tumour.push / (y * y + x * x).sqrt().clamp_(min=1)
    height, width = strength.shape[1:]
    columns = torch.arange(width) - strength * x
    rows = torch.arange(height)[:, None] - strength * y
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)
    # What hardly moves keeps its own noise, which interpolation would smooth.
    moves = strength * (y.abs() + x.abs()) > 0.02
    for values, mode in ((image[box], "bicubic"), (mask[box], "nearest")):
        moved = F.grid_sample(values[:, None].float(), grid, mode, "border", align_corners=False)[:, 0]
        values.copy_(torch.where(moves, moved.to(values.dtype), values))


@dataclass(frozen=True, eq=False)
class _Layers:
    """A picture (D, H, W) in HU taken apart; its sum is the picture. Tumours are laid over the first three."""

    tissue: Tensor  # local mean of the liver
    noise: Tensor
    vessels: Tensor  # what stands out of the noise, and is brighter
    rest: Tensor  # what a tumour leaves as it is, first of all the partial volume of the liver's edge
    room: Tensor  # 0 to 1: how far a tumour may cover what is here; soft at the liver's edge


def _split(image: Tensor, room: Tensor, liver: Liver, pixel_mm: float) -> _Layers:
    share = _smooth(room.float(), 7 / pixel_mm)
    mean = _smooth(image * room, 7 / pixel_mm) / share.clamp(min=1e-3)
    tissue = torch.where(share > 1e-3, mean, liver.hu).clamp_(min=liver.hu - 12)
    fine = image - tissue
    limit = 2.2 * liver.noise
    noise = fine.clamp(-limit, limit)
    vessels = (fine - limit).clamp_(0, 80)
    return _Layers(tissue, noise, vessels, fine - noise - vessels, _smooth(room.float(), 3))


def _smooth(values: Tensor, width: float) -> Tensor:
    """Mean over a square of about that many pixels, at least 3 (D, H, W)."""
    side = 2 * max(1, round((width - 1) / 2)) + 1
    return F.avg_pool2d(values, side, stride=1, padding=side // 2, count_include_pad=False)


def _value(
    tumour: Tumour, distance: Tensor, liver_hu: float, uneven: Tensor, speck: float, generator: Generator
) -> Tensor:
    """HU of the tumour's tissue (D, H, W): mottle, core, rim and calcifications about `speck` pixels wide."""
    value = liver_hu + tumour.contrast + tumour.mottle * uneven
    if tumour.core:
        depth = distance / -tumour.radius  # 0 at the surface, about 1 in the middle
        value += tumour.core * ((depth - 0.3) / 0.25).clamp_(0, 1)
    if tumour.rim:
        width = max(tumour.rim_width, 0.6)
        value += tumour.rim * torch.exp(-(((distance + width) / width) ** 2))
    value.clamp_(min=0)  # water
    if tumour.calcification:
        grains = _noise(distance.shape, speck, generator).masked_fill_(distance > -0.5, -9)
        value += tumour.calcification * ((grains - grains.max()) / 0.8 + 1).clamp_(0, 1)
    return value


def _cover(layers: _Layers, box: Box, tumour: Tumour, distance: Tensor, value: Tensor) -> None:
    """Lay the tumour over the layers, in place; its edge is about a normal curve's, summed up."""
    cover = torch.sigmoid(distance * (-1.7 / max(tumour.edge, 0.3))).mul_(layers.room[box])
    layers.tissue[box] += cover * (value - layers.tissue[box])
    layers.noise[box] *= 1 + cover * (tumour.noise - 1)
    layers.vessels[box] *= 1 - cover
