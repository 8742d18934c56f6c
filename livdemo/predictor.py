"""From a volume to a label map, slice by slice, with progress and a real cancel.

    predictor = Predictor(find_checkpoint("unet64"))
    for finished in predictor.stream(volume):    # closing the generator stops the work
        ...
    prediction = predictor.predict(volume)
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage

from livdemo.checkpoints import Checkpoint, load_model
from livdemo.errors import InputError
from livdemo.intensity import Zscore, zscore_of
from livdemo.volume import Volume

SLICES_AT_ONCE = {"cpu": 1, "cuda": 16}  # larger batches are no faster on a CPU and need more memory


@dataclass(frozen=True, eq=False)
class FinishedSlice:
    """One slice of a running prediction."""

    index: int
    label_map: np.ndarray  # uint8 (Y, X), before anything that needs the whole volume
    probabilities: np.ndarray  # float32 (labels, Y, X), on the CT's grid
    done: int  # slices finished so far
    total: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """A whole volume's result and how it came about."""

    label_map: np.ndarray  # uint8 (Z, Y, X)
    checkpoint: Checkpoint
    device: str
    seconds: float  # preparing, network and way back to the CT's grid; loading the model not counted
    peak_memory_mb: float  # of the device's memory on a GPU, of the whole process on a CPU
    rule: str  # how probabilities became labels
    probabilities: np.ndarray | None = field(default=None)  # float16 (labels, Z, Y, X), if asked for


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

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        if checkpoint.input_kind != "slice":
            raise InputError(f"{checkpoint.model} takes {checkpoint.input_kind} input, which cannot be run yet.")
        self.checkpoint = checkpoint
        self.device = pick_device(device)
        self._model = load_model(checkpoint.sha256, self.device)

    def stream(self, volume: Volume) -> Iterator[FinishedSlice]:
        """Yield each slice as it is finished, from the feet up; closing the generator cancels the rest."""
        preprocessing = self.checkpoint.preprocessing
        zscore: Zscore | None = None
        if preprocessing.normalisation == "zscore":
            zscore = zscore_of(volume.hu, preprocessing.window)
        total, height, width = volume.hu.shape
        step = SLICES_AT_ONCE[self.device]
        for start in range(0, total, step):
            image = preprocessing(volume.hu[start : start + step], zscore)  # (N, S, S)
            for offset, maps in enumerate(self._probabilities(image)):
                probabilities = preprocessing.restore(maps, (height, width))
                index = start + offset
                yield FinishedSlice(index, decide(probabilities), probabilities, index + 1, total)

    def predict(
        self,
        volume: Volume,
        keep_probabilities: bool = False,
        on_slice: Callable[[FinishedSlice], None] = lambda finished: None,
    ) -> Prediction:
        """Run every slice, then what needs the whole volume. on_slice sees each slice as it is finished."""
        assembly = Assembly(self, volume, keep_probabilities)
        for finished in self.stream(volume):
            assembly.add(finished)
            on_slice(finished)
        return assembly.finish()

    @torch.inference_mode()
    def _probabilities(self, image: np.ndarray) -> np.ndarray:
        """float32 (N, S, S) -> softmax (N, labels, S, S)."""
        x = torch.from_numpy(image)[:, None].to(self.device, memory_format=torch.channels_last)
        return self._model(x).softmax(1).float().cpu().numpy()


class Assembly:
    """Puts the slices of one stream together into a Prediction and keeps its time."""

    def __init__(self, predictor: Predictor, volume: Volume, keep_probabilities: bool = False) -> None:
        self._predictor = predictor
        self._began = time.perf_counter()
        self.label_map = np.zeros(volume.hu.shape, np.uint8)
        self.finished = np.zeros(len(volume.hu), bool)
        labels = len(predictor.checkpoint.labels)
        self._probabilities = np.zeros((labels, *volume.hu.shape), np.float16) if keep_probabilities else None
        if predictor.device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def add(self, finished: FinishedSlice) -> None:
        """Take in one slice of the stream."""
        self.label_map[finished.index] = finished.label_map
        self.finished[finished.index] = True
        if self._probabilities is not None:
            self._probabilities[:, finished.index] = finished.probabilities

    def finish(self) -> Prediction:
        """The prediction, after the steps that need the whole volume."""
        checkpoint = self._predictor.checkpoint
        label_map = keep_largest_liver(self.label_map) if checkpoint.largest_component else self.label_map
        return Prediction(
            label_map=label_map,
            checkpoint=checkpoint,
            device=self._predictor.device,
            seconds=time.perf_counter() - self._began,
            peak_memory_mb=_peak_memory_mb(self._predictor.device),
            rule=decision_rule(checkpoint),
            probabilities=self._probabilities,
        )


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


def keep_largest_liver(label_map: np.ndarray) -> np.ndarray:
    """Keep the largest connected piece of liver and tumour together (26 neighbours); the rest is background.

    label_map: uint8 (Z, Y, X). There is one liver, so a second piece is a mistake or a sliver cut off by it.
    """
    boxes = ndimage.find_objects((label_map > 0).astype(np.uint8))
    if not boxes:
        return label_map
    inside = label_map[boxes[0]]  # the box around everything: the search is quicker in there
    pieces, number = ndimage.label(inside > 0, structure=np.ones((3, 3, 3), bool))
    if number == 1:
        return label_map
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    kept = np.zeros_like(label_map)
    kept[boxes[0]] = np.where(pieces == largest, inside, 0)
    return kept


def decision_rule(checkpoint: Checkpoint) -> str:
    """One line for cards and exports: how this checkpoint's probabilities become labels."""
    rule = "liver and tumour where their probabilities sum to more than 0.5, tumour where it is the larger"
    return rule + ("; largest connected piece kept" if checkpoint.largest_component else "")


def _peak_memory_mb(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB
