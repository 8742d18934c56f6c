"""Who is trained on and who is validated on: by patient, seeded, written down, and checked for the known traps.

    split = hold_out(slices, validation=("A", "E"), every=6, seed=0)
    for split in folds(slices, k=5, seed=0): ...
    check_split(split, slices)                  # InputError that names the trap

The traps: slices of one patient on both sides; the same people in two data sets under two names (OVERLAPS).
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from livdemo.errors import InputError
from train.cache import Slices
from train.sources.lits_patients import DRAWN, DRAWN_AGAIN, IRCADB_AGAIN, IRCADB_IN_LITS, NEVER_LEARNED

Kind = Literal["patient", "slice"]
Names = tuple[str, ...]
SIDES = ("train", "validation", "left_out")

LEAKY = (
    "Leaky on purpose: split by slice, so neighbours of the validated slices were trained on; the scores say "
    "nothing about new patients."
)


@dataclass(frozen=True)
class Split:
    """Patients on either side; those left out are on neither: people of a test set, or of the other side, perhaps.

    kind "slice": the names are those of single slices (slice_names), and the result is leaky.
    """

    train: Names
    validation: Names
    left_out: Names = ()
    kind: Kind = "patient"
    seed: int = 0

    def indices(self, slices: Slices, side: str) -> np.ndarray:
        """Indices (n,) of the slices on that side: "train", "validation" or "left_out"."""
        return np.flatnonzero(np.isin(_names(slices, self.kind), getattr(self, side)))

    @property
    def warning(self) -> str | None:
        """What has to stand beside every result of this split, if anything."""
        return LEAKY if self.kind == "slice" else None


@dataclass(frozen=True)
class Overlap:
    """Two groups that are, or may be, the same people under two names; a splitter leaves out the second."""

    why: str
    kept: Callable[[str, str], bool]  # of source and patient
    double: Callable[[str, str], bool]


_LITS = ("lits17", "msd")
OVERLAPS = (
    Overlap(
        "LiTS volumes 28 to 47 are the twenty patients of 3D-IRCADb-01",
        lambda source, patient: source == "3dircadb",
        lambda source, patient: patient in IRCADB_IN_LITS or patient == IRCADB_AGAIN,
    ),
    Overlap(
        "these slices of ct_liver_only show the patients A to F of LiTS volumes 0 to 10",
        lambda source, patient: patient in DRAWN.values(),
        lambda source, patient: patient == DRAWN_AGAIN,
    ),
    Overlap(
        "the msd slices of ct_liver_only show LiTS patients under numbers that are not known",
        lambda source, patient: source in _LITS,
        lambda source, patient: source == "ct_liver_only" and patient.startswith("volume "),
    ),
    Overlap(
        "mr_t1_liver was made from CHAOS MR without saying from whom",
        lambda source, patient: source == "chaos_mr",
        lambda source, patient: source == "mr_t1_liver",
    ),
)


def hold_out(slices: Slices, validation: Sequence[str], every: int, seed: int) -> Split:
    """Hold out the named fully drawn patients, and one in `every` of the liver-only ones, drawn by `seed`.

    every = 0 holds out none of the latter, so hold_out(slices, (), 0, seed) trains on everybody. The same
    people under other numbers, and those kept for tests, are left out altogether.
    """
    doubles = _doubles(slices)
    drawn = sorted(set(slices.patient[slices.full]) - doubles)
    unknown = sorted(set(validation) - set(drawn))
    if unknown:
        raise InputError(f"No fully drawn patient is called {', '.join(unknown)}; there are {', '.join(drawn)}.")
    others = sorted(set(slices.patient[~slices.full]) - set(drawn) - doubles)
    held = np.random.default_rng(seed).permutation(len(others))[: len(others) // every if every else 0]
    held_out = {*validation, *(others[i] for i in held)}
    return _split(drawn + others, held_out, doubles, seed)


def split_by_patient(slices: Slices, share: float, seed: int) -> Split:
    """Hold out that share of the patients, of those with tumours, without and liver-only alike, at least one.

    InputError where fewer than two patients are there or the share is not between 0 and 1.
    """
    _check_share(share)
    groups = _groups(slices, seed)
    patients = [patient for group in groups for patient in group]
    if len(patients) < 2:
        raise InputError(f"{len(patients)} patient cannot be on two sides: add data of another patient.")
    held_out = {patient for group in groups for patient in group[: _part(share, len(group))]}
    return _split(sorted(patients), held_out or {patients[-1]}, _doubles(slices), seed)


def _part(share: float, n: int) -> int:
    """How many of n to hold out: at least one and never all, where that is possible."""
    return min(max(1, round(share * n)), n - 1) if n else 0


def folds(slices: Slices, k: int, seed: int) -> list[Split]:
    """k splits in which every patient is validated once; each fold gets its part of those with tumours.

    InputError where there are fewer patients, or fewer patients with tumours, than folds.
    """
    groups = _groups(slices, seed)
    patients = [patient for group in groups for patient in group]
    with_tumour = groups[0]
    if k < 2 or k > len(patients):
        raise InputError(f"{len(patients)} patients cannot be dealt into {k} folds: ask for 2 to {len(patients)}.")
    if with_tumour and len(with_tumour) < k:
        raise InputError(
            f"{k} folds need {k} patients with drawn tumours and there are {len(with_tumour)}: ask for fewer folds."
        )
    doubles = _doubles(slices)
    return [_split(sorted(patients), set(patients[fold::k]), doubles, seed) for fold in range(k)]


def split_by_slice(slices: Slices, share: float, seed: int) -> Split:
    """Hold out that share of the slices whoever they show: leaky, and here only to show how much that flatters."""
    _check_share(share)
    names = slice_names(slices)
    order = np.random.default_rng(seed).permutation(len(names))
    n = max(1, round(share * len(names)))
    train, validation = (tuple(sorted(names[chosen].tolist())) for chosen in (order[n:], order[:n]))
    return Split(train, validation, kind="slice", seed=seed)


def slice_names(slices: Slices) -> np.ndarray:
    """str (N,): source/volume/position, one name a slice."""
    columns = zip(slices.source, slices.volume, slices.position, strict=True)
    return np.array([f"{source}/{volume}/{position}" for source, volume, position in columns])


def check_split(split: Split, slices: Slices) -> None:
    """InputError, naming the trap, for a split that would measure what it trained on, or that is of other data."""
    sides = {side: set(getattr(split, side)) for side in SIDES}
    for one, other in (("train", "validation"), ("train", "left_out"), ("validation", "left_out")):
        if both := sorted(sides[one] & sides[other]):
            what = "patient" if split.kind == "patient" else "slice"
            raise InputError(f"The {what} {both[0]} is in {one} and in {other} of the split: make the split again.")
    there = set(_names(slices, split.kind).tolist())
    for names, fault in (
        (there - set().union(*sides.values()), "lacks"),
        (set().union(*sides.values()) - there, "has"),
    ):
        if names:
            raise InputError(f"The split is of other data: it {fault} {min(names)}, so make it again for these.")
    if not sides["train"]:
        raise InputError("The split has nobody to train on: add data or hold out less.")
    if split.kind == "patient":
        _check_overlaps(sides, slices)


def _check_overlaps(sides: dict[str, set[str]], slices: Slices) -> None:
    for overlap in OVERLAPS:
        kept, double = _overlapping(overlap, slices)
        for one, other in (("train", "validation"), ("validation", "train")):
            if (mine := kept & sides[one]) and (theirs := double & sides[other]):
                raise InputError(
                    f"The split leaks: {min(mine)} is in {one} and {min(theirs)} in {other}, but {overlap.why}; "
                    "put them on one side or leave the latter out."
                )


def write_split(split: Split, path: Path) -> None:
    """The split as JSON. InputError where another split stands there already: it is not overwritten."""
    if path.exists():
        if read_split(path) != split:
            raise InputError(f"{path} holds another split, which is kept: name another file.")
        return
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps({**asdict(split), "warning": split.warning}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_split(path: Path) -> Split:
    """The reverse of write_split. InputError where the file is missing or is no split."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        train, validation, left_out = (tuple(told[side]) for side in SIDES)
        split = Split(train, validation, left_out, told["kind"], told["seed"])
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: name the file of a split.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no split: make it again.") from error
    names = [name for side in SIDES for name in getattr(split, side)]
    if split.kind not in ("patient", "slice") or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} is no split: make it again.")
    return split


def _names(slices: Slices, kind: Kind) -> np.ndarray:
    return slices.patient if kind == "patient" else slice_names(slices)


def _split(patients: Sequence[str], held_out: set[str], doubles: set[str], seed: int) -> Split:
    return Split(
        train=tuple(str(p) for p in patients if p not in held_out),
        validation=tuple(str(p) for p in patients if p in held_out),
        left_out=tuple(sorted(doubles)),
        seed=seed,
    )


def _groups(slices: Slices, seed: int) -> list[list[str]]:
    """Patients with a drawn tumour, fully drawn ones without, and the others, each shuffled; doubles left out."""
    doubles = _doubles(slices)
    tumour = set(slices.patient[slices.has_tumour()].tolist()) - doubles
    drawn = set(slices.patient[slices.full].tolist()) - doubles
    others = set(slices.patient.tolist()) - drawn - doubles
    rng = np.random.default_rng(seed)
    return [[str(p) for p in rng.permutation(sorted(group))] for group in (tumour, drawn - tumour, others)]


def _doubles(slices: Slices) -> set[str]:
    """Patients to leave out, because another data set shows, or may show, the same people: here, or to be tested on."""
    found = set(NEVER_LEARNED) & set(slices.patient.tolist())  # whatever else is here: one split for all model scripts
    for overlap in OVERLAPS:
        kept, double = _overlapping(overlap, slices)
        if kept:
            found |= double
    return found


def _overlapping(overlap: Overlap, slices: Slices) -> tuple[set[str], set[str]]:
    pairs = set(zip(slices.source.tolist(), slices.patient.tolist(), strict=True))
    kept = {patient for source, patient in pairs if overlap.kept(source, patient)}
    return kept, {patient for source, patient in pairs if overlap.double(source, patient)}


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"A share of {share:g} cannot be held out: ask for one between 0 and 1, such as 0.2.")
