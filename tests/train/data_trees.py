"""Tiny trees of the shapes in which the data sets are distributed; each writer returns the truth it wrote."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from tests.volume_files import (
    CT_CLASS,
    MR_CLASS,
    ORIGIN_LPS,
    SPACING_MM,
    write_dicom_series,
    write_dicom_slice,
    write_nifti,
)

SHAPE = (4, 20, 24)  # (Z, Y, X)
PLAIN = {"0028|1052": "", "0028|1053": ""}  # DICOM tags of a mask: no HU

Truth = dict[str, tuple[np.ndarray, np.ndarray]]  # volume -> HU or greys (Z, Y, X), labels (Z, Y, X)


def scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU with no two slices, rows or columns alike, and a liver with a tumour, nearer to one corner."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-900, 900, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:, 3:12, 4:15] = 1
    labels[2, 5:8, 6:10] = 2
    return hu, labels


def write_lits(root: Path, numbers: tuple[int, ...] = (2, 10)) -> Truth:
    """Training Batch 1 as the challenge has it; the files' axes are turned, as some of LiTS are."""
    truth = {}
    folder = root / "Training Batch 1"
    folder.mkdir(parents=True)
    for number in numbers:
        truth[str(number)] = hu, labels = scan(number)
        write_nifti(folder / f"volume-{number}.nii", hu, "RPS")
        write_nifti(folder / f"segmentation-{number}.nii", labels, "RPS")
    return truth


def write_msd(root: Path, numbers: tuple[int, ...] = (2, 12)) -> Truth:
    """Task03_Liver with what macOS leaves in its archive."""
    truth, training = {}, []
    folder = root / "Task03_Liver"
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / part).mkdir(parents=True)
    for number in numbers:
        truth[str(number)] = hu, labels = scan(number)
        name = f"liver_{number}.nii.gz"
        write_nifti(folder / "imagesTr" / name, hu.astype(np.float32), "RAS")
        write_nifti(folder / "labelsTr" / name, labels, "RAS")
        (folder / "imagesTr" / f"._{name}").write_bytes(b"resource fork")
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    labels_told = {"0": "background", "1": "liver", "2": "cancer"}
    (folder / "dataset.json").write_text(json.dumps({"name": "Liver", "labels": labels_told, "training": training}))
    return truth


def write_ircadb(root: Path, numbers: tuple[int, ...] = (1, 7), zipped: bool = False) -> Truth:
    """Two tumour masks, a cyst, an adrenal tumour and a kidney; files without an ending."""
    truth = {}
    for number in numbers:
        hu, labels = scan(number)
        labels[3, 9:11, 5:8] = 2
        truth[str(number)] = hu, labels
        cyst, elsewhere = (np.zeros(SHAPE, bool) for _ in range(2))
        cyst[1, 4:6, 5:7] = True
        elsewhere[0, 15:18, 18:22] = True
        first, second = labels == 2, labels == 2
        first[3] = False
        second[2] = False
        folder = root / f"3Dircadb1.{number}"
        names = [f"image_{k}" for k in range(SHAPE[0])]
        write_dicom_series(folder / "PATIENT_DICOM", hu, names)
        organs = {"liver": labels > 0, "livertumor01": first, "livertumor02": second, "liverkyst": cyst}
        for name, organ in {**organs, "tumor": elsewhere, "rightkidney": elsewhere}.items():
            write_dicom_series(folder / "MASKS_DICOM" / name, organ.astype(np.int16) * 255, names, tags=PLAIN)
        if zipped:
            for part in ("PATIENT_DICOM", "MASKS_DICOM"):
                shutil.make_archive(str(folder / part), "zip", folder, part)
                shutil.rmtree(folder / part)
    return truth


def write_chaos(root: Path) -> Truth:
    """One CT whose names run from the head down, one MR with both phases and T2, and a test case without masks."""
    ct, mr = root / "Train_Sets" / "CT" / "5", root / "Train_Sets" / "MR" / "8"
    hu, labels = scan(5)
    liver = (labels > 0).astype(np.uint8)
    truth: Truth = {"CT 5": (hu, liver)}
    names = [f"i{number:04d},0000b" for number in range(len(hu))]
    _chaos_series(ct / "DICOM_anon", hu[::-1], names, "CT", from_head=True)
    _write_masks(ct / "Ground", [f"liver_GT_{k:03d}" for k in range(len(hu))], liver[::-1] * 255)
    others = np.zeros(SHAPE, np.uint8)
    others[:, 15:, 18:] = 126
    names = [f"IMG-0004-{2 * k + 2:05d}" for k in range(len(hu))]
    for sequence, folder, title in (
        ("T1DUAL", "DICOM_anon/InPhase", "MR 8 T1 in phase"),
        ("T1DUAL", "DICOM_anon/OutPhase", "MR 8 T1 out of phase"),
        ("T2SPIR", "DICOM_anon", "MR 8 T2"),
    ):
        grey = np.abs(scan(len(title))[0])
        truth[title] = grey, liver
        _chaos_series(mr / sequence / folder, grey, names, "MR")
        _write_masks(mr / sequence / "Ground", names, liver * 63 + others)
    _chaos_series(root / "Test_Sets" / "CT" / "11" / "DICOM_anon", hu, names, "CT")
    return truth


def _chaos_series(folder: Path, display: np.ndarray, names: list[str], modality: str, from_head: bool = False) -> None:
    """Each file in a series of its own, as the anonymised ones are."""
    folder.mkdir(parents=True)
    x, y, z = ORIGIN_LPS
    for k, (name, image) in enumerate(zip(names, display, strict=True)):
        tags = {"0020|000e": f"1.2.826.0.1.3680043.2.1125.{k}", "0008|0060": modality}
        tags["0008|0016"] = CT_CLASS if modality == "CT" else MR_CLASS
        if modality == "MR":
            tags |= PLAIN
        step = -SPACING_MM[0] if from_head else SPACING_MM[0]
        write_dicom_slice(folder / f"{name}.dcm", image, (x, y, z + k * step), tags)


def _write_masks(folder: Path, names: list[str], masks: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for name, mask in zip(names, masks, strict=True):
        cv2.imwrite(str(folder / f"{name}.png"), mask)


def write_kvasir(root: Path, names: tuple[str, ...] = ("cju0", "cju1")) -> Path:
    """Pictures of 40×60 that are red on the left, with the polyp in one corner."""
    folder = root / "Kvasir-SEG"
    image, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
    image[:, :30, 2] = 200  # OpenCV: blue, green, red
    mask[:20, :20] = 255
    for part, picture in (("images", image), ("masks", mask)):
        (folder / part).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(folder / part / f"{name}.jpg"), picture)
    (folder / "images" / "._cju0.jpg").write_bytes(b"resource fork of macOS")
    return folder


def write_mr_slices(root: Path) -> Path:
    """mr_t1_liver with an original slice and two augmented ones, listed by kind only."""
    folder = root / "mr_t1_liver"
    rows = [{"file": f"{kind}.png", "kind": kind[:3]} for kind in ("original_1", "augmented_1", "augmented_2")]
    for part, value in (("images", 90), ("masks", 1)):
        (folder / part).mkdir(parents=True)
        for row in rows:
            cv2.imwrite(str(folder / part / row["file"]), np.full((16, 16), value, np.uint8))
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["file", "kind"])
        writer.writeheader()
        writer.writerows(rows)
    return folder
