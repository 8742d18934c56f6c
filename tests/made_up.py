"""Made-up volumes and cases whose right answer a hand can work out."""

import numpy as np

from livdemo.cases import Case
from livdemo.volume import Volume, volume_from_hu

LIVER_HU, TUMOUR_HU = 60, 95  # 0.6 and 0.95 of the grey scale of small_model.py: liver and tumour


def make_volume(hu: np.ndarray, spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0), known: bool = True) -> Volume:
    """A CT of the given HU (Z, Y, X), axial, feet to head."""
    return volume_from_hu(hu.astype(np.int16), spacing_mm, spacing_known=known)


def block_case(known: bool = True) -> Case:
    """6×32×32: a liver block of 4×16×16 voxels with a tumour of 2×4×4, and a stray bright block of 4×4."""
    hu = np.full((6, 32, 32), -1000)
    reference = np.zeros(hu.shape, np.uint8)
    hu[1:5, 8:24, 8:24], reference[1:5, 8:24, 8:24] = LIVER_HU, 1
    hu[2:4, 12:16, 12:16], reference[2:4, 12:16, 12:16] = TUMOUR_HU, 2
    hu[5, 28:32, 28:32] = LIVER_HU  # a model that only looks at the grey calls this liver
    volume = make_volume(hu, known=known)
    return Case("block", volume, reference, source="made for a test", licence="none", note="")
