"""How good a network is on the held-out slices, by the app's own way of feeding and deciding."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from livdemo.feeding import Prepare, feed_blocks, feed_sequences, feed_slices, pictures_of
from livdemo.predictor import decide
from train.batches import Feed

SLICES_AT_ONCE = 16
SMALLEST_PROBABILITY = 1e-7  # −log of it is 16: one sure mistake does not make the mean infinite


@torch.no_grad()
def validate(network: nn.Module, feed: Feed, inside: np.ndarray, device: torch.device) -> dict[str, float]:
    """Figures of the slices `inside` (indices; none gives nan).

    validation_loss        mean of −log p(true label) over pixels; p(liver) + p(tumour) where only the union is drawn
    liver_dice             Dice over all pixels of all slices, tumour included (`object_dice` for binary data)
    tumour_dice            likewise, on the slices where tumour is drawn
    liver_dice_per_volume  mean over volumes, so that a long volume does not speak for the others
    """
    began = time.perf_counter()
    slices = feed.slices
    counts: dict[str, np.ndarray] = {}  # volume -> (liver, tumour) x (both, prediction, reference)
    nll: list[float] = []
    for index, maps in probabilities(network, feed, inside, device):
        reference, full = slices.mask[index], bool(slices.full[index])
        nll.append(_negative_log_likelihood(maps, reference, full))
        predicted = decide(maps)
        one = np.zeros((2, 3))
        one[0] = _overlap(predicted > 0, reference > 0)
        if full:
            one[1] = _overlap(predicted == 2, reference == 2)
        key = feed.keys[index]
        counts[key] = counts.get(key, np.zeros((2, 3))) + one
    pooled = sum(counts.values(), np.zeros((2, 3)))
    binary = bool(len(inside)) and bool((slices.labels[inside] == "binary").all())
    name = "object" if binary else "liver"
    figures = {
        "validation_loss": float(np.mean(nll)) if nll else float("nan"),
        f"{name}_dice": _dice(pooled[0]),
        f"{name}_dice_per_volume": float(np.mean([_dice(c[0]) for c in counts.values()])) if counts else float("nan"),
        "validation_volumes": len(counts),
        "validation_seconds": time.perf_counter() - began,
    }
    if len(feed.spec.labels) > 2:
        figures["tumour_dice"] = _dice(pooled[1])
    return figures


@torch.no_grad()
def probabilities(
    network: nn.Module, feed: Feed, inside: np.ndarray, device: torch.device
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, softmax maps float32 (K, S, S)) of every slice of `inside`, in its order; `network` is set to eval."""
    network.eval()
    groups = [inside] if feed.spec.input_kind == "slice" else _unbroken(feed.runs, inside)
    for chosen in groups:
        yield from zip(chosen.tolist(), _maps(network, feed, chosen, device), strict=True)


def _unbroken(runs: np.ndarray, inside: np.ndarray) -> list[np.ndarray]:
    """`inside` cut into runs of neighbouring slices: what a sequence or a block may look at."""
    if not len(inside):
        return []
    return np.split(inside, np.flatnonzero(np.diff(runs[inside]) | (np.diff(inside) != 1)) + 1)


def _maps(network: nn.Module, feed: Feed, chosen: np.ndarray, device: torch.device) -> list[np.ndarray]:
    """Softmax maps (K, S, S) of neighbouring slices, fed like in livdemo/predictor.py."""
    spec, depth = feed.spec, len(chosen)
    prepare = [_prepare(feed, chosen, channel) for channel in range(max(len(spec.phases), 1))]
    if spec.input_kind == "slice":
        if feed.slices.image.shape[1] == 3:
            return [_colour(network, feed, index, device) for index in chosen]
        pictures = pictures_of(_bare(network, device), spec.size_multiple, spec.margin)
        return [maps for _, maps in feed_slices(pictures, prepare[0], depth, SLICES_AT_ONCE)]
    if spec.input_kind == "slice sequence":
        run = _bare(network, device, labels_axis=2)
        return [maps for _, maps in feed_sequences(run, prepare[0], depth, feed.depth)]
    run = _bare(network, device)
    one_phase = spec.input_kind == "3D"
    return [
        maps
        for _, maps in feed_blocks(
            lambda block: run(block[:, None] if one_phase else block[None, :, None])[0], prepare, depth, feed.depth
        )
    ]


def _prepare(feed: Feed, chosen: np.ndarray, channel: int) -> Prepare:
    """The preprocessed slices start..stop of `chosen`, one channel (CT) or one contrast phase of them."""

    def prepare(start: int, stop: int) -> np.ndarray:
        image = feed.slices.image[chosen[start:stop], channel : channel + 1].astype(np.float32)
        return feed.preprocess(image, chosen[start:stop]).numpy()[:, 0]

    return prepare


def _colour(network: nn.Module, feed: Feed, index: int, device: torch.device) -> np.ndarray:
    """Softmax maps of one RGB picture."""
    image = feed.preprocess(feed.slices.image[index : index + 1].astype(np.float32), np.array([index]))
    return network(image.to(device)).float().softmax(1)[0].cpu().numpy()


def _bare(network: nn.Module, device: torch.device, labels_axis: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    def run(images: np.ndarray) -> np.ndarray:
        x: Tensor = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        if x.ndim == 4:
            x = x.to(memory_format=torch.channels_last)
        return network(x).float().softmax(labels_axis).cpu().numpy()

    return run


def _negative_log_likelihood(maps: np.ndarray, reference: np.ndarray, full: bool) -> float:
    if full and len(maps) > 2:
        p = np.take_along_axis(maps, reference[None].astype(np.int64), axis=0)[0]
    else:
        p = np.where(reference > 0, 1 - maps[0], maps[0])
    return float(-np.log(np.maximum(p, SMALLEST_PROBABILITY)).mean())


def _overlap(prediction: np.ndarray, reference: np.ndarray) -> tuple[int, int, int]:
    return int((prediction & reference).sum()), int(prediction.sum()), int(reference.sum())


def _dice(counts: np.ndarray) -> float:
    both, prediction, reference = counts
    return float(2 * both / (prediction + reference)) if prediction + reference else float("nan")
