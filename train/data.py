"""Slices with drawn labels, split by patient, in Hounsfield units.

A slice folder holds images/NAME.png and masks/NAME.png (8-bit grey) and index.csv with a row a file:
`file`, `volume`, and `patient` where it is known. Two kinds of masks are told apart, because a network
must not be punished for a tumour that nobody drew:
  full   0 background, 1 liver, 2 tumour
  union  0 background, 1 liver *and* tumour together
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from livdemo.errors import InputError

FULL, UNION = "full", "union"
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
    """Where one source of slices lies, what its masks mean and what its greys stand for."""

    name: str
    labels: str
    grey: GreyScale


# The grey scales are inferred, not stated by the sources: ct_liver_tumour from fat and liver (its README);
# ct_liver_only by a linear fit of its slices of LiTS volumes 0 and 1 to the same slices of
# ct_liver_tumour (r > 0.9 on 7 pairs: black at −7 to −1 HU, white at 253 to 260 HU). Its black is everything
# below 0 HU, fat as well as air, with a few grey levels of compression noise on top.
FOLDERS = (
    SliceFolder("ct_liver_tumour", FULL, GreyScale(-160, 240)),
    SliceFolder("ct_liver_only", UNION, GreyScale(0, 255, black_below=10)),
)


@dataclass(frozen=True, eq=False)
class Slices:
    """N slices of one size, with what is known about each."""

    grey: np.ndarray  # uint8 (N, H, W)
    mask: np.ndarray  # uint8 (N, H, W)
    table: np.ndarray  # int16 (N, 256): HU of each grey
    full: np.ndarray  # bool (N,): tumour is drawn
    patient: np.ndarray  # str (N,)
    volume: np.ndarray  # str (N,)

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, chosen: np.ndarray) -> "Slices":
        return Slices(*(field[chosen] for field in vars(self).values()))

    def hu(self, chosen: np.ndarray) -> np.ndarray:
        """int16 (n, H, W) of the chosen slices."""
        return np.stack([self.table[i][self.grey[i]] for i in chosen])

    def has_tumour(self) -> np.ndarray:
        """bool (N,): a tumour is drawn on it."""
        return self.full & (self.mask == 2).any(axis=(1, 2))


def read_slices(data: Path) -> Slices:
    """All slices of the folders in FOLDERS that lie under `data`.

    Raises InputError when none does, or when an image lacks its mask or has another size or labels.
    """
    parts = [_read_folder(data / folder.name, folder) for folder in FOLDERS if (data / folder.name).is_dir()]
    if not parts:
        names = " or ".join(folder.name for folder in FOLDERS)
        raise InputError(f"{data} holds no slices: expected a folder {names} with images/, masks/, index.csv.")
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Slices(*(np.concatenate(column) for column in columns))


def _read_folder(path: Path, folder: SliceFolder) -> Slices:
    with open(path / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    images, masks = [], []
    for row in tqdm(rows, desc=f"reading {folder.name}", unit="slice"):
        image, mask = (_read_png(path / part / row["file"]) for part in ("images", "masks"))
        if image.shape != mask.shape:
            raise InputError(f"{row['file']} in {path}: image {image.shape} and mask {mask.shape} differ in size.")
        if mask.max() > (2 if folder.labels == FULL else 1):
            raise InputError(f"{row['file']} in {path}: the mask holds label {mask.max()}, which has no meaning.")
        images.append(image)
        masks.append(mask)
    volume = np.array([row["volume"] for row in rows])
    return Slices(
        grey=np.stack(images),
        mask=np.stack(masks),
        table=np.tile(folder.grey.table(), (len(rows), 1)),
        full=np.full(len(rows), folder.labels == FULL),
        patient=np.array([_patient(row) for row in rows]),
        volume=volume,
    )


def _read_png(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None or image.ndim != 2:
        raise InputError(f"{path} is missing or is no grey PNG; every row of index.csv needs an image and a mask.")
    return image


# Numbers 10000 to 10011 of the MSD slices are LiTS volumes 0 to 10 under a numbering that is shifted by one
# (10001 fits volume 0): the same six patients as in ct_liver_tumour, so they can be on neither side.
MAYBE_DRAWN = "LiTS 0-10"


def _patient(row: dict[str, str]) -> str:
    if row.get("patient"):
        return row["patient"]
    if row["volume"].isdigit() and 10000 <= int(row["volume"]) <= 10011:
        return MAYBE_DRAWN
    return f"volume {row['volume']}"


@dataclass(frozen=True)
class Split:
    """Patients on either side; `left_out` are on neither, since they might be on both."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    left_out: tuple[str, ...]

    def indices(self, slices: Slices, side: str) -> np.ndarray:
        """Indices of the slices on that side: "train" or "validation"."""
        return np.flatnonzero(np.isin(slices.patient, getattr(self, side)))


def split_by_patient(slices: Slices, validation: tuple[str, ...], every: int, seed: int) -> Split:
    """Hold out the named fully drawn patients, and one in `every` of the liver-only ones, drawn by `seed`.

    Slices that may belong to a held-out patient under another number are left out altogether.
    """
    drawn = sorted(set(slices.patient[slices.full]))
    unknown = sorted(set(validation) - set(drawn))
    if unknown:
        raise InputError(f"No fully drawn patient is called {', '.join(unknown)}; there are {', '.join(drawn)}.")
    others = sorted(set(slices.patient[~slices.full]) - set(drawn) - {MAYBE_DRAWN})
    held = np.random.default_rng(seed).permutation(len(others))[: len(others) // every]
    held_out = {others[i] for i in held}
    return Split(
        train=tuple(p for p in drawn + others if p not in validation and p not in held_out),
        validation=tuple(p for p in drawn + others if p in validation or p in held_out),
        left_out=(MAYBE_DRAWN,) if MAYBE_DRAWN in slices.patient else (),
    )
