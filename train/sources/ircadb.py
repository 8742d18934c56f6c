"""3D-IRCADb-01: 3Dircadb1.N with PATIENT_DICOM and MASKS_DICOM, as folders or still as .zip files.

Soler et al., 3D image reconstruction for comparison of algorithm database, IRCAD 2010; CC BY-NC-ND. Twenty
patients, who are also LiTS volumes 28 to 47. Every organ is a DICOM series of its own under a name that was
typed by hand, so it matters which names count:
  liver                                  the liver
  livertumor, livertumor01, livertumors  tumours, all of a patient together
  liverkyst, liverkyste, livercyst       cysts: no tumours, they stay liver
  tumor (patient 7)                      an adrenal tumour, outside the liver: not used
  metastasectomie (patient 14)           what an operation left: not used
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np

from livdemo.errors import InputError
from livdemo.grid import reorder_onto
from livdemo.volume import Volume, read_volume
from train.scans import Loaded, Scan, natural
from train.sources.tree import Folder, Tree

LAYOUT = "3D-IRCADb-01 (3Dircadb1.N with PATIENT_DICOM and MASKS_DICOM)"
SCAN, MASKS = "PATIENT_DICOM", "MASKS_DICOM"
LIVER = "liver"
TUMOUR = re.compile(r"livertumou?rs?\d*")


def find(tree: Tree) -> list[Scan]:
    """A scan a patient. InputError where a patient has no masks."""
    # Unpacking PATIENT_DICOM.zip into a folder of its name nests it: the outer one is no patient.
    patients = [folder for folder in tree if _part(folder, SCAN) is not None and folder.path.name != SCAN]
    return [_scan(folder, tree) for folder in sorted(patients, key=lambda folder: natural(folder.path.name))]


def _scan(folder: Folder, tree: Tree) -> Scan:
    image, masks = _part(folder, SCAN), _part(folder, MASKS)
    if image is None or masks is None:
        raise InputError(f"{folder.path} has {SCAN} but no {MASKS}: unpack the archive of this patient again.")
    match = re.fullmatch(r"3Dircadb1\.(\d+)", folder.path.name, re.IGNORECASE)
    number = match[1] if match else folder.path.name
    return Scan(
        source="3dircadb",
        volume=number,
        patient=f"3D-IRCADb {number}",
        labels="full",
        modality="CT",
        load=partial(_load, image, masks),
        files=(*_files(image, tree), *_files(masks, tree)),
    )


def _part(folder: Folder, name: str) -> Path | None:
    """PATIENT_DICOM as a folder, else PATIENT_DICOM.zip."""
    if name in folder.folders:
        return folder.path / name
    return folder.path / f"{name}.zip" if f"{name}.zip" in folder.files else None


def _files(part: Path, tree: Tree) -> list[Path]:
    if part.suffix == ".zip":
        return [part]
    return [below.path / name for below in tree if part in (below.path, *below.path.parents) for name in below.files]


def _load(image: Path, masks: Path) -> Loaded:
    volume = read_volume(image)
    with _unpacked(masks) as folder:
        organs = _organs(folder, masks)
        drawn = {name: _read_mask(path, volume, masks) for name, path in organs.items() if _is_used(name)}
    tumours = [mask for name, mask in drawn.items() if name != LIVER]
    labels = drawn[LIVER].astype(np.uint8)
    for tumour in tumours:
        labels[tumour] = 2
    return volume.hu[:, None], labels, np.arange(len(labels))


def _is_used(name: str) -> bool:
    return name == LIVER or TUMOUR.fullmatch(name) is not None


def _organs(folder: Path, masks: Path) -> dict[str, Path]:
    """The folders of the masks by their names in small letters."""
    liver = next((path for path in sorted(folder.rglob("*")) if path.name.lower() == LIVER and path.is_dir()), None)
    if liver is None:
        raise InputError(f"{masks} holds no mask called liver: unpack the archive of this patient again.")
    return {path.name.lower(): path for path in sorted(liver.parent.iterdir()) if path.is_dir()}


@contextmanager
def _unpacked(masks: Path) -> Iterator[Path]:
    """The folder with the masks; of a .zip only those that are used, since all organs together are gigabytes.

    Not livdemo.archive: masks shrink several hundredfold, which it refuses in a visitor's upload.
    """
    if masks.is_dir():
        yield masks
        return
    with TemporaryDirectory(prefix="livdemo-") as folder:
        try:
            with zipfile.ZipFile(masks) as archive:
                for member in archive.namelist():
                    if _is_used(PurePosixPath(member).parent.name.lower()):
                        archive.extract(member, folder)
        except (zipfile.BadZipFile, EOFError) as error:
            raise InputError(f"{masks} is damaged or is no .zip: download it again.") from error
        yield Path(folder)


def _read_mask(path: Path, volume: Volume, masks: Path) -> np.ndarray:
    """bool (N, H, W) on the scan's grid: the organ is the higher of the two values."""
    mask = read_volume(path)
    values = np.unique(mask.hu)
    if len(values) > 2:
        raise InputError(f"{path.name} of {masks} holds {len(values)} values where a mask has two: download it again.")
    inside = mask.grid.from_display(mask.hu > values[0])
    on_scan = reorder_onto(inside, mask.grid, volume.grid)
    if on_scan is None:
        raise InputError(
            f"{path.name} of {masks} has {mask.grid.describe()}, the scan {volume.grid.describe()}: "
            "download this patient again."
        )
    return volume.grid.to_display(on_scan)
