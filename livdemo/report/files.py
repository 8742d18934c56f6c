"""The files of a comparison: metrics.csv, lesions.csv, comparison.json, a mask per model, and the page."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from livdemo.comparison import Comparison, Result
from livdemo.metrics import PrecisionRecall
from livdemo.volume import Volume, write_label_map

from .figures import LESION_FIELDS, finite, lesion_rows, metric_rows
from .page import report_html
from .provenance import STAMP, mask_origin, provenance, stamp


def write_metrics_csv(comparison: Comparison, path: Path) -> Path:
    """One row per model and label; "n/a" where a figure is not defined."""
    rows = [{**row, **stamp(result)} for result in comparison.results for row in metric_rows(comparison.case, result)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({k: "n/a" if v is None else v for k, v in row.items()} for row in rows)
    return path


def write_lesions_csv(comparison: Comparison, path: Path) -> Path:
    """The lesion ledger of all models; only its header where there is no reference or no tumour."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*LESION_FIELDS, *STAMP])
        writer.writeheader()
        for result in comparison.results:
            for row in lesion_rows(comparison.case, result):
                writer.writerow({k: "n/a" if v is None else v for k, v in {**row, **stamp(result)}.items()})
    return path


def write_comparison_json(comparison: Comparison, path: Path) -> Path:
    """The rows of metrics.csv with null for n/a, the Dice of every slice, and the provenance."""
    content = {
        "provenance": provenance(comparison),
        "metrics": [row for result in comparison.results for row in metric_rows(comparison.case, result)],
        "classes": [
            {"model": result.prediction.checkpoint.model, **finite(asdict(result.scores.classes))}
            for result in comparison.results
            if result.scores
        ],
        "hausdorff_witness": [
            {"model": result.prediction.checkpoint.model, "label": metrics.label, **asdict(witness)}
            for result in comparison.results
            if result.scores
            for metrics, witness in zip(result.metrics, result.scores.witnesses, strict=True)
            if witness
        ],
        "precision_recall": [
            {"model": result.prediction.checkpoint.model, "label": metrics.label, **_curve(curve)}
            for result in comparison.results
            if result.scores
            for metrics, curve in zip(result.metrics, result.scores.curves, strict=False)
        ],
        "lesions": [row for result in comparison.results for row in lesion_rows(comparison.case, result)],
        "slices": [
            {
                "model": result.prediction.checkpoint.model,
                "label": one.label,
                "dice": [None if math.isnan(v) else round(float(v), 5) for v in one.dice],
                "reference_pixels": one.reference_pixels.tolist(),
                "prediction_pixels": one.prediction_pixels.tolist(),
            }
            for result in comparison.results
            for one in result.slices
        ],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _curve(curve: PrecisionRecall) -> dict[str, Any]:
    """Its area and every tenth point."""
    points = {name: getattr(curve, name)[::10] for name in ("thresholds", "precision", "recall")}
    rounded = {name: [None if math.isnan(v) else round(float(v), 4) for v in values] for name, values in points.items()}
    return {**finite({"area": float(curve.area), "chance": float(curve.chance)}), **rounded}


def write_mask(volume: Volume, result: Result, out: Path) -> Path:
    """MODEL.nii.gz in the folder `out`, which is made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    prediction = result.prediction
    path = out / f"{prediction.checkpoint.model}.nii.gz"
    return write_label_map(path, prediction.label_map, volume, mask_origin(result))


def write_report(comparison: Comparison, out: Path, masks: Sequence[Path] | None = None) -> list[Path]:
    """All files of a comparison into the folder `out`, which is made if need be. Returns their paths.

    masks: those that write_mask() has written already, in the order of the results.
    """
    out.mkdir(parents=True, exist_ok=True)
    if masks is None:
        masks = [write_mask(comparison.case.volume, result, out) for result in comparison.results]
    page = out / "report.html"
    page.write_text(report_html(comparison), encoding="utf-8")
    return [
        write_metrics_csv(comparison, out / "metrics.csv"),
        write_lesions_csv(comparison, out / "lesions.csv"),
        write_comparison_json(comparison, out / "comparison.json"),
        *masks,
        page,
    ]
