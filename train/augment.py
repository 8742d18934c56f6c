"""Random views of a batch: one affine map for image and mask, then scanner-like changes of the HU.

All on batches of tensors, so that it costs little beside the network.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from; each figure is a half-width around "no change" unless it says otherwise."""

    crop: int = 160  # side of the view in pixels of the network's grid
    zoom: tuple[float, float] = (0.6, 1.8)  # below 1 more of the body fits in, above 1 less
    rotation_degrees: float = 12.0
    shear_degrees: float = 5.0
    gain: tuple[float, float] = (0.5, 1.35)  # of all above 0 HU: a portal liver of 105 HU becomes 50 to 140
    shift_hu: tuple[float, float] = (-15.0, 15.0)  # of everything but air: calibration
    noise_hu: float = 25.0
    blur_share: float = 0.25  # of the slices are coarsened, as by thick slices or 3 mm pixels
    narrow_share: float = 0.25  # of the slices lose everything under 0 HU, as the liver-only source did


def augment(hu: Tensor, mask: Tensor, how: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """hu (B, H, W) float32 and mask (B, H, W) uint8 -> the same for a random view (B, crop, crop).

    Outside of the slice is air and background. Images are interpolated, masks take the nearest label.
    """
    grid = _view(len(hu), hu.shape[-1], how, generator)
    air = -1000.0
    image = F.grid_sample((hu - air)[:, None], grid, "bilinear", "zeros", align_corners=False)[:, 0] + air
    label = F.grid_sample(mask[:, None].float(), grid, "nearest", "zeros", align_corners=False)[:, 0]
    return _scan(image, how, generator), label.to(torch.uint8)


def _uniform(low: float, high: float, n: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _view(n: int, side: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Sampling grid (n, crop, crop, 2) of a rotation, shear and zoom about a random centre."""
    low, high = (torch.tensor(z).log().item() for z in how.zoom)
    extent = how.crop / side / _uniform(low, high, n, generator).exp()  # share of the slice that is seen
    angle = torch.deg2rad(_uniform(-how.rotation_degrees, how.rotation_degrees, n, generator))
    shear = torch.deg2rad(_uniform(-how.shear_degrees, how.shear_degrees, n, generator)).tan()
    cos, sin = angle.cos(), angle.sin()
    # The view may slide as far as it still shows body, and a little where it is larger than the slice.
    room = (0.9 - extent).clamp(min=0.1)
    centre = room[:, None] * _uniform(-1.0, 1.0, 2 * n, generator).reshape(n, 2)
    rows = torch.stack(
        [
            torch.stack([extent * cos, extent * (shear * cos - sin), centre[:, 0]], 1),
            torch.stack([extent * sin, extent * (shear * sin + cos), centre[:, 1]], 1),
        ],
        1,
    )  # (n, 2, 3)
    return F.affine_grid(rows, [n, 1, how.crop, how.crop], align_corners=False)


def _scan(hu: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Another contrast phase, scanner and dose: gain and shift, blur, narrow window, noise.

    The gain works above 0 HU alone: contrast agent changes organs and vessels, never fat or air.
    """
    n = len(hu)
    gain = _uniform(*how.gain, n, generator)[:, None, None]
    shift = _uniform(*how.shift_hu, n, generator)[:, None, None]
    hu = torch.where(hu > 0, hu * gain, hu) + shift
    coarse = _uniform(0, 1, n, generator) < how.blur_share
    if coarse.any():
        small = F.interpolate(hu[coarse][:, None], scale_factor=0.5, mode="area")
        hu[coarse] = F.interpolate(small, size=hu.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    narrow = _uniform(0, 1, n, generator) < how.narrow_share
    hu[narrow] = torch.where(hu[narrow] < 0, torch.full((), -160.0), hu[narrow])
    sigma = _uniform(0, how.noise_hu, n, generator)[:, None, None]
    return hu + sigma * torch.randn(hu.shape, generator=generator)
