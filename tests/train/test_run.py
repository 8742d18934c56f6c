"""What run.json says that a network learned from."""

from pathlib import Path

import numpy as np
import pytest

from livdemo.models import get_model
from train.batches import Feed
from train.cache import Slices
from train.card import trained_on
from train.plan import HOUSE
from train.run import Run, learned, without_versions
from train.split import hold_out


@pytest.fixture
def slices() -> Slices:
    """Two patients whose ten neighbouring slices have tumours drawn, and two with the liver alone: three slices apart
    from each other, and ten in a row."""
    volumes = (("A", "full", range(10)), ("B", "full", range(10)), ("C", "union", (0, 3, 7)), ("D", "union", range(10)))
    rows = [(name, labels, at) for name, labels, positions in volumes for at in positions]
    names, labels, positions = (np.array(column) for column in zip(*rows, strict=True))
    source = np.where(labels == "full", "ct_liver_tumour", np.where(names == "C", "ct_liver_only", "phantom"))
    mask = np.zeros((len(rows), 4, 4), np.uint8)
    mask[:, 1, 1], mask[labels == "full", 2, 2] = 1, 2
    image = np.zeros((len(rows), 1, 4, 4), np.int16)
    return Slices(image, mask, labels, source, names, names, positions, np.full(len(rows), "CT"))


def run_of(model: str, slices: Slices, tmp_path: Path) -> Run:
    return Run(get_model(model), "classroom", HOUSE, slices, hold_out(slices, ("B",), 0, 0), 0, tmp_path)


def test_a_network_of_single_slices_learns_from_its_whole_side(slices: Slices, tmp_path: Path) -> None:
    described = run_of("unet64", slices, tmp_path).describe()
    assert "learned" not in described, "a run from before there was a difference stays the same"
    assert learned(described)["slices"] == described["slices"]["train"] == 23
    assert "23 CT slices (10 show tumour) of 1 patient with drawn tumours and 2 volumes" in trained_on(described)


@pytest.mark.parametrize("model", ["dalunet", "dpcnet"])
def test_a_network_of_neighbours_learns_from_no_slice_that_has_none(model: str, slices: Slices, tmp_path: Path) -> None:
    run = run_of(model, slices, tmp_path)
    described = run.describe()
    assert described["slices"]["train"] == 23
    feed = Feed(run.spec, run.preset, run.plan, slices, run.split.indices(slices, "train"))
    assert learned(described) == {
        "slices": len(feed.inside),
        "tumour_slices": 10,
        "sources": ["ct_liver_tumour", "phantom"],
        "patients": ["A", "D"],
        "drawn_patients": ["A"],
    }
    assert len(feed.inside) == 20
    told = "20 CT slices (10 show tumour) of 1 patient with drawn tumours and 1 volume with liver masks alone; "
    assert told in trained_on(described)
    assert "learned" not in without_versions(described), "it follows from the rest, so it makes no other run"
