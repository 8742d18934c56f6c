"""A NIfTI scan and its mask of 0, 1, 2, as LiTS and MSD distribute them."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from livdemo.errors import InputError
from livdemo.volume import GeometryMismatch, Volume, read_label_map, read_volume
from train.scans import Loaded


def read_pair(image: Path, mask: Path, voxel_for_voxel: bool = False) -> Loaded:
    """image (N, 1, H, W) in HU, mask (N, H, W), position (N,), slices from the feet up.

    voxel_for_voxel: where the two headers place mask and scan apart, the mask's voxels are taken in the order
    of its file, and a line says so; otherwise that is an InputError.
    """
    volume = read_volume(image)
    try:
        labels = read_label_map(mask, volume)
    except GeometryMismatch:
        if not voxel_for_voxel:
            raise
        labels = _in_file_order(mask, volume)
        tqdm.write(f"{mask.name}: its header places it apart from {image.name}; taken voxel for voxel.")
    return volume.hu[:, None], labels, np.arange(len(labels))


def _in_file_order(path: Path, volume: Volume) -> np.ndarray:
    """uint8 (N, H, W) of a mask whose labels are known to be in order: read_label_map looks at them first."""
    mask = read_volume(path)
    if mask.grid.shape != volume.grid.shape:
        raise InputError(
            f"{path} has {mask.grid.shape} voxels and its scan {volume.grid.shape}: download the pair again."
        )
    return np.ascontiguousarray(volume.grid.to_display(mask.grid.from_display(mask.hu))).astype(np.uint8)
