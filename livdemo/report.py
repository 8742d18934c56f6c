"""What is taken home: metrics.csv, comparison.json, a mask per model, and one HTML page that opens offline.

Every export says where it comes from: case, checkpoint and hash, preprocessing, definitions, versions, date.
"""

import base64
import csv
import datetime
import html
import json
import math
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import livdemo
from livdemo import overlay
from livdemo.cases import Case
from livdemo.comparison import Comparison, Result
from livdemo.intensity import NAMED_WINDOWS
from livdemo.metrics import DEFINITIONS, LabelMetrics, PrecisionRecall, SliceMetrics
from livdemo.metrics.lesions import LESION_COLUMNS, Lesion
from livdemo.volume import write_label_map

DISCLAIMER = "For teaching only, not for clinical use."
FIRST_COLUMNS = (
    "case", "model", "label", "state", "dice", "iou", "hd_mm", "hd95_mm", "assd_mm", "nsd", "sensitivity",
    "specificity", "precision", "volume_ml", "reference_volume_ml", "seconds",
)  # fmt: skip
NEEDS_SPACING = frozenset(
    ("hd_mm", "hd95_mm", "assd_mm", "nsd", "boundary_iou", "volume_ml", "reference_volume_ml", "tolerance_mm")
)
HEADLINE = ("dice", "iou", "hd_mm", "hd95_mm", "sensitivity", "precision", "volume_ml", "reference_volume_ml")


COLUMNS = (*FIRST_COLUMNS, *(name for name in DEFINITIONS if name not in FIRST_COLUMNS), "spacing_known")


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
        sizes = {"liver": (prediction.label_map >= 1).sum(), "tumour": (prediction.label_map == 2).sum()}
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
    """A figure as words with its unit: "0.953", "12.4 mm", "14 voxels", "n/a", "miss".

    A distance of a case without spacing is counted in voxels and says so; a volume of one is n/a.
    """
    value = getattr(metrics, name)
    unit = DEFINITIONS[name].unit
    if math.isnan(value) or (not spacing_known and name in NEEDS_SPACING and unit != "mm"):
        return "n/a"
    if metrics.state in ("reference empty", "prediction empty") and unit == "mm":
        return f"miss ({_significant(value)} {unit if spacing_known else 'voxels'})"
    if unit == "mm" and not spacing_known:
        unit = "voxels"
    return f"{_significant(value) if unit else f'{value:.3f}'}{' ' + unit if unit else ''}"


def _significant(value: float) -> str:
    """Three significant digits without an exponent: 1540, 153, 15.3, 1.53, 0.15."""
    if not math.isfinite(value):
        return str(value)
    digits = 2 - math.floor(math.log10(abs(value))) if value else 2
    return f"{round(value, digits):.{max(0, min(digits, 2))}f}"


def provenance(comparison: Comparison) -> dict[str, Any]:
    """Everything needed to know what the figures are and to make them again."""
    case = comparison.case
    return {
        "livdemo": livdemo.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "disclaimer": DISCLAIMER,
        "versions": {name: version(name) for name in ("torch", "numpy", "scipy", "opencv-python-headless")}
        | {"python": platform.python_version()},
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
        "empty_masks": "Both empty: n/a. Exactly one empty: overlap 0, distances are the image diagonal (a miss).",
        "liver": "labels 1 and 2 together: a tumour is inside the liver",
    }


def _run_provenance(result: Result) -> dict[str, Any]:
    prediction, checkpoint = result.prediction, result.prediction.checkpoint
    return {
        "model": checkpoint.model,
        "title": checkpoint.title,
        "preset": checkpoint.preset,
        "checkpoint": {"file": checkpoint.file, "sha256": checkpoint.sha256, "hub": checkpoint.hub or None},
        "preprocessing": checkpoint.preprocessing.to_dict(),
        "rule": prediction.rule,
        "trained_on": checkpoint.trained_on,
        "weak": checkpoint.weak,
        "device": prediction.device,
        "seconds": round(prediction.seconds, 3),
        "peak_memory_mb": round(prediction.peak_memory_mb, 1),
    }


def write_metrics_csv(comparison: Comparison, path: Path) -> Path:
    """One row per model and label; "n/a" where a figure is not defined."""
    rows = [row for result in comparison.results for row in metric_rows(comparison.case, result)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({k: "n/a" if v is None else v for k, v in row.items()} for row in rows)
    return path


def write_comparison_json(comparison: Comparison, path: Path) -> Path:
    """The rows of metrics.csv with null for n/a, the Dice of every slice, and the provenance."""
    content = {
        "provenance": provenance(comparison),
        "metrics": [row for result in comparison.results for row in metric_rows(comparison.case, result)],
        "classes": [
            {"model": result.prediction.checkpoint.model, **_finite(asdict(result.scores.classes))}
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
    return {**_finite({"area": float(curve.area), "chance": float(curve.chance)}), **rounded}


LESION_FIELDS = (
    "case", "model", "lesion", "found", "dice", "iou", "volume_ml", "diameter_mm", "size_group", "mean_hu",
    "contrast_hu", "slice",
)  # fmt: skip


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
    return [_finite({**stamp, **row, **hidden}) for row in matched + invented]


def _lesion(lesion: Lesion, name: str, found: bool | None, dice: float | None, iou: float | None) -> dict[str, Any]:
    same = {k: getattr(lesion, k) for k in ("volume_ml", "diameter_mm", "size_group", "mean_hu", "contrast_hu")}
    return {"lesion": name, "found": found, "dice": dice, "iou": iou, **same, "slice": lesion.slice_index + 1}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def write_lesions_csv(comparison: Comparison, path: Path) -> Path:
    """The lesion ledger of all models; only its header where there is no reference or no tumour."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=LESION_FIELDS)
        writer.writeheader()
        for result in comparison.results:
            for row in lesion_rows(comparison.case, result):
                writer.writerow({k: "n/a" if v is None else v for k, v in row.items()})
    return path


def write_report(comparison: Comparison, out: Path) -> list[Path]:
    """All files of a comparison into the folder `out`, which is made if need be. Returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    masks = [
        write_label_map(out / f"{r.prediction.checkpoint.model}.nii.gz", r.prediction.label_map, comparison.case.volume)
        for r in comparison.results
    ]
    page = out / "report.html"
    page.write_text(report_html(comparison), encoding="utf-8")
    return [
        write_metrics_csv(comparison, out / "metrics.csv"),
        write_lesions_csv(comparison, out / "lesions.csv"),
        write_comparison_json(comparison, out / "comparison.json"),
        *masks,
        page,
    ]


def report_html(comparison: Comparison) -> str:
    """One page with tables and lossless pictures inside: no script, no link to anything outside."""
    case = comparison.case
    facts = provenance(comparison)
    parts = [
        f"<h1>livdemo: {_e(case.name)}</h1>",
        f"<p class=note>{_e(DISCLAIMER)} {_e(case.source)}. Licence of the case: {_e(case.licence)}.</p>",
        *(f"<p class=warning>{_e(warning)}</p>" for warning in case.volume.warnings),
        "<h2>Scores</h2>" if case.reference is not None else "<h2>Volumes</h2><p>No reference, so no scores.</p>",
        _score_table(comparison),
    ]
    for result in comparison.results:
        parts += [_model_section(case, result), _lesion_table(case, result)]
    parts += [
        "<h2>What the figures mean</h2><dl>",
        *(
            f"<dt>{_e(d.title)}{f' ({_e(d.unit)})' if d.unit else ''}</dt>"
            f"<dd>{_e(d.sentence)} <small>{_e(d.source)}</small></dd>"
            for d in DEFINITIONS.values()
        ),
        f"</dl><p>{_e(facts['empty_masks'])} The liver is {_e(facts['liver'])}.</p>",
        "<h2>Where it comes from</h2>",
        f"<pre>{_e(json.dumps({k: v for k, v in facts.items() if k != 'definitions'}, indent=1))}</pre>",
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>livdemo: {_e(case.name)}</title><style>{_STYLE}</style><main>{''.join(parts)}</main></html>"
    )


def _score_table(comparison: Comparison) -> str:
    header, rows = results_table(comparison)
    meaning = {definition.title: definition.sentence for definition in DEFINITIONS.values()}
    head = "".join(f"<th title='{_e(meaning.get(title, ''))}'>{_e(title)}</th>" for title in header)
    body = "".join(
        f"<tr><th>{_e(model)}</th>{''.join(f'<td>{_e(cell)}</td>' for cell in cells)}</tr>" for model, *cells in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _model_section(case: Case, result: Result) -> str:
    checkpoint = result.prediction.checkpoint
    pictures = [
        f"<figure><img alt='{_e(caption)}' src='data:image/png;base64,{_png(picture)}'>"
        f"<figcaption>{_e(caption)}</figcaption></figure>"
        for caption, picture in _pictures(case, result)
    ]
    weak = f"<p class=warning>{_e(checkpoint.weak)}</p>" if checkpoint.weak else ""
    return (
        f"<h2>{_e(checkpoint.title)}</h2>{weak}<p>{_e(checkpoint.trained_on)} Fed with "
        f"{_e(checkpoint.preprocessing.describe())}. {_e(result.prediction.rule.capitalize())}. "
        f"{result.prediction.seconds:.1f} s on {_e(result.prediction.device)}, "
        f"sha256 {checkpoint.sha256[:12]}…</p><div class=row>{''.join(pictures)}</div>"
    )


def _lesion_table(case: Case, result: Result) -> str:
    """The lesion ledger of one model; nothing without lesions."""
    rows = lesion_rows(case, result)
    if not rows:
        return ""
    shown = LESION_FIELDS[2:]
    names = ((LESION_COLUMNS.get(name, ""), name.replace("_", " ")) for name in shown)
    head = "".join(f"<th title='{_e(meaning)}'>{_e(name)}</th>" for meaning, name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_e(_cell(row[name]))}</td>' for name in shown)}</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "found" if value else "missed"
    return _significant(value) if isinstance(value, float) else str(value)


def _pictures(case: Case, result: Result) -> list[tuple[str, np.ndarray]]:
    """Captioned pictures of the slices that tell most: the largest area and, with a reference, the worst."""
    prediction, reference = result.prediction.label_map, case.reference
    shown = prediction if reference is None or not reference.any() else reference
    largest = int((shown > 0).sum(axis=(1, 2)).argmax())
    pictures = [_pair(case, prediction, largest, "largest area")]
    if reference is not None and result.slices:
        hardest = result.slices[-1] if (reference == 2).any() else result.slices[0]
        worst = worst_slice(hardest)
        if worst is not None:
            pictures.append(_pair(case, prediction, worst, f"lowest {hardest.label} Dice"))
    return [picture for pair in pictures for picture in pair]


def worst_slice(slices: SliceMetrics) -> int | None:
    """Index of the slice with the most wrong pixels among those with the lowest Dice; None if all are n/a."""
    if np.isnan(slices.dice).all():
        return None
    lowest = slices.dice == np.nanmin(slices.dice)
    size = slices.reference_pixels + slices.prediction_pixels
    return int(np.where(lowest, size, -1).argmax())


def _pair(case: Case, prediction: np.ndarray, k: int, why: str) -> list[tuple[str, np.ndarray]]:
    window = NAMED_WINDOWS["abdomen"]
    grey = overlay.to_rgb(window(case.volume.hu[k]))
    where = f"slice {k + 1} of {len(case.volume.hu)} ({why}), window {window.width:g}/{window.center:g}"
    drawn = [(f"Prediction, {where}", overlay.draw_labels(grey, prediction[k]))]
    if case.reference is not None:
        drawn.insert(0, (f"Reference, {where}", overlay.draw_labels(grey, case.reference[k])))
        errors = overlay.draw_errors(grey, prediction[k] > 0, case.reference[k] > 0)
        drawn.append(("Liver: blue right, hatched orange too much, dotted pink missed", errors))
    return drawn


def _png(rgb: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()).decode()


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)


_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}main{max-width:70rem;margin:auto;
padding:1.5rem}h1,h2{line-height:1.2}.note{opacity:.8}.warning{border-left:4px solid #E69F00;padding-left:.75rem}
.wide{overflow-x:auto}table{border-collapse:collapse}th,td{text-align:left;padding:.3rem .8rem;border-bottom:1px solid
#8886}.row{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:20rem}img{width:100%;background:#000;
image-rendering:pixelated}figcaption{font-size:.85rem}dt{font-weight:600}dd{margin:0 0 .5rem}pre{overflow-x:auto;
font-size:.8rem}
"""


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
    volumes = ["n/a" if row["volume_ml"] is None else f"{_significant(row['volume_ml'])} mL" for row in rows]
    return [
        (row["label"], [volume if name == "volume_ml" else "n/a" for name in HEADLINE])
        for row, volume in zip(rows, volumes, strict=True)
    ]
