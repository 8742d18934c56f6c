"""CHAOS: CT and MR of healthy donors as DICOM, with the organs as PNG masks.

Kavur et al., CHAOS Challenge, 2021; CC BY-NC-SA 4.0. Train_Sets holds
  CT/N/DICOM_anon/*.dcm                  CT/N/Ground/*.png          255 liver
  MR/N/T1DUAL/DICOM_anon/InPhase/*.dcm   MR/N/T1DUAL/Ground/*.png   greys near 63 liver, the others other organs
  MR/N/T1DUAL/DICOM_anon/OutPhase/*.dcm  (the same masks)
  MR/N/T2SPIR/DICOM_anon/*.dcm           MR/N/T2SPIR/Ground/*.png
Test_Sets has no masks and is passed over. The donors of CT and MR are different people. Nothing but the liver
is scored, and no donor has a tumour that was drawn, so the masks are of the kind "union".
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from livdemo.errors import InputError
from livdemo.volume import read_volume
from train.scans import Loaded, Scan, natural
from train.sources.tree import Folder, Tree

LAYOUT = "CHAOS (Train_Sets with CT/N or MR/N/T1DUAL: DICOM_anon and Ground)"
SEQUENCES = {"T1DUAL": "T1", "T2SPIR": "T2"}
PHASES = {"InPhase": "in phase", "OutPhase": "out of phase"}

# What the greys of the MR masks stand for, first and last; the CT masks know black and white.
LIVER_MR = (55, 70)
ORGANS_MR = ((0, 0), LIVER_MR, (110, 135), (175, 200), (240, 255))  # and kidneys, spleen
CT_LIVER = 255


def find(tree: Tree) -> list[Scan]:
    """A scan a CT, a T1 phase and a T2. InputError where masks are missing or do not fit in number."""
    at = {folder.path: folder for folder in tree}
    scans = []
    for folder in tree:
        if "DICOM_anon" in folder.folders and "Test_Sets" not in folder.path.parts:
            scans += _scans_of(folder, at)
    return sorted(scans, key=lambda scan: natural(scan.name))


def _scans_of(folder: Folder, at: dict[Path, Folder]) -> list[Scan]:
    if "Ground" not in folder.folders:
        raise InputError(f"{folder.path} has DICOM_anon but no folder Ground with the masks: unpack it again.")
    dicom, masks = folder.path / "DICOM_anon", _paths(at[folder.path / "Ground"], ".png")
    if folder.path.name not in SEQUENCES:
        return [_scan(f"CT {folder.path.name}", "CT", f"CT {folder.path.name}", _paths(at[dicom], ".dcm"), masks)]
    patient = f"MR {folder.path.parent.name}"
    title = f"{patient} {SEQUENCES[folder.path.name]}"
    phases = [name for name in at[dicom].folders if name in PHASES]
    if not phases:
        return [_scan(title, "MR", patient, _paths(at[dicom], ".dcm"), masks)]
    return [_scan(f"{title} {PHASES[name]}", "MR", patient, _paths(at[dicom / name], ".dcm"), masks) for name in phases]


def _paths(folder: Folder, ending: str) -> list[Path]:
    return [folder.path / name for name in sorted(folder.files, key=natural) if name.lower().endswith(ending)]


def _scan(
    volume: str, modality: Literal["CT", "MR"], patient: str, slices: Sequence[Path], masks: Sequence[Path]
) -> Scan:
    if not slices or len(slices) != len(masks):
        raise InputError(f"CHAOS {volume} has {len(slices)} DICOM slices but {len(masks)} masks: unpack it again.")
    return Scan(
        source=f"chaos_{modality.lower()}",
        volume=volume,
        patient=f"CHAOS {patient}",
        labels="union",
        modality=modality,
        load=partial(_load, tuple(slices), tuple(masks), modality),
        files=(*slices, *masks),
    )


def _load(slices: Sequence[Path], masks: Sequence[Path], modality: str) -> Loaded:
    """Slice and mask belong together by the order of their names; the body's order is that of their positions.

    The anonymised slices have a series number each, so they are read one by one and not as a series.
    """
    placed = sorted((_read_slice(*pair, modality) for pair in zip(slices, masks, strict=True)), key=lambda one: one[0])
    heights = np.array([height for height, _, _ in placed])
    if (np.diff(heights) <= 0).any():
        raise InputError(f"{slices[0].parent} has two slices at one place: unpack it again.")
    sizes = {image.shape for _, image, _ in placed}
    if len(sizes) > 1:
        raise InputError(f"{slices[0].parent} mixes slices of different sizes: unpack it again.")
    image = np.stack([image for _, image, _ in placed])
    mask = np.stack([mask for _, _, mask in placed])
    return image[:, None], mask, np.arange(len(mask))


def _read_slice(path: Path, mask_path: Path, modality: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Height in mm, image (H, W) and mask (H, W) of one axial slice, both upright."""
    volume = read_volume(path)
    if volume.shape[0] != 1:
        raise InputError(f"{path} is not one axial slice: unpack the archive again.")
    grey = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    if grey is None or grey.shape != volume.grid.shape[1::-1]:
        raise InputError(f"{mask_path} is no mask of the size of {path.name}: unpack the archive again.")
    mask = volume.grid.to_display(_liver(grey, mask_path, modality).T[:, :, None])
    return volume.position_mm(0), volume.hu[0], np.ascontiguousarray(mask[0])


def _liver(grey: np.ndarray, path: Path, modality: str) -> np.ndarray:
    """uint8 (H, W): 1 in the liver. InputError for a grey that no organ has."""
    known = ORGANS_MR if modality == "MR" else ((0, 0), (CT_LIVER, CT_LIVER))
    low, high = LIVER_MR if modality == "MR" else (CT_LIVER, CT_LIVER)
    strange = [int(value) for value in np.unique(grey) if not any(low <= value <= high for low, high in known)]
    if strange:
        raise InputError(f"{path} holds the grey {strange[0]}, which no organ of CHAOS has: unpack the archive again.")
    return ((grey >= low) & (grey <= high)).astype(np.uint8)
