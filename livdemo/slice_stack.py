"""From the places of single slices to one regular grid, or a sentence with the figure that forbids it.

Pure geometry on arrays, all in mm, LPS+ (DICOM's convention). A volume bent by a gap, a double, a tilted
gantry or a turned slice looks right in the picture and is wrong in every millimetre, so it is refused.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from livdemo.errors import InputError

Array = npt.NDArray[np.float64]

# Scanners print positions to a tenth of a millimetre or finer. So a slice may be off by 0.05 mm, and its regular place,
# which the first and the last slice give, by as much: one that is no further away than both together is there.
POSITION_TOLERANCE_MM = 0.11
POSITION_TOLERANCE = 0.01  # or this fraction of the slice spacing, whichever is more

DOUBLE_MM = 0.01  # slices nearer than this are at one place
TILT_DEGREES = 0.5  # a stack that leans less keeps its lean, in the affine
TURN_DEGREES = 0.1  # between the directions of any two slices
PIXEL_TOLERANCE_MM = 1e-3


def stack_slices(
    name: str, files: Sequence[str], positions: Array, directions: Array, pixel_mm: Array, thickness_mm: float
) -> tuple[list[int], Array]:
    """Order of the slices along their normal, and the affine of (i along a row, j along a column, k).

    positions (N, 3): centre of each slice's first pixel. directions (N, 2, 3): along its rows, along its
    columns. pixel_mm (N, 2): between its columns, between its rows. thickness_mm: the step of a single slice.
    InputError names name, the slices' files and the figure.
    """
    _check_alike(name, files, directions, pixel_mm)
    along_row, along_column = directions[0]
    normal = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)
    heights = positions @ normal
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    step = normal * thickness_mm
    if len(order) > 1:
        ordered_files = [files[index] for index in order]
        _check_doubles(name, ordered_files, heights[order])
        way = positions[order[-1]] - positions[order[0]]
        step = way / (len(order) - 1)
        _check_tilt(name, way, normal)
        _check_gaps(name, ordered_files, heights[order])
        _check_sideways(name, ordered_files, positions[order], step)
    affine = np.eye(4)
    affine[:3, 0] = along_row * pixel_mm[0, 0]
    affine[:3, 1] = along_column * pixel_mm[0, 1]
    affine[:3, 2] = step
    affine[:3, 3] = positions[order[0]]
    return order, affine


def _check_alike(name: str, files: Sequence[str], directions: Array, pixel_mm: Array) -> None:
    cosines = np.einsum("nij,ij->ni", directions, directions[0]) / np.linalg.norm(directions, axis=2)
    turns = np.degrees(np.arccos(np.clip(cosines / np.linalg.norm(directions[0], axis=1), -1, 1))).max(axis=1)
    worst = int(turns.argmax())
    if turns[worst] > TURN_DEGREES:
        raise InputError(
            f"{name}: slice {files[worst]} is turned by {turns[worst]:.1f}° against {files[0]}, so they are "
            "no stack: give the slices of one direction only."
        )
    worst = int(np.abs(pixel_mm - pixel_mm[0]).max(axis=1).argmax())
    if np.abs(pixel_mm[worst] - pixel_mm[0]).max() > PIXEL_TOLERANCE_MM:
        raise InputError(
            f"{name}: slice {files[worst]} has pixels of {pixel_mm[worst, 0]:.4g}×{pixel_mm[worst, 1]:.4g} "
            f"mm and {files[0]} of {pixel_mm[0, 0]:.4g}×{pixel_mm[0, 1]:.4g} mm: give the slices of one "
            "reconstruction only."
        )


def _check_doubles(name: str, files: Sequence[str], heights: Array) -> None:
    doubles = [n for n, step in enumerate(np.diff(heights)) if step < DOUBLE_MM]
    if doubles:
        n = doubles[0]
        places = "1 place is" if len(doubles) == 1 else f"{len(doubles)} places are"
        raise InputError(
            f"{name}: {places} taken twice, first by {files[n]} and {files[n + 1]} at {heights[n]:.2f} mm "
            "(several phases or copies in one series, perhaps): give each slice once."
        )


def _check_tilt(name: str, way: Array, normal: Array) -> None:
    """way: from the first slice to the last, which must run along the normal."""
    sideways_mm = float(np.linalg.norm(way - (way @ normal) * normal))
    tilt = np.degrees(np.arctan2(sideways_mm, way @ normal))
    if tilt > TILT_DEGREES and sideways_mm > POSITION_TOLERANCE_MM:
        raise InputError(
            f"{name} was taken with the gantry tilted by {tilt:.1f}°, so its slices are not stacked "
            "squarely: resample it to a square grid (dcm2niix does) and give the .nii.gz."
        )


def _check_gaps(name: str, files: Sequence[str], heights: Array) -> None:
    """Every slice must lie on the regular grid between the first and the last."""
    regular = np.linspace(heights[0], heights[-1], len(heights))
    spacing = regular[1] - regular[0]
    if np.abs(heights - regular).max() <= max(POSITION_TOLERANCE_MM, POSITION_TOLERANCE * spacing):
        return
    steps = np.diff(heights)
    usual = float(np.median(steps))
    n = int(np.abs(steps - usual).argmax())
    missing = round(steps[n] / usual) - 1
    what = f" ({missing} missing)" if missing > 0 else ""
    raise InputError(
        f"{name} has a gap: {files[n]} and {files[n + 1]} lie {steps[n]:.2f} mm apart{what} at "
        f"height {heights[n]:.2f} mm, the others {usual:.2f} mm: add what is missing or export the series again."
        if steps[n] > usual
        else f"{name} has uneven slices: {files[n]} and {files[n + 1]} lie {steps[n]:.2f} mm apart at "
        f"height {heights[n]:.2f} mm, the others {usual:.2f} mm: give a series of even spacing."
    )


def _check_sideways(name: str, files: Sequence[str], positions: Array, step: Array) -> None:
    drift = positions - positions[0] - np.arange(len(positions))[:, np.newaxis] * step
    sideways = np.linalg.norm(drift, axis=1)
    worst = int(sideways.argmax())
    if sideways[worst] > max(POSITION_TOLERANCE_MM, POSITION_TOLERANCE * float(np.linalg.norm(step))):
        raise InputError(
            f"{name}: slice {files[worst]} is shifted sideways by {sideways[worst]:.2f} mm against the "
            "stack: export the series again or resample it to a square grid."
        )
