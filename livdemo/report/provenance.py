"""Where figures come from: case, checkpoint and hash, preprocessing, decision rule, definitions, versions, date."""

import datetime
import platform
import shlex
from importlib.metadata import version
from typing import Any

import livdemo
from livdemo.comparison import Comparison, Result
from livdemo.metrics import DEFINITIONS
from livdemo.predictor import Prediction, decision_rule
from livdemo.volume import MaskOrigin

from .figures import DISCLAIMER


def provenance(comparison: Comparison) -> dict[str, Any]:
    """Everything needed to know what the figures are and to make them again."""
    case = comparison.case
    return {
        "livdemo": livdemo.__version__,
        "date": now(),
        "disclaimer": DISCLAIMER,
        "command": command(comparison),
        "versions": _versions(),
        "case": {
            "name": case.name,
            "source": case.source,
            "licence": case.licence,
            "note": case.note,
            "shape": list(case.volume.hu.shape),
            "spacing_mm": list(case.volume.spacing_mm) if case.volume.spacing_known else None,
            "modality": case.volume.modality,
            "warnings": list(case.volume.warnings),
            "has_reference": case.reference is not None,
        },
        "models": [_run_provenance(result) for result in comparison.results],
        "definitions": {name: definition._asdict() for name, definition in DEFINITIONS.items()},
        "empty_masks": "Both empty: n/a. Exactly one empty: overlap 0, the diagonal as distance (miss, false alarm).",
        "liver": "labels 1 and 2 together: a tumour is inside the liver",
    }


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torch", "numpy", "scipy", "opencv-python-headless")}
    return packages | {"python": platform.python_version()}


def mask_origin(result: Result) -> MaskOrigin:
    """What a mask's own header says: which weights, how they were asked, with which versions, when."""
    checkpoint = result.prediction.checkpoint
    return MaskOrigin(
        f"livdemo {checkpoint.model} {checkpoint.sha256[:12] or 'untrained'}",
        {
            "livdemo": livdemo.__version__,
            "date": now(),
            "disclaimer": DISCLAIMER,
            "versions": _versions(),
            "labels": {"0": "background", "1": "liver", "2": "tumour"},
            **_run_provenance(result),
        },
    )


def _run_provenance(result: Result) -> dict[str, Any]:
    prediction, checkpoint = result.prediction, result.prediction.checkpoint
    return {
        "model": checkpoint.model,
        "title": checkpoint.title,
        "preset": checkpoint.preset,
        "checkpoint": {"file": checkpoint.file, "sha256": checkpoint.sha256, "hub": checkpoint.hub or None},
        "trained": is_trained(prediction),
        "training_commit": checkpoint.commit,
        "licence": checkpoint.licence,
        "preprocessing": prediction.preprocessing.to_dict(),
        "rule": prediction.rule,
        "inference": inference_words(prediction) or "the network by itself, once",
        "trained_on": checkpoint.trained_on,
        "weak": checkpoint.weak,
        "device": prediction.device,
        "seconds": round(prediction.seconds, 3),
        "peak_memory_mb": round(prediction.peak_memory_mb, 1),
    }


STAMP = ("checkpoint_sha256", "preprocessing", "rule", "livdemo", "date")


def stamp(result: Result) -> dict[str, str]:
    """The columns STAMP of a CSV: enough to tell, row by row, where a figure comes from."""
    checkpoint = result.prediction.checkpoint
    values = (
        checkpoint.sha256 or "untrained",
        result.prediction.preprocessing.describe(),
        result.prediction.rule,
        livdemo.__version__,
        now(),
    )
    return dict(zip(STAMP, values, strict=True))


def now() -> str:
    """The UTC date and time, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def is_trained(prediction: Prediction) -> bool:
    """False for random weights: only a file of the manifest has a hash."""
    return bool(prediction.checkpoint.sha256)


def inference_words(prediction: Prediction) -> str:
    """How the network was asked, as Inference.describe() puts it; "" when it was asked by itself."""
    # A prediction keeps one line, "rule; inference; what is kept": the inference is what a plain line lacks.
    plain = decision_rule(prediction.checkpoint).split("; ")
    return ", ".join(part for part in prediction.rule.split("; ")[1:] if part not in plain)


def command(comparison: Comparison) -> str:
    """The command line that makes this comparison again; a file is named without its folder."""
    case, predictions = comparison.case, [result.prediction for result in comparison.results]
    kind, _, file = case.source.partition(" ")
    own = kind in ("file", "folder")
    words = ["python", "-m", "livdemo", "compare", file if own else case.name]
    if own and case.reference is not None:
        words += ["--reference", "REFERENCE"]
    words += ["--models", ",".join(dict.fromkeys(p.checkpoint.model for p in predictions))]
    asked = inference_words(predictions[0]) if predictions else ""
    ways = [name for name, sign in (("cascade", "inside the liver"), ("multiscale", "scales")) if sign in asked]
    words += ["--inference", "+".join(ways)] if ways else []
    return shlex.join([*words, "--out", "results"])
