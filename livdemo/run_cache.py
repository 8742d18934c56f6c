"""Finished runs of built-in cases on disk, so that a first visitor need not wait for what others have run.

    prediction = read_run(case, checkpoint)              # None: run it, then
    write_run(case, prediction)

A run is found by the voxels of the case, the checkpoint's whole row (hash of the weights, preprocessing, rule) and
livdemo's version: what differs in any of them is another run. What visitors upload is not for this folder.
"""

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import livdemo
from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.intensity import Preprocessing
from livdemo.lits117 import cache_folder
from livdemo.predictor import Prediction
from livdemo.rescoring import Quantised

FORMAT = 6  # of the files; raise it when what is kept changes, or how a network is fed
_STAMP = ("device", "seconds", "peak_memory_mb", "rule")


def runs_folder() -> Path:
    """Below LIVDEMO_CACHE, or in the user's cache folder. Need not exist yet."""
    return cache_folder() / "runs"


def read_run(case: Case, checkpoint: Checkpoint) -> Prediction | None:
    """The run as it was, its own seconds and device included; None where there is none or its file is damaged."""
    path = _path(case, checkpoint)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as kept:
            stamp = json.loads(str(kept["stamp"]))
            fed = Preprocessing.from_dict(stamp["preprocessing"])
            codes = _codes(kept)
            label_map = np.zeros(case.volume.shape, np.uint8)
            label_map[_box(kept["label_box"])] = kept["labels"]
    except FileNotFoundError:
        return None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
    ):  # half a disk: the run is made and written again
        return None
    known = {name: stamp[name] for name in _STAMP}
    return Prediction(label_map, checkpoint, preprocessing=fed, quantised=codes, **known)


def write_run(case: Case, prediction: Prediction) -> Path:
    """Keep a run that has its quantised probabilities; ValueError without. OSError where nothing can be written."""
    if prediction.quantised is None:
        raise ValueError("only runs with quantised probabilities are kept: compare(..., quantised=True)")
    path = _path(case, prediction.checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    box = _box_of(prediction.label_map)
    codes = prediction.quantised
    stamp = {name: getattr(prediction, name) for name in _STAMP}
    arrays = {
        "stamp": np.array(json.dumps({**stamp, "preprocessing": prediction.preprocessing.to_dict()})),
        "labels": prediction.label_map[box],
        "label_box": _numbers(box),
        "shape": np.array(codes.shape),
        "code_box": _numbers(codes.box),
        "inside": codes.inside,
        "share": codes.share,
    }
    # Under another name first: whoever sees the file sees all of it.
    handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def _path(case: Case, checkpoint: Checkpoint) -> Path:
    if not checkpoint.sha256:
        raise ValueError(f"{checkpoint.model} has no weights of its own, so its runs are not kept")
    digest = hashlib.blake2b(np.ascontiguousarray(case.volume.hu).data, digest_size=16)
    volume = case.volume
    grid = [volume.shape, volume.spacing_mm, volume.spacing_known]  # without a spacing nothing of mm or mL is asked
    known = [FORMAT, livdemo.__version__, grid, checkpoint.to_row()]
    digest.update(json.dumps(known, sort_keys=True).encode())
    return runs_folder() / f"{checkpoint.model}-{digest.hexdigest()}.npz"


def _codes(kept: Any) -> Quantised:
    depth, height, width = (int(side) for side in kept["shape"])
    return Quantised((depth, height, width), _box(kept["code_box"]), kept["inside"], kept["share"])


def _box_of(label_map: np.ndarray) -> tuple[slice, slice, slice]:
    sides = []
    for axis in range(3):
        places = np.flatnonzero(label_map.any(axis=tuple(k for k in range(3) if k != axis)))
        sides.append(slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0))
    return sides[0], sides[1], sides[2]


def _numbers(box: tuple[slice, ...]) -> np.ndarray:
    return np.array([(side.start, side.stop) for side in box])


def _box(numbers: np.ndarray) -> tuple[slice, slice, slice]:
    z, y, x = (slice(int(start), int(stop)) for start, stop in numbers)
    return z, y, x
