"""What the phantom is drawn on: the picture under way, and the trunk that its organs are fitted into."""

import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from livdemo.phantom.solids import Array, Box, Grid, Tube, cover, smooth_noise, tube_box, tube_distance

WHOLE: Box = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, eq=False)
class Canvas:
    """The picture under way, and the random numbers of the organ that is being drawn.

    Each organ has two streams of its own, one for its shape and one for its grain: so a change to one organ, a finer
    grid or a smaller field of view moves no other.
    """

    grid: Grid
    hu: Array  # (Z, Y, X), drawn into
    tissue: dict[str, float]  # HU of the phase
    seed: int
    name: str = ""
    shape_rng: np.random.Generator = field(init=False)
    grain_rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        stream = zlib.crc32(self.name.encode())
        object.__setattr__(self, "shape_rng", np.random.default_rng([self.seed, stream, 1]))
        object.__setattr__(self, "grain_rng", np.random.default_rng([self.seed, stream, 2]))

    def organ(self, name: str) -> "Canvas":
        """The same picture with the random numbers of an organ."""
        return replace(self, name=name)

    def draw(self, distance: Array, value: str | float | Array, box: Box | None = None) -> None:
        value = self.tissue[value] if isinstance(value, str) else value
        cover(self.hu[box or WHOLE], distance, value, self.grid.spacing_mm)

    def draw_tube(self, tube: Tube, value: str | float, within: Array | None = None, rough_mm: float = 0.0) -> None:
        """within: distance to what the tube may not leave (Z, Y, X). rough_mm: how far its surface wanders."""
        reach = 0.6 * float(np.linalg.norm(self.grid.spacing_mm)) + 1 + 2 * rough_mm
        box = tube_box(self.grid, tube, reach)
        part = self.grid.part(box)
        if 0 in part.shape:
            return
        distance = tube_distance(part, tube, reach)
        if rough_mm:
            distance = distance + rough_mm * smooth_noise(self.shape_rng, part, (30, 13, 13))
        self.draw(distance if within is None else np.maximum(distance, within[box]), value, box)

    def shape_noise(self, grain_mm: tuple[float, float, float], box: Box | None = None) -> Array:
        return smooth_noise(self.shape_rng, self.grid.part(box or WHOLE), grain_mm)

    def grain(self, grain_mm: tuple[float, float, float], box: Box | None = None) -> Array:
        return smooth_noise(self.grain_rng, self.grid.part(box or WHOLE), grain_mm)


@dataclass(frozen=True, eq=False)
class Trunk:
    """What the organs are fitted into: distances (Z, Y, X)."""

    wall: Array  # outer surface of the muscles
    cavity: Array  # inner surface of the muscles
    dome: Array  # the diaphragm: negative above it, in the lungs' room
    taken: Array = field(repr=False)  # nearest organ that the liver has to make room for; grows as organs are drawn

    def fit(self, distance: Array, box: Box, gap_mm: float) -> Array:
        """An organ below the diaphragm, kept that far from the wall and the diaphragm."""
        return np.maximum(np.maximum(distance, self.cavity[box] + gap_mm), gap_mm + 1.5 - self.dome[box])
