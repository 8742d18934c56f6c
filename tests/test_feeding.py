"""Ways of feeding a network: nothing is lost, doubled or moved, whatever the size, the stack or the tiles."""

from functools import partial

import numpy as np
import pytest
import torch

from livdemo.feeding import (
    feed_blocks,
    feed_sequences,
    feed_slices,
    multi_scale,
    overlap_tile,
    padded,
    pictures_of,
)
from livdemo.models.unet import UNet


def _identity(x: np.ndarray) -> np.ndarray:
    """A network that gives back what it sees, as its only map."""
    return x


def _prepare(volume: np.ndarray):
    return lambda start, stop: volume[start:stop]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (100, 45)])
def test_padding_is_cut_off_exactly(size: tuple[int, int], rng: np.random.Generator) -> None:
    images = rng.random((2, *size), np.float32)
    seen = []

    def network(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape)
        return x

    assert np.array_equal(padded(network, 16, images)[:, 0], images)
    assert seen[0][2] % 16 == seen[0][3] % 16 == 0


def _valid_unet():
    torch.manual_seed(0)
    model = UNet(widths=(1, 2, 4, 8, 16), padding=0).eval()
    return lambda x: model(torch.from_numpy(np.ascontiguousarray(x))).detach().numpy()


@pytest.mark.parametrize(("size", "inside"), [((48, 48), 64), ((80, 50), 32), ((33, 70), 16)])
def test_tiles_give_what_the_whole_picture_gives(size, inside, rng: np.random.Generator) -> None:
    images = rng.random((1, *size), np.float32)
    run = _valid_unet()
    whole, tiles = overlap_tile(run, 94, images), overlap_tile(run, 94, images, tile=inside)
    assert whole.shape == tiles.shape == (1, 3, *size)
    assert tiles == pytest.approx(whole, abs=1e-5)


def test_a_tile_is_centred_on_its_pixels(rng: np.random.Generator) -> None:
    """A "network" that only crops 92 pixels must give the picture itself."""
    images = rng.random((2, 40, 56), np.float32)
    assert np.array_equal(overlap_tile(lambda x: x[:, :, 92:-92, 92:-92], 94, images, tile=32)[:, 0], images)


def test_one_scale_of_one_is_the_plain_network(rng: np.random.Generator) -> None:
    images = rng.random((1, 32, 32), np.float32)
    plain = partial(padded, _identity, 16)
    assert np.array_equal(multi_scale(plain, (1.0,), images), plain(images))
    assert np.array_equal(pictures_of(_identity, 16, 0)(images), plain(images))


def test_scales_are_averaged_after_the_softmax() -> None:
    """Maps of a constant picture stay constant; each scale counts alike."""
    seen = []

    def network(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape[-1])
        return np.full_like(x, len(seen))

    maps = multi_scale(partial(padded, network, 16), (0.5, 1.0, 1.5), np.zeros((1, 64, 64), np.float32))
    assert seen == [32, 64, 96]
    assert maps == pytest.approx(2.0)  # the mean of 1, 2 and 3


@pytest.mark.parametrize("at_once", [1, 3, 10])
def test_every_slice_once(at_once: int, rng: np.random.Generator) -> None:
    volume = rng.random((7, 16, 16), np.float32)
    found = list(feed_slices(partial(padded, _identity, 16), _prepare(volume), 7, at_once))
    assert [index for index, _ in found] == list(range(7))
    assert all(np.array_equal(maps[0], volume[index]) for index, maps in found)


def test_sequences_repeat_the_ends() -> None:
    volume = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    windows = []

    def network(x: np.ndarray) -> np.ndarray:
        windows.append(x[0, :, 0, 0, 0].tolist())
        return x

    found = list(feed_sequences(network, _prepare(volume), 4, 5))
    assert windows == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]
    assert [float(maps[0, 0, 0]) for _, maps in found] == [0, 1, 2, 3]


@pytest.mark.parametrize(("depth", "length"), [(20, 8), (8, 8), (5, 8), (9, 4), (1, 4), (13, 8)])
def test_blocks_cover_every_slice_once_and_in_order(depth: int, length: int, rng: np.random.Generator) -> None:
    volume = rng.random((depth, 4, 4), np.float32)
    found = list(feed_blocks(lambda block: block, [_prepare(volume)], depth, length))
    assert [index for index, _ in found] == list(range(depth))
    assert all(maps[0] == pytest.approx(volume[index]) for index, maps in found)


def test_blocks_weigh_their_middle_most() -> None:
    """Two blocks of 4 over 6 slices; the first says 0, the second 1. Weights 1 2 2 1 at slices 0-3 and 2-5."""
    answers = iter((0.0, 1.0))
    found = feed_blocks(
        lambda block: np.full((1, *block.shape[1:]), next(answers)), [_prepare(np.zeros((6, 2, 2)))], 6, 4
    )
    assert [float(maps[0, 0, 0]) for _, maps in found] == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1])


def test_phases_are_stacked_in_their_order() -> None:
    phases = [np.full((4, 2, 2), phase, np.float32) for phase in (10, 20, 30)]
    seen = []

    def network(block: np.ndarray) -> np.ndarray:
        seen.append(block[:, 0, 0, 0].tolist())
        return block[:1]

    list(feed_blocks(network, [_prepare(phase) for phase in phases], 4, 4))
    assert seen == [[10, 20, 30]]
