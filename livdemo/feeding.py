"""How a network is fed: a slice, mirrored tiles, three scales, a stack of slices, a block, the contrast phases.

Everything here works on preprocessed pictures and gives softmax maps of the same size back. `Run` is the bare
network: float32 input of the shape that its kind wants -> softmax probabilities.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import numpy as np

Array = np.ndarray
Run = Callable[[Array], Array]
Prepare = Callable[[int, int], Array]  # slices start..stop -> float32 (stop − start, S, S)

TILE = 384  # output pixels of one tile of a valid-padding network; 572 in and 388 out is the paper's
TILE_GRID = 16  # tiles start on multiples of this, or pooling would see other pairs of pixels


def padded(run: Run, multiple: int, images: Array) -> Array:
    """images (N, H, W) of any size -> maps (N, K, H, W): mirrored up to a multiple, and cut off again exactly."""
    height, width = images.shape[1:]
    extra = [(-size) % multiple for size in (height, width)]
    if any(extra):
        images = np.pad(images, ((0, 0), (0, extra[0]), (0, extra[1])), mode="reflect")
    return run(images[:, None])[:, :, :height, :width]


def overlap_tile(run: Run, margin: int, images: Array, tile: int = TILE) -> Array:
    """Valid padding (Ronneberger 2015, Fig. 2): images (N, H, W) -> maps (N, K, H, W).

    The border is mirrored by `margin` pixels, so that every output pixel has only real or mirrored neighbours.
    Pictures larger than `tile` are cut into tiles whose inputs overlap by twice the margin. Each tile's result
    is that of the whole picture, since nothing outside of its margin reaches it.
    """
    height, width = images.shape[1:]
    side = min(_up_to_grid(max(height, width)), _up_to_grid(tile))
    rows, columns = range(0, height, side), range(0, width, side)
    below, right = rows[-1] + side - height, columns[-1] + side - width
    mirrored = np.pad(images, ((0, 0), (margin, margin + below), (margin, margin + right)), mode="reflect")
    bands = []
    for top in rows:
        band = []
        for left in columns:
            reach = side + 2 * margin
            out = run(mirrored[:, None, top : top + reach, left : left + reach])
            spare = (out.shape[-1] - side) // 2  # the margin may be a little wider than what the network eats
            band.append(out[:, :, spare : spare + side, spare : spare + side])
        bands.append(np.concatenate(band, axis=3))
    return np.concatenate(bands, axis=2)[:, :, :height, :width]


def _up_to_grid(size: int) -> int:
    return -(-size // TILE_GRID) * TILE_GRID


def multi_scale(run_pictures: Run, scales: Sequence[float], images: Array) -> Array:
    """S3's three views: resize, run, resize the *softmax maps* back, average. images (N, S, S) -> (N, K, S, S)."""
    height, width = images.shape[1:]
    total: Array | None = None
    for scale in scales:
        size = (round(width * scale), round(height * scale))
        views = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in images])
        maps = run_pictures(views)
        back = np.stack(
            [np.stack([cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in one]) for one in maps]
        )
        total = back if total is None else total + back
    if total is None:
        raise ValueError("at least one scale is needed")
    return total / len(scales)


def feed_slices(run_pictures: Run, prepare: Prepare, depth: int, at_once: int) -> Iterator[tuple[int, Array]]:
    """Slice by slice, `at_once` in a batch. Yields (index, maps (K, S, S))."""
    for start in range(0, depth, at_once):
        maps = run_pictures(prepare(start, min(start + at_once, depth)))
        yield from enumerate(maps, start)


def feed_sequences(run: Run, prepare: Prepare, depth: int, length: int) -> Iterator[tuple[int, Array]]:
    """A window of `length` slices slides up the body and its middle one counts; the ends are repeated.

    run takes (1, T, 1, S, S) and gives (1, T, K, S, S).
    """
    half = length // 2
    kept: dict[int, Array] = {}
    for index in range(depth):
        wanted = [min(max(k, 0), depth - 1) for k in range(index - half, index - half + length)]
        kept = {k: kept[k] if k in kept else prepare(k, k + 1)[0] for k in wanted}
        stack = np.stack([kept[k] for k in wanted])
        yield index, run(stack[None, :, None])[0, half]


def feed_blocks(run_block: Run, prepare: Sequence[Prepare], depth: int, length: int) -> Iterator[tuple[int, Array]]:
    """Blocks of `length` slices, half overlapping, averaged with more weight on a block's middle.

    `prepare` has one entry per contrast phase (one for a plain volume). run_block takes (T, D, S, S) and gives
    (K, D, S, S). A volume thinner than a block is filled up by repeating its last slice.
    """
    weight = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)).astype(np.float32)
    starts = sorted({*range(0, max(depth - length, 0), max(length // 2, 1)), max(depth - length, 0)})
    sums: dict[int, tuple[Array, float]] = {}
    for number, start in enumerate(starts):
        stop = min(start + length, depth)
        block = np.stack([one(start, stop) for one in prepare])  # (T, D, S, S)
        missing = length - block.shape[1]
        block = np.pad(block, ((0, 0), (0, missing), (0, 0), (0, 0)), mode="edge")
        maps = run_block(block)
        for offset in range(stop - start):
            before, weights = sums.get(start + offset, (0.0, 0.0))
            sums[start + offset] = (before + weight[offset] * maps[:, offset], weights + weight[offset])
        following = starts[number + 1] if number + 1 < len(starts) else depth
        for index in sorted(k for k in sums if k < following):
            total, weights = sums.pop(index)
            yield index, total / weights


def pictures_of(run: Run, size_multiple: int, margin: int, scales: Sequence[float] = (1.0,)) -> Run:
    """The bare network of a slice model -> a function on pictures (N, H, W) of any size."""
    one_scale: Run = partial(overlap_tile, run, margin) if margin else partial(padded, run, size_multiple)
    return one_scale if tuple(scales) == (1.0,) else partial(multi_scale, one_scale, scales)
