"""The files of one cache, which a kill at any moment leaves usable.

  image.npy    int16 (N, C, S, S), grown scan by scan
  mask.npy     uint8 (N, S, S)
  scans.jsonl  a line a finished scan, written after its voxels: what it is and the positions of its slices
  whole        written last: how many scans and slices it holds

What the arrays hold beyond the last line of scans.jsonl belongs to a scan that was not finished, and is cut off.
"""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

Row = dict[str, Any]
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError)  # what reading a damaged array or line raises


class CacheFiles:
    """One cache folder: resume(), append() each scan, finish()."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self.channels: int | None = None  # known with the first scan
        self._slices = 0

    def is_whole(self, scans: int) -> bool:
        """Whether it was finished and its files still have the sizes that they had then."""
        try:
            told = json.loads((self.folder / "whole").read_text())
            rows, (image, mask) = self.rows(), self.arrays()
            slices = sum(len(row["position"]) for row in rows)
        except DAMAGED:
            return False
        square = (self.size, self.size)
        return (
            told == {"scans": scans, "slices": slices}
            and len(rows) == scans
            and mask.shape == (slices, *square)
            and image.shape == (slices, image.shape[1], *square)
        )

    def rows(self) -> list[Row]:
        """The finished scans. One of DAMAGED where the file is."""
        return [json.loads(line) for line in (self.folder / "scans.jsonl").read_text().splitlines()]

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask, mapped from the disk. One of DAMAGED where one is."""
        image, mask = (np.load(self.folder / name, mmap_mode="r") for name in ("image.npy", "mask.npy"))
        if image.ndim != 4 or image.dtype != np.int16 or mask.dtype != np.uint8:
            raise ValueError(f"{self.folder} holds arrays of another kind")
        return image, mask

    def resume(self) -> int:
        """Cut off what is not finished and return the number of scans that are; 0 where nothing can be kept."""
        (self.folder / "whole").unlink(missing_ok=True)
        try:
            rows = self._finished_rows()
            if rows:
                self._cut(rows)
                return len(rows)
        except DAMAGED:
            tqdm.write(f"{self.folder} is damaged and is built again.")
        for name in ("image.npy", "mask.npy", "scans.jsonl"):
            (self.folder / name).unlink(missing_ok=True)
        self.channels, self._slices = None, 0
        return 0

    def append(self, image: np.ndarray, mask: np.ndarray, row: Row) -> None:
        """One scan: voxels first, so that a line in scans.jsonl always has its voxels."""
        if self.channels is None:
            self.channels = image.shape[1]
        for name, array in (("image.npy", image), ("mask.npy", mask)):
            with open(self.folder / name, "ab") as file:
                if file.tell() == 0:
                    file.write(_header(array.dtype, (0, *array.shape[1:])))
                file.write(np.ascontiguousarray(array).data)
        with open(self.folder / "scans.jsonl", "ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
        self._slices += len(image)

    def finish(self) -> None:
        """Write the number of slices into the headers, then the mark that all is whole."""
        square = (self.size, self.size)
        shapes = {"image.npy": (self._slices, self.channels, *square), "mask.npy": (self._slices, *square)}
        for name, shape in shapes.items():
            with open(self.folder / name, "r+b") as file:
                file.write(_header(np.dtype(np.int16 if name == "image.npy" else np.uint8), shape))
                os.fsync(file.fileno())
        told = {"scans": len(self.rows()), "slices": self._slices}
        (self.folder / "whole.part").write_text(json.dumps(told))
        os.replace(self.folder / "whole.part", self.folder / "whole")

    def _finished_rows(self) -> list[Row]:
        path = self.folder / "scans.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n")]  # the last one may be cut short by the kill
        os.truncate(path, sum(map(len, kept)))
        return [json.loads(line) for line in kept]

    def _cut(self, rows: list[Row]) -> None:
        """Arrays as long as the rows say. ValueError where they are shorter: then the disk has lost something."""
        slices = sum(len(row["position"]) for row in rows)
        for name in ("image.npy", "mask.npy"):
            path = self.folder / name
            with open(path, "rb") as file:
                npy.read_magic(file)
                shape, _, dtype = npy.read_array_header_1_0(file)
                start = file.tell()
            if shape[-2:] != (self.size, self.size):
                raise ValueError(f"{path} holds slices of {shape}")
            length = start + slices * int(np.prod(shape[1:])) * dtype.itemsize
            if path.stat().st_size < length:
                raise ValueError(f"{path} is shorter than {length} bytes")
            os.truncate(path, length)
            if name == "image.npy":
                self.channels = shape[1]
        self._slices = slices


def _header(dtype: np.dtype, shape: tuple[int | None, ...]) -> bytes:
    """The head of a .npy file. numpy leaves room in it for a longer first axis, so it can be written again."""
    text = io.BytesIO()
    npy.write_array_header_1_0(text, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    return text.getvalue()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time, where the system can lock files: folds that start together build one cache."""
    try:
        import fcntl
    except ImportError:  # Windows: there, start the second run when the first has its cache
        yield
        return
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tqdm.write(f"Another run is building {folder}: waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
