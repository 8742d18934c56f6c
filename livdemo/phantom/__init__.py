"""A synthetic abdomen in HU whose truth is known exactly: liver, tumours, and everything around them.

    phantom = make_phantom(seed=0)                                  # 64 × 256 × 256 voxels of 4 × 1.4 × 1.4 mm
    phantom = make_phantom(seed=0, phase="arterial")                # the same body before the portal veins fill
    phantom = make_phantom(seed=3, shape=(32, 128, 128))            # the same field of view, coarser

Truth. Organs and tumours are smooth surfaces in mm. A voxel is liver, or tumour, when its centre lies inside the
surface, which for a surface that is smooth over a voxel is the same as: when more than half of the voxel lies inside.
The HU of a voxel that a surface cuts is mixed by the share on each side; then comes the scanner: its blur, the
overlap of neighbouring slices, and correlated noise. None of these touches the truth. Vessels inside the liver are
liver; gallbladder and vena cava are not; a tumour lies wholly inside the liver.

The body is invented (anatomy.py, organs.py), and so is what a network scores on it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livdemo.phantom import organs, trunk
from livdemo.phantom.anatomy import FIELD_OF_VIEW_MM
from livdemo.phantom.canvas import Canvas
from livdemo.phantom.solids import Array, make_grid
from livdemo.phantom.tissue import PHASES, STEADY_HU, TISSUE_HU
from livdemo.phantom.tumours import Tumour, draw_tumours

__all__ = ["PHASES", "Phantom", "Tumour", "make_phantom"]

NOISE_HU = 10.0  # standard deviation inside the body


@dataclass(frozen=True, eq=False)
class Phantom:
    """hu: int16 (Z, Y, X), LPS+. label_map: uint8, 0 background, 1 liver, 2 tumour. tumours: the largest first."""

    hu: NDArray[np.int16]
    label_map: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    seed: int
    phase: str
    tumours: tuple[Tumour, ...]


def make_phantom(
    seed: int = 0,
    shape: tuple[int, int, int] = (64, 256, 256),
    spacing_mm: tuple[float, float, float] | None = None,
    phase: str = "portal",
) -> Phantom:
    """Draw the abdomen of a seed: another body, other organs, 2 to 8 other tumours for each.

    shape and spacing_mm are (z, y, x). Without spacing_mm the voxels share out the field of view, 256 × 358 × 358 mm;
    with it the volume is the middle of the abdomen, as large as shape × spacing_mm. All phases of a seed have the
    same geometry and truth, and noise of their own. Other voxels or another view show the same organs, but tumours are
    placed where the voxels in view leave room for them. ValueError for an unknown phase, voxels beyond 20 mm, or a
    volume that shows too little of the liver.
    """
    if phase not in PHASES:
        raise ValueError(f"phase {phase!r} should be one of {PHASES}")
    if spacing_mm is None:
        z, y, x = (extent / count for extent, count in zip(FIELD_OF_VIEW_MM, shape, strict=True))
        spacing_mm = (z, y, x)
    if min(shape) < 2 or not 0 < min(spacing_mm) <= max(spacing_mm) <= 20:
        raise ValueError(f"shape {shape} at {spacing_mm} mm: voxels should be at most 20 mm, and 2 along each axis")
    index = PHASES.index(phase)
    canvas = Canvas(
        make_grid(shape, spacing_mm),
        np.full(shape, -1000, np.float32),
        STEADY_HU | {name: hu[index] for name, hu in TISSUE_HU.items()},
        seed,
    )
    liver = _draw_body(canvas)
    label_map = (liver < 0).astype(np.uint8)
    # 13: with it seed 0, the first picture of every visitor, has tumours of every kind.
    tumours = draw_tumours(canvas, liver, label_map, np.random.default_rng([seed, 13]), index)
    hu = _scan(canvas.hu, spacing_mm, np.random.default_rng([seed, 14, index]))
    return Phantom(hu, label_map, spacing_mm, seed, phase, tumours)


def _draw_body(canvas: Canvas) -> Array:
    """From the table to the liver; returns the distance to the liver (Z, Y, X)."""
    trunk.draw_table(canvas)
    frame = trunk.draw_trunk(canvas)
    trunk.draw_ribs(canvas, frame)
    trunk.draw_spine(canvas)
    trunk.draw_chest(canvas, frame)
    organs.draw_bowel(canvas, frame)
    organs.draw_retroperitoneum(canvas, frame)
    return organs.draw_liver(canvas, frame)


def _scan(hu: Array, spacing_mm: tuple[float, float, float], rng: np.random.Generator) -> NDArray[np.int16]:
    """What the scanner adds: overlap of neighbouring slices, blur in the plane, noise with the grain of CT."""
    _, pixel_y, pixel_x = spacing_mm
    around = np.concatenate([hu[:1], hu, hu[-1:]])
    profile = 0.86 * around[1:-1] + 0.07 * (around[:-2] + around[2:])
    scanned = np.empty(hu.shape, np.int16)
    for z, image in enumerate(profile):
        sharp = cv2.GaussianBlur(image, (0, 0), sigmaX=0.75 / pixel_x, sigmaY=0.75 / pixel_y)
        white = rng.standard_normal(image.shape, dtype=np.float32)
        # Filtered back projection passes a band: neither the finest grain nor the coarse.
        noise = cv2.GaussianBlur(white, (0, 0), 0.9 / pixel_x) - 0.8 * cv2.GaussianBlur(white, (0, 0), 3.2 / pixel_x)
        noise *= NOISE_HU / noise.std()
        thin = np.clip((sharp + 1000) / 300, 0.5, 1)  # fewer photons are lost in air
        scanned[z] = np.clip(np.rint(sharp + noise * thin), -1024, 3071)
    return scanned
