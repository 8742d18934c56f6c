"""A tiny tree of slices in the shape of the real one: bright discs as livers, brighter ones as tumours."""

import csv
from pathlib import Path

import cv2
import numpy as np

SIDE = 64


def write_slices(root: Path, slices_per_patient: int = 4) -> Path:
    """ct_liver_tumour with patients A, B, E and ct_liver_only with volumes 10001, 20001 to 20006."""
    rng = np.random.default_rng(0)
    drawn = [{"volume": str(i), "patient": p} for i, p in enumerate("ABE")]
    union = [{"volume": v, "source": "msd"} for v in ("10001", *(str(20001 + i) for i in range(6)))]
    for folder, volumes, tumour in (("ct_liver_tumour", drawn, True), ("ct_liver_only", union, False)):
        rows = []
        for volume in volumes:
            for k in range(slices_per_patient):
                name = f"{volume['volume']}_{k:03d}.png"
                image, mask = _slice(rng, tumour)
                for part, picture in (("images", image), ("masks", mask)):
                    (root / folder / part).mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(root / folder / part / name), picture)
                rows.append({"file": name, **volume, "slice": k})
        with open(root / folder / "index.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return root


def _slice(rng: np.random.Generator, tumour: bool) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.indices((SIDE, SIDE))
    y, x = rng.integers(20, 44, 2)
    liver = (row - y) ** 2 + (column - x) ** 2 < 14**2
    spot = (row - y) ** 2 + (column - x) ** 2 < 5**2
    image = np.full((SIDE, SIDE), 60, np.uint8)
    image[liver] = 160
    image[spot] = 120
    mask = liver.astype(np.uint8)
    if tumour:
        mask[spot] = 2
    return image, mask
