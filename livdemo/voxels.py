"""Voxels on their way from a file into memory, slab by slab: a float64 file never stands there whole.

A reader (nifti, dicom, itk_image) reads the header, checks it, and hands over an ImageFile whose voxels are
still on the disk. Here they become int16 HU or uint8 labels, written straight into the display's array.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livdemo.errors import InputError
from livdemo.grid import SourceGrid
from livdemo.words import counted

# A CT of 1,200 slices of 512×512: 600 MiB as int16. Longer scans than that are whole bodies at 0.6 mm.
MAX_VOXELS = 512 * 512 * 1200

MAX_LENGTH = 32_767  # along one axis: what the NIfTI header of the exported mask can say

SLAB_BYTES = 4 * 2**20  # read at once; larger ones are not quicker

HIGHEST_LABEL = 2  # 0 background, 1 liver, 2 tumour
LABEL_TOLERANCE = 1e-3  # of a float that stands for a whole number: a stored mask may have been rescaled
LABELS_SHOWN = 6  # wrong values named in a message

INT16 = np.iinfo(np.int16)
NO_NUMBER_HU = -1024  # air, and the lowest that most scanners write
THINNEST_MM, WIDEST_MM = 0.01, 100.0  # between voxels of a scan of anything that has a liver


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image whose header was read and checked and whose voxels were not read yet.

    name: what the visitor calls it, for messages.
    slabs: the voxels in HU (or as labels), (i, j, some of k) in the order of k; can be run through once.
    modality: "CT", "MR" or "unknown"; None where the format does not state it.
    """

    name: str
    grid: SourceGrid
    slabs: Iterator[npt.NDArray]
    modality: str | None = None
    spacing_known: bool = True
    warnings: tuple[str, ...] = ()


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuse a header that announces no voxels or too many, before anything of that size is touched."""
    size = "×".join(str(length) for length in shape)
    if min(shape) < 1:
        raise InputError(f"{name} announces {size} voxels, which is no image: export it again.")
    if math.prod(shape) > MAX_VOXELS or max(shape) > MAX_LENGTH:
        raise InputError(
            f"{name} announces {size} voxels, more than livdemo reads ({MAX_VOXELS:,}, at most "
            f"{MAX_LENGTH:,} in a row): crop it to the abdomen or resample it to fewer slices."
        )


def check_spacing(image: ImageFile) -> None:
    """Refuse voxels that are no scan's: what counts millimetres would want all memory, or find nothing."""
    spacing = image.grid.spacing_mm
    if image.spacing_known and not THINNEST_MM <= min(spacing) <= max(spacing) <= WIDEST_MM:
        stated = "×".join(f"{step:.4g}" for step in spacing[::-1])
        raise InputError(
            f"{image.name} states voxels of {stated} mm, as no scan has: correct spacing or unit in its header."
        )


def rescaled(slab: npt.NDArray, slope: float, intercept: float) -> npt.NDArray:
    """Stored values -> slope * stored + intercept; whole numbers stay whole where both are."""
    if slope == 1 and intercept == 0:
        return slab
    whole = slope == 1 and float(intercept).is_integer() and abs(intercept) < 2**31
    if whole and slab.dtype.kind in "iu" and slab.dtype.itemsize <= 4:
        return slab.astype(np.int64) + int(intercept)
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite or NaN then is counted by read_hu
        return slab.astype(np.float64) * slope + intercept


def read_hu(image: ImageFile) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """The voxels as int16 HU (Z, Y, X), and warnings of what had to be clipped or replaced.

    Floats are rounded to whole HU; NaN and infinite ones, which resampling leaves outside of the picture, are air.
    InputError where most voxels are such.
    """
    hu = np.empty(image.grid.display_shape, np.int16)
    not_finite = clipped = 0
    for target, slab in _pairs(image, hu):
        if slab.dtype.kind == "f":
            finite = np.isfinite(slab)
            not_finite += slab.size - int(np.count_nonzero(finite))
            slab = np.rint(np.where(finite, slab, NO_NUMBER_HU))
        if not np.can_cast(slab.dtype, np.int16):
            clipped += int(np.count_nonzero((slab < INT16.min) | (slab > INT16.max)))
            slab = np.minimum(slab, INT16.max)
            if slab.dtype.kind != "u":
                slab = np.maximum(slab, INT16.min)
        target[...] = slab
    if not_finite > hu.size / 2:
        raise InputError(
            f"{image.name} has NaN or infinite values in {not_finite:,} of {hu.size:,} voxels, which is hardly a scan: "
            "export it again."
        )
    warnings = []
    if not_finite:
        warnings.append(
            f"{counted(not_finite, 'voxel')} without a number (NaN or infinite) {_were(not_finite)} taken for air."
        )
    if clipped:
        warnings.append(
            f"{counted(clipped, 'voxel')} outside {INT16.min}..{INT16.max} HU {_were(clipped)} clipped to that range."
        )
    return hu, tuple(warnings)


def read_labels(image: ImageFile) -> npt.NDArray[np.uint8]:
    """The voxels as uint8 labels (i, j, k) of the file. InputError where one is not 0, 1 or 2."""
    label_map = np.empty(image.grid.display_shape, np.uint8)
    wrong: set[float] = set()
    for target, slab in _pairs(image, label_map):
        whole = np.rint(slab) if slab.dtype.kind == "f" else slab
        valid = (whole >= 0) & (whole <= HIGHEST_LABEL)
        if whole is not slab:
            valid &= np.abs(slab - whole) < LABEL_TOLERANCE  # false where the slab is NaN
        if valid.all():
            target[...] = whole
        elif len(wrong) <= LABELS_SHOWN:
            wrong.update(float(value) for value in np.unique(slab[~valid])[: LABELS_SHOWN + 1])
    if wrong:
        raise InputError(_wrong_labels(image.name, sorted(wrong)))
    return image.grid.from_display(label_map)


def _pairs(image: ImageFile, display: npt.NDArray) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
    """Each slab with the view of the display's array (Z, Y, X) that it fills."""
    source = image.grid.from_display(display)
    start = 0
    for slab in image.slabs:
        stop = start + slab.shape[2]
        yield source[:, :, start:stop], slab
        start = stop
    if start != source.shape[2]:
        raise ValueError(f"{image.name} gave {start} slices of {source.shape[2]}")


def _wrong_labels(name: str, wrong: list[float]) -> str:
    listed = ", ".join(f"{value:g}" for value in wrong[:LABELS_SHOWN])
    more = " and others" if len(wrong) > LABELS_SHOWN else ""
    mend = "write the liver as 1 and the tumour as 2"
    if wrong == [255.0]:
        mend = "divide a mask of 0 and 255 by 255"
    elif any(not value.is_integer() for value in wrong):
        mend = "give a mask of whole numbers, not probabilities or an interpolated one"
    return f"{name} has the values {listed}{more}, but labels are 0 background, 1 liver, 2 tumour: {mend}."


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
