"""The phantom's tumours: kinds, places and drawing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livdemo.phantom.canvas import Canvas
from livdemo.phantom.solids import FAR_MM, Array, ellipsoid, smooth_noise

# Kinds of tumour: share among the drawn ones, HU by phase of the core and of the rim. In the portal phase most are
# darker than the liver; a carcinoma fills early and washes out, a haemangioma fills late, from its rim.
TUMOUR_HU: dict[str, tuple[float, tuple[float, float, float, float], tuple[float, float, float, float]]] = {
    "metastasis": (0.40, (40, 46, 58, 64), (42, 60, 72, 72)),
    "necrotic metastasis": (0.20, (22, 24, 34, 36), (44, 84, 90, 80)),
    "carcinoma": (0.16, (48, 112, 78, 66), (48, 104, 92, 94)),
    "cystic metastasis": (0.09, (12, 12, 14, 15), (20, 30, 40, 36)),
    "haemangioma": (0.15, (40, 62, 134, 114), (42, 150, 152, 114)),
}
DIAMETERS_MM = (6.0, 50.0)


@dataclass(frozen=True)
class Tumour:
    """kind: of TUMOUR_HU. centre_mm: (z, y, x) from the middle of the volume. diameter_mm: of the ball as large."""

    kind: str
    centre_mm: tuple[float, float, float]
    diameter_mm: float


def draw_tumours(
    canvas: Canvas, liver: Array, label_map: NDArray[np.uint8], rng: np.random.Generator, phase: int
) -> tuple[Tumour, ...]:
    """Draw 2 to 8 tumours into canvas and label_map: one large, one small, the others of any size."""
    smallest, largest = DIAMETERS_MM
    count = int(rng.integers(2, 9))
    spread = np.exp(rng.uniform(np.log(smallest), np.log(largest), count - 2))
    wanted = sorted([rng.uniform(28, largest), rng.uniform(smallest, 12), *spread], reverse=True)
    kinds = rng.choice(list(TUMOUR_HU), size=count, p=[share for share, _, _ in TUMOUR_HU.values()])
    tumours: list[Tumour] = []
    for diameter, kind in zip(wanted, kinds, strict=True):
        tumour = _place(canvas, liver, rng, float(diameter), str(kind), tumours)
        _draw_tumour(canvas, liver, label_map, rng, phase, tumour)
        tumours.append(tumour)
    return tuple(tumours)


def _place(
    canvas: Canvas, liver: Array, rng: np.random.Generator, diameter: float, kind: str, others: list[Tumour]
) -> Tumour:
    """Somewhere inside the liver and clear of the others; smaller where it would not fit."""
    grid = canvas.grid
    first = np.array([axis.flat[0] for axis in (grid.z, grid.y, grid.x)])
    while diameter > 1:
        for centre in rng.uniform((-75, -95, -140), (100, 80, 70), (300, 3)):  # the box around the liver: z, y, x
            index = np.rint((centre - first) / grid.spacing_mm).astype(int)
            if (index < 0).any() or (index >= grid.shape).any() or -liver[tuple(index)] < 0.42 * diameter + 1:
                continue
            gaps = (np.linalg.norm(centre - other.centre_mm) - other.diameter_mm / 2 for other in others)
            if min(gaps, default=FAR_MM) > diameter / 2 + 3:
                z, y, x = (float(mm) for mm in centre)
                return Tumour(kind, (z, y, x), diameter)
        diameter *= 0.9
    raise ValueError(f"{grid.shape} voxels of {grid.spacing_mm} mm show too little of the liver to place its tumours")


def _draw_tumour(
    canvas: Canvas, liver: Array, label_map: NDArray[np.uint8], rng: np.random.Generator, phase: int, tumour: Tumour
) -> None:
    """An uneven ellipsoid with a core, a rim and a soft border between the two."""
    centre, radius = tumour.centre_mm[::-1], tumour.diameter_mm / 2
    box = canvas.grid.box(centre, centre, 1.6 * radius)
    part = canvas.grid.part(box)
    radii = rng.uniform(0.82, 1.2, 3)
    radii *= radius / np.cbrt(radii.prod())
    bump_mm = float(np.clip(0.8 * radius, 5, 14))
    turn, shift = rng.uniform(0, np.pi), rng.uniform(-6, 6)
    surface = ellipsoid(part, centre, tuple(radii), turn) + 0.12 * radius * smooth_noise(rng, part, (bump_mm,) * 3)
    surface = np.maximum(surface, liver[box] + 0.5)
    mottle = 4 * smooth_noise(rng, part, (7, 5, 5))
    _, cores, rims = TUMOUR_HU[tumour.kind]
    depth = np.clip((-surface - 0.08 * radius) / (0.3 * radius + 1), 0, 1)
    value = rims[phase] + depth * (cores[phase] - rims[phase] + mottle) + shift
    canvas.draw(surface, value.astype(np.float32), box)
    label_map[box][surface < 0] = 2
