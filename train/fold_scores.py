"""What a fold's network makes of the patients that it has not seen: volume by volume, as the app would run it.

Volumes are scored on their own grid, after the way back from the network's; a patient with several volumes is the
mean of them, so that nobody counts twice. Spacing is not known in slice collections: everything is in voxels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from livdemo.cases import find_case_files, open_files
from livdemo.checkpoints import Checkpoint
from livdemo.comparison import Result, compare, rescore
from livdemo.metrics import Confusion, count_confusion
from livdemo.metrics.lesions import lesion_ledger
from livdemo.metrics.mask_pair import state_of
from livdemo.metrics.overlap import dice
from livdemo.models.untrained import untrained
from livdemo.predictor import Inference, Predictor
from livdemo.rescoring import Rule, relabel
from livdemo.volume import volume_from_hu
from train.run import Run, exported_weights
from train.scans import Scan

VOXELS = (1.0, 1.0, 1.0)
NO_NUMBER = float("nan")
Figures = dict[str, Any]


def fold_network(
    run: Run,
    largest_component: bool = True,
    size: int | None = None,
    neck_mm: float = 0.0,
    speck_ml: float = 0.0,
    fat_hu: float | None = None,
) -> tuple[Checkpoint, nn.Module]:
    """The network of a finished run, with the row that the app needs to feed it. It has no file.

    size: side of its input when it is asked, in pixels; None: as it learned.
    """
    preset = run.preset
    spec = run.spec if size is None else run.spec.resized(preset, size)
    network = spec.build(preset)
    network.load_state_dict(exported_weights(run.out))
    checkpoint = replace(
        untrained(spec)[0],
        title=spec.title,
        preset=preset,
        parameters=sum(p.numel() for p in network.parameters()),
        preprocessing=spec.preprocessing[preset],
        depth=spec.depth[preset],
        largest_component=largest_component,
        neck_mm=neck_mm,
        speck_ml=speck_ml,
        fat_hu=fat_hu,
        trained_on="",
        weak="",
        seed=run.seed,
    )
    return checkpoint, network.eval()


def voxels_in_ml(voxels: int) -> float:
    """So many voxels as a volume, as if a voxel of the slices, whose spacing nobody knows, were of 1 mm."""
    return voxels * math.prod(VOXELS) / 1000


def held_out_scans(run: Run, scans: Sequence[Scan]) -> list[Scan]:
    """The CT volumes of held-out patients on which liver and tumour are drawn; none where slices were split."""
    if run.split.kind == "slice":
        return []
    held_out = set(run.split.validation)
    return [s for s in scans if s.patient in held_out and s.labels == "full" and s.modality == "CT"]


def score_volumes(
    predictor: Predictor, scans: Sequence[Scan], rule: Rule | None = None, cut: float = 1.0
) -> list[Figures]:
    """A row a volume. A volume with missing slices is no volume to a network that looks at neighbours: its row says
    so in `skipped` and has no figures.

    rule: how probabilities become labels; None: as the predictor decides. cut: as cut_close().
    """
    return [_score_volume(predictor, scan, rule, cut) for scan in scans]


def cut_close(hu: np.ndarray, reference: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """What is left of a volume (N, C, S, S) and its reference (N, S, S) when it is cut around the liver.

    share: of the slices' side; the square has the liver's middle in its own, as far as the slices reach.
    """
    side = hu.shape[-1]
    kept = round(side * share)
    corner = []
    for axis in (1, 2):
        places = np.flatnonzero((reference > 0).any(axis=(0, 3 - axis)))
        middle = (places[0] + places[-1] + 1) / 2 if places.size else side / 2
        corner.append(int(min(max(middle - kept / 2, 0), side - kept)))
    rows, columns = (slice(start, start + kept) for start in corner)
    return hu[..., rows, columns], reference[:, rows, columns]


def _score_volume(predictor: Predictor, scan: Scan, rule: Rule | None, cut: float) -> Figures:
    hu, reference, position = scan.load()  # (N, C, H, W), (N, H, W), (N,)
    hu, reference = cut_close(hu, reference, cut)
    about = {"volume": scan.volume, "patient": scan.patient, "source": scan.source, "slices": len(position)}
    if (np.diff(position) != 1).any():
        return {**about, "skipped": "slices are missing in between"}
    channels = [volume_from_hu(np.ascontiguousarray(hu[:, c]), VOXELS, spacing_known=False) for c in range(hu.shape[1])]
    phases = dict(zip(predictor.checkpoint.phases, channels, strict=False))
    prediction = predictor.predict(channels[0], phases or None, keep_quantised=rule is not None)
    label_map = prediction.label_map
    if rule is not None:
        assert prediction.quantised is not None
        label_map = relabel(prediction.quantised, VOXELS, rule)
    figures = {**about, "seconds": prediction.seconds, **_label("liver", label_map > 0, reference > 0)}
    if "tumour" not in predictor.checkpoint.labels:
        return figures
    report = lesion_ledger({"": label_map}, reference, VOXELS)[""]
    return {
        **figures,
        **_label("tumour", label_map == 2, reference == 2),
        "lesions": len(report.reference),
        "lesions_found": report.n_found,
        "false_positives": len(report.false_positives),
    }


def _label(name: str, prediction: np.ndarray, reference: np.ndarray) -> Figures:
    """Dice and which mask is empty, by the rules of livdemo.metrics: both empty is no number, one empty is 0."""
    counts: Confusion = count_confusion(prediction, reference)
    return {
        f"{name}_dice": float(dice(counts)),
        f"{name}_state": state_of(int(counts.prediction), int(counts.reference)),
        f"{name}_voxels": int(counts.prediction),
        f"{name}_reference_voxels": int(counts.reference),
    }


def per_patient(volumes: Sequence[Figures]) -> list[Figures]:
    """A row a patient, sorted by name: means over the patient's volumes, misses and lesions as counts.

    missed counts the volumes in which not a voxel of any tumour was found, false_alarms those without tumour where
    one was seen; lesion_sensitivity is the mean over the volumes that have lesions; a figure that no volume has is nan.
    """
    scored = [volume for volume in volumes if "skipped" not in volume]
    return [
        _patient(name, [v for v in scored if v["patient"] == name]) for name in sorted({v["patient"] for v in scored})
    ]


def _patient(name: str, volumes: Sequence[Figures]) -> Figures:
    figures: Figures = {"patient": name, "volumes": len(volumes), "liver_dice": _mean(volumes, "liver_dice")}
    if "tumour_dice" not in volumes[0]:
        return figures
    found = [{"share": v["lesions_found"] / v["lesions"]} for v in volumes if v["lesions"]]
    states = [v["tumour_state"] for v in volumes]
    return {
        **figures,
        "tumour_dice": _mean(volumes, "tumour_dice"),
        "lesion_sensitivity": _mean(found, "share"),
        "false_positives": _mean(volumes, "false_positives"),
        "lesions": sum(v["lesions"] for v in volumes),
        "lesions_found": sum(v["lesions_found"] for v in volumes),
        "missed": sum(v["lesions"] > 0 and v["tumour_dice"] == 0 for v in volumes),  # not a voxel of any was found
        "false_alarms": states.count("reference empty"),
    }


def _mean(rows: Sequence[Figures], key: str) -> float:
    values = [row[key] for row in rows if row[key] is not None and not np.isnan(row[key])]
    return float(np.mean(values)) if values else NO_NUMBER


def score_unseen(
    checkpoint: Checkpoint,
    networks: Mapping[str, nn.Module],
    folder: Path,
    inference: Inference,
    device: str,
    rule: Rule | None = None,
) -> list[Figures]:
    """A row a label of every case of the folder that has a reference (livdemo/cases.py says which layouts).

    networks: by model, the cascade's first stage among them. A network of contrast phases cannot run on one scan: no
    rows. rule: as score_volumes(). InputError as reading a scan does.
    """
    if checkpoint.phases:
        return []
    rows = []
    for files in find_case_files(folder):
        if files.reference is None:
            continue
        case = open_files(files)
        for event in compare(case, [checkpoint], device, inference, networks, quantised=rule is not None):
            if isinstance(event, Result):
                result = event if rule is None else rescore(case, event, rule)
                rows += [_unseen(case.name, case.volume.spacing_known, result, k) for k in range(len(result.metrics))]
    return rows


def _unseen(case: str, spacing_known: bool, result: Result, number: int) -> Figures:
    figures = result.metrics[number]
    return {
        "case": case,
        "label": figures.label,
        "state": figures.state,
        "dice": figures.dice,
        "hd95_mm": figures.hd95_mm if spacing_known else NO_NUMBER,
        "volume_ml": figures.volume_ml if spacing_known else NO_NUMBER,
        "reference_volume_ml": figures.reference_volume_ml if spacing_known else NO_NUMBER,
        "seconds": result.prediction.seconds,
        "slices": len(result.prediction.label_map),
    }
