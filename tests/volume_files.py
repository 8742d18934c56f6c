"""Files that the readers of livdemo.volume are tested with, written by other means than livdemo's own."""

import gzip
import itertools
import locale
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from livdemo.errors import InputError

SHAPE = (3, 4, 5)  # (Z, Y, X): no two alike, so a swapped axis cannot go unseen
SPACING_MM = (2.5, 0.75, 0.5)  # (z, y, x)
ORIGIN_LPS = (-90.0, -60.0, 400.0)
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"

# The 48 ways to store a volume: 6 orders of the axes, 8 directions of each.
AXIS_CODES = [
    "".join(pair[way] for pair, way in zip(order, ways, strict=True))
    for order in itertools.permutations(("LR", "AP", "SI"))
    for ways in itertools.product((0, 1), repeat=3)
]


def numbered_hu(shape: tuple[int, int, int] = SHAPE) -> npt.NDArray[np.int16]:
    """(Z, Y, X) in LPS+: every voxel has its own value, from -1000 upwards."""
    return (np.arange(np.prod(shape), dtype=np.int16) - 1000).reshape(shape)


def numbered_labels(shape: tuple[int, int, int] = SHAPE) -> npt.NDArray[np.uint8]:
    """(Z, Y, X): labels 0, 1, 2 in a pattern that no flip or transpose maps onto itself."""
    return np.random.default_rng(7).integers(0, 3, shape).astype(np.uint8)


def lps_affine() -> npt.NDArray[np.float64]:
    """Voxel (x, y, z) of numbered_hu to mm in RAS+."""
    z, y, x = SPACING_MM
    left, back, up = ORIGIN_LPS
    return np.array([[-x, 0, 0, -left], [0, -y, 0, -back], [0, 0, z, up], [0, 0, 0, 1.0]])


def nifti_image(
    display: npt.NDArray, codes: str = "LPS", turn: npt.NDArray | None = None, affine: npt.NDArray | None = None
) -> nib.Nifti1Image:
    """display (Z, Y, X) stored with the given axis codes by nibabel; turn: a rotation (3, 3) of the whole
    patient."""
    affine = lps_affine() if affine is None else affine
    image = nib.Nifti1Image(np.ascontiguousarray(display.transpose(2, 1, 0)), affine)
    image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(codes)))
    affine = image.affine.copy()
    if turn is not None:
        affine[:3] = turn @ affine[:3]
    return nib.Nifti1Image(np.asarray(image.dataobj), affine)


def write_nifti(path: Path, display: npt.NDArray, codes: str = "LPS", turn: npt.NDArray | None = None) -> Path:
    nib.save(nifti_image(display, codes, turn), path)
    return path


def rotation(seed: int, most_degrees: float) -> npt.NDArray[np.float64]:
    """A rotation by up to most_degrees about a random axis. (3, 3)"""
    generator = np.random.default_rng(seed)
    axis = generator.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.radians(generator.uniform(0.2, 1) * most_degrees)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def itk_image(display: npt.NDArray, turn: npt.NDArray | None = None) -> sitk.Image:
    """display (Z, Y, X) as SimpleITK keeps it, in LPS+."""
    turn = np.eye(3) if turn is None else turn
    image = sitk.GetImageFromArray(display)
    image.SetSpacing(SPACING_MM[::-1])
    image.SetOrigin(tuple(turn @ np.array(ORIGIN_LPS)))
    image.SetDirection(tuple(turn.ravel()))
    return image


def write_dicom(path: Path, image: sitk.Image, compressor: str = "") -> None:
    """Write image with the tags in its meta data. GDCM's writer leaves the process in the C locale: put it back."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    if compressor:
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
    before = locale.setlocale(locale.LC_ALL)
    writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)


def write_dicom_slice(
    path: Path,
    hu: npt.NDArray,
    position: tuple[float, float, float] = ORIGIN_LPS,
    tags: dict[str, str] | None = None,
    turn: npt.NDArray | None = None,
    compressor: str = "",
) -> Path:
    """One slice (row, column) as a DICOM file. tags overrides or, with an empty text, removes what is
    written."""
    turn = np.eye(3) if turn is None else turn
    image = sitk.GetImageFromArray(hu[np.newaxis])
    image.SetSpacing((SPACING_MM[2], SPACING_MM[1], 1.0))
    image.SetOrigin(position)
    image.SetDirection(tuple(turn.ravel()))
    written = {
        "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
        "0008|0016": CT_CLASS,
        "0008|0060": "CT",
        "0008|103e": "abdomen",
        "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
        "0020|000e": "1.2.826.0.1.3680043.2.1125.1.1",
        "0020|0032": "\\".join(f"{mm:.6f}" for mm in position),
        "0020|0037": "\\".join(f"{cosine:.9f}" for cosine in turn[:, :2].T.ravel()),
        "0028|1052": "-1024",
        "0028|1053": "1",
        **(tags or {}),
    }
    for tag, value in written.items():
        if value:
            image.SetMetaData(tag, value)
    write_dicom(path, image, compressor)
    return path


def write_dicom_series(
    folder: Path,
    display: npt.NDArray,
    names: list[str] | None = None,
    step: tuple[float, float, float] = (0.0, 0.0, SPACING_MM[0]),
    tags: dict[str, str] | None = None,
    turn: npt.NDArray | None = None,
    compressor: str = "",
) -> Path:
    """display (Z, Y, X) in LPS+ as a folder of DICOM slices; step: from one slice to the next in mm, LPS+."""
    folder.mkdir(parents=True, exist_ok=True)
    names = names or [f"slice{number:03d}.dcm" for number in range(len(display))]
    turn = np.eye(3) if turn is None else turn
    for number, (name, hu) in enumerate(zip(names, display, strict=True)):
        x, y, z = turn @ (np.array(ORIGIN_LPS) + number * np.array(step))
        write_dicom_slice(folder / name, hu, (float(x), float(y), float(z)), tags, turn, compressor)
    return folder


def repack(path: Path, content: bytes) -> Path:
    """Write bytes as a .gz file."""
    with gzip.open(path, "wb") as file:
        file.write(content)
    return path


def refusal(error: pytest.ExceptionInfo[InputError], *parts: str) -> str:
    """The message, after checking that it is one plain sentence with a mend and holds the parts."""
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert not re.search(r"\.\s+[A-Z]", text), "one sentence"
    assert ":" in text or ";" in text or ", so " in text, "the mend follows the fault"
    for part in parts:
        assert part in text
    return text
