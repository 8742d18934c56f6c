"""Slices of one size, read once and then mapped from the disk.

    slices = cached_slices(find_scans(data), Path("cache"), size=256)

Each setting (scans, their files, size) has a folder of its own in the cache, called by its fingerprint, so a changed
setting is built beside the others. All slices are kept, those without a liver too: a network has to learn that a
chest holds none. cache_files.py says what lies in it and what happens when it is interrupted.
"""

import errno
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from livdemo.errors import InputError
from train.cache_files import CacheFiles, Row, alone_in
from train.scans import Scan, check_labels
from train.shrink import shrink_images, shrink_masks

VERSION = 1  # raised when the same files would be read into other slices
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AT_ONCE = 256  # masks looked through together: all at once would not fit into memory


@dataclass(frozen=True, eq=False)
class Slices:
    """N slices of one size, with what is known about each. Slices of a volume stand together, from the feet up.

    image: int16 (N, C, S, S), HU for CT. mask: uint8 (N, S, S). labels, source, patient, volume, modality: str (N,),
    as in Scan. position: int (N,), the slice's number within its volume; numbers may be missing in between.
    """

    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    source: np.ndarray
    patient: np.ndarray
    volume: np.ndarray
    position: np.ndarray
    modality: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    @property
    def full(self) -> np.ndarray:
        """bool (N,): liver and tumour are drawn apart."""
        return self.labels == "full"

    def has_tumour(self) -> np.ndarray:
        """bool (N,): a tumour is drawn on it."""
        return self._tumour

    @cached_property
    def _tumour(self) -> np.ndarray:
        parts = [(self.mask[k : k + AT_ONCE] == 2).any(axis=(1, 2)) for k in range(0, len(self), AT_ONCE)]
        return self.full & np.concatenate(parts)


def cached_slices(scans: Sequence[Scan], folder: Path, size: int) -> Slices:
    """The slices of all scans at size × size pixels, from the cache in `folder`, which is built if need be.

    A killed build goes on with the next scan; a second process waits for the first. InputError, with nothing
    half-written left as whole, when scans do not go together, one cannot be read, or the disk is full.
    """
    if not scans or size < 1:
        raise InputError("There is nothing to cache: name at least one scan and a size of at least one pixel.")
    sources = "+".join(sorted({scan.source for scan in scans}))
    files = CacheFiles(folder / f"{sources}-{size}-{_fingerprint(scans, size)}", size)
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        with alone_in(files.folder):
            if not files.is_whole(len(scans)):
                _build(scans, files)
            return _open(files)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{error.filename} cannot be used for the cache ({error.strerror}): name another.") from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise InputError(
                f"There is no room left for the cache in {folder}: free some space or name another folder; "
                "what is finished is kept."
            ) from error
        raise


def _fingerprint(scans: Sequence[Scan], size: int) -> str:
    """Changes with everything that decides the slices: the reader, the size, the scans, their files."""
    told = [
        [scan.source, scan.volume, scan.patient, scan.labels, scan.modality, [_stamp(file) for file in scan.files]]
        for scan in scans
    ]
    return hashlib.sha256(json.dumps([VERSION, size, told]).encode()).hexdigest()[:12]


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except FileNotFoundError as error:
        raise InputError(f"{file} is gone since the data were listed: put it back or list them again.") from error
    return file.name, status.st_size, status.st_mtime_ns


def _build(scans: Sequence[Scan], files: CacheFiles) -> None:
    done = files.resume()
    with tqdm(total=len(scans), initial=done, desc=f"caching at {files.size} pixels", unit="scan") as bar:
        for scan in scans[done:]:
            files.append(*_slices_of(scan, files))
            bar.update()
    files.finish()


def _slices_of(scan: Scan, files: CacheFiles) -> tuple[np.ndarray, np.ndarray, Row]:
    image, mask, position = scan.load()
    if image.ndim != 4 or mask.shape != (len(image), *image.shape[2:]) or position.shape != (len(image),):
        raise ValueError(f"{scan.name}: image {image.shape}, mask {mask.shape}, position {position.shape}")
    check_labels(mask, scan.labels, Path(scan.source, scan.volume))
    if files.channels not in (None, image.shape[1]):
        raise InputError(
            f"{scan.name} has {image.shape[1]} channels a slice, the scans before it {files.channels}: "
            "colour pictures, single scans and phases are trained apart, so choose one kind."
        )
    if (np.diff(position) < 0).any():
        order = np.argsort(position, kind="stable")
        image, mask, position = image[order], mask[order], position[order]
    if (np.diff(position) == 0).any():
        raise InputError(f"{scan.name} has two slices at one position: take one of them out of its index.")
    row: Row = {
        "source": scan.source,
        "volume": scan.volume,
        "patient": scan.patient,
        "labels": scan.labels,
        "modality": scan.modality,
        "position": position.tolist(),
    }
    return shrink_images(image, files.size, scan.modality), shrink_masks(mask, files.size), row


def _open(files: CacheFiles) -> Slices:
    rows, (image, mask) = files.rows(), files.arrays()
    counts = [len(row["position"]) for row in rows]

    def column(key: str) -> np.ndarray:
        return np.repeat(np.array([row[key] for row in rows]), counts)

    return Slices(
        image=image,
        mask=mask,
        labels=column("labels"),
        source=column("source"),
        patient=column("patient"),
        volume=column("volume"),
        position=np.concatenate([np.array(row["position"], int) for row in rows]),
        modality=column("modality"),
    )
