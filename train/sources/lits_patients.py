"""Who is who in LiTS, under whichever name a data set distributes it.

MSD Task03 liver_N is LiTS17 volume N. Volumes 0 and 1 look like one patient, and 6 to 10 are one at different
times (by eye, on the slices of ct_liver_tumour, whose patients are called A to F; no source states it).
Volumes 28 to 47 are the twenty patients of 3D-IRCADb-01 (Bilic et al. 2023); which is which is not stated.

The msd slices of ct_liver_only are of LiTS too, under numbers that no source explains. Eleven of them were told by
their pictures: liver beside liver, slice for slice, against ct_liver_tumour and the volume that the app shows
(tests/train/test_who_is_who.py does it again). They follow the names of LiTS's files sorted as words, 0, 1, 10, 100 …
3, 30 … 39, 4, 40 … 49, 5, and there is no gap between 3 and 5, so the numbers there are known as well.
"""

DRAWN = {0: "A", 1: "A", 2: "B", 3: "C", 4: "D", 5: "E", **dict.fromkeys(range(6, 11), "F")}
IRCADB_IN_LITS = frozenset(f"LiTS {number}" for number in range(28, 48))

_TOLD_BY_PICTURE = {
    10_001: 0, 10_002: 1, 10_003: 10, 10_020: 117, 10_051: 3, 10_062: 4,
    10_073: 5, 10_084: 6, 10_095: 7, 10_106: 8, 10_115: 9,
}  # fmt: skip
_IN_BETWEEN = {10_052 + k: 30 + k for k in range(10)} | {10_063 + k: 40 + k for k in range(10)}
LITS_OF_MSD_SLICES = _TOLD_BY_PICTURE | _IN_BETWEEN
DRAWN_AGAIN = "LiTS 0-10"  # the patients A to F, here with their livers alone: the same slices, with poorer greys
IRCADB_AGAIN = "LiTS 30-47"  # eighteen of the twenty patients of 3D-IRCADb-01, which is kept for tests
SHOWN = "LiTS 117"  # the volume lits117 that the app shows and scores
HAD_TWINS = frozenset("CEF")  # who had slices among DRAWN_AGAIN that were trained on before it was known whose they are
NEVER_LEARNED = frozenset({DRAWN_AGAIN, IRCADB_AGAIN, SHOWN})  # on neither side of any split by patient


def lits_patient(number: int) -> str:
    """The patient of LiTS volume `number`."""
    return DRAWN.get(number, f"LiTS {number}")


def patient_of_msd_slices(volume: str) -> str:
    """Whom a volume of ct_liver_only shows, by the number that it has there (other names are patients unknown)."""
    number = LITS_OF_MSD_SLICES.get(int(volume)) if volume.isdigit() else None
    if number in DRAWN:
        return DRAWN_AGAIN
    if f"LiTS {number}" in IRCADB_IN_LITS:
        return IRCADB_AGAIN
    return f"volume {volume}" if number is None else lits_patient(number)
