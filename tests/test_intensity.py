"""Windows, equalisation and the one preprocessing that training and app share."""

import cv2
import numpy as np
import pytest

from livdemo.intensity import (
    NAMED_WINDOWS,
    Preprocessing,
    Window,
    Zscore,
    clahe,
    histogram_equalize,
    pad_to_square,
    zscore_of,
)

PORTAL = Window(center=50, width=250)


@pytest.mark.parametrize(("hu", "grey"), [(-1000, 0), (-75, 0), (50, 0.5), (112.5, 0.75), (175, 1), (3000, 1)])
def test_window_by_hand(hu: float, grey: float) -> None:
    assert PORTAL(np.array([hu])) == pytest.approx(grey)
    assert PORTAL(np.array([hu])).dtype == np.float32


def test_named_windows_are_those_of_the_papers() -> None:
    assert (NAMED_WINDOWS["paper S3"].low, NAMED_WINDOWS["paper S3"].high) == (-75, 175)
    assert (NAMED_WINDOWS["paper S4"].low, NAMED_WINDOWS["paper S4"].high) == (-125, 125)
    assert NAMED_WINDOWS["abdomen"] == Window(40, 400)


def test_a_window_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="wider than 0"):
        Window(40, 0)


def test_equalisation_by_hand() -> None:
    # Greys 0, 51, 102 and 255 on 8, 4, 3 and 1 pixels: cdf 8, 12, 15, 16, so 0, 4/8, 7/8 and 8/8.
    image = np.repeat([0, 51, 102, 255], [8, 4, 3, 1]).reshape(4, 4).astype(np.float32) / 255
    expected = np.repeat([0, round(255 * 4 / 8), round(255 * 7 / 8), 255], [8, 4, 3, 1]).reshape(4, 4) / 255
    assert histogram_equalize(image) == pytest.approx(expected, abs=1e-6)


def test_equalisation_depends_on_the_slice() -> None:
    dark, bright = np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)
    dark[0, 0] = bright[0, 0] = 0.5
    dark[0, 1] = bright[0, 1] = 0.6
    bright[0, 2] = 0.0
    assert histogram_equalize(dark)[0, 0] != histogram_equalize(bright)[0, 0]


def test_clahe_limits_the_contrast_of_noise() -> None:
    rng = np.random.default_rng(0)
    flat = (0.5 + 0.02 * rng.standard_normal((64, 64))).clip(0, 1).astype(np.float32)
    assert flat.std() < clahe(flat).std() < histogram_equalize(flat).std()


def test_zscore_looks_at_the_body_alone() -> None:
    hu = np.full((2, 4, 4), -1000, np.int16)
    hu[0, 0] = [0, 50, 100, 150]
    found = zscore_of(hu, PORTAL, "body")
    body = PORTAL(np.array([0, 50, 100, 150]))
    assert (found.mean, found.std) == pytest.approx((body.mean(), body.std()))
    assert found(body).mean() == pytest.approx(0, abs=1e-6)


def test_zscore_of_the_volume_is_the_same_where_air_was_cut_off() -> None:
    """Slices of 8 bits hold air as −160 HU; a network that learned from them must find the same greys in a scan."""
    hu = np.full((2, 4, 4), -1000, np.int16)
    hu[0, 0] = [-90, 50, 100, 150]
    cut = np.maximum(hu, -160)
    assert zscore_of(cut, PORTAL) == zscore_of(hu, PORTAL)
    assert zscore_of(cut, PORTAL, "body") != zscore_of(hu, PORTAL, "body"), "why there is a choice"


def test_zscore_among_black_is_that_of_the_larger_volume() -> None:
    hu = np.random.default_rng(0).integers(-70, 170, (4, 8, 8)).astype(np.int16)
    larger = np.full((4, 8, 10), -1000, np.int16)
    larger[:, :, :8] = hu
    found, wanted = zscore_of(hu, PORTAL).among_black(0.8), zscore_of(larger, PORTAL)
    assert (found.mean, found.std) == pytest.approx((wanted.mean, wanted.std))
    assert zscore_of(hu, PORTAL).among_black(1) == zscore_of(hu, PORTAL)


def test_zscore_of_nothing_and_of_a_constant() -> None:
    assert zscore_of(np.full((1, 2, 2), -1000), PORTAL, "body") == Zscore(0, 1)
    assert zscore_of(np.full((1, 2, 2), 40), PORTAL) == Zscore(0, 1)


def test_steps_come_in_the_order_of_the_paper() -> None:
    hu = np.random.default_rng(0).integers(-200, 300, (20, 30)).astype(np.int16)
    steps = Preprocessing(PORTAL, "he", "zscore", 64).steps(hu, Zscore(0.4, 0.2))
    assert [s.name for s in steps] == ["original", "windowed", "equalised", "resized", "normalised"]
    assert steps[0].unit == "HU"
    assert np.array_equal(steps[0].image, hu)
    assert steps[2].image == pytest.approx(histogram_equalize(PORTAL(hu)))
    assert steps[-1].image.shape == (64, 64)


def test_the_network_gets_the_last_step() -> None:
    hu = np.random.default_rng(1).integers(-200, 300, (3, 40, 40)).astype(np.int16)
    made = Preprocessing(PORTAL, "clahe", size=32)
    batch = made(hu)
    assert batch.shape == (3, 32, 32)
    assert batch.dtype == np.float32
    assert np.array_equal(batch[1], made.steps(hu[1])[-1].image)


def test_zscore_without_its_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match=r"zscore\(volume\)"):
        Preprocessing(PORTAL, normalisation="zscore", size=16)(np.zeros((1, 16, 16), np.int16))


def test_a_single_slice_without_batch_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(16, 16\)"):
        Preprocessing(PORTAL, size=16)(np.zeros((16, 16), np.int16))


@pytest.mark.parametrize("shape", [(31, 50), (50, 31), (40, 40), (128, 100)])
def test_the_way_back_lands_on_the_same_pixels(shape: tuple[int, int]) -> None:
    """A block that is resized to the network's grid and back covers the same place."""
    hu = np.full(shape, -1000, np.int16)
    hu[5:25, 8:28] = 1000
    made = Preprocessing(PORTAL, size=256)
    back = made.restore(made(hu[None]), shape)
    assert back.shape == (1, *shape)
    assert np.array_equal(back[0] > 0.5, hu > 0)


def test_padding_puts_the_slice_in_the_middle() -> None:
    padded = pad_to_square(np.ones((2, 6), np.float32))
    assert padded.shape == (6, 6)
    assert padded.sum() == 12
    assert padded[2:4].all()


def test_shrinking_averages() -> None:
    hu = np.zeros((4, 4), np.int16)
    hu[::2] = 100
    small = Preprocessing(Window(50, 100), size=2)(hu[None])[0]
    assert small == pytest.approx(0.5)
    assert cv2.resize(Window(50, 100)(hu), (2, 2), interpolation=cv2.INTER_NEAREST) != pytest.approx(0.5)


def test_dict_and_back() -> None:
    made = Preprocessing(Window(0, 250), "he", "zscore", 128)
    assert Preprocessing.from_dict(made.to_dict()) == made
    body = Preprocessing(PORTAL, normalisation="zscore", zscore_over="body")
    assert Preprocessing.from_dict(body.to_dict()) == body
    assert not {"zscore_over", "kept"} & made.to_dict().keys(), "rows from before there was a choice stay the same"
    with pytest.raises(ValueError, match="sharpen"):
        Preprocessing.from_dict(made.to_dict() | {"equalisation": "sharpen"})
    with pytest.raises(ValueError, match="lungs"):
        Preprocessing.from_dict(made.to_dict() | {"zscore_over": "lungs"})
    with pytest.raises(TypeError):
        Preprocessing.from_dict(made.to_dict() | {"colour": 1})
