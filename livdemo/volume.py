"""A scan in memory, and the one way in and out: read_volume, read_label_map, write_label_map.

    volume = read_volume("ct.nii.gz")                        # or .nrrd, .mha, a DICOM folder, a .zip, a .png
    reference = read_label_map("liver.nii.gz", volume)       # uint8 (Z, Y, X) on the volume's grid
    write_label_map("prediction.nii.gz", label_map, volume)  # on the file's own grid, voxel for voxel

Whatever can be wrong with a visitor's file comes back as InputError: one sentence, naming file and mend.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livdemo.archive import unpacked
from livdemo.dicom import dicom_files, is_dicom, open_series
from livdemo.errors import InputError
from livdemo.grid import (
    SAME_AFFINE_MM,
    SourceGrid,
    axial_grid,
    display_distance_mm,
    geometry_warnings,
    reorder_onto,
    voxel_map,
)
from livdemo.itk_image import open_itk_volume, open_slice
from livdemo.nifti import open_nifti
from livdemo.padding import AIR_HU, without_padding
from livdemo.voxels import ImageFile, check_spacing, read_hu, read_labels

__all__ = [
    "VOLUMES",
    "GeometryMismatch",
    "MaskOrigin",
    "SourceGrid",
    "Volume",
    "read_label_map",
    "read_reference",
    "read_volume",
    "volume_from_hu",
    "write_label_map",
]

NIFTI = (".nii", ".nii.gz")
LEAST_INSIDE = 0.5  # of what a mask marks: with less in the scan it is that of another one, or of a shifted header
DESCRIP_BYTES = 79  # of the header's 80: some readers want a closing zero
ITK_VOLUMES = (".nrrd", ".nhdr", ".mha", ".mhd")
PICTURES = (".png", ".jpg", ".jpeg")
VOLUMES = (*NIFTI, *ITK_VOLUMES)


class GeometryMismatch(InputError):
    """The mask lies on another grid than the scan; with the visitor's consent it can be resampled."""


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A scan as the display shows it.

    hu: int16 (Z, Y, X), C order, LPS+: x grows to the patient's left, y to the back, z to the head. So hu[z]
        drawn as an image is what radiologists see: the patient's right on the left of the picture, front up.
    spacing_mm: between neighbouring voxels (z, y, x).
    modality: "CT", "MR" or "unknown".
    grid: the file's own grid, to write a mask back onto.
    spacing_known: False where the file states no spacing; spacing_mm is then in voxels.
    warnings: plain sentences for the visitor.
    """

    hu: npt.NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    modality: str
    grid: SourceGrid
    spacing_known: bool = True
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.dtype != np.int16 or not self.hu.flags.c_contiguous:
            raise ValueError(f"hu should be int16 in C order, not {self.hu.dtype} with strides {self.hu.strides}")
        if self.hu.shape != self.grid.display_shape:
            raise ValueError(f"hu of {self.hu.shape} does not fit the grid of {self.grid.display_shape}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)"""
        return self.grid.display_shape

    @property
    def voxel_ml(self) -> float:
        return self.grid.voxel_ml

    def position_mm(self, slice_index: int) -> float:
        """Where a slice lies along the slices' normal, which points to the patient's head."""
        return self.grid.slice_position_mm(slice_index)

    def __repr__(self) -> str:
        z, y, x = self.spacing_mm
        unit = "mm" if self.spacing_known else "voxels (spacing unknown)"
        depth, height, width = self.shape
        return (
            f"Volume({depth} slices of {height}×{width}, spacing {z:.4g}×{y:.4g}×{x:.4g} {unit}, "
            f"{self.modality}, {self.hu.nbytes / 2**20:.0f} MiB)"
        )


def volume_from_hu(
    hu: npt.NDArray[np.int16],
    spacing_mm: tuple[float, float, float],
    modality: str = "CT",
    spacing_known: bool = True,
    warnings: tuple[str, ...] = (),
) -> Volume:
    """A Volume from an array that is already (Z, Y, X) in LPS+; its masks are written with axes x, y, z."""
    depth, height, width = hu.shape
    grid = axial_grid((depth, height, width), spacing_mm)
    return Volume(np.ascontiguousarray(hu), spacing_mm, modality, grid, spacing_known, warnings)


def read_volume(path: str | Path) -> Volume:
    """Read a scan: NIfTI, NRRD, MHA, a DICOM folder or file, a .zip of one of these, or a PNG or JPEG slice.

    The header is checked before any voxel is read; the voxels are read once, into int16. Modality: what DICOM
    states; for every other format, which states none, "CT" if some voxel is at most AIR_HU (there is air),
    else "unknown" with a warning. InputError names the file and the mend.
    """
    with _opened(Path(path)) as image:
        check_spacing(image)
        hu, clipped = read_hu(image)
    modality, doubt = (image.modality, ()) if image.modality else _judged_by_air(hu)
    padded: tuple[str, ...] = ()
    if modality == "CT":
        hu, padded = without_padding(hu)
    geometry = geometry_warnings(image.grid) if image.spacing_known else ()
    warnings = (*image.warnings, *geometry, *clipped, *padded, *doubt)
    return Volume(hu, image.grid.spacing_mm, modality, image.grid, image.spacing_known, warnings)


def read_label_map(path: str | Path, volume: Volume, resample: bool = False) -> npt.NDArray[np.uint8]:
    """Read a mask in any format of read_volume -> labels 0, 1, 2 as uint8 (Z, Y, X) on volume's grid.

    A mask of 0 and 1 is the liver. The mask may have other axis orders and directions than the scan; its
    eight corners must lie on the scan's within SAME_GRID_VOXELS. Otherwise GeometryMismatch names both grids, and
    resample=True takes for each voxel of the scan the mask's nearest one in the patient (0 outside the mask).
    InputError for every other fault: other labels, a mask that lies mostly beside the scan, a file that cannot be
    read.
    """
    return _label_map_and_notes(path, volume, resample)[0]


def read_reference(
    path: str | Path | None, volume: Volume, resample: bool = False
) -> tuple[Volume, npt.NDArray[np.uint8] | None]:
    """The scan with what a visitor should know of its reference, and the reference as of read_label_map.

    None where there is no path.
    """
    if path is None:
        return volume, None
    label_map, notes = _label_map_and_notes(path, volume, resample)
    return replace(volume, warnings=(*volume.warnings, *notes)), label_map


def _label_map_and_notes(
    path: str | Path, volume: Volume, resample: bool
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    with _opened(Path(path), as_labels=True) as image:
        labels = read_labels(image)  # (i, j, k) of the mask's file
    on_source = reorder_onto(labels, image.grid, volume.grid)
    notes: tuple[str, ...] = ()
    if on_source is None:
        if not resample:
            raise GeometryMismatch(_mismatch(image, volume))
        notes = _notes_of_resampling(labels, image, volume)
        on_source = _resampled(labels, image.grid, volume.grid)
    return np.ascontiguousarray(volume.grid.to_display(on_source)), notes


@dataclass(frozen=True)
class MaskOrigin:
    """Where a mask comes from, for its header: a file that is passed on alone still says so."""

    summary: str  # into "descrip", ASCII; cut to what fits
    provenance: Mapping[str, Any]  # as JSON into an extension of the kind "comment"


def write_label_map(path: str | Path, label_map: npt.NDArray, volume: Volume, origin: MaskOrigin | None = None) -> Path:
    """Write labels (Z, Y, X) as .nii.gz (or .nii), uint8, with the shape, axes and affine of volume's file.

    Nothing is resampled: every voxel of the file has the label of its own voxel. ValueError where the shape
    is not volume's, a label does not fit uint8, or the name is not of NIfTI. OSError as the disk gives it.
    """
    path = Path(path)
    if label_map.shape != volume.shape:
        raise ValueError(f"label map of {label_map.shape} does not fit the volume of {volume.shape}")
    if not path.name.lower().endswith(NIFTI):
        raise ValueError(f"{path.name} should end in .nii.gz")
    labels = label_map.astype(np.uint8)
    if not np.array_equal(labels, label_map):
        raise ValueError(f"label map of {label_map.dtype} has values that are no labels")
    image = _nifti_image(volume.grid.from_display(labels), volume.grid)
    if origin is not None:
        image.header["descrip"] = origin.summary.encode("ascii", "replace")[:DESCRIP_BYTES]
        words = json.dumps(origin.provenance, allow_nan=False).encode("ascii")
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", words))
    nib.save(image, path)
    return path


def _nifti_image(labels: npt.NDArray[np.uint8], grid: SourceGrid) -> nib.Nifti1Image:
    """labels: (i, j, k) of the file. Keeps what the scan's own header said about its space (nibabel#1427)."""
    if grid.space_code == 0:
        # The scan's file states no orientation. One that states none either is placed beside it by every
        # viewer, whatever each assumes; an affine of ours would be believed in one and not in the other.
        image = nib.Nifti1Image(labels, None)
        image.header.set_zooms(np.linalg.norm(grid.affine[:3, :3], axis=0))
    else:
        image = nib.Nifti1Image(labels, grid.affine)
        image.set_sform(grid.affine, grid.space_code)
        sheared = bool(np.abs(image.get_qform() - grid.affine).max() > SAME_AFFINE_MM)  # a qform cannot shear
        image.set_qform(grid.affine, 0 if sheared else grid.space_code)
    image.header.set_xyzt_units("mm")
    return image


@contextmanager
def _opened(path: Path, as_labels: bool = False) -> Iterator[ImageFile]:
    """The image behind any path that a visitor gives, its header checked. Meanwhile a .zip is unpacked."""
    name = path.name or str(path)
    if not path.exists():
        raise InputError(f"{name} does not exist: check the path.")
    try:
        if path.suffix.lower() == ".zip" and path.is_file():
            with unpacked(path, name) as folder:
                yield _open_archived(folder, name)
        elif path.is_dir():
            yield open_series(dicom_files(path, name), name)
        else:
            yield _open_file(path, name, as_labels)
    except PermissionError as error:
        raise InputError(f"{name} may not be read: change its permissions or copy it.") from error


def _open_file(path: Path, name: str, as_labels: bool = False) -> ImageFile:
    ending = path.name.lower()
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty: copy or download it again.")
    if ending.endswith(NIFTI):
        return open_nifti(path, name)
    if ending.endswith(ITK_VOLUMES):
        return open_itk_volume(path, name)
    if ending.endswith(PICTURES):
        return open_slice(path, name, as_labels)
    if is_dicom(path):
        return open_series([path], name)
    raise InputError(
        f"{name} is of no kind that livdemo reads: give a .nii, .nii.gz, .nrrd, .mha, .png or .jpg, "
        "or a folder or .zip of DICOM slices."
    )


def _open_archived(folder: Path, name: str) -> ImageFile:
    """A DICOM series, or else the one volume file, of an unpacked .zip."""
    slices = dicom_files(folder, name)
    if slices:
        return open_series(slices, name)
    volumes = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(VOLUMES))
    if len(volumes) == 1:
        return _open_file(volumes[0], f"{name} ({volumes[0].name})")
    if volumes:
        listed = ", ".join(path.name for path in volumes[:5])
        raise InputError(f"{name} holds {len(volumes)} volumes ({listed}): pack one of them only.")
    raise InputError(f"{name} holds neither DICOM slices nor a NIfTI, NRRD or MHA file: pack one series.")


def _judged_by_air(hu: npt.NDArray[np.int16]) -> tuple[str, tuple[str, ...]]:
    lowest = int(hu.min())
    if lowest <= AIR_HU:
        return "CT", ()
    return "unknown", (
        f"No voxel is below {lowest} HU, so there is no air as in a CT: this looks like an MR, or a CT "
        "without HU or cropped to one organ, and the models expect a CT in HU.",
    )


def _mismatch(image: ImageFile, volume: Volume) -> str:
    mask, scan = image.grid, volume.grid
    apart = ""
    if mask.display_shape == scan.display_shape:
        apart = f", their corners up to {display_distance_mm(mask, scan):.2g} mm apart"
    return (
        f"{image.name} does not lie on the scan's grid: the mask has {mask.describe()}, the scan "
        f"{scan.describe()}{apart}; let it be resampled by nearest neighbour, or give the mask of this scan."
    )


def _resampled(labels: npt.NDArray[np.uint8], mask: SourceGrid, scan: SourceGrid) -> npt.NDArray[np.uint8]:
    """labels (i, j, k) of the mask's file -> its nearest ones at the voxels (i, j, k) of the scan's file."""
    index = voxel_map(mask, scan)
    # grid-constant: a mask voxel reaches half a voxel beyond its centre at the border too.
    return ndimage.affine_transform(
        np.ascontiguousarray(labels),
        index[:3, :3],
        index[:3, 3],
        scan.shape,
        order=0,
        mode="grid-constant",
        cval=0,
    )


def _notes_of_resampling(labels: npt.NDArray[np.uint8], image: ImageFile, volume: Volume) -> tuple[str, ...]:
    """What to say of a mask (i, j, k) that is resampled; InputError where most of what it marks is not in the scan."""
    inside = _share_inside(labels, image.grid, volume.grid)
    grids = f"{image.grid.describe()} against {volume.grid.describe()}"
    if inside == 0:
        raise InputError(
            f"{image.name} and the scan do not overlap in the patient ({grids}): give the mask of this scan."
        )
    if inside < LEAST_INSIDE:
        raise InputError(
            f"Of what {image.name} marks only {inside:.0%} lie inside the scan ({grids}): give the mask of this scan."
        )
    cut_off = f" {1 - inside:.0%} of what it marks lie outside the scan and are not scored." if inside < 0.995 else ""
    return (
        f"{image.name} lies on another grid than the scan and was resampled by nearest neighbour: scores change a "
        f"little.{cut_off}",
    )


def _share_inside(labels: npt.NDArray[np.uint8], mask: SourceGrid, scan: SourceGrid) -> float:
    """Of the marked voxels (i, j, k) of a mask, how many have their middle inside the scan; 1 of an empty mask."""
    to_scan = voxel_map(scan, mask)
    inside = 0
    for i, plane in enumerate(labels):  # one after the other: the indices of all need a hundred bytes a voxel
        marked = np.argwhere(plane)
        index = np.column_stack([np.full(len(marked), i), marked]) @ to_scan[:3, :3].T + to_scan[:3, 3]
        inside += int(((index >= -0.5) & (index <= np.array(scan.shape) - 0.5)).all(axis=1).sum())
    marked_voxels = np.count_nonzero(labels)
    return inside / marked_voxels if marked_voxels else 1.0
