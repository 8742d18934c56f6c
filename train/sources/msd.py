"""Medical Segmentation Decathlon, Task03_Liver: imagesTr/liver_N.nii.gz, labelsTr/liver_N.nii.gz, dataset.json.

Antonelli et al., The Medical Segmentation Decathlon, 2022; CC BY-SA 4.0. The training volumes of LiTS under the
same numbers. Labels: 1 liver, 2 cancer. Other tasks of the Decathlon are passed over.
"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from livdemo.errors import InputError
from train.scans import Scan, natural
from train.sources.lits_patients import lits_patient
from train.sources.nifti_pair import read_pair
from train.sources.tree import Folder, Tree

LAYOUT = "MSD Task03_Liver (imagesTr, labelsTr, dataset.json)"


def find(tree: Tree) -> list[Scan]:
    """A scan for each pair that dataset.json lists for training. InputError where one of a pair is missing."""
    return [
        scan for folder in tree if {"imagesTr", "labelsTr"} <= set(folder.folders) for scan in _scans_of(folder, tree)
    ]


def _scans_of(folder: Folder, tree: Tree) -> list[Scan]:
    path = folder.path / "dataset.json"
    if "dataset.json" not in folder.files:
        raise InputError(f"{folder.path} has imagesTr and labelsTr but no dataset.json: unpack the archive again.")
    task = _read_json(path)
    try:
        if task["labels"].get("1", "").lower() != "liver":
            return []
        pairs = sorted(((row["image"], row["label"]) for row in task["training"]), key=lambda pair: natural(pair[0]))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not list labels and training pairs: unpack the archive again.") from error
    there = {below.path / name for below in tree for name in below.files}
    scans = []
    for image, label in pairs:
        files = folder.path / image, folder.path / label
        for file in files:
            if file not in there:
                raise InputError(f"{file} is missing, though {path} lists it: unpack the archive again.")
        scans.append(_scan(*files))
    return scans


def _scan(image: Path, label: Path) -> Scan:
    match = re.fullmatch(r"liver_(\d+)\.nii(\.gz)?", image.name)
    if match is None:
        raise InputError(f"{image} should be called liver_N.nii.gz, since its number says which patient it shows.")
    number = int(match[1])
    return Scan(
        source="msd",
        volume=str(number),
        patient=lits_patient(number),
        labels="full",
        modality="CT",
        load=partial(read_pair, image, label),
        files=(image, label),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: unpack the archive again.") from error
