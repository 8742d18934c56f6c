"""Who is who in LiTS, under whichever name a data set distributes it.

MSD Task03 liver_N is LiTS17 volume N. Volumes 0 and 1 look like one patient, and 6 to 10 are one at different
times (by eye, on the slices of ct_liver_tumour, whose patients are called A to F; no source states it).
Volumes 28 to 47 are the twenty patients of 3D-IRCADb-01 (Bilic et al. 2023); which is which is not stated.
"""

DRAWN = {0: "A", 1: "A", 2: "B", 3: "C", 4: "D", 5: "E", **dict.fromkeys(range(6, 11), "F")}
IRCADB_IN_LITS = frozenset(f"LiTS {number}" for number in range(28, 48))

# Numbers 10000 to 10011 of the MSD slices in ct_liver_only are LiTS volumes 0 to 10 under a numbering that is
# shifted by one (10001 fits volume 0): the patients A to F again, so they can be on neither side of a split.
MAYBE_DRAWN = "LiTS 0-10"
MAYBE_DRAWN_VOLUMES = range(10_000, 10_012)


def lits_patient(number: int) -> str:
    """The patient of LiTS volume `number`."""
    return DRAWN.get(number, f"LiTS {number}")
