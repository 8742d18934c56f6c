"""One DICOM series as a volume, through SimpleITK's GDCM.

The slices are sorted along their common normal by ImagePositionPatient, never by name or number, and lie
apart by what their positions say, never by SliceThickness (slice_stack holds that geometry and its refusals).
"""

import math
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from livdemo.errors import InputError
from livdemo.grid import Affine, SourceGrid, is_usable
from livdemo.slice_stack import stack_slices
from livdemo.voxels import ImageFile, check_size
from livdemo.words import counted

MAX_FILES = 10_000  # in a folder, DICOM or not

DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
STORAGE = "1.2.840.10008.5.1.4.1.1."
SEGMENTATIONS = f"{STORAGE}66."  # and registrations: they have frames, but are no pictures
# CT, MR, PET and their kin: a file of theirs without pixels is damaged.
SCANS = tuple(f"{STORAGE}{number}" for number in ("2", "4", "128"))
# Enhanced and converted CT and MR: they place each of their frames, in nested tags, which GDCM reads.
MULTI_FRAME = tuple(f"{STORAGE}{number}" for number in ("2.1", "2.2", "4.1", "4.4"))
META_BYTES = 64 * 2**10  # the file's first group of tags is far shorter
LONG_VR = (b"OB", b"OW", b"SQ", b"UN", b"UT")  # value types whose length takes 4 bytes, after 2 empty ones

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# ITK's warnings go to stderr, where the command line promises one sentence; errors are exceptions anyway.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a slice lies: the centre of its first pixel and its directions in mm, LPS+."""

    position: npt.NDArray[np.float64]  # (3,)
    directions: npt.NDArray[np.float64]  # (2, 3): along a row, along a column
    pixel_mm: npt.NDArray[np.float64]  # (2,): between columns, between rows


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """What livdemo needs of the header of one file with pixels."""

    path: Path
    series: str
    description: str
    modality: str
    localizer: bool
    columns: int
    rows: int
    frames: int
    components: int
    place: Place | None
    places_frames: bool
    thickness_mm: float | None

    @property
    def is_multi_frame(self) -> bool:
        return self.frames > 1 or (self.places_frames and self.place is None)

    @property
    def is_placed(self) -> bool:
        return self.places_frames if self.is_multi_frame else self.place is not None


def dicom_files(folder: Path, name: str) -> list[Path]:
    """Every DICOM file below folder, whatever it is called; other files are passed over."""
    files = list(islice((path for path in folder.rglob("*") if path.is_file()), MAX_FILES + 1))
    if len(files) > MAX_FILES:
        raise InputError(
            f"{name} holds more than the {MAX_FILES:,} files that livdemo looks through: give the folder of one series."
        )
    return sorted(path for path in files if is_dicom(path))


def is_dicom(path: Path) -> bool:
    """Whether the file bears DICOM's mark, the four letters after its preamble of 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def open_series(files: Sequence[Path], name: str) -> ImageFile:
    """Read and check the headers of the files of one series, in any order. InputError names the mend.

    Source axes: i along a row, j along a column, k along the slices' normal, growing with it. Each slice is
    read with its own RescaleSlope and RescaleIntercept. Scouts (localizers), reports, contours and pictures
    without a place in the patient are left out, the pictures with a warning.
    """
    headers = [found for path in files if (found := _read_header(path, name)) is not None]
    if not headers:
        raise InputError(_nothing(files, name))
    slices, warnings = _choose_series(headers, name)
    first = slices[0]
    _check_pictures(slices, name)
    check_size(name, (first.columns, first.rows, len(slices) * first.frames))
    if first.is_multi_frame:
        affine = _multi_frame_affine(first)
        warnings.append("The scan is one multi-frame file: that its slices lie evenly was not checked.")
    else:
        slices, affine = _sorted(slices, name)
    if not is_usable(affine):
        raise InputError(f"{name} has directions or spacings that span no volume: export the series again.")
    if len(slices) * first.frames == 1:
        warnings.append(f"The series has one slice only, taken to be {_thickness_mm(first):g} mm thick.")
    if first.modality != "CT":
        warnings.append(
            f"The DICOM modality is {first.modality or 'not stated'} where a CT is expected: the masks of "
            "models that were trained on CT mean nothing here."
        )
    return ImageFile(
        name,
        SourceGrid((first.columns, first.rows, len(slices) * first.frames), LPS_TO_RAS @ affine),
        _slabs(slices, name),
        modality=first.modality if first.modality in ("CT", "MR") else "unknown",
        warnings=tuple(warnings),
    )


def _nothing(files: Sequence[Path], name: str) -> str:
    if not files:
        return f"{name} holds no DICOM file: give the folder or .zip with the slices of one CT series."
    return (
        f"{name} holds {counted(len(files), 'DICOM file')} but none with pixels (reports, contours or "
        "segmentations, perhaps): give the folder with the CT slices."
    )


def _choose_series(headers: list[DicomHeader], name: str) -> tuple[list[DicomHeader], list[str]]:
    """The slices of the only series that lies in the patient, and warnings about what was left out."""
    scans = [found for found in headers if not found.localizer]
    placed = [found for found in scans if found.is_placed]
    series = sorted({found.series for found in placed})
    if not placed:
        what = "pictures that do not say where they lie" if scans else "scouts (localizers)"
        raise InputError(f"{name} holds only {what}: give the folder of the axial CT series.")
    if len(series) > 1:
        listed = "; ".join(_describe([found for found in placed if found.series == uid]) for uid in series)
        raise InputError(f"{name} holds {len(series)} series ({listed}): give a folder or .zip with one of them.")
    lost = [found.path.name for found in scans if not found.is_placed and found.series == series[0]]
    if lost:
        raise InputError(
            f"{name}: {lost[0]} ({len(lost)} of {len(scans)} slices) has no usable position, direction or "
            "pixel spacing: export the series again."
        )
    left_out = len(headers) - len(placed)
    left_out_warning = f"Left out beside the series: {counted(left_out, 'scout or other picture')}."
    return placed, [left_out_warning] if left_out else []


def _describe(series: list[DicomHeader]) -> str:
    slices = sum(found.frames for found in series)
    return f"{series[0].description or 'no description'}, {series[0].modality}, {counted(slices, 'slice')}"


def _check_pictures(slices: list[DicomHeader], name: str) -> None:
    """All grey, all of one size, and one file where a file has several frames."""
    if any(found.components != 1 for found in slices):
        raise InputError(f"{name} holds colour pictures, not a scan: give the folder of the CT series.")
    sizes = Counter((found.columns, found.rows) for found in slices)
    if len(sizes) > 1:
        listed = ", ".join(f"{columns}×{rows}: {count}" for (columns, rows), count in sizes.most_common())
        odd = next(found for found in slices if (found.columns, found.rows) == sizes.most_common()[-1][0])
        raise InputError(
            f"{name} mixes slices of different sizes ({listed}; {odd.path.name} is one of the fewest): "
            "give the slices of one reconstruction only."
        )
    if len(slices) > 1 and any(found.is_multi_frame for found in slices):
        raise InputError(f"{name} holds {len(slices)} files of several frames each: give one of them.")


def _sorted(slices: list[DicomHeader], name: str) -> tuple[list[DicomHeader], Affine]:
    places = [found.place for found in slices if found.place is not None]
    order, affine = stack_slices(
        name,
        [found.path.name for found in slices],
        np.array([place.position for place in places]),
        np.array([place.directions for place in places]),
        np.array([place.pixel_mm for place in places]),
        _thickness_mm(slices[0]),
    )
    return [slices[index] for index in order], affine


def _thickness_mm(single: DicomHeader) -> float:
    """The step of a series of one slice, which no positions give."""
    return single.thickness_mm or 1.0


def _multi_frame_affine(header: DicomHeader) -> Affine:
    """What GDCM makes of the frames' nested tags. LPS+"""
    reader = _reader(header.path)
    reader.ReadImageInformation()
    affine = np.eye(4)
    affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * np.array(reader.GetSpacing())
    affine[:3, 3] = reader.GetOrigin()
    return affine


def _slabs(slices: Sequence[DicomHeader], name: str) -> Iterator[npt.NDArray]:
    for found in slices:
        try:
            image = _reader(found.path).Execute()  # in HU: GDCM applies the slice's own slope and intercept
        except RuntimeError as error:
            raise InputError(
                f"{name}: the pixels of {found.path.name} cannot be read (damaged, or packed in a way that "
                "GDCM does not know): export the series again without compression."
            ) from error
        yield sitk.GetArrayViewFromImage(image).transpose(2, 1, 0)


def _read_header(path: Path, name: str) -> DicomHeader | None:
    """The header of one file; None where the file is no picture (a report, contours, a directory)."""
    storage_class = _storage_class(path)
    if storage_class == DICOMDIR_CLASS or storage_class.startswith(SEGMENTATIONS):
        return None
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if not any(f"{storage_class}.".startswith(f"{scan}.") for scan in SCANS):
            return None
        raise InputError(
            f"{name}: {path.name} is damaged, cut short or without pixels: copy or download it again, or take it out."
        ) from error
    columns, rows, *frames = (int(length) for length in reader.GetSize())
    thickness = _numbers(reader, "0018|0050", 1)
    return DicomHeader(
        path=path,
        series=_text(reader, "0020|000e"),
        description=_text(reader, "0008|103e"),
        modality=_text(reader, "0008|0060"),
        localizer="LOCALIZER" in _text(reader, "0008|0008").upper(),
        columns=columns,
        rows=rows,
        frames=math.prod(frames),
        components=reader.GetNumberOfComponents(),
        place=_place(reader),
        places_frames=storage_class in MULTI_FRAME,
        thickness_mm=float(thickness[0]) if thickness is not None and thickness[0] > 0 else None,
    )


def _storage_class(path: Path) -> str:
    """The SOP class that the file's own meta group states, or "".

    SimpleITK gives no tags of a file without pixels, and this tells a report from a damaged slice. Group 0002
    is always little endian with value types, whatever the rest is (DICOM PS3.10, section 7.1).
    """
    with path.open("rb") as file:
        meta = file.read(META_BYTES)
    at = 132
    while at + 12 <= len(meta):
        group, element = struct.unpack_from("<HH", meta, at)
        long = meta[at + 4 : at + 6] in LONG_VR
        (length,) = struct.unpack_from("<I" if long else "<H", meta, at + (8 if long else 6))
        at += 12 if long else 8
        if group != 2:
            break
        if element == 2:
            return meta[at : at + length].decode("ascii", errors="replace").strip(" \0")
        at += length
    return ""


def _reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader


def _place(reader: sitk.ImageFileReader) -> Place | None:
    """ImagePositionPatient, ImageOrientationPatient, PixelSpacing; None where one is missing or absurd."""
    position = _numbers(reader, "0020|0032", 3)
    directions = _numbers(reader, "0020|0037", 6)
    pixel_mm = _numbers(reader, "0028|0030", 2)  # between rows, between columns
    if position is None or directions is None or pixel_mm is None or (pixel_mm <= 0).any():
        return None
    directions = directions.reshape(2, 3)
    if np.abs(directions @ directions.T - np.eye(2)).max() > 0.01:  # of length 1 and square on each other
        return None
    return Place(position, directions, pixel_mm[::-1])


def _text(reader: sitk.ImageFileReader, tag: str) -> str:
    if not reader.HasMetaDataKey(tag):
        return ""
    # Other alphabets arrive as lone surrogates, which neither a screen nor a file takes.
    return reader.GetMetaData(tag).encode("utf-8", errors="replace").decode("utf-8").strip(" \0")


def _numbers(reader: sitk.ImageFileReader, tag: str, count: int) -> npt.NDArray[np.float64] | None:
    try:
        values = np.array([float(text) for text in _text(reader, tag).split("\\")])
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None
