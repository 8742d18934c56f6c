"""NRRD, MetaImage (MHA) and single PNG or JPEG slices, through SimpleITK."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from livdemo.errors import InputError
from livdemo.grid import Affine, SourceGrid, Triple, axial_grid, is_usable
from livdemo.voxels import SLAB_BYTES, ImageFile, check_size, rescaled

READERS = {
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".png": "PNGImageIO",
    ".jpg": "JPEGImageIO",
    ".jpeg": "JPEGImageIO",
}

# What a PNG or JPEG slice of unknown origin is taken for: its black and white as HU, the abdominal window in
# which liver data sets are commonly exported.
BLACK_HU, WHITE_HU = -160.0, 240.0

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, the weights of JPEG

HEADER_BYTES = 64 * 2**10  # NRRD and MetaImage headers are text; longer ones are none

# The field of a header that names the file with the voxels: where it may begin, and as a whole line.
DATA_FILE = {
    "NrrdImageIO": (rb"data ?file", rb"^data ?file:[ \t]*(.*?)[ \t\r]*$"),
    "MetaImageIO": (rb"ElementDataFile", rb"^ElementDataFile[ \t]*[=:][ \t]*(.*?)[ \t\r]*$"),
}


def open_itk_volume(path: Path, name: str) -> ImageFile:
    """Read and check the header of a .nrrd, .nhdr, .mha or .mhd. InputError names the file and the mend.

    Several volumes in one file and several values a voxel are refused; a 2D image is a volume of one slice.
    """
    _check_data_file(path, name)
    reader = _read_header(path, name)
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{name} holds {reader.GetNumberOfComponents()} values a voxel (colours, vectors or several "
            "volumes): save the one volume that you want to see as a file of its own."
        )
    size = [int(length) for length in reader.GetSize()]
    if len(size) > 3 and any(length != 1 for length in size[3:]):
        count = math.prod(size[3:])
        raise InputError(
            f"{name} is {len(size)}D and holds {count} volumes: save the one that you want to see as a file of its own."
        )
    i, j, k = (*size, 1)[:3]
    shape = (i, j, k)
    check_size(name, shape)
    affine = _affine(reader)
    if not is_usable(affine):
        raise InputError(f"{name} has axes or spacing that span no volume: convert it again from its source.")
    stated = READERS[path.suffix.lower()] != "NrrdImageIO" or reader.HasMetaDataKey("NRRD_space")
    assumed = "The file does not state its orientation (no space): it is taken to be stored as shown."
    return ImageFile(
        name, SourceGrid(shape, affine), _slabs(reader, name, shape), warnings=() if stated else (assumed,)
    )


def open_slice(path: Path, name: str, as_labels: bool = False) -> ImageFile:
    """Read and check the header of a PNG or JPEG slice, upright as radiologists show it.

    Grey levels become HU on the assumption that black is BLACK_HU and white WHITE_HU, which a warning states;
    as_labels: they stay as they are. Colour becomes grey with a warning. InputError: no such picture.
    """
    if path.suffix.lower() != ".png":
        _check_jpeg_end(path, name)
    reader = _read_header(path, name)
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    white = 255 if reader.GetPixelIDValue() in (sitk.sitkUInt8, sitk.sitkVectorUInt8) else 65_535
    shape = (int(size[0]), int(size[1]), 1)
    check_size(name, shape)
    warnings = ["A single picture has no voxel spacing: distances are in pixels."]
    scaling = (1.0, 0.0)
    if not as_labels:
        scaling = ((WHITE_HU - BLACK_HU) / white, BLACK_HU)
        warnings.append(
            f"A picture has no HU: black is taken for {BLACK_HU:.0f} HU and white ({white}) for {WHITE_HU:.0f} HU."
        )
    if components > 1:
        warnings.append("The picture is in colour: it was turned into grey.")
    return ImageFile(
        name,
        axial_grid((1, shape[1], shape[0]), (1.0, 1.0, 1.0)),
        _picture(reader, name, scaling),
        modality="unknown",
        spacing_known=False,
        warnings=tuple(warnings),
    )


def _read_header(path: Path, name: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[path.suffix.lower()])
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(
            f"{name} cannot be read as the {path.suffix.lower()} file that its name says it is: export it again."
        ) from error
    return reader


def _read_voxels(reader: sitk.ImageFileReader, name: str) -> sitk.Image:
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{name} is damaged or cut short: copy or download it again.") from error


def _slabs(reader: sitk.ImageFileReader, name: str, shape: Triple) -> Iterator[npt.NDArray]:
    image = _read_voxels(reader, name)  # keeps the memory that the array only looks at
    array = sitk.GetArrayViewFromImage(image).reshape(shape[::-1])  # (k, j, i)
    at_once = max(1, SLAB_BYTES // array[0].nbytes)
    for start in range(0, shape[2], at_once):
        yield array[start : start + at_once].transpose(2, 1, 0)


def _picture(reader: sitk.ImageFileReader, name: str, scaling: tuple[float, float]) -> Iterator[npt.NDArray]:
    array = sitk.GetArrayFromImage(_read_voxels(reader, name))  # (row, column) or (row, column, channel)
    if array.ndim == 3:
        red, green, blue = (array[..., channel] for channel in range(3))
        array = red if (red == green).all() and (red == blue).all() else array[..., :3] @ LUMA
    yield rescaled(array, *scaling).T[:, :, np.newaxis]


def _affine(reader: sitk.ImageFileReader) -> Affine:
    """ITK's origin, spacing and direction (LPS+) as an affine in RAS+; a missing third axis points up."""
    dimension = reader.GetDimension()
    used = min(dimension, 3)
    affine = np.eye(4)
    direction = np.array(reader.GetDirection()).reshape(dimension, dimension)
    affine[:used, :used] = (direction * np.array(reader.GetSpacing()))[:used, :used]
    affine[:used, 3] = reader.GetOrigin()[:used]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_data_file(path: Path, name: str) -> None:
    """Refuse a header whose voxels lie anywhere but in the file itself or in a file beside it.

    Both formats may name any path of the machine, which would show a visitor the server's own files.
    """
    target = _data_file(path, name)
    if target.upper() == "LOCAL":
        return
    plain = target == Path(target).name and not re.search(r"[\s%\\]|^LIST", target)
    if not plain or (path.parent / target).is_symlink():
        raise InputError(
            f"{name} says that its voxels lie in '{target}', outside its own folder or in several files: "
            "save the scan as a single .mha or .nrrd."
        )
    if not (path.parent / target).is_file():
        raise InputError(
            f"{name} needs its voxels from {target}, which is not beside it: put both into a .zip, "
            "or save the scan as a single .mha or .nrrd."
        )


def _data_file(path: Path, name: str) -> str:
    """What the header says about where the voxels are; "LOCAL": in the file itself."""
    reader = READERS[path.suffix.lower()]
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if reader == "NrrdImageIO":
        header, *voxels = re.split(rb"\r?\n\r?\n", header, maxsplit=1)
        complete = bool(voxels) or len(header) < HEADER_BYTES
    else:
        complete = b"ElementDataFile" in header
    word, line = DATA_FILE[reader]
    named = re.findall(line, header, re.IGNORECASE | re.MULTILINE)
    # A second mention, or one within a line, may be read otherwise by the library: no honest file has it.
    if not complete or len(named) > 1 or len(named) != len(re.findall(word, header, re.IGNORECASE)):
        raise InputError(
            f"{name} cannot be read as the {path.suffix.lower()} file that its name says it is: export it again."
        )
    return named[0].decode(errors="replace") if named else "LOCAL"


def _check_jpeg_end(path: Path, name: str) -> None:
    """libjpeg fills what a cut JPEG lacks with grey and goes on, so look for the end marker."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        if b"\xff\xd9" not in file.read():
            raise InputError(f"{name} is cut short or no JPEG: copy or download it again.")
