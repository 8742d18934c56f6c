"""The contact sheet: what it shows is what the augmentation does, and the caption says its ranges."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from livdemo.errors import InputError
from livdemo.overlay import LIVER, TUMOUR
from train.augment import AUGMENTATIONS, HOUSE, NONE, S1_KVASIR, S4
from train.preview import COLUMNS, GAP, SIDE, VIEWS, Example, example_of, main, preview, ranges
from train.scans import Scan
from train.sources import phantom_scans

SMALL = (16, 64, 64)


@pytest.fixture(scope="module")
def example() -> Example:
    return example_of(phantom_scans([0], SMALL), S4)


def _colour_scan(name: str, drawn: bool = True) -> Scan:
    """A red picture that is wider than high, with a rectangle drawn on it."""
    image = np.zeros((1, 3, 40, 60), np.int16)
    image[:, 0] = 200
    mask = np.zeros((1, 40, 60), np.uint8)
    mask[:, 10:20, 20:40] = drawn
    return Scan("kvasir", name, name, "binary", "RGB", lambda: (image, mask, np.zeros(1, int)))


def _views(sheet: np.ndarray) -> list[np.ndarray]:
    """The eight pictures of a sheet, found by their known distance from its lower edge."""
    rows = (VIEWS + 1) // COLUMNS
    step = (sheet.shape[0] - _head(sheet)) // rows
    corners = [(_head(sheet) + r * step, GAP + c * (SIDE + GAP)) for r in range(rows) for c in range(COLUMNS)]
    return [sheet[top : top + SIDE, left : left + SIDE] for top, left in corners]


def _head(sheet: np.ndarray) -> int:
    """The first row of the pictures: the phantom's corners are black, the sheet is white."""
    return int(np.flatnonzero((sheet[:, GAP : GAP + 4] == 0).all((1, 2)))[0])


def test_nothing_changed_shows_the_slice_eight_times(example: Example) -> None:
    views = _views(preview(NONE, example))
    assert len(views) == VIEWS + 1
    assert all(np.array_equal(views[0], view) for view in views[1:])
    for colour in (LIVER, TUMOUR):
        assert (views[0] == colour).all(2).any()


def test_views_differ_and_depend_on_the_seed_alone(example: Example) -> None:
    sheets = [preview(S4, example, seed) for seed in (1, 1, 2)]
    assert np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[0], sheets[2])
    views = _views(sheets[0])
    assert np.array_equal(views[0], _views(preview(NONE, example))[0])  # the first is the slice itself
    assert not any(np.array_equal(views[i], views[j]) for i in range(8) for j in range(i))


def test_the_outline_follows_a_flip(example: Example) -> None:
    views = _views(preview(replace(NONE, name="flip", left_right_share=1.0), example))
    outline = (views[0] == LIVER).all(2)
    flipped = (views[1] == LIVER).all(2)
    assert (outline[:, ::-1] == flipped).mean() > 0.99
    assert outline.sum() > 200


def test_the_slice_shown_has_the_most_tumour() -> None:
    _, mask, _ = phantom_scans([0], SMALL)[0].load()
    k = int((mask == 2).sum((1, 2)).argmax())
    shown = example_of(phantom_scans([0], SMALL), S4)
    assert shown.name.endswith(f"slice {k}")
    assert shown.mask.shape == (SIDE, SIDE)
    assert (shown.mask == 2).sum() == (mask[k] == 2).sum() * (SIDE // 64) ** 2


def test_pictures_that_are_not_square_keep_their_proportions() -> None:
    shown = example_of([_colour_scan("a")], S1_KVASIR)
    assert shown.image.shape == (3, SIDE, SIDE)
    rows, columns = np.nonzero(shown.mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width / height == pytest.approx(20 / 10, rel=0.05)
    assert (shown.image[0, 0] == 0).all()  # black above


def test_colour_sets_take_colour_pictures_with_something_drawn(example: Example) -> None:
    scans = [*phantom_scans([0], SMALL), _colour_scan("empty", drawn=False), _colour_scan("drawn")]
    assert example_of(scans, S1_KVASIR).name == "kvasir drawn"
    assert example_of(scans, HOUSE).modality == "CT"
    with pytest.raises(InputError, match="s1_kvasir is for a colour picture, and there is none"):
        example_of(scans[:2], S1_KVASIR)
    with pytest.raises(InputError, match="changes colours"):
        preview(S1_KVASIR, example)


def test_a_colour_sheet_is_in_colour() -> None:
    sheet = preview(S1_KVASIR, example_of([_colour_scan("a")], S1_KVASIR))
    assert (sheet == (200, 0, 0)).all(2).any()


def test_the_caption_says_the_ranges() -> None:
    assert ranges(S4) == ["zoom 0.95 to 1.05", "rotation ±10°", "shear ±5°", "shift ±5%"]
    assert ranges(NONE) == ["no change"]
    assert "contrast × 0.8 to 1.2 about −45 HU" in ranges(AUGMENTATIONS["s2"])
    assert "× 0.5 to 1.35 above 0 HU" in ranges(HOUSE)
    assert "any place that shows body" in ranges(HOUSE)


@pytest.mark.parametrize("how", AUGMENTATIONS.values(), ids=AUGMENTATIONS.keys())
def test_every_field_that_changes_something_is_in_the_caption(how) -> None:
    """A field that ranges() forgot would leave the number of phrases behind the number of fields."""
    silent = {"name", "outside", "contrast_centre", "blur_pixels"}
    changed = [f for f in vars(how) if f not in silent and getattr(how, f) != getattr(NONE, f)]
    assert len(ranges(how)) == max(len(changed), 1)


def test_the_command_writes_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--augmentation", "s4", "--out", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "new" / "s4.png")
    written = cv2.imread(str(tmp_path / "new" / "s4.png"))[..., ::-1]
    assert np.array_equal(written, preview(S4))


@pytest.mark.parametrize("augmentation", ["s1_kvasir", "s4"])
def test_what_cannot_be_done_is_one_sentence(
    augmentation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--augmentation", augmentation, "--out", str(tmp_path / "file" / "x")]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert ("there is none here" if augmentation == "s1_kvasir" else "name another folder with --out") in said
