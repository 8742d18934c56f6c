"""The figures of a comparison as rows for files and as words for people: what is not known is None or "n/a"."""

import math
from typing import Any

from livdemo.cases import Case
from livdemo.comparison import Comparison, Result
from livdemo.metrics import DEFINITIONS, LabelMetrics
from livdemo.metrics.lesions import Lesion

DISCLAIMER = "For teaching only, not for clinical use."
FIRST_COLUMNS = (
    "case", "model", "label", "state", "dice", "iou", "hd_mm", "hd95_mm", "assd_mm", "nsd", "sensitivity",
    "specificity", "precision", "volume_ml", "reference_volume_ml", "seconds",
)  # fmt: skip
NEEDS_SPACING = frozenset(
    ("hd_mm", "hd95_mm", "assd_mm", "nsd", "boundary_iou", "volume_ml", "reference_volume_ml", "tolerance_mm")
)
ONE_EMPTY = {"prediction empty": "miss", "reference empty": "false alarm"}  # states in which a distance is a penalty
HEADLINE = ("dice", "iou", "hd_mm", "hd95_mm", "sensitivity", "precision", "volume_ml", "reference_volume_ml")
COLUMNS = (*FIRST_COLUMNS, *(name for name in DEFINITIONS if name not in FIRST_COLUMNS), "spacing_known")
LESION_FIELDS = (
    "case", "model", "lesion", "found", "dice", "iou", "volume_ml", "diameter_mm", "size_group", "mean_hu",
    "contrast_hu", "slice",
)  # fmt: skip


def metric_rows(case: Case, result: Result) -> list[dict[str, Any]]:
    """One row per label with every figure; None where a figure is not defined or needs an unknown spacing.

    Without a reference the rows hold the volumes alone and the state "no reference".
    """
    prediction = result.prediction
    known = case.volume.spacing_known
    stamp = {
        "case": case.name,
        "model": prediction.checkpoint.model,
        "seconds": round(prediction.seconds, 3),
        "spacing_known": known,
        "checkpoint_sha256": prediction.checkpoint.sha256,
    }
    if not result.metrics:
        voxel_ml = math.prod(case.volume.spacing_mm) / 1000
        names = prediction.checkpoint.labels[1:]  # a model that knows no tumour says nothing about tumours
        sizes = {name: (prediction.label_map >= label).sum() for label, name in enumerate(names, start=1)}
        figures = [
            {"label": label, "state": "no reference", "volume_ml": float(n) * voxel_ml if known else None}
            for label, n in sizes.items()
        ]
    else:
        figures = [metric_figures(metrics, known) for metrics in result.metrics]
    return [{name: {**stamp, **row}.get(name) for name in (*COLUMNS, "checkpoint_sha256")} for row in figures]


def metric_figures(metrics: LabelMetrics, spacing_known: bool) -> dict[str, Any]:
    """Label, state and every figure of a row; None where it is n/a or needs a spacing that is not known."""
    row: dict[str, Any] = {"label": metrics.label, "state": metrics.state}
    for name in DEFINITIONS:
        value = getattr(metrics, name)
        hidden = math.isnan(value) or (name in NEEDS_SPACING and not spacing_known)
        row[name] = None if hidden else value
    return row


def format_metric(metrics: LabelMetrics, name: str, spacing_known: bool = True) -> str:
    """A figure as words with its unit: "0.953", "12.4 mm", "14 voxels", "n/a", "miss (549 mm)".

    A distance is the diagonal of the image, and says why, where one mask is empty: a miss, or a false alarm.

    A distance of a case without spacing is counted in voxels and says so; a volume of one is n/a.
    """
    value = getattr(metrics, name)
    unit = DEFINITIONS[name].unit
    if math.isnan(value) or (not spacing_known and name in NEEDS_SPACING and unit != "mm"):
        return "n/a"
    if unit == "mm" and metrics.state in ONE_EMPTY:
        return f"{ONE_EMPTY[metrics.state]} ({significant(value)} {unit if spacing_known else 'voxels'})"
    if unit == "mm" and not spacing_known:
        unit = "voxels"
    return f"{significant(value) if unit else f'{value:.3f}'}{' ' + unit if unit else ''}"


def significant(value: float) -> str:
    """Three significant digits without an exponent: 1540, 153, 15.3, 1.53, 0.15."""
    if not math.isfinite(value):
        return str(value)
    digits = 2 - math.floor(math.log10(abs(value))) if value else 2
    return f"{round(value, digits):.{max(0, min(digits, 2))}f}"


def results_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the score table as words: a row per model and label, volumes alone without a reference."""
    header = ["Model", "Label", *(DEFINITIONS[name].title for name in HEADLINE), "Seconds"]
    rows = []
    for result in comparison.results:
        title, seconds = result.prediction.checkpoint.title, f"{result.prediction.seconds:.1f}"
        rows += [[title, label, *cells, seconds] for label, cells in _headline_cells(comparison.case, result)]
    return header, rows


def _headline_cells(case: Case, result: Result) -> list[tuple[str, list[str]]]:
    """Per label the figures of HEADLINE as words."""
    if result.metrics:
        known = case.volume.spacing_known
        return [(row.label, [format_metric(row, name, known) for name in HEADLINE]) for row in result.metrics]
    rows = metric_rows(case, result)  # no reference: the volumes are all there is
    volumes = ["n/a" if row["volume_ml"] is None else f"{significant(row['volume_ml'])} mL" for row in rows]
    return [
        (row["label"], [volume if name == "volume_ml" else "n/a" for name in HEADLINE])
        for row, volume in zip(rows, volumes, strict=True)
    ]


def lesion_rows(case: Case, result: Result) -> list[dict[str, Any]]:
    """One row per lesion of the reference, found or missed, then one per lesion that the model invented.

    Slices are counted from 1. Figures in mm and mL are None where the spacing is not known.
    """
    if result.scores is None or result.scores.lesions is None:
        return []
    report = result.scores.lesions
    matched = [
        _lesion(lesion, f"reference {lesion.number}", match.found, match.dice, match.iou)
        for lesion, match in zip(report.reference, report.matches, strict=True)
    ]
    invented = [_lesion(lesion, f"false alarm {lesion.number}", None, None, None) for lesion in report.false_positives]
    stamp = {"case": case.name, "model": result.prediction.checkpoint.model}
    hidden = {} if case.volume.spacing_known else {"volume_ml": None, "diameter_mm": None, "size_group": None}
    return [finite({**stamp, **row, **hidden}) for row in matched + invented]


def _lesion(lesion: Lesion, name: str, found: bool | None, dice: float | None, iou: float | None) -> dict[str, Any]:
    same = {k: getattr(lesion, k) for k in ("volume_ml", "diameter_mm", "size_group", "mean_hu", "contrast_hu")}
    return {"lesion": name, "found": found, "dice": dice, "iou": iou, **same, "slice": lesion.slice_index + 1}


def finite(row: dict[str, Any]) -> dict[str, Any]:
    """The row with None for whatever is infinite or not a number: JSON knows neither."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
