"""Where a file's voxels lie in the patient, and the way from the file's axes to the display's and back.

A file keeps its voxels as (i, j, k) with an affine to millimetres in RAS+ (x grows to the patient's
right, y to the front, z to the head: nibabel's convention). The display keeps them as (Z, Y, X) in LPS+: x
grows to the left, y to the back, z to the head. The way between the two is one transpose and up to three
flips, so nothing is interpolated and a mask goes back voxel for voxel.
"""

from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]  # (4, 4)
Triple = tuple[int, int, int]

# Two grids are one grid when each of their eight corner voxels lies within this part of a voxel of its partner:
# headers round to a few decimals, and a mask of the same shape a tenth of a voxel away is still the scan's own.
SAME_GRID_VOXELS = 0.25
SAME_AFFINE_MM = 0.01  # two ways of writing one affine say the same up to this

# Below this the picture differs from the body's axes by less than anyone sees.
OBLIQUE_DEGREES = 5.0

# Axes this far from square make a distance computed from the spacing wrong by up to half a percent.
SHEAR_DEGREES = 0.6

AXIS_PAIRS = ((0, 1), (0, 2), (1, 2))
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class SourceGrid:
    """The grid of a file as it was read: what is needed to write a mask onto it again.

    shape: voxels along the file's axes (i, j, k).
    affine: voxel index to mm, RAS+ (nibabel's convention), float64.
    space_code: what NIfTI's sform code said (1 scanner, 2 aligned ...); 0: the file does not know.
    axes: the file's axis behind each of the display's axes (Z, Y, X). Follows from the affine.
    flips: whether that axis runs against the display's. Follows from the affine.
    """

    shape: Triple
    affine: Affine
    space_code: int = 1
    axes: Triple = field(init=False)
    flips: tuple[bool, bool, bool] = field(init=False)

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, np.float64)
        if affine.shape != (4, 4) or len(self.shape) != 3:
            raise ValueError(f"shape {self.shape} and affine {affine.shape} should be of 3 axes and 4×4")
        axes, flips = nearest_axes(affine)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "flips", flips)

    @property
    def display_shape(self) -> Triple:
        """(Z, Y, X)"""
        z, y, x = self.axes
        return self.shape[z], self.shape[y], self.shape[x]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between neighbouring voxels along the display's axes (z, y, x): lengths of the affine's columns."""
        z, y, x = (float(np.linalg.norm(self.affine[:3, axis])) for axis in self.axes)
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, right for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def to_display(self, array: npt.NDArray) -> npt.NDArray:
        """(i, j, k) in the file's order -> (Z, Y, X), a view."""
        self._check(array, self.shape)
        return array.transpose(self.axes)[self._steps()]

    def from_display(self, array: npt.NDArray) -> npt.NDArray:
        """(Z, Y, X) -> (i, j, k) in the file's order, a view: writing into it fills the display's array."""
        self._check(array, self.display_shape)
        return array[self._steps()].transpose(np.argsort(self.axes))

    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)

    @staticmethod
    def _check(array: npt.NDArray, shape: Triple) -> None:
        if array.shape != shape:
            raise ValueError(f"array of {array.shape} does not fit the grid of {shape}")

    def corners_mm(self) -> npt.NDArray[np.float64]:
        """Centres of the eight corner voxels in mm, RAS+. (2, 2, 2, 3): file's axes i, j, k, then x, y, z."""
        index = np.stack(np.meshgrid(*((0, size - 1) for size in self.shape), indexing="ij"), axis=-1)
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    def slice_position_mm(self, slice_index: int) -> float:
        """Where display slice slice_index lies along the slices' common normal, which points to the head."""
        z, y, x = self.axes
        columns = self.affine[:3, :3]
        normal = np.cross(columns[:, x], columns[:, y])
        normal *= np.sign(normal @ columns[:, z]) * (-1 if self.flips[0] else 1) / np.linalg.norm(normal)
        index = self.shape[z] - 1 - slice_index if self.flips[0] else slice_index
        return float(normal @ (self.affine[:3, 3] + columns[:, z] * index))

    def describe(self) -> str:
        """Plain words for a message: voxels and spacing as (x, y, z), and the middle in mm, LPS+."""
        voxels = "×".join(str(size) for size in self.display_shape[::-1])
        spacing = "×".join(f"{step:.4g}" for step in self.spacing_mm[::-1])
        middle = RAS_TO_LPS @ self.corners_mm().reshape(8, 3).mean(axis=0)
        place = ", ".join(f"{mm:.1f}" for mm in middle)
        return f"{voxels} voxels of {spacing} mm around ({place})"


def axial_grid(display_shape: Triple, spacing_mm: tuple[float, float, float]) -> SourceGrid:
    """The grid of a made-up volume (Z, Y, X) that is already in LPS+: file axes x, y, z, origin at 0."""
    z, y, x = spacing_mm
    depth, height, width = display_shape
    return SourceGrid((width, height, depth), np.diag([-x, -y, z, 1.0]))


def is_usable(affine: npt.NDArray) -> bool:
    """Whether an affine is finite and spans space (no axis of no length, none along another)."""
    linear = np.asarray(affine, np.float64)[:3, :3]
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(linear, axis=0)
    return bool((lengths > 0).all() and abs(np.linalg.det(linear / np.maximum(lengths, 1e-300))) > 1e-3)


def nearest_axes(affine: Affine) -> tuple[Triple, tuple[bool, bool, bool]]:
    """Which of the file's axes runs closest to each of the display's (Z, Y, X), and whether against it.

    The six orders are scored by the sum of |cosine|; nibabel's io_orientation instead fixes one axis after
    the other, which is not stable for oblique affines (nibabel#1449): applied to its own result it could turn
    a volume again. A tie goes to the first order of the list, which starts with the order that needs no
    transpose.
    """
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = (RAS_TO_LPS @ columns)[::-1]  # (display axis Z, Y, X; file axis)
    orders = list(permutations((2, 1, 0)))
    scores = [sum(abs(cosines[row, axis]) for row, axis in enumerate(order)) for order in orders]
    z, y, x = orders[next(n for n, score in enumerate(scores) if score > max(scores) - 1e-6)]
    return (z, y, x), (bool(cosines[0, z] < 0), bool(cosines[1, y] < 0), bool(cosines[2, x] < 0))


def geometry_warnings(grid: SourceGrid) -> tuple[str, ...]:
    """What a visitor should know about an oblique or sheared grid, or one that hardly anybody measured."""
    columns = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    from_body = [np.degrees(np.arccos(min(1.0, np.abs(columns[:, axis]).max()))) for axis in range(3)]
    from_square = [np.degrees(np.arcsin(min(1.0, abs(columns[:, a] @ columns[:, b])))) for a, b in AXIS_PAIRS]
    warnings = []
    if np.array_equal(np.abs(grid.affine), np.eye(4)):
        warnings.append(
            "The header has voxels of exactly 1 mm that begin at 0, as programs write that know no better: "
            "check size, right and left."
        )
    if max(from_body) > OBLIQUE_DEGREES:
        warnings.append(
            f"The scan is oblique by {max(from_body):.0f}°: its slices are shown as they were taken, "
            "in the nearest of the body's directions."
        )
    if max(from_square) > SHEAR_DEGREES:
        warnings.append(
            f"The scan's axes are {max(from_square):.1f}° away from square (a tilted gantry, perhaps), "
            "so distances in mm are approximate."
        )
    return tuple(warnings)


def voxel_map(source: SourceGrid, target: SourceGrid) -> Affine:
    """Index in target -> index in source, through the patient's millimetres."""
    return np.asarray(np.linalg.solve(source.affine, target.affine), np.float64)


def reorder_onto(array: npt.NDArray, source: SourceGrid, target: SourceGrid) -> npt.NDArray | None:
    """array on source -> the same voxels in target's axis order, a view; None where the two grids differ.

    array: (i, j, k) of source. The grids are the same when they have the same voxels in any axis order and
    direction, corner for corner within SAME_GRID_VOXELS of the target's shortest step.
    """
    linear = voxel_map(source, target)[:3, :3]
    axes = np.argmax(np.abs(linear), axis=0)  # the source axis behind each target axis
    if sorted(axes) != [0, 1, 2] or tuple(source.shape[axis] for axis in axes) != target.shape:
        return None
    flips = linear[axes, range(3)] < 0
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    corners = source.corners_mm().transpose(*axes, 3)[steps]
    if np.linalg.norm(corners - target.corners_mm(), axis=-1).max() > SAME_GRID_VOXELS * min(target.spacing_mm):
        return None
    return array.transpose(axes)[steps]


def display_distance_mm(first: SourceGrid, second: SourceGrid) -> float:
    """How far apart the same corners of the two displays lie in the patient, at most."""
    corners = [grid.corners_mm().transpose(*grid.axes, 3)[grid._steps()] for grid in (first, second)]
    return float(np.linalg.norm(corners[0] - corners[1], axis=-1).max())
