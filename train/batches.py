"""From slices to what a network is given, and from what it gives back to slices again.

Every kind of input goes the same way: a block of D slices (D = 1 for a slice network) of C channels (1 for CT,
the contrast phases, or the three colours) gets one random view, is preprocessed slice by slice like in the app,
and is put into the shape of its kind. What comes back is folded so that a loss sees slices alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from livdemo.intensity import Preprocessing, Zscore
from livdemo.models import ModelSpec, Preset
from train.augment import AUGMENTATIONS, augment
from train.cache import Slices
from train.plan import Plan
from train.sampling import block_around, draw, long_enough, runs_of, volume_keys
from train.synthetic_tumours import Painting, paint_tumours


@dataclass(frozen=True)
class Batch:
    """One step's worth. B items of D slices; n = B·D slices after folding."""

    image: Tensor  # float32, in the network's shape (ModelSpec.input_shape)
    target: Tensor  # uint8 (n, S, S)
    full: Tensor  # bool (n,): tumour is drawn
    grey: Tensor  # float32 (n, 1, S, S): the first channel, for losses that look at noise


class Feed:
    """Batches of one model's kind from the slices of one side of a split."""

    def __init__(self, spec: ModelSpec, preset: Preset, plan: Plan, slices: Slices, inside: np.ndarray) -> None:
        self.spec, self.preset, self.plan, self.slices = spec, preset, plan, slices
        self.preprocessing = spec.preprocessing[preset]
        self.of_views = replace(self.preprocessing, size=view_side(spec, preset, plan))
        self.depth = spec.slices_at_once(preset)
        self.runs = runs_of(slices)
        self.inside = long_enough(self.runs, inside, self.depth)
        how = AUGMENTATIONS[plan.augmentation]
        # Beyond an MR or colour picture is black, not air of −1000 HU.
        self._how = how if (slices.modality == "CT").all() else replace(how, outside=0.0)
        self.keys = volume_keys(slices)
        self._zscores = _zscores(slices, self.keys, self.preprocessing)

    def steps(self, world: int = 1) -> int:
        """Steps of an epoch, each of `batch_size` items for every process."""
        item = self.spec.slices_an_item(self.preset)
        slices = self.plan.slices_per_epoch or len(self.inside) * item
        return max(slices // (self.plan.batch_size * world * item), 1)

    def epoch(self, number: int, seed: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The batches of one epoch. Random numbers depend on seed, epoch and rank alone, so a killed run repeats."""
        size, steps = self.plan.batch_size, self.steps(world)
        drawn = draw(self.slices, self.inside, steps * size * world, self.plan, np.random.default_rng([seed, number]))
        generator = torch.Generator().manual_seed((seed * 100_003 + number) * 1_009 + rank)
        for step in range(steps):
            first = (step * world + rank) * size
            yield self.batch(drawn[first : first + size], generator)

    def batch(self, chosen: np.ndarray, generator: torch.Generator) -> Batch:
        """Random views of the items around the chosen slices (B,)."""
        blocks = block_around(self.runs, chosen, self.depth)  # (B, D)
        raw = self.slices.image[blocks.ravel()]  # (B·D, C, H, W)
        _, channels, height, width = raw.shape
        items = len(chosen)
        image = torch.from_numpy(raw.astype(np.float32)).reshape(items, -1, height, width)  # (B, D·C, H, W)
        mask = torch.from_numpy(self.slices.mask[blocks.ravel()]).reshape(items, -1, height, width)
        if self.plan.painted and channels == 1:
            image, mask = self._painted(image, mask, chosen, generator)
        side = self.of_views.size
        image, mask = augment(image, mask, self._how, generator, side)
        views = image.reshape(items * self.depth, channels, side, side).numpy()
        pictures = self._preprocess(self.of_views, views, blocks.ravel())
        return Batch(
            image=shaped(
                pictures.reshape(items, self.depth, channels, side, side), self.spec.input_kind, self.spec.margin
            ),
            target=mask.reshape(-1, side, side),
            full=torch.from_numpy(self.slices.full[blocks.ravel()]),
            grey=pictures[:, :1],
        )

    def _painted(
        self, image: Tensor, mask: Tensor, chosen: np.ndarray, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Synthetic tumours in a share of the CT items."""
        lucky = (torch.rand(len(chosen), generator=generator) < self.plan.painted).numpy()
        items = torch.from_numpy(np.flatnonzero(lucky & (self.slices.modality[chosen] == "CT")))
        if len(items):
            painted = paint_tumours(image[items], mask[items], Painting(), generator)
            image[items], mask[items] = painted.image, painted.mask
        return image, mask

    def preprocess(self, image: np.ndarray, indices: np.ndarray) -> Tensor:
        """Whole slices, float32 (n, C, S, S) in HU (or grey) -> the same, preprocessed channel by channel."""
        return self._preprocess(self.preprocessing, image, indices)

    def _preprocess(self, preprocessing: Preprocessing, image: np.ndarray, indices: np.ndarray) -> Tensor:
        done = [
            preprocessing(one, self._zscores[self.keys[i]] if self._zscores else None)
            for one, i in zip(image, indices, strict=True)
        ]
        return torch.from_numpy(np.stack(done))


def view_side(spec: ModelSpec, preset: Preset, plan: Plan) -> int:
    """Side of a training view in pixels: the plan's share of the slice's, down to a multiple that the network takes."""
    return round(spec.preprocessing[preset].size * plan.view) // spec.size_multiple * spec.size_multiple


def shaped(pictures: Tensor, kind: str, margin: int) -> Tensor:
    """(B, D, C, S, S) -> the network's shape; a valid-padding network gets a mirrored margin."""
    if kind == "slice":
        image = pictures[:, 0]  # (B, C, S, S)
        if margin:
            image = F.pad(image, (margin,) * 4, mode="reflect")
        return image.contiguous(memory_format=torch.channels_last)
    if kind == "slice sequence":
        return pictures  # (B, T, 1, S, S)
    if kind == "3D":
        return pictures.transpose(1, 2).contiguous()  # (B, 1, D, S, S)
    return pictures.transpose(1, 2)[:, :, None].contiguous()  # (B, T, 1, D, S, S)


def folded(logits: Tensor, kind: str, side: int) -> Tensor:
    """Logits of any kind -> slices (n, K, side, side), in the order of Batch.target."""
    if kind == "slice sequence":
        logits = logits.flatten(0, 1)  # (B, T, K, S, S) -> (B·T, K, S, S)
    elif kind in ("3D", "phases"):
        logits = logits.transpose(1, 2).flatten(0, 1)  # (B, K, D, S, S) -> (B·D, K, S, S)
    spare = (logits.shape[-1] - side) // 2  # a valid-padding network may give a little more than was asked for
    return logits[..., spare : spare + side, spare : spare + side]


def _zscores(slices: Slices, keys: np.ndarray, preprocessing: Preprocessing) -> dict[str, Zscore]:
    """Statistics of every volume, as the app takes them; empty when the preprocessing needs none."""
    found = {}
    for key in np.unique(keys) if preprocessing.normalisation == "zscore" else ():
        volume = np.asarray(slices.image[keys == key])  # (N, C, H, W)
        zscore = preprocessing.zscore(volume.reshape(-1, *volume.shape[2:]))
        assert zscore is not None
        found[str(key)] = zscore
    return found
