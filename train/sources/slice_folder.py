"""Slice folders: images/NAME.png and masks/NAME.png (8-bit grey) with a row a file in index.csv.

Columns: `file`; `volume` and `slice` where the source has volumes; `patient` where it is known. The name of the
folder says what the masks mean and what the greys stand for (FOLDERS).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from livdemo.errors import InputError
from train.scans import LabelKind, Loaded, Modality, Scan, check_labels, natural
from train.sources.lits_patients import patient_of_msd_slices
from train.sources.tree import Folder, Tree

HU_UNKNOWN_DARK = -160  # what black stands for where a narrow window hides whether it is fat or air


@dataclass(frozen=True)
class GreyScale:
    """What the 8-bit greys of a source stand for: 0 is `low` HU, 255 is `high` HU."""

    low: float
    high: float
    black_below: int = 0  # greys under this stand for HU_UNKNOWN_DARK

    def table(self) -> np.ndarray:
        """int16 (256,): HU of each grey."""
        hu = np.rint(self.low + np.arange(256) / 255 * (self.high - self.low)).astype(np.int16)
        hu[: self.black_below] = HU_UNKNOWN_DARK
        return hu


@dataclass(frozen=True)
class SliceFolder:
    """What the masks of one folder mean and what its greys stand for."""

    name: str
    labels: LabelKind
    grey: GreyScale
    modality: Modality = "CT"
    patient: str | None = None  # of all slices together, where the source mixes patients without telling them apart


# The grey scales are inferred, not stated by the sources: ct_liver_tumour from fat and liver (its README);
# ct_liver_only by a linear fit of its slices of LiTS volumes 0 and 1 to the same slices of
# ct_liver_tumour (r > 0.9 on 7 pairs: black at −7 to −1 HU, white at 253 to 260 HU). Its black is everything
# below 0 HU, fat as well as air, with a few grey levels of compression noise on top. Its unet420 part has no
# such pair, but the livers of its four volumes lie at greys 85 to 103 and the black covers as much (0.56 to
# 0.76 of a slice), which the same scale explains.
# mr_t1_liver keeps its greys, MR having no HU; its slices come from CHAOS, some of them as mirrored copies of
# others, without a word on whom they show: all of it is one group that no split may cut.
FOLDERS = (
    SliceFolder("ct_liver_tumour", "full", GreyScale(-160, 240)),
    SliceFolder("ct_liver_only", "union", GreyScale(0, 255, black_below=10)),
    SliceFolder("mr_t1_liver", "union", GreyScale(0, 255), "MR", "mr_t1_liver"),
)
LAYOUT = f"a slice folder {', '.join(folder.name for folder in FOLDERS)} (images, masks, index.csv)"

Row = dict[str, str]


def find(tree: Tree) -> list[Scan]:
    """A scan a volume, or a picture where patients are not told apart. InputError for a missing file or column."""
    kinds = {kind.name: kind for kind in FOLDERS}
    at = {folder.path: folder for folder in tree}
    scans = []
    for folder in tree:
        kind = kinds.get(folder.path.name)
        if kind is not None and {"images", "masks"} & set(folder.folders):
            rows = _read_index(folder, kind)
            _check_files(rows, folder, at)
            scans += _scans_of(rows, folder.path, kind)
    return scans


def _read_index(folder: Folder, kind: SliceFolder) -> list[Row]:
    path = folder.path / "index.csv"
    if "index.csv" not in folder.files:
        raise InputError(f"{folder.path} holds images and masks but no index.csv, which says whose they are.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    wanted = ("file",) if kind.patient else ("file", "volume", "slice")
    for number, row in enumerate(rows, start=2):
        empty = [column for column in wanted if not row.get(column)]
        if empty:
            raise InputError(f"Line {number} of {path} has no {empty[0]}: write it in.")
        if not kind.patient and not row["slice"].isdigit():
            raise InputError(f"Line {number} of {path} has the slice {row['slice']}: write a whole number.")
    return rows


def _check_files(rows: Sequence[Row], folder: Folder, at: dict[Path, Folder]) -> None:
    for part in ("images", "masks"):
        there = set(at[folder.path / part].files) if part in folder.folders else set()
        for row in rows:
            if row["file"] not in there:
                path = folder.path / part / row["file"]
                raise InputError(f"{path} is missing; every row of index.csv needs an image and a mask.")


def _scans_of(rows: Sequence[Row], path: Path, kind: SliceFolder) -> list[Scan]:
    """Pictures of mixed patients are volumes of their own: the one before is no neighbour in the body."""
    volumes: dict[str, list[Row]] = {}
    for row in rows:
        volumes.setdefault(row["file"] if kind.patient else row["volume"], []).append(row)
    scans = []
    for volume in sorted(volumes, key=natural):
        ordered = sorted(volumes[volume], key=lambda row: int(row.get("slice") or 0))
        names = tuple(row["file"] for row in ordered)
        position = tuple(int(row.get("slice") or 0) for row in ordered)
        scans.append(
            Scan(
                source=kind.name,
                volume=volume,
                patient=kind.patient or _patient(ordered, path),
                labels=kind.labels,
                modality=kind.modality,
                load=partial(_load, path, names, position, kind),
                files=(path / "index.csv", *(path / part / name for part in ("images", "masks") for name in names)),
            )
        )
    return scans


def _patient(rows: Sequence[Row], path: Path) -> str:
    named = {row.get("patient") or "" for row in rows}
    volume = rows[0]["volume"]
    if len(named) > 1:
        raise InputError(f"Volume {volume} in {path}/index.csv belongs to several patients: name one.")
    if patient := named.pop():
        return patient
    return patient_of_msd_slices(volume)


def _load(path: Path, names: Sequence[str], position: Sequence[int], kind: SliceFolder) -> Loaded:
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for name in names:
        image, mask = (_read_png(path / part / name) for part in ("images", "masks"))
        if image.shape != mask.shape:
            raise InputError(f"{name} in {path}: image {image.shape} and mask {mask.shape} differ in size.")
        if images and image.shape != images[0].shape:
            raise InputError(f"{name} in {path} is not of the size of its volume's other slices: export it again.")
        check_labels(mask, kind.labels, path / "masks" / name)
        images.append(image)
        masks.append(mask)
    return kind.grey.table()[np.stack(images)][:, None], np.stack(masks), np.array(position)


def _read_png(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2 or image.dtype != np.uint8:
        raise InputError(f"{path} is no 8-bit grey PNG: export it again.")
    return image
