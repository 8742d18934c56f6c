"""LiTS17 training data: volume-N.nii and segmentation-N.nii, in one folder or in several.

Bilic et al., The Liver Tumor Segmentation Benchmark, 2023. 131 volumes; CC BY-NC-ND 4.0. The challenge has them
in "Training Batch 1" and "Training Batch 2", copies of it have the masks in a folder of their own.
"""

import re
from functools import partial
from pathlib import Path

from livdemo.errors import InputError
from train.scans import Scan
from train.sources.lits_patients import lits_patient
from train.sources.nifti_pair import read_pair
from train.sources.tree import Tree

LAYOUT = "LiTS17 (volume-N.nii with segmentation-N.nii)"
NAME = re.compile(r"(volume|segmentation)-(\d+)\.nii(\.gz)?")


def find(tree: Tree) -> list[Scan]:
    """A scan a volume, in the order of their numbers. InputError for a half of a pair or a number found twice."""
    found: dict[str, dict[int, Path]] = {"volume": {}, "segmentation": {}}
    for folder in tree:
        for name in folder.files:
            if match := NAME.fullmatch(name):
                _add(found[match[1]], int(match[2]), folder.path / name)
    volumes, masks = found["volume"], found["segmentation"]
    for number in sorted(volumes.keys() ^ masks.keys()):
        there = volumes.get(number) or masks[number]
        missing = "segmentation" if number in volumes else "volume"
        raise InputError(f"{there} has no {missing}-{number}.nii: download it too, or move this one away.")
    return [
        Scan(
            source="lits17",
            volume=str(number),
            patient=lits_patient(number),
            labels="full",
            modality="CT",
            # Some headers were written by other programs than the scans': the challenge pairs them by voxel.
            load=partial(read_pair, volumes[number], masks[number], voxel_for_voxel=True),
            files=(volumes[number], masks[number]),
        )
        for number in sorted(volumes)
    ]


def _add(files: dict[int, Path], number: int, path: Path) -> None:
    if number in files:
        raise InputError(f"{files[number]} and {path} are the same volume: move one of them away.")
    files[number] = path
