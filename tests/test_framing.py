"""Scans that were cut close get a smaller picture; whole bodies, and what is no CT, do not."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from livdemo.bench import Fed, feed, mismatch
from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.comparison import Result, compare
from livdemo.framing import SMALL_BODY, TYPICAL_BODY, WHOLE_BODY, body_box, body_share, suited
from livdemo.intensity import Preprocessing, Window, zscore_of
from livdemo.phantom import make_phantom
from livdemo.predictor import Inference, Predictor
from livdemo.report.provenance import stamp
from livdemo.run_cache import read_run, write_run
from livdemo.ui.wall import provenance_of
from livdemo.volume import volume_from_hu
from tests.made_up import LIVER_HU, TUMOUR_HU, make_volume
from tests.small_model import write_thresholds

HOUSE = Preprocessing(Window(50, 250), size=160)


def _slices(*shares: float) -> np.ndarray:
    """A slice of 40×40 pixels a share, of which so many columns are body and the others air."""
    hu = np.full((len(shares), 40, 40), -1000)
    for one, share in zip(hu, shares, strict=True):
        one[:, : round(40 * share)] = 40
    return hu


def test_a_zscore_counts_the_air_that_was_cut_off() -> None:
    """A body on half of a whole slice; cut down to it, the same body has the same greys."""
    fed = Preprocessing(Window(50, 250), normalisation="zscore", size=160)
    cut = np.random.default_rng(0).integers(-70, 170, (2, 40, 40))
    whole = np.full((2, 40, 80), -1000)
    whole[:, :, :40] = cut
    framed = suited(fed, make_volume(cut), 16)
    assert (framed.size, framed.kept) == (112, 0.5)
    greys = framed.zscore(cut)
    assert greys is not None
    wanted = zscore_of(whole, fed.window)
    assert (greys.mean, greys.std) == pytest.approx((wanted.mean, wanted.std))
    over_body = replace(fed, zscore_over="body")
    assert suited(over_body, make_volume(cut), 16) == replace(over_body, size=112)


def test_a_zscore_counts_the_air_with_which_a_slice_is_padded() -> None:
    fed = Preprocessing(Window(50, 250), normalisation="zscore", size=160)
    wide = np.random.default_rng(0).integers(-70, 170, (2, 20, 40))
    square = np.full((2, 40, 40), -1000)
    square[:, 10:30] = wide
    assert suited(fed, make_volume(wide), 16).kept == 1
    found, wanted = fed.zscore(wide), fed.zscore(square)
    assert found is not None
    assert wanted is not None
    assert (found.mean, found.std) == pytest.approx((wanted.mean, wanted.std))


def test_the_share_is_the_upper_quartile_of_the_slices() -> None:
    assert body_share(_slices(0.5)) == 0.5
    assert body_share(_slices(0.1, 0.2, 0.3, 0.4, 0.5)) == pytest.approx(0.4)
    wide = np.full((3, 20, 40), 40)
    assert body_share(wide) == 0.5, "of the square, which the preprocessing fills up with air"
    lungs = _slices(1.0)
    lungs[:, :, 20:] = -850
    assert body_share(lungs) == 0.5, "lung is not body here"


@pytest.mark.parametrize(
    ("share", "multiple", "size"),
    [
        (0.3, 16, 160),
        (0.6, 16, 160),  # all that a whole body can fill
        (0.7, 16, 128),  # 160 · √(0.5 / 0.7) = 135.2
        (0.9, 16, 112),  # 119.3
        (0.9, 1, 112),
        (0.9, 32, 128),
        (1.0, 16, 112),  # 113.1
    ],
)
def test_the_picture_is_smaller_where_the_body_fills_more(share: float, multiple: int, size: int) -> None:
    assert suited(HOUSE, make_volume(_slices(share)), multiple) == replace(HOUSE, size=size)


def test_whole_bodies_are_below_the_line() -> None:
    """Of an ellipse 1.3 times as wide as deep, and of the fullest volume that was learned from."""
    assert math.pi / 4 / 1.3 < WHOLE_BODY
    assert TYPICAL_BODY < 0.6 < WHOLE_BODY


def test_a_small_network_is_not_asked_with_less_than_it_takes() -> None:
    assert suited(replace(HOUSE, size=32), make_volume(_slices(1.0)), 32).size == 32
    assert suited(replace(HOUSE, size=24), make_volume(_slices(1.0)), 8).size == 16


def test_a_phantom_is_a_whole_body_until_it_is_cut() -> None:
    volume = make_volume(make_phantom(0, (16, 128, 128)).hu)
    assert suited(HOUSE, volume) == HOUSE
    cut = make_volume(volume.hu[:, 40:100, 30:90])
    assert suited(HOUSE, cut).size < 160
    assert suited(HOUSE, replace(cut, modality="unknown")) == HOUSE


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("LIVDEMO_CACHE", str(tmp_path / "cache"))
    there = Preprocessing(Window(50, 100), size=64).to_dict()
    return write_thresholds(tmp_path, preprocessing=there, size_multiple=16)


@pytest.fixture
def cut_case() -> Case:
    """4×48×48: body everywhere, without grey in this window, and in it a liver with a tumour; one slice is air."""
    hu = np.zeros((4, 48, 48))
    hu[3] = -1000
    reference = np.zeros(hu.shape, np.uint8)
    hu[:3, 12:36, 12:36], reference[:3, 12:36, 12:36] = LIVER_HU, 1
    hu[1, 18:30, 18:30], reference[1, 18:30, 18:30] = TUMOUR_HU, 2
    return Case("cut", make_volume(hu), reference, source="made for a test", licence="none", note="")


def test_the_prediction_lies_where_the_organ_is_and_says_how_it_was_fed(checkpoint: Checkpoint, cut_case: Case) -> None:
    """64 pixels become 48, which is the slice's own grid, so every voxel can be right."""
    prediction = Predictor(checkpoint, "cpu").predict(cut_case.volume)
    assert np.array_equal(prediction.label_map, cut_case.reference)
    assert prediction.preprocessing.size == 48
    assert prediction.checkpoint.preprocessing.size == 64
    assert "48×48. This scan was cut close: of whole bodies it gets 64×64." in provenance_of(prediction)

    alone = Predictor(checkpoint, "cpu").one_slice(cut_case.volume, 1)
    assert np.array_equal(alone.label_map, cut_case.reference[1])
    blown_up = Predictor(checkpoint, "cpu", Inference(suits=False)).predict(cut_case.volume)
    assert blown_up.preprocessing.size == 64
    assert "as large as others" in blown_up.rule


def test_exports_and_kept_runs_say_what_it_was_fed_with(checkpoint: Checkpoint, cut_case: Case) -> None:
    (result,) = (one for one in compare(cut_case, [checkpoint], "cpu", quantised=True) if isinstance(one, Result))
    assert stamp(result)["preprocessing"].endswith("48×48")
    assert read_run(cut_case, checkpoint) is None
    write_run(cut_case, result.prediction)
    again = read_run(cut_case, checkpoint)
    assert again is not None
    assert again.preprocessing == result.prediction.preprocessing


def test_a_smaller_picture_is_no_mismatch_on_the_bench(checkpoint: Checkpoint, cut_case: Case) -> None:
    own = feed(cut_case, checkpoint, 1, checkpoint.preprocessing, device="cpu")
    assert own.matches
    assert own.badge == "fed as trained: window 100/50 HU, no equalisation, 0 to 1, 48×48"
    other = feed(cut_case, checkpoint, 1, mismatch(checkpoint, Window(0, 400), "none"), device="cpu")
    assert not other.matches


def test_no_framing_is_a_mismatch_on_the_bench(checkpoint: Checkpoint) -> None:
    for framed in ({"box": (0, 9, 0, 9)}, {"kept": 0.7}, {"aspect": 2.0}, {"size": 48}):
        fed = replace(checkpoint.preprocessing, **framed)
        assert Fed(checkpoint, fed, np.zeros((1, 1)), np.zeros((1, 1)), {}).matches, framed
    other = replace(checkpoint.preprocessing, zscore_over="body")
    assert not Fed(checkpoint, other, np.zeros((1, 1)), np.zeros((1, 1)), {}).matches


def _small_body(side: int = 160, reach: int = 24) -> np.ndarray:
    """A round body, above and left of the middle of a wide field, on a table; (3, side, side) in HU."""
    row, column = np.indices((side, side))
    hu = np.full((3, side, side), -1000)
    hu[:, (row - 60) ** 2 + (column - 64) ** 2 < reach**2] = 40
    hu[:, 120] = 100  # a table's board, thinner than the eye of the rule
    return hu


def test_a_small_body_is_cut_out_of_its_air() -> None:
    hu = _small_body()
    share = body_share(hu)
    assert share < SMALL_BODY
    framed = suited(HOUSE, make_volume(hu), 16)
    assert framed.size == HOUSE.size
    assert framed.box is not None
    top, bottom, left, right = framed.box
    assert (top, left) <= (36, 40)
    assert bottom >= 84
    assert right >= 88, "the whole body is in it"
    assert bottom <= 120, "and no table"
    assert TYPICAL_BODY - 0.05 < body_share(hu[:, top:bottom, left:right]) < WHOLE_BODY
    assert "air around the body cut off" in framed.describe()
    assert Preprocessing.from_dict(framed.to_dict()) == framed


def test_what_is_looked_at_comes_back_to_its_place() -> None:
    hu = _small_body()
    framed = suited(replace(HOUSE, size=96), make_volume(hu), 16)
    assert framed.box is not None
    picture = framed(hu)[0]
    maps = np.stack([1 - picture, picture])
    back = framed.restore(maps, hu.shape[1:])
    assert back.shape == (2, 160, 160)
    assert np.allclose(back.sum(0), 1, atol=1e-5), "outside of the box all is background"
    inside = (hu[0] == 40)[: framed.box[1]]
    assert np.mean((back[1][: framed.box[1]] > 0.2) == inside) > 0.99


def test_a_zscore_is_of_what_is_looked_at() -> None:
    hu = _small_body()
    fed = suited(Preprocessing(Window(50, 250), normalisation="zscore", size=96), make_volume(hu), 16)
    assert fed.box is not None
    top, bottom, left, right = fed.box
    assert fed.zscore(hu) == zscore_of(hu[:, top:bottom, left:right], fed.window)


def test_a_body_that_fills_its_picture_has_no_box() -> None:
    whole = _slices(0.5, 0.5, 0.5)
    assert suited(HOUSE, make_volume(whole), 16) == HOUSE
    assert body_box(np.full((2, 40, 40), -1000)) is None
    far_apart = np.full((3, 160, 160), -1000)
    far_apart[:, 4:10], far_apart[:, 10:156, 4:10] = 40, 40  # as wide and as long as the slice, and thin
    assert suited(HOUSE, make_volume(far_apart), 16).box is None


def _round_body(height: int, width: int, aspect: float, reach: float) -> np.ndarray:
    """A body that is round in mm, with a small organ above left of its middle; (3, height, width) in HU."""
    row, column = np.indices((height, width))
    down, across = (row - (height - 1) / 2) * aspect, column - (width - 1) / 2
    hu = np.full((3, height, width), -1000)
    hu[:, down**2 + across**2 < reach**2] = 0
    hu[:, (down + reach / 3) ** 2 + (across + reach / 3) ** 2 < (reach / 4) ** 2] = 100
    return hu


@pytest.mark.parametrize(("height", "width", "aspect"), [(48, 192, 4.0), (192, 48, 0.25), (96, 192, 2.0)])
@pytest.mark.parametrize("normalisation", ["unit", "zscore"])
def test_oblong_pixels_are_made_square_and_come_back(
    height: int, width: int, aspect: float, normalisation: Literal["unit", "zscore"]
) -> None:
    """The same round body, stored in oblong and in square pixels, gives nearly the same picture."""
    house = Preprocessing(Window(50, 250), normalisation=normalisation, size=96)
    hu = _round_body(height, width, aspect, 72 * min(1, aspect))
    oblong = volume_from_hu(hu.astype(np.int16), (5.0, 0.5 * aspect, 0.5))
    square = make_volume(_round_body(192, 192, 1.0, 72))
    fed = suited(house, oblong, 16)
    assert fed.aspect == aspect
    assert replace(fed, aspect=1.0) == suited(house, square, 16), "square or oblong, it is the same body"
    assert fed.describe().endswith("pixels made square")
    assert Preprocessing.from_dict(fed.to_dict()) == fed
    picture = fed(hu, fed.zscore(hu))[0]
    wanted = house(square.hu, house.zscore(square.hu))[0]
    assert picture.shape == wanted.shape == (96, 96)
    assert np.abs(picture - wanted).mean() < 0.02 * np.ptp(wanted)

    organ = (picture > (picture.max() + picture[48, 48]) / 2).astype(np.float32)
    back = fed.restore(np.stack([1 - organ, organ]), (height, width))
    assert back.shape == (2, height, width)
    overlap = (back[1] > 0.5) & (hu[0] == 100)
    assert 2 * overlap.sum() / ((back[1] > 0.5).sum() + (hu[0] == 100).sum()) > 0.9


def test_a_small_body_in_oblong_pixels_is_cut_out_of_its_air() -> None:
    hu = _small_body()[:, ::2].copy()  # every second row: as high as before in pixels twice as high
    hu = np.pad(hu, ((0, 0), (0, 60), (0, 0)), constant_values=-1000)
    framed = suited(HOUSE, volume_from_hu(hu.astype(np.int16), (5.0, 2.0, 1.0)), 16)
    whole = suited(HOUSE, make_volume(np.pad(_small_body(), ((0, 0), (0, 120), (0, 0)), constant_values=-1000)), 16)
    assert framed.box is not None
    assert whole.box is not None
    rows = [2 * end for end in framed.box[:2]]
    assert np.abs(np.subtract([*rows, *framed.box[2:]], whole.box)).max() <= 16


def test_what_says_no_spacing_has_square_pixels() -> None:
    hu = _round_body(48, 192, 4.0, 72).astype(np.int16)
    assert suited(HOUSE, volume_from_hu(hu, (1.0, 4.0, 1.0), spacing_known=False), 16).aspect == 1
    assert suited(HOUSE, volume_from_hu(hu, (1.0, 0.7031, 0.70312)), 16).aspect == 1, "headers are rounded"
    assert suited(HOUSE, volume_from_hu(hu, (1.0, 4.0, 1.0), modality="MR"), 16).aspect == 4, "an MR's too"
