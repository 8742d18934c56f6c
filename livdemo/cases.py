"""The catalogue: what can be opened by name.

    list_cases()             names, titles and provenance, without reading a voxel
    load_case("phantom")     an invented abdomen whose truth is exact; "phantom:7" is the one of seed 7
    load_case("lits117")     a real CT with drawn liver and tumours, fetched once (lits117.py)
    load_case("my-patient")  a case of the folder that the environment variable LIVDEMO_CASES names

A folder of one's own may hold, side by side:

    NAME.nii.gz + NAME_seg.nii.gz           a scan and its reference (the _seg file may be missing)
    NAME_ct.nii.gz + NAME_seg.nii.gz        the same, the case is called NAME
    volume-N.nii + segmentation-N.nii       as LiTS calls them
    NAME/ct.nii.gz + NAME/seg.nii.gz        one case in a folder; any of the pairs above will do too
    NAME/*.dcm (+ NAME/seg.nii.gz)          one DICOM series in a folder

Scans and references may be .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or .zip. In a reference 0 is background, 1 liver,
2 tumour. Where two would have one name, the later is called by its whole file name.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from livdemo.dicom import is_dicom
from livdemo.errors import InputError
from livdemo.lits117 import WHEEL_MB, can_fetch, is_cached, read_lits117
from livdemo.phantom import PHASES, make_phantom
from livdemo.volume import VOLUMES, Volume, read_reference, read_volume, volume_from_hu

# A folder counts as a DICOM series when one of its first files is one.
_DICOM_LOOKS = 20


@dataclass(frozen=True, eq=False)
class Case:
    """A scan, what is known to be true about it, and where both come from. reference: uint8 (Z, Y, X) or None."""

    name: str
    volume: Volume
    reference: npt.NDArray[np.uint8] | None
    source: str
    licence: str
    note: str
    load_phases: Callable[[], dict[str, Volume]] | None = None  # the same body in contrast phases, if there are any

    def __post_init__(self) -> None:
        if self.reference is not None and self.reference.shape != self.volume.shape:
            raise ValueError(f"reference of {self.reference.shape} does not fit the volume of {self.volume.shape}")


@dataclass(frozen=True)
class CaseInfo:
    """A line of the catalogue. kind: phantom | real | own. available: False where it cannot be opened as things are."""

    name: str
    title: str
    source: str
    licence: str
    note: str
    has_reference: bool
    available: bool
    kind: str


@dataclass(frozen=True)
class CaseFiles:
    """Where a case of a folder lies: a scan (file or DICOM folder) and perhaps its reference."""

    name: str
    scan: Path
    reference: Path | None


def list_cases() -> list[CaseInfo]:
    """Every case that can be opened by name. InputError where LIVDEMO_CASES names no folder."""
    return [_phantom_info("phantom"), _lits117_info(), *(_own_info(files) for files in _own_files())]


def load_case(name: str) -> Case:
    """Open a case of the catalogue, or "phantom:SEED". InputError for an unknown name lists the known ones."""
    if name == "phantom" or name.startswith("phantom:"):
        return _load_phantom(name)
    if name == "lits117":
        return _load_lits117()
    for files in _own_files():
        if files.name == name:
            return open_files(files)
    known = ", ".join(info.name for info in list_cases())
    raise InputError(f"There is no case {name}: choose one of {known}, or phantom:SEED.")


def is_built_in(name: str) -> bool:
    """Whether the catalogue itself has the case, and not somebody's folder or upload."""
    return name in ("phantom", "lits117") or name.startswith("phantom:")


def open_files(files: CaseFiles, resample: bool = False) -> Case:
    """Read a scan and its reference; `resample` lets a reference lie on another grid. InputError names the file."""
    volume, reference = read_reference(files.reference, read_volume(files.scan), resample)
    info = _own_info(files)
    return Case(info.name, volume, reference, info.source, info.licence, info.note)


def find_case_files(folder: Path) -> list[CaseFiles]:
    """The cases of a folder in the layouts above, by name. Looks at names, and whether subfolders hold DICOM."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name one that holds scans.")
    try:
        found = _pairs(folder)
        for subfolder in _visible(folder):
            if subfolder.is_dir():
                found += _of_subfolder(subfolder)
    except PermissionError as error:
        raise InputError(f"{error.filename} may not be read: change its permissions or move it away.") from error
    return _with_own_names(sorted(found, key=lambda files: _natural(files.name)), folder)


def _own_files() -> list[CaseFiles]:
    folder = os.environ.get("LIVDEMO_CASES")
    if not folder:
        return []
    if not Path(folder).is_dir():
        raise InputError(f"LIVDEMO_CASES is {folder}, which is no folder: name one that holds scans, or unset it.")
    return find_case_files(Path(folder))


def _phantom_info(name: str) -> CaseInfo:
    return CaseInfo(
        name=name,
        title="Phantom: an invented abdomen with exact truth",
        source="drawn by livdemo",
        licence="as livdemo",
        note="no patient: the reference is exact, and scores here say nothing about real scans",
        has_reference=True,
        available=True,
        kind="phantom",
    )


def _lits117_info() -> CaseInfo:
    note = "real CT, cropped to the liver; voxel spacing not stated, so distances are in voxels"
    if not is_cached():
        note += f"; needs a one-time download of {WHEEL_MB} MB"
    return CaseInfo(
        name="lits117",
        title="LiTS 117: a real CT with drawn tumours",
        source="LiTS training volume 117 (Bilic et al. 2023), from the package liver-ct-segmentation-package 1.6.0",
        licence="data CC BY-NC-ND 4.0; the package around them MIT",
        note=note,
        has_reference=True,
        available=is_cached() or can_fetch(),
        kind="real",
    )


def _own_info(files: CaseFiles) -> CaseInfo:
    return CaseInfo(
        name=files.name,
        title=files.name,
        source=f"file {files.scan.name}" if files.scan.is_file() else f"folder {files.scan.name}",
        licence="that of its owner",
        note="" if files.reference else "no reference: volumes only, no scores",
        has_reference=files.reference is not None,
        available=True,
        kind="own",
    )


def _load_phantom(name: str) -> Case:
    seed = name.partition(":")[2] or "0"
    if not re.fullmatch(r"[0-9]{1,9}", seed) or name == "phantom:":
        raise InputError(f"There is no case {name}: after phantom: comes a seed, a whole number such as phantom:7.")
    phantom = make_phantom(int(seed))
    info = _phantom_info(name)
    volume = volume_from_hu(phantom.hu, phantom.spacing_mm)

    def load_phases() -> dict[str, Volume]:
        """Rendered on demand, about a second each: few models read them."""
        others = {phase: make_phantom(int(seed), phase=phase) for phase in PHASES if phase != phantom.phase}
        made = {phase: volume_from_hu(other.hu, other.spacing_mm) for phase, other in others.items()}
        return {**made, phantom.phase: volume}

    return Case(name, volume, phantom.label_map, info.source, info.licence, info.note, load_phases)


def _load_lits117() -> Case:
    hu, label_map = read_lits117()
    info = _lits117_info()
    warning = "The voxel spacing of this scan is not stated: distances and volumes are in voxels."
    volume = volume_from_hu(hu, (1.0, 1.0, 1.0), spacing_known=False, warnings=(warning,))
    return Case(info.name, volume, label_map, info.source, info.licence, info.note)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _stem(path: Path) -> str | None:
    """The file's name without its ending; None where it is no scan."""
    for ending in (".nii.gz", *VOLUMES, ".zip"):
        if path.name.lower().endswith(ending) and path.is_file():
            return path.name[: -len(ending)]
    return None


def _pairs(folder: Path) -> list[CaseFiles]:
    """The scans of one folder, each with the reference that belongs to its name."""
    by_stem: dict[str, list[Path]] = {}
    for path in _visible(folder):
        if (stem := _stem(path)) is not None:
            by_stem.setdefault(stem.lower(), []).append(path)
    masks = {stem for stem in by_stem if stem == "seg" or stem.endswith("_seg") or stem.startswith("segmentation-")}
    found = []
    for stem in by_stem.keys() - masks:
        wanted = (f"{stem}_seg", f"{stem.removesuffix('_ct')}_seg", _beside(stem))
        reference = next((by_stem[mask][0] for mask in wanted if mask in masks), None)
        for scan in by_stem[stem]:
            name = str(_stem(scan))
            found.append(CaseFiles(name[:-3] if name.lower().endswith("_ct") else name, scan, reference))
    return found


def _beside(stem: str) -> str:
    """The reference's name where the two names differ: ct and seg, volume-3 and segmentation-3."""
    return "seg" if stem == "ct" else re.sub(r"^volume-", "segmentation-", stem)


def _of_subfolder(folder: Path) -> list[CaseFiles]:
    """One case called by the folder, or several called FOLDER/NAME."""
    if any(is_dicom(path) for path in islice(_files_below(folder), _DICOM_LOOKS)):
        reference = next((path for path in _visible(folder) if _stem(path) == "seg"), None)
        return [CaseFiles(folder.name, folder, reference)]
    pairs = _pairs(folder)
    if len(pairs) == 1:
        return [CaseFiles(folder.name, pairs[0].scan, pairs[0].reference)]
    return [CaseFiles(f"{folder.name}/{files.name}", files.scan, files.reference) for files in pairs]


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _with_own_names(found: list[CaseFiles], folder: Path) -> list[CaseFiles]:
    """No two cases under one name, none under a built-in one: the later gets its whole file name."""
    taken = {"phantom", "lits117"}
    named = []
    for files in found:
        if files.name in taken or files.name.startswith("phantom:"):
            whole = files.scan.relative_to(folder).as_posix() + ("/" if files.scan.is_dir() else "")
            files = CaseFiles(whole, files.scan, files.reference)
        taken.add(files.name)
        named.append(files)
    return named


def _natural(name: str) -> list[tuple[int, str]]:
    """volume-2 before volume-10."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]
