"""NIfTI: the header by nibabel, the voxels in one pass over the stream.

The stream is read here and not through nibabel's array proxy for three reasons: a .nii.gz is read to its end,
so that a damaged one fails its checksum and one that is longer than its header says is seen; never more is
unpacked than the header announced; and what goes wrong can be said in a sentence.
"""

import gzip
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from livdemo.errors import InputError
from livdemo.grid import Affine, SourceGrid, Triple, is_usable
from livdemo.voxels import SLAB_BYTES, ImageFile, check_size, rescaled
from livdemo.words import counted

HEADER_CLASSES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by the length that both begin with

# Between header and voxels lie the header's extensions: kilobytes. More than this is a damaged header.
MAX_EXTENSION_BYTES = 16 * 2**20

# Deflate packs at most 1032 to 1 (RFC 1951: 258 bytes in 2 bits), so a smaller file cannot hold the voxels.
MAX_DEFLATE_RATIO = 1032

GZIP_MAGIC = b"\x1f\x8b"
ASSUMED = "left and right may be swapped in the picture"
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)

# nibabel prints what it mends in a header; what matters of it is said in a warning.
SILENT = logging.Logger("livdemo.nifti", logging.CRITICAL)


def open_nifti(path: Path, name: str) -> ImageFile:
    """Read and check the header of a .nii or .nii.gz. InputError names the file and the mend.

    Several volumes in one file, colours and complex numbers are refused; a fourth axis of length 1 is dropped
    and a single slice (2D) is a volume of one slice. Values are scl_slope * stored + scl_inter. The affine is
    the sform, else the qform; where neither is set, or both are useless (no inverse), the file's axes are
    taken as nibabel takes them (x to the left, y to the front, z to the head) and a warning says so.
    """
    with closing(_open_stream(path)) as stream:
        header, stated_mm = _read_header(stream, name)
    shape = _checked_shape(header, name)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(f"{name} holds colours or complex numbers, not one value a voxel: save it as a scalar image.")
    _check_length(path, name, int(header.get_data_offset()), math.prod(shape) * dtype.itemsize)
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(
            f"{name} has a scaling (scl_slope, scl_inter) that is not a number: convert it again from its source."
        ) from error
    grid, spacing_known, warnings = _grid(header, shape, stated_mm)
    scaling = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    slabs = _slabs(path, name, header, shape, scaling)
    return ImageFile(name, grid, slabs, spacing_known=spacing_known, warnings=warnings)


def _open_stream(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where they are gzip, whatever the name says."""
    return cast(BinaryIO, gzip.open(path)) if _is_packed(path) else path.open("rb")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def _read_header(stream: BinaryIO, name: str) -> tuple[nib.Nifti1Header, npt.NDArray]:
    """The header (version 1 or 2) as nibabel mends it, and the spacing (i, j, k) that the file states."""
    try:
        block = stream.read(4)
        length = next((n for n in HEADER_CLASSES for order in ("little", "big") if block == n.to_bytes(4, order)), 0)
        block += stream.read(max(length - 4, 0))
    except DAMAGED as error:
        raise InputError(f"{name} is damaged or cut short at its very start: copy or download it again.") from error
    if not length:
        raise InputError(f"{name} is not a NIfTI image, whatever its name says: export the scan as .nii.gz.")
    if len(block) < length:
        raise InputError(f"{name} is cut short within its header: copy or download it again.")
    try:
        header = HEADER_CLASSES[length](block, check=False)
        stated_mm = np.abs(header["pixdim"][1:4])
        header["pixdim"][1:4] = np.where(np.isfinite(stated_mm), stated_mm, 0)
        header.check_fix(logger=SILENT, error_level=logging.ERROR)
        magic = bytes(header["magic"])
    except (HeaderDataError, KeyError, ValueError) as error:
        raise InputError(f"{name} has a NIfTI header that makes no sense: convert it again from its source.") from error
    if magic[:2] != b"n+":
        raise InputError(
            f"{name} is one half of a pair (.hdr and .img) or an Analyze file: save it as a single .nii.gz."
        )
    return header, stated_mm


def _checked_shape(header: nib.Nifti1Header, name: str) -> Triple:
    shape = tuple(int(length) for length in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        count = math.prod(shape[3:])
        raise InputError(
            f"{name} is {len(shape)}D and holds {count} volumes: save the one that you want to see as a "
            "file of its own."
        )
    if len(shape) < 2:
        raise InputError(
            f"{name} has {counted(len(shape), 'dimension')}: an image needs at least 2, so export it again."
        )
    i, j, k = (*shape, 1)[:3]
    check_size(name, (i, j, k))
    return i, j, k


def _check_length(path: Path, name: str, offset: int, data_bytes: int) -> None:
    """Find a cut or wrong file before its voxels are read and memory is taken for them."""
    if not 0 <= offset <= MAX_EXTENSION_BYTES:
        raise InputError(f"{name} says that its voxels begin at byte {offset:,}: convert it again from its source.")
    on_disk, packed = path.stat().st_size, _is_packed(path)
    if on_disk * (MAX_DEFLATE_RATIO if packed else 1) < offset + data_bytes:
        raise _cut_short(name, data_bytes)
    if not packed and on_disk > offset + data_bytes:
        raise _too_long(name, data_bytes)


def _slabs(
    path: Path, name: str, header: nib.Nifti1Header, shape: Triple, scaling: tuple[float, float]
) -> Iterator[npt.NDArray]:
    dtype = header.get_data_dtype()
    slice_bytes = shape[0] * shape[1] * dtype.itemsize
    at_once = max(1, SLAB_BYTES // slice_bytes)
    data_bytes = slice_bytes * shape[2]
    with closing(_open_stream(path)) as stream:
        try:
            stream.read(int(header.get_data_offset()))
            for start in range(0, shape[2], at_once):
                slices = min(at_once, shape[2] - start)
                block = stream.read(slices * slice_bytes)
                if len(block) < slices * slice_bytes:
                    raise _cut_short(name, data_bytes)
                slab = np.frombuffer(block, dtype).reshape((shape[0], shape[1], slices), order="F")
                yield rescaled(slab, *scaling)
            if stream.read(1):  # also makes gzip compare its checksum
                raise _too_long(name, data_bytes)
        except EOFError as error:
            raise _cut_short(name, data_bytes) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{name} is damaged (its gzip checksum or data are wrong): copy or download it again."
            ) from error


def _cut_short(name: str, data_bytes: int) -> InputError:
    return InputError(
        f"{name} is cut short: it ends before the {data_bytes:,} bytes of voxels that its header announces, "
        "so copy or download it again."
    )


def _too_long(name: str, data_bytes: int) -> InputError:
    return InputError(
        f"{name} goes on after the {data_bytes:,} bytes of voxels that its header announces, so header and "
        "voxels do not belong together: convert it again from its source."
    )


def _grid(header: nib.Nifti1Header, shape: Triple, stated_mm: npt.NDArray) -> tuple[SourceGrid, bool, tuple[str, ...]]:
    """The grid, whether its spacing is known, and warnings. stated_mm: pixdim before nibabel mended it."""
    in_plane_stated = bool((stated_mm[:2] > 0).all())  # NaN is not
    all_stated = in_plane_stated and bool(stated_mm[2] > 0 or shape[2] == 1)
    for code, affine in _stated_affines(header, all_stated):
        if is_usable(affine):
            affine[:3] *= _mm_of_unit(header)
            return SourceGrid(shape, affine, code), True, ()
    grid = SourceGrid(shape, header.get_base_affine(), space_code=0)
    warning = (
        f"The file does not state its orientation (no usable sform or qform): {ASSUMED}."
        if all_stated
        else f"The file states neither orientation nor voxel spacing: {ASSUMED}, and distances are in voxels."
    )
    return grid, all_stated, (warning,)


def _mm_of_unit(header: nib.Nifti1Header) -> float:
    """How many millimetres the header's unit of length is; one that states none means millimetres."""
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:  # a code that NIfTI does not know
        unit = "unknown"
    return {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)


def _stated_affines(header: nib.Nifti1Header, spacing_stated: bool) -> Iterator[tuple[int, Affine]]:
    if int(header["sform_code"]) > 0:
        yield int(header["sform_code"]), header.get_sform()
    if int(header["qform_code"]) > 0 and spacing_stated:  # the qform takes its spacing from pixdim
        try:
            yield int(header["qform_code"]), header.get_qform()
        except (HeaderDataError, ValueError):  # a quaternion that is no rotation: as good as none
            return
