"""No patient under two names: the pictures of the data sets are laid beside each other, slice by slice.

Slices of one scan have the liver's outline in common and its greys up to a window; those of two people have not. A
volume shows the same scan as another when most of its slices find the same partner, in both ways at once.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from livdemo.lits117 import is_cached, read_lits117
from livdemo.models import list_models
from train.cache import cached_slices
from train.sampling import long_enough, runs_of
from train.scans import Scan
from train.sources import find_scans
from train.sources.lits_patients import (
    DRAWN_AGAIN,
    HAD_TWINS,
    IRCADB_AGAIN,
    LITS_OF_MSD_SLICES,
    NEVER_LEARNED,
    SHOWN,
    lits_patient,
    patient_of_msd_slices,
)
from train.split import hold_out

pytestmark = pytest.mark.shared
SIDE = 64  # of the liver's box, stretched
SAME_OUTLINE, SAME_GREYS = 0.9, 0.5  # IoU and correlation; of two people hardly ever both
Look = tuple[np.ndarray, np.ndarray]


def look(hu: np.ndarray, liver: np.ndarray) -> Look | None:
    """Greys and outline of the liver's box, (SIDE, SIDE) each; None where there is too little of it."""
    rows, columns = np.flatnonzero(liver.any(1)), np.flatnonzero(liver.any(0))
    if min(len(rows), len(columns)) < 8:
        return None
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = [cv2.resize(one[box].astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in (hu, liver)]
    return small[0], small[1] > 0.5


def looks(scan: Scan) -> Iterator[Look]:
    hu, reference, _ = scan.load()
    for slice_hu, slice_reference in zip(hu[:, 0], reference, strict=True):
        if (found := look(slice_hu, slice_reference > 0)) is not None:
            yield found


class Album:
    """All slices of some scans, to be asked whose a slice is."""

    def __init__(self, slices: list[tuple[str, Look]]) -> None:
        self._names = [name for name, _ in slices]
        self._greys = np.stack([greys.ravel() for _, (greys, _) in slices])
        self._outlines = np.stack([outline.ravel() for _, (_, outline) in slices]).astype(np.float32)

    def whose(self, one: Look) -> str | None:
        """The scan with the likest slice; None where none is the same by outline and greys."""
        greys, outline = one[0].ravel(), one[1].ravel().astype(np.float32)
        common = self._outlines @ outline
        iou = common / (self._outlines.sum(1) + outline.sum() - common)
        best, name = 0.0, None
        for k in np.argsort(-iou)[:25]:
            both = (self._outlines[k] > 0) & (outline > 0)
            mine, theirs = self._greys[k][both], greys[both]
            alike = np.corrcoef(mine, theirs)[0, 1] if mine.std() and theirs.std() else 0.0
            if iou[k] > SAME_OUTLINE and alike > SAME_GREYS and iou[k] * alike > best:
                best, name = iou[k] * alike, self._names[k]
        return name


@pytest.fixture(scope="module")
def scans(shared_data: Path) -> list[Scan]:
    return [scan for scan in find_scans(shared_data) if scan.modality == "CT"]


@pytest.fixture(scope="module")
def found(scans: list[Scan]) -> dict[str, str]:
    """Volumes of ct_liver_only of whose slices the most are another scan's: that scan's number in LiTS."""
    slices = [(scan.volume, one) for scan in scans if scan.labels == "full" for one in looks(scan)]
    if is_cached():
        hu, reference = read_lits117()
        whole = (look(*pair) for pair in zip(hu, reference > 0, strict=True))
        slices += [("117", one) for one in whole if one is not None]
    album = Album(slices)
    same = {}
    for scan in (scan for scan in scans if scan.labels == "union"):
        whose = [album.whose(one) for one in looks(scan)]
        name, count = Counter(filter(None, whose)).most_common(1)[0] if any(whose) else ("", 0)
        if count > len(whose) / 2:
            same[scan.volume] = name
    return same


def test_the_numbers_of_the_liver_only_slices_are_those_of_the_table(found: dict[str, str]) -> None:
    pictured = {str(n): str(lits) for n, lits in LITS_OF_MSD_SLICES.items() if lits <= 10 or lits == 117}
    assert found == (pictured if is_cached() else {n: lits for n, lits in pictured.items() if lits != "117"})


def test_nobody_who_is_held_out_is_learned_from_under_another_name(found: dict[str, str], scans: list[Scan]) -> None:
    patients = {scan.volume: scan.patient for scan in scans if scan.labels == "union"}
    assert {patients[volume] for volume in found} <= NEVER_LEARNED


def test_what_the_page_says_was_learned_from(scans: list[Scan]) -> None:
    """The numbers of livdemo.results.TWINS: what the rule before left in."""
    union = [scan for scan in scans if scan.labels == "union" and scan.volume.isdigit()]
    count = Counter()
    for scan in union:
        if not 10_000 <= int(scan.volume) < 10_012 and int(scan.volume) in LITS_OF_MSD_SLICES:
            count[lits_patient(LITS_OF_MSD_SLICES[int(scan.volume)])] += len(scan.files) // 2
    assert {who: count[who] for who in sorted(HAD_TWINS)} == {"C": 9, "E": 7, "F": 19}
    assert count["LiTS 117"] == 6
    ircadb = [scan for scan in union if scan.patient == IRCADB_AGAIN]
    assert (len(ircadb), sum(len(scan.files) // 2 for scan in ircadb)) == (18, 59)


def test_no_network_of_neighbouring_slices_learned_from_them(scans: list[Scan], tmp_path: Path) -> None:
    """What train.run_log.learned_from_twins takes for granted."""
    slices = cached_slices(scans, tmp_path, 8)
    theirs = np.flatnonzero(np.isin(slices.patient, list(NEVER_LEARNED)))
    fewest = min(spec.slices_at_once("classroom") for spec in list_models() if spec.input_kind != "slice")
    assert len(theirs) > 100
    assert len(long_enough(runs_of(slices), theirs, fewest)) == 0


def test_the_volumes_in_between_are_known_by_counting() -> None:
    assert [patient_of_msd_slices(str(number)) for number in (10_052, 10_061, 10_063, 10_070)] == [IRCADB_AGAIN] * 4
    assert patient_of_msd_slices("10071") == "LiTS 48"
    assert patient_of_msd_slices("10062") == DRAWN_AGAIN
    assert patient_of_msd_slices("10020") == SHOWN
    assert patient_of_msd_slices("10021") == "volume 10021"
    assert patient_of_msd_slices("ua") == "volume ua"


def test_every_split_leaves_them_out(scans: list[Scan], tmp_path: Path) -> None:
    slices = cached_slices(scans, tmp_path, 8)
    for names, every in (((), 0), (("A", "E"), 6), (("B", "F"), 6), (("C", "D"), 6)):
        split = hold_out(slices, names, every, 0)
        assert set(split.left_out) == NEVER_LEARNED
        assert not NEVER_LEARNED & {*split.train, *split.validation}
