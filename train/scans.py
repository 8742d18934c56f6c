"""One scan of a data set: what the readers of train/sources hand out and what the cache takes.

from train.sources import find_scans, phantom_scans
scans = find_scans(Path("data"))            # looks at names only
image, mask, position = scans[0].load()     # reads the voxels
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from livdemo.errors import InputError
from livdemo.intensity import Window

LabelKind = Literal["full", "union", "binary"]
Modality = Literal["CT", "MR", "RGB"]
Loaded = tuple[np.ndarray, np.ndarray, np.ndarray]  # image (N, C, H, W), mask (N, H, W), position (N,)

EIGHT_BIT = Window(center=127.5, width=255)  # for greys and colours that are no HU: to 0 … 1 as they are
HIGHEST_LABEL: dict[LabelKind, int] = {"full": 2, "union": 1, "binary": 1}


@dataclass(frozen=True, eq=False)
class Scan:
    """One volume of a data set, or one picture where the source has no volumes.

    source: the data set, such as "lits17".
    volume: its name, unique within the source.
    patient: the same person always gets the same string, whatever the source calls them.
    labels: what the mask means. full: 0 background, 1 liver, 2 tumour; union: 1 is liver and tumour together,
        because nobody drew the tumours apart; binary: 1 is the object (a polyp).
    load: () -> image int16 (N, C, H, W), HU for CT, C = contrast phases, 3 colours or 1; mask uint8 (N, H, W);
        position int (N,), each slice's place in the volume, from the feet up. InputError names the file.
    files: what load reads; a cache notices when one of them changes.
    """

    source: str
    volume: str
    patient: str
    labels: LabelKind
    modality: Modality
    load: Callable[[], Loaded]
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.source} {self.volume}"


def check_labels(mask: np.ndarray, labels: LabelKind, path: Path) -> None:
    """InputError naming the file where the mask holds a label that its kind of mask does not have."""
    if mask.max(initial=0) > HIGHEST_LABEL[labels]:
        raise InputError(
            f"{path.name} in {path.parent} holds label {mask.max()}, which has no meaning: "
            f"its labels are 0 to {HIGHEST_LABEL[labels]}."
        )


def natural(name: str) -> list[tuple[int, str]]:
    """Sorting key: image_2 before image_10."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]
