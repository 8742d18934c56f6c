"""From a volume to a label map, slice by slice, with progress and a real cancel.

predictor = Predictor(find_checkpoint("unet64"))
for finished in predictor.stream(case.volume):    # closing the generator stops the work
    ...
prediction = predictor.predict(case.volume)
"""

import resource
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from scipy import ndimage

from livdemo.checkpoints import Checkpoint, find_checkpoint, load_model
from livdemo.errors import InputError
from livdemo.feeding import Prepare, feed_blocks, feed_sequences, feed_slices, pictures_of
from livdemo.framing import suited
from livdemo.intensity import Preprocessing
from livdemo.pieces import Mask, cut_at_necks, drop_specks, largest_piece
from livdemo.rescoring import Quantised, neck_words, quantise, quantise_in_liver, speck_words
from livdemo.volume import Volume

SLICES_AT_ONCE = {"cpu": 1, "cuda": 16}  # larger batches are no faster on a CPU and need more memory
CASCADE_MARGIN = 16  # voxels left around the first stage's liver (S3 states none)
GAS_HU = -300  # what is as dark is air, lung or gas in the gut; some networks call a slice of nothing but air liver
# Half-way between fat, which has about −100 HU, and the fattest of livers, which have about 0. In patients with much
# fat under the skin some networks call that liver.
FAT_HU = -50
FAT_PIXELS = 3  # the median of so many squared is asked, so that noise makes no holes and edges stay where they are


@dataclass(frozen=True, eq=False)
class FinishedSlice:
    """One slice of a running prediction."""

    index: int
    label_map: np.ndarray  # uint8 (Y, X), before anything that needs the whole volume
    probabilities: np.ndarray  # float32 (labels, Y, X), on the CT's grid
    done: int  # slices finished so far, of both stages in a cascade
    total: int
    preprocessing: Preprocessing  # as it was fed
    liver: np.ndarray | None = None  # bool (Y, X), second stage of a cascade only: where the first one found liver


@dataclass(frozen=True)
class Inference:
    """How a network is asked: by itself on the whole slice, or as S3 does it."""

    scales: tuple[float, ...] = (1.0,)  # S3: 0.5, 1.0 and 1.5, softmax maps averaged
    liver: Checkpoint | None = None  # first stage of the cascade: where to look
    suits: bool = True  # the picture is framed for the scan (framing.py); False: for comparing

    @property
    def passes(self) -> int:
        """How often each slice comes out of a stream: once, or once per stage of the cascade."""
        return 2 if self.liver else 1

    def describe(self) -> str:
        """A phrase for cards and exports; "" when it is the network by itself."""
        parts = []
        if self.liver:
            parts.append(f"tumours inside the liver that {self.liver.model} found")
        if len(self.scales) > 1:
            parts.append(f"averaged over the scales {', '.join(f'{scale:g}' for scale in self.scales)}")
        if not self.suits:
            parts.append("scans that were cut close as large as others")
        return ", ".join(parts)


PLAIN = Inference()
S3_SCALES = (0.5, 1.0, 1.5)
INFERENCES = ("plain", "multiscale", "cascade", "cascade+multiscale")


def named_inference(name: str) -> Inference:
    """One of INFERENCES. InputError for another name, or when the cascade's first stage has no weights."""
    parts = set(name.split("+"))
    unknown = sorted(parts - {"plain", "cascade", "multiscale"})
    if unknown:
        raise InputError(f"There is no way of inference called {', '.join(unknown)}; use {', '.join(INFERENCES)}.")
    return Inference(
        scales=S3_SCALES if "multiscale" in parts else (1.0,),
        liver=find_checkpoint("unet_liver") if "cascade" in parts else None,
    )


@dataclass(frozen=True, eq=False)
class Prediction:
    """A whole volume's result and how it came about."""

    label_map: np.ndarray  # uint8 (Z, Y, X)
    checkpoint: Checkpoint
    device: str
    seconds: float  # preparing, network and way back to the CT's grid; loading the model not counted
    peak_memory_mb: float  # of the device's memory on a GPU, of the whole process on a CPU
    rule: str  # how probabilities became labels
    preprocessing: Preprocessing  # as it was fed: the checkpoint's, framed for the volume (framing.py)
    probabilities: np.ndarray | None = field(default=None)  # float16 (labels, Z, Y, X), if asked for
    quantised: Quantised | None = None  # the same in bytes, for other rules without another run, if asked for


def why_not(checkpoint: Checkpoint, inference: Inference, phases: Collection[str]) -> str:
    """Why a network cannot be asked so of a case with these contrast phases, in a sentence; "" where it can."""
    if len(inference.scales) > 1 and checkpoint.input_kind != "slice":
        return f"{checkpoint.model} reads {checkpoint.input_kind} input: several scales are for slices."
    if inference.liver and "tumour" not in checkpoint.labels:
        return f"{checkpoint.model} knows no tumour, so it cannot be the second stage of a cascade."
    missing = [name for name in checkpoint.phases if name not in phases]
    if missing:
        read = f"{len(checkpoint.phases)} contrast phases ({', '.join(checkpoint.phases)})"
        lacking = f"this case lacks {', '.join(missing)}; open the phantom, which has them all."
        return f"{checkpoint.title} reads {read} and {lacking}"
    return ""


def pick_device(asked: str = "auto") -> str:
    """ "cpu" or "cuda"; InputError when a GPU is asked for and there is none."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device here; use --device cpu or auto.")
    if asked not in SLICES_AT_ONCE:
        raise InputError(f"There is no device called {asked!r}; use cpu, cuda or auto.")
    return asked


class Predictor:
    """Runs one checkpoint on volumes. Holds no state of a run, so visitors can share it."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        inference: Inference = PLAIN,
        network: torch.nn.Module | None = None,
        liver_network: torch.nn.Module | None = None,
    ) -> None:
        """Load the checkpoint's file, or take `network`, a model that has none; the cascade's liver likewise."""
        if reason := why_not(checkpoint, inference, checkpoint.phases):
            raise InputError(reason)
        self.checkpoint = checkpoint
        self.device = pick_device(device)
        self.inference = inference
        self._model = load_model(checkpoint.sha256, self.device) if network is None else network.to(self.device).eval()
        self._first_stage = Predictor(inference.liver, device, network=liver_network) if inference.liver else None

    def stream(self, volume: Volume, phases: Mapping[str, Volume] | None = None) -> Iterator[FinishedSlice]:
        """Yield each slice as it is finished, from the feet up; closing the generator cancels the rest.

        phases: the same body in several contrast phases, by name, for a network that reads them. In a cascade
        every slice comes twice: with the first stage's liver, then with the second stage's tumours in it.
        """
        if self._first_stage is not None:
            yield from self._cascade(self._first_stage, volume, phases)
            return
        depth, height, width = volume.shape
        fed = self.preprocessing_for(volume)
        for done, (index, maps) in enumerate(self._feed(fed, self._stack(volume, phases)), start=1):
            probabilities = self._in_tissue(fed.restore(maps, (height, width)), volume, index)
            yield FinishedSlice(index, decide(probabilities), probabilities, done, depth, fed)

    def one_slice(self, volume: Volume, index: int, phases: Mapping[str, Volume] | None = None) -> FinishedSlice:
        """One slice by itself, for trying out: the network sees as many neighbours as it reads, and no cascade.

        A z-score is still that of the whole volume. A network of blocks may answer a little differently than in a run
        over the volume, where blocks lie elsewhere.
        """
        depth, height, width = volume.shape
        reach = {"slice": 0, "slice sequence": self.checkpoint.sequence}.get(
            self.checkpoint.input_kind, self.checkpoint.depth
        )
        slab = slice(max(index - reach, 0), min(index + reach + 1, depth))
        stack, fed = self._stack(volume, phases), self.preprocessing_for(volume)
        for found, maps in self._feed(fed, [hu[slab] for hu in stack], stack):
            if found == index - slab.start:
                probabilities = self._in_tissue(fed.restore(maps, (height, width)), volume, index)
                return FinishedSlice(index, decide(probabilities), probabilities, 1, 1, fed)
        raise IndexError(f"there is no slice {index} among {depth}")

    @torch.inference_mode()
    def explain(self, volume: Volume, index: int) -> dict[str, np.ndarray]:
        """What the network looked at in one slice: maps float32 (N, h, w) on its square, or bars (N,), by name.

        What each means is in ModelSpec.explains. InputError for a network that has none or reads more than a slice.
        """
        explain: Any = getattr(self._model, "explain", None)
        if self.checkpoint.input_kind != "slice" or explain is None:
            raise InputError(f"{self.checkpoint.title} has no maps of one slice to show; choose another model.")
        image = _prepare(self.preprocessing_for(volume), volume.hu, volume.hu)(index, index + 1)
        found = explain(torch.from_numpy(image[:, None]).to(self.device))
        return {name: maps[0].float().cpu().numpy() for name, maps in found.items()}

    def predict(
        self,
        volume: Volume,
        phases: Mapping[str, Volume] | None = None,
        keep_probabilities: bool = False,
        keep_quantised: bool = False,
    ) -> Prediction:
        """Run every slice, then what needs the whole volume."""
        assembly = Assembly(self, volume, keep_probabilities, keep_quantised)
        for finished in self.stream(volume, phases):
            assembly.add(finished)
        return assembly.finish()

    def _in_tissue(self, probabilities: np.ndarray, volume: Volume, index: int) -> np.ndarray:
        return in_tissue(probabilities, volume, index, self.checkpoint.fat_hu)

    def _stack(self, volume: Volume, phases: Mapping[str, Volume] | None) -> list[np.ndarray]:
        """HU arrays that are fed together: one, or one per contrast phase."""
        names = self.checkpoint.phases
        if not names:
            return [volume.hu]
        if reason := why_not(self.checkpoint, PLAIN, phases or {}):
            raise InputError(reason)
        assert phases is not None
        return [phases[name].hu for name in names]

    def preprocessing_for(self, volume: Volume) -> Preprocessing:
        """What this volume is fed with: the checkpoint's, framed for it (framing.py)."""
        own = self.checkpoint.preprocessing
        return suited(own, volume, self.checkpoint.size_multiple) if self.inference.suits else own

    def _feed(
        self, fed: Preprocessing, stack: list[np.ndarray], whole: list[np.ndarray] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Maps (K, S, S) of every slice, in the way that the network's kind of input asks for.

        whole: where a z-score is taken from, if the stack is only a part of it.
        """
        checkpoint, depth = self.checkpoint, len(stack[0])
        prepare = [_prepare(fed, hu, of) for hu, of in zip(stack, whole or stack, strict=True)]
        if checkpoint.input_kind == "slice":
            pictures = pictures_of(self._run, checkpoint.size_multiple, checkpoint.margin, self.inference.scales)
            return feed_slices(pictures, prepare[0], depth, SLICES_AT_ONCE[self.device])
        if checkpoint.input_kind == "slice sequence":
            return feed_sequences(partial(self._run, labels_axis=2), prepare[0], depth, checkpoint.sequence)
        # A block (T, D, S, S) goes in as (1, 1, D, S, S), or with phases as (1, T, 1, D, S, S).
        one_phase = checkpoint.input_kind == "3D"
        return feed_blocks(
            lambda block: self._run(block[:, None] if one_phase else block[None, :, None])[0],
            prepare,
            depth,
            checkpoint.depth,
        )

    @torch.inference_mode()
    def _run(self, images: np.ndarray, labels_axis: int = 1) -> np.ndarray:
        """The bare network: float32 input of its kind -> softmax probabilities."""
        x = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        if x.ndim == 4:
            x = x.to(memory_format=torch.channels_last)
        return self._model(x).softmax(labels_axis).float().cpu().numpy()

    def _cascade(
        self, first_stage: "Predictor", volume: Volume, phases: Mapping[str, Volume] | None
    ) -> Iterator[FinishedSlice]:
        """S3's two stages: a coarse liver, a box around it; tumours are looked for in the box.

        A voxel is tumour where p(tumour) > 0.5 *and* the filled liver has it (our reading: S3 only crops).
        """
        depth, height, width = volume.shape
        rough = np.zeros(volume.shape, np.uint8)
        for finished in first_stage.stream(volume):
            rough[finished.index] = finished.label_map > 0
            yield replace(finished, label_map=rough[finished.index], total=2 * depth)
        found = the_liver(rough > 0, first_stage.checkpoint, volume)
        liver = np.stack([ndimage.binary_fill_holes(one) for one in found])
        box = _box_around(liver, CASCADE_MARGIN)
        # As large as ever: S3 cuts the box out in order to see it enlarged.
        fed = replace(self.preprocessing_for(volume), size=self.checkpoint.preprocessing.size, box=None)
        stack = self._stack(volume, phases)
        maps_of = self._feed(fed, [hu[box] for hu in stack], stack) if box else iter(())
        inside = range(box[0].start, box[0].stop) if box else range(0)
        for index in range(depth):
            probabilities = np.zeros((len(self.checkpoint.labels), height, width), np.float32)
            probabilities[0] = 1
            if index in inside:
                assert box is not None
                _, maps = next(maps_of)
                shape = (box[1].stop - box[1].start, box[2].stop - box[2].start)
                probabilities[:, box[1], box[2]] = fed.restore(maps, shape)
                probabilities = self._in_tissue(probabilities, volume, index)
            label_map = liver[index].astype(np.uint8)
            label_map[liver[index] & (probabilities[-1] > 0.5)] = 2
            yield FinishedSlice(index, label_map, probabilities, depth + index + 1, 2 * depth, fed, liver[index])


class Assembly:
    """Puts the slices of one stream together into a Prediction and keeps its time."""

    def __init__(
        self, predictor: Predictor, volume: Volume, keep_probabilities: bool = False, keep_quantised: bool = False
    ) -> None:
        self._predictor, self._volume = predictor, volume
        self._began = time.perf_counter()
        self.label_map = np.zeros(volume.hu.shape, np.uint8)
        self.finished = np.zeros(len(volume.hu), bool)
        labels = len(predictor.checkpoint.labels)
        self._probabilities = np.zeros((labels, *volume.hu.shape), np.float16) if keep_probabilities else None
        self._codes = np.zeros((2, *volume.hu.shape), np.uint8) if keep_quantised else None
        self._preprocessing = predictor.checkpoint.preprocessing
        if predictor.device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def add(self, finished: FinishedSlice) -> None:
        """Take in one slice of the stream."""
        self.label_map[finished.index] = finished.label_map
        self.finished[finished.index] = True
        self._preprocessing = finished.preprocessing  # of a cascade's second stage, which comes last
        if self._probabilities is not None:
            self._probabilities[:, finished.index] = finished.probabilities
        if self._codes is not None:
            self._codes[:, finished.index] = _codes_of(finished)

    def finish(self) -> Prediction:
        """The prediction, after the steps that need the whole volume."""
        checkpoint = self._predictor.checkpoint
        label_map = self.label_map
        if checkpoint.largest_component:  # there is one liver: a second piece is a mistake or a sliver cut off by it
            label_map = np.where(the_liver(label_map > 0, checkpoint, self._volume), label_map, np.uint8(0))
        if smallest_ml := speck_of(checkpoint, self._volume.spacing_known):
            tumour = label_map == 2
            specks = tumour & ~drop_specks(tumour, self._volume.spacing_mm, smallest_ml)
            label_map = np.where(specks, np.uint8(1), label_map)
        return Prediction(
            label_map=label_map,
            checkpoint=checkpoint,
            device=self._predictor.device,
            seconds=time.perf_counter() - self._began,
            peak_memory_mb=_peak_memory_mb(self._predictor.device),
            rule=decision_rule(checkpoint, self._predictor.inference, self._volume.spacing_known),
            preprocessing=self._preprocessing,
            probabilities=self._probabilities,
            quantised=None if self._codes is None else Quantised.pack(self._codes),
        )


def _prepare(preprocessing: Preprocessing, hu: np.ndarray, whole: np.ndarray) -> Prepare:
    zscore = preprocessing.zscore(whole)
    return lambda start, stop: preprocessing(hu[start:stop], zscore)


def _codes_of(finished: FinishedSlice) -> np.ndarray:
    if finished.liver is not None:
        return quantise_in_liver(finished.liver, finished.probabilities[-1])
    return quantise(finished.probabilities)


def _box_around(mask: np.ndarray, margin: int) -> tuple[slice, slice, slice] | None:
    """The box of a mask (Z, Y, X) with a margin inside each slice; None where the mask is empty."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return None
    z, *plane = boxes[0]
    sides = zip(plane, mask.shape[1:], strict=True)
    y, x = (slice(max(side.start - margin, 0), min(side.stop + margin, size)) for side, size in sides)
    return z, y, x


def in_tissue(probabilities: np.ndarray, volume: Volume, index: int, fat_hu: float | None) -> np.ndarray:
    """Probabilities (labels, Y, X) of a slice, background for certain where a CT shows gas, and fat if `fat_hu` is
    given: where a pixel is darker than GAS_HU, or the median around it than `fat_hu`."""
    if volume.modality != "CT":
        return probabilities
    hu = volume.hu[index]
    dark = hu < GAS_HU
    if fat_hu is not None:
        dark |= cv2.medianBlur(np.ascontiguousarray(hu, np.float32), FAT_PIXELS) < fat_hu
    certain = np.zeros(len(probabilities), np.float32)
    certain[0] = 1
    return np.where(dark, certain[:, None, None], probabilities)


def decide(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities (labels, Y, X) -> label map uint8 (Y, X).

    Inside where p(liver) + p(tumour) > 0.5; inside, tumour where p(tumour) > p(liver). Liver and tumour
    are asked one after the other, as they are scored: a plain argmax would call a pixel background when
    liver and tumour share 60 %.
    """
    inside = probabilities[0] < 0.5
    label_map = inside.astype(np.uint8)
    if len(probabilities) > 2:
        label_map[inside & (probabilities[2] > probabilities[1])] = 2
    return label_map


def neck_of(checkpoint: Checkpoint, spacing_known: bool) -> float:
    """Thickness in mm of the necks that are cut; 0, for none, where nobody knows how large a voxel is."""
    return checkpoint.neck_mm if checkpoint.largest_component and spacing_known else 0.0


def speck_of(checkpoint: Checkpoint, spacing_known: bool) -> float:
    """Volume in mL below which a tumour is dropped; 0, for none, where nobody knows how large a voxel is."""
    return checkpoint.speck_ml if spacing_known else 0.0


def the_liver(mask: Mask, checkpoint: Checkpoint, volume: Volume) -> Mask:
    """What of a mask (Z, Y, X) is the liver: its largest piece, without other organs that hang on it by a neck."""
    return cut_at_necks(largest_piece(mask), volume.spacing_mm, neck_of(checkpoint, volume.spacing_known))


def decision_rule(checkpoint: Checkpoint, inference: Inference = PLAIN, spacing_known: bool = True) -> str:
    """One line for cards and exports: how this checkpoint's probabilities become labels."""
    rule = "liver and tumour where their probabilities sum to more than 0.5, tumour where it is the larger"
    if len(checkpoint.labels) == 2:
        rule = "liver where its probability is more than 0.5"
    if inference.liver:
        rule = "tumour where its probability is more than 0.5"
    kept = "largest connected piece kept" if checkpoint.largest_component else ""
    cut, dropped = neck_words(neck_of(checkpoint, spacing_known)), speck_words(speck_of(checkpoint, spacing_known))
    dark = f"neither where a CT is below {GAS_HU:g} HU"
    if checkpoint.fat_hu is not None:
        dark += f", or the median of {FAT_PIXELS}×{FAT_PIXELS} pixels below {checkpoint.fat_hu:g} HU"
    parts = (rule, dark.replace("-", "−"), inference.describe(), kept, cut, dropped)
    return "; ".join(part for part in parts if part)


def _peak_memory_mb(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB
