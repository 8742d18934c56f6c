"""Random views of a batch: one affine map for image and mask, then changes of the grey values.

    image, mask = augment(image, mask, AUGMENTATIONS["s2"], torch.Generator().manual_seed(0))

An item is a slice, or a block of slices and contrast phases: parameters are drawn once an item, so that all of its
channels move and change together. They come from the caller's generator alone: the same seed gives the same batch.

The map is torch's own grid_sample. Kornia 0.9 does the same in 5.0 ms (warp_affine) or 7.0 ms
(AugmentationSequential) instead of 1.9 ms for 8 slices of 128 × 128 with their masks on one core, and its random
transforms draw from torch's global generator. Its blur and its colours, as plain functions, are what is used here.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.enhance import adjust_hue, adjust_saturation_with_gray_subtraction
from kornia.filters import gaussian_blur2d
from torch import Tensor

from livdemo.intensity import HU_AIR

NARROW_BLACK_HU = -160.0  # what the liver-only source's black means in the grey scale of the other one


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from, uniformly; as they stand here nothing changes. Angles and shifts are half-widths.

    A share is the part of the items to which something happens.
    """

    name: str = ""
    zoom: tuple[float, float] = (1.0, 1.0)  # below 1 more of the body fits in, above 1 less; uniform in the logarithm
    rotation_degrees: float = 0.0
    shear_degrees: float = 0.0
    shift: float | None = 0.0  # of the slice's side; None: the view lies anywhere where it still shows body
    left_right_share: float = 0.0  # mirrored: the liver moves to the patient's left, as in situs inversus
    up_down_share: float = 0.0  # mirrored: the spine moves to the front
    outside: float = HU_AIR  # what lies beyond the slice
    gain: tuple[float, float] = (1.0, 1.0)  # of all above 0 HU: contrast agent changes organs, never fat or air
    offset: tuple[float, float] = (0.0, 0.0)  # of everything, in HU: calibration
    contrast: tuple[float, float] = (1.0, 1.0)  # about `contrast_centre`
    contrast_centre: float = 0.0
    coarse_share: float = 0.0  # drawn at half the resolution, as by thick slices or 3 mm pixels
    blur_share: float = 0.0
    blur_pixels: tuple[float, float] = (0.1, 2.0)  # standard deviation of the Gaussian
    narrow_share: float = 0.0  # lose everything under 0 HU, as the liver-only source did
    noise: float = 0.0  # largest standard deviation of white noise, in HU
    saturation: tuple[float, float] = (1.0, 1.0)  # RGB only: 0 is grey
    hue_degrees: float = 0.0  # RGB only: turn of the colour circle

    @property
    def moves(self) -> bool:
        """Whether it changes where things are."""
        fields = (self.rotation_degrees, self.shear_degrees, self.shift, self.left_right_share, self.up_down_share)
        return self.zoom != (1.0, 1.0) or any(field != 0 for field in fields)

    @property
    def recolours(self) -> bool:
        """Whether it changes colours, which takes RGB."""
        return self.saturation != (1.0, 1.0) or self.hue_degrees != 0


# Our own, wide enough for other scanners, fields of view and contrast phases.
HOUSE = Augmentation(
    "house",
    zoom=(0.8, 1.5),
    rotation_degrees=12,
    shear_degrees=5,
    shift=None,
    gain=(0.5, 1.35),  # a portal liver of 105 HU becomes 50 to 140
    offset=(-15, 15),
    coarse_share=0.25,
    narrow_share=0.25,
    noise=25,
)
# S4 says rotation "up to 10 percent", shift and zoom of 5 %, shear without a number.
S4 = Augmentation("s4", zoom=(0.95, 1.05), rotation_degrees=10, shear_degrees=5, shift=0.05)
# S2: rotate, flip, scale, I_out = α · I_scale on the windowed picture, whose black is −45 HU (W 150, C 30). Here the
# window comes afterwards, so what it clips to white stays white.
S2 = Augmentation(
    "s2",
    zoom=(0.9, 1.1),
    rotation_degrees=15,
    left_right_share=0.5,
    contrast=(0.8, 1.2),
    contrast_centre=-45,
)
# S1 leaves it to its code: affine, blur, noise and MR artefacts, of which a CT has none. The ranges are ours.
S1_LITS = Augmentation(
    "s1_lits", zoom=(0.9, 1.1), rotation_degrees=10, shear_degrees=5, shift=0.05, blur_share=0.5, noise=25
)
# S1 on endoscopy, RGB from 0 to 255: the operations and ±30° are its code's, the other ranges ours.
S1_KVASIR = Augmentation(
    "s1_kvasir",
    zoom=(0.9, 1.1),
    rotation_degrees=30,
    shear_degrees=5,
    shift=0.1,
    left_right_share=0.5,
    up_down_share=0.5,
    outside=0,
    gain=(0.8, 1.2),
    contrast=(0.8, 1.2),
    contrast_centre=128,
    blur_share=0.3,
    saturation=(0.8, 1.2),
    hue_degrees=15,
)
# S0 and S3 state none. A flip is what everybody does, and wrong for a liver, which lies on the patient's right:
# one mirror makes a situs inversus, both together a patient who lies on the belly.
FLIPS_10 = Augmentation("flips_10", rotation_degrees=10, left_right_share=0.5, up_down_share=0.5)
NONE = Augmentation("none")

AUGMENTATIONS: dict[str, Augmentation] = {how.name: how for how in (HOUSE, S4, S2, S1_LITS, S1_KVASIR, FLIPS_10, NONE)}


def augment(
    image: Tensor, mask: Tensor, how: Augmentation, generator: torch.Generator, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """image (B, C, S, S) float32, HU or RGB from 0 to 255; mask (B, D, S, S) uint8 -> the same, (…, size, size).

    Pixels keep their size but for the zoom: a view shows size / S / zoom of the slice's side, and without `size` it is
    as large as the slice. Images are interpolated, masks take the nearest label; beyond the slice are `how.outside`
    and background. Neither input is changed. ValueError for shapes that do not fit each other.
    """
    n, _, side, width = image.shape
    if side != width or mask.shape[0] != n or mask.shape[2:] != image.shape[2:]:
        raise ValueError(f"expected square slices and their masks, not {tuple(image.shape)} and {tuple(mask.shape)}")
    size = size or side
    if how.moves or size != side:
        grid = _view(n, size / side, size, how, generator).to(image.device)
        image = F.grid_sample(image - how.outside, grid, "bilinear", "zeros", align_corners=False) + how.outside
        mask = F.grid_sample(mask.float(), grid, "nearest", "zeros", align_corners=False).to(torch.uint8)
    image = _rescan(image, how, generator)
    return (_recolour(image, how, generator) if how.recolours else image), mask


def _uniform(bounds: tuple[float, float], n: int, generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def _view(n: int, extent: float, size: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Sampling grid (n, size, size, 2) of flip, rotation, shear and zoom about a random centre.

    extent: share of the slice's side that is seen at zoom 1.
    """
    low, high = how.zoom
    seen = extent / _uniform((math.log(low), math.log(high)), n, generator).exp()
    angle = torch.deg2rad(_uniform((-how.rotation_degrees, how.rotation_degrees), n, generator))
    shear = torch.deg2rad(_uniform((-how.shear_degrees, how.shear_degrees), n, generator)).tan()
    mirror_x, mirror_y = (
        torch.where(_uniform((0, 1), n, generator) < share, -1.0, 1.0)
        for share in (how.left_right_share, how.up_down_share)
    )
    cos, sin = angle.cos(), angle.sin()
    # Of grid_sample's coordinates, where the slice reaches from −1 to 1. A free view may slide as far as it still
    # shows body, and a little where it is larger than the slice.
    room = (0.9 - seen).clamp(min=0.1) if how.shift is None else torch.full_like(seen, 2 * how.shift)
    centre = room[:, None] * _uniform((-1, 1), 2 * n, generator).reshape(n, 2)
    rows = torch.stack(
        [
            torch.stack([mirror_x * seen * cos, mirror_y * seen * (shear * cos - sin), centre[:, 0]], 1),
            torch.stack([mirror_x * seen * sin, mirror_y * seen * (shear * sin + cos), centre[:, 1]], 1),
        ],
        1,
    )  # (n, 2, 3)
    return F.affine_grid(rows, [n, 1, size, size], align_corners=False)


def _rescan(image: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Another contrast phase, scanner and dose: gain, offset, contrast, resolution, narrow window, noise."""

    def drawn(bounds: tuple[float, float]) -> Tensor:
        return _uniform(bounds, len(image), generator).to(image.device)[:, None, None, None]

    def chosen(share: float) -> Tensor:
        return drawn((0, 1)).flatten() < share

    image = torch.where(image > 0, image * drawn(how.gain), image) + drawn(how.offset)
    image = how.contrast_centre + drawn(how.contrast) * (image - how.contrast_centre)
    coarse, blurred, narrow = (chosen(share) for share in (how.coarse_share, how.blur_share, how.narrow_share))
    sigma, noise = drawn(how.blur_pixels).flatten(), drawn((0, how.noise))
    if coarse.any():
        half = F.interpolate(image[coarse], scale_factor=0.5, mode="area")
        image[coarse] = F.interpolate(half, size=image.shape[-2:], mode="bilinear", align_corners=False)
    if blurred.any():
        reach = 2 * math.ceil(3 * how.blur_pixels[1]) + 1
        image[blurred] = gaussian_blur2d(image[blurred], reach, sigma[blurred, None].expand(-1, 2))
    image[narrow] = image[narrow].masked_fill(image[narrow] < 0, NARROW_BLACK_HU)
    if how.noise:
        white = torch.randn(image.shape, generator=generator, device=generator.device)
        image = image + noise * white.to(image.device)
    return image


def _recolour(image: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """RGB (B, 3, H, W) from 0 to 255: other saturation and hue."""
    saturation = _uniform(how.saturation, len(image), generator).to(image.device)
    turn = math.radians(how.hue_degrees)
    hue = _uniform((-turn, turn), len(image), generator).to(image.device)
    colour = (image / 255).clamp(0, 1)
    return adjust_hue(adjust_saturation_with_gray_subtraction(colour, saturation), hue) * 255
