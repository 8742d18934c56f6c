"""The wall's figures as tables: models by metrics, lesions one by one, and which tissue is taken for which.

Each function returns HTML for figure_table(), a component in which a head sorts and a row jumps to its slice, both
without asking the server (tables.js).
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from livdemo.cases import Case
from livdemo.metrics import DEFINITIONS, LABELS
from livdemo.metrics.classes import count_classes
from livdemo.metrics.lesions import LESION_COLUMNS, Lesion
from livdemo.metrics.statistics import MIN_CASES
from livdemo.report import ONE_EMPTY, format_metric, significant
from livdemo.ui.viewer import PaneWitness
from livdemo.ui.wall import Entry, witnesses_of

_HERE = Path(__file__).parent

ONE_CASE = (
    "★ marks the best of a column, on this case alone: one case proves nothing about which model is better. "
    f"Whether a difference could be chance is tested from {MIN_CASES} cases on (python -m livdemo evaluate), so "
    "nothing here is marked as not significantly worse."
)
HD_JUMPS = "Press a Hausdorff distance (HD) to see in the pictures between which two points it is measured."
NOTHING_YET = "<p class='empty'>The figures of all models stand here once one has run.</p>"
NO_REFERENCE = "<p class='note'>This case has no reference, so there are no scores: volumes, time and memory only.</p>"
NOTHING_DRAWN = "<p class='note'>This case has no reference: nobody has drawn what is there.</p>"
NO_LESIONS_YET = (
    "<p class='empty'>Each lesion of the reference stands here once a model that knows tumours has run.</p>"
)
NO_TISSUES_YET = "<p class='empty'>A small table per model stands here once one has run.</p>"


@dataclass(frozen=True)
class Column:
    """One figure of the table: how it is read off an entry, and how it is written."""

    group: str  # liver | tumour | run
    title: str
    better: str  # higher | lower | ""
    meaning: str
    value: Callable[[Entry], float]  # NaN: n/a
    text: Callable[[Entry], str]


def figure_table(**kwargs: Any) -> gr.HTML:
    """A component for the tables below; kwargs go to gr.HTML. A factory for the reason of ct_viewer()."""
    script = "\n".join((_HERE / name).read_text("utf-8") for name in ("link.js", "tables.js"))
    return gr.HTML("", js_on_load=script, apply_default_css=False, **kwargs)


def _metric_column(case: Case, index: int, name: str) -> Column:
    """A figure of LabelMetrics of the liver (index 0) or the tumour (1); its unit stands in the head."""
    definition, known = DEFINITIONS[name], case.volume.spacing_known
    unit = (definition.unit if known else "voxels") if definition.unit else ""

    def value(entry: Entry) -> float:
        if entry.scores is None or index >= len(entry.scores.metrics):
            return math.nan
        return float(getattr(entry.scores.metrics[index], name))

    def text(entry: Entry) -> str:
        if entry.scores is None or index >= len(entry.scores.metrics):
            return "n/a"
        metrics = entry.scores.metrics[index]
        if definition.unit == "mm" and metrics.state in ONE_EMPTY:
            return f"{significant(getattr(metrics, name))} <small class='why'>{ONE_EMPTY[metrics.state]}</small>"
        words = format_metric(metrics, name, known)
        return words.removesuffix(f" {unit}") if unit else words

    meaning = f"{definition.sentence} ({definition.source})"
    return Column(LABELS[index], f"{definition.title} {unit}".strip(), definition.better, meaning, value, text)


def _volume_column(case: Case, label: str, least: int) -> Column:
    """Predicted volume, and how much it differs from the reference's."""
    voxel_ml = math.prod(case.volume.spacing_mm) / 1000
    known = case.volume.spacing_known
    truth = math.nan if case.reference is None else float((case.reference >= least).sum()) * voxel_ml

    def value(entry: Entry) -> float:
        return math.nan if least == 2 and not entry.knows_tumour else float((entry.label_map >= least).sum()) * voxel_ml

    def text(entry: Entry) -> str:
        volume = value(entry)
        if math.isnan(volume) or not known:
            return "n/a"
        change = "" if math.isnan(truth) or truth == 0 else f" <small>{_signed(volume / truth - 1)}</small>"
        return f"{_ml(volume)}{change}"

    reference = "" if math.isnan(truth) or not known else f" Reference: {_ml(truth)} mL."
    return Column(label, "Volume mL", "", f"{DEFINITIONS['volume_ml'].sentence}{reference}", value, text)


def _ml(volume: float) -> str:
    return f"{volume:.0f}" if volume >= 100 else f"{volume:.1f}" if volume >= 1 else f"{volume:.2f}"


def _signed(share: float) -> str:
    return f"{share * 100:+.0f} %".replace("-", "−")


def _lesion_columns() -> list[Column]:
    def found(entry: Entry) -> float:
        report = entry.scores.lesions if entry.scores else None
        return report.n_found if report and report.reference else math.nan

    def found_text(entry: Entry) -> str:
        report = entry.scores.lesions if entry.scores else None
        return f"{report.n_found} of {len(report.reference)}" if report and report.reference else "n/a"

    def alarms(entry: Entry) -> float:
        report = entry.scores.lesions if entry.scores else None
        return len(report.false_positives) if report else math.nan

    def alarms_text(entry: Entry) -> str:
        return "n/a" if math.isnan(alarms(entry)) else f"{alarms(entry):.0f}"

    meaning = "False alarms: predicted tumours that are matched to no lesion of the reference."
    return [
        Column("tumour", "Found", "higher", f"Lesions of the reference. {LESION_COLUMNS['found']}", found, found_text),
        Column("tumour", "Alarms", "lower", meaning, alarms, alarms_text),
    ]


def _run_columns() -> list[Column]:
    def seconds(entry: Entry) -> float:
        return entry.prediction.seconds if entry.prediction else math.nan

    def seconds_text(entry: Entry) -> str:
        return f"{entry.prediction.seconds:.1f}" if entry.prediction else "n/a"

    def memory(entry: Entry) -> float:
        return entry.prediction.peak_memory_mb if entry.prediction else math.nan

    def memory_text(entry: Entry) -> str:
        if entry.prediction is None:
            return "n/a"
        return f"{entry.prediction.peak_memory_mb / 1024:.1f} <small>{entry.prediction.device.upper()}</small>"

    took = "Preparing, network and way back to the CT's grid, for the whole volume; loading the model not counted."
    held = (
        "Highest memory use so far: of the GPU's memory on a GPU; on a CPU of the whole server process since it "
        "started, so it never falls and says little about one model."
    )
    return [
        Column("run", "Time s", "lower", took, seconds, seconds_text),
        Column("run", "Memory GB", "", held, memory, memory_text),
    ]


def columns_of(case: Case) -> list[Column]:
    """The figures that a case allows: scores with a reference, volumes always."""
    volumes = [_volume_column(case, "liver", 1), _volume_column(case, "tumour", 2)]
    if case.reference is None:
        return [*volumes, *_run_columns()]
    overlaps = ("dice", "iou", "hd_mm", "hd95_mm")
    liver = [_metric_column(case, 0, name) for name in overlaps]
    tumour = [_metric_column(case, 1, name) for name in overlaps]
    return [*liver, volumes[0], *tumour, *_lesion_columns(), volumes[1], *_run_columns()]


def score_table(case: Case, entries: Sequence[Entry], volume_key: str = "") -> str:
    """Models and consensus as rows, figures as columns; the best of each column is marked.

    volume_key: of the viewer that a Hausdorff distance jumps in; without one there are no jumps.
    """
    if not entries:
        return NOTHING_YET
    columns = columns_of(case)
    best = [_best(column, entries) for column in columns]  # as text: what looks alike is marked alike
    groups = []
    for group, title in (("liver", "Liver, tumours included"), ("tumour", "Tumour"), ("run", "Time and memory")):
        count = sum(column.group == group for column in columns)
        groups.append(f"<th scope='colgroup' colspan='{count}' class='{group}'>{title}</th>")
    heads = "".join(_head(column, number) for number, column in enumerate(columns, start=1))
    known = case.volume.spacing_known
    jumps = [list(witnesses_of(entry, known)) if volume_key else [] for entry in entries]
    rows = "".join(_score_row(entry, columns, best, witnesses) for entry, witnesses in zip(entries, jumps, strict=True))
    how = HD_JUMPS if any(jumps) else ""
    after = f"<p class='note'>{how} {ONE_CASE}</p>" if case.reference is not None else NO_REFERENCE
    return (
        f"<div class='wide'><table class='figures' data-sorts data-key='{_e(volume_key)}'><thead><tr>"
        f"<th rowspan='2' scope='col'>Model</th>{''.join(groups)}</tr><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{after}{_sources(entries)}"
    )


def _sources(entries: Sequence[Entry]) -> str:
    """What hovering over a name tells, for those who cannot hover."""
    items = "".join(
        f"<dt>{_e(entry.title)}</dt><dd>{'<br>'.join(_e(line) for line in entry.provenance.splitlines())}</dd>"
        for entry in entries
    )
    return f"<details class='sources'><summary>Where each comes from</summary><dl>{items}</dl></details>"


def _head(column: Column, number: int) -> str:
    arrow = {"higher": " ↑", "lower": " ↓"}.get(column.better, "")
    hint = f"{column.meaning}{f' {column.better.capitalize()} is better.' if column.better else ''} Press to sort."
    return (
        f"<th scope='col' class='{column.group}' aria-sort='none'><button type='button' data-column='{number}' "
        f"data-better='{column.better}' title='{_e(hint)}'>{column.title}{arrow}</button></th>"
    )


def _best(column: Column, entries: Sequence[Entry]) -> str:
    """The best figure of a column as it is written; "" where there is nothing to choose from."""
    values = [(column.value(entry), column.text(entry)) for entry in entries]
    values = [pair for pair in values if not math.isnan(pair[0])]
    if not column.better or len({text for _, text in values}) < 2:
        return ""
    return (max(values) if column.better == "higher" else min(values))[1]


def _score_row(entry: Entry, columns: Sequence[Column], best: Sequence[str], witnesses: Sequence[PaneWitness]) -> str:
    cells = []
    jumps = {witness.label: witness for witness in witnesses}
    for column, most in zip(columns, best, strict=True):
        value, text = column.value(entry), column.text(entry)
        is_best = bool(most) and text == most
        mark = "<span class='star' role='img' aria-label='best of this column'>★</span> " if is_best else ""
        shown = "" if math.isnan(value) else f"{value:.6g}"
        if column.title.startswith("HD ") and column.group in jumps:
            text = _witness_button(entry, jumps[column.group], text)
        group = "" if column.group == "run" else f" {column.group}"
        cells.append(
            f"<td class='{column.group}{' best' if is_best else ''}' data-value='{shown}' "
            f"data-title='{_e((column.title + group).strip())}'>{mark}{text}</td>"
        )
    note = f" <small>{_e(entry.note)}</small>" if entry.note else ""
    return (
        f"<tr data-kind='{entry.kind}' data-entry='{_e(entry.key)}'><th scope='row' title='{_e(entry.provenance)}'>"
        f"{_e(entry.title)}{note}</th>{''.join(cells)}</tr>"
    )


def _witness_button(entry: Entry, witness: PaneWitness, text: str) -> str:
    """The distance as a press that shows where it is measured."""
    z, y, x = witness.ends[0]
    where = f"Show where on slice {z + 1}"
    name = f"{text}: HD of {entry.title}, {witness.label}. {where}."
    return (
        f"<button type='button' data-slice='{z}' data-x='{x}' data-y='{y}' data-witness='{witness.label}' "
        f"title='{where}' aria-label='{_e(name)}'>{text}</button>"
    )


# ------------------------------------------------------------------------------------------------- lesions


def lesion_table(case: Case, entries: Sequence[Entry], volume_key: str) -> str:
    """Lesion by lesion what each model found, then the lesions that models invented. A row jumps to its slice."""
    asked = [entry for entry in entries if entry.scores is not None and entry.scores.lesions is not None]
    if case.reference is None:
        return NOTHING_DRAWN
    if not asked:
        return NO_LESIONS_YET
    reports = [entry.scores.lesions for entry in asked if entry.scores and entry.scores.lesions]
    known = case.volume.spacing_known
    heads = "".join(f"<th scope='col' title='{_e(LESION_COLUMNS['dice'])}'>{_e(entry.title)}</th>" for entry in asked)
    rows = []
    for number, lesion in enumerate(reports[0].reference):
        matches = [report.matches[number] for report in reports]
        cells = "".join(
            f"<td class='{'found' if match.found else 'missed'}' data-title='{_e(entry.title)}'>"
            f"{f'{match.dice:.2f}' if match.found else 'missed'}</td>"
            for entry, match in zip(asked, matches, strict=True)
        )
        rows.append(_lesion_row(f"Lesion {lesion.number}", lesion, known, cells))
    ledger = "<p class='note'>The reference has no tumour.</p>"
    if rows:
        ledger = _ledger(volume_key, "Lesion", heads, rows) + (
            "<p class='note'>Per model the Dice of a lesion that it found, or missed. A row jumps to its slice. "
            "Lesions are connected pieces of tumour; one is found when a predicted piece overlaps it with an IoU of "
            f"at least {reports[0].min_iou:g}.</p>"
        )
    return ledger + _alarms(asked, volume_key, known)


def _alarms(asked: Sequence[Entry], volume_key: str, known: bool) -> str:
    """What each model invented, folded away: there may be many."""
    counts, rows = [], []
    for entry in asked:
        report = entry.scores.lesions if entry.scores else None
        invented = report.false_positives if report else ()
        counts.append(f"{_e(entry.title)} {len(invented)}")
        rows += [_lesion_row(_e(entry.title), lesion, known, "") for lesion in invented]
    if not rows:
        return "<p class='note'>No false alarms.</p>"
    table = _ledger(volume_key, "False alarm of", "", rows)
    return f"<details class='alarms'><summary>False alarms: {', '.join(counts)}</summary>{table}</details>"


def _ledger(volume_key: str, first: str, heads: str, rows: Sequence[str]) -> str:
    named = (
        ("Slice", "The axial slice where its area is largest."),
        ("Volume mL", LESION_COLUMNS["volume_ml"]),
        ("Diameter mm", LESION_COLUMNS["diameter_mm"]),
        ("Density HU", LESION_COLUMNS["mean_hu"]),
        ("Contrast HU", LESION_COLUMNS["contrast_hu"]),
    )
    fixed = "".join(f"<th scope='col' title='{_e(meaning)}'>{title}</th>" for title, meaning in named)
    return (
        f"<div class='wide'><table class='figures ledger' data-key='{_e(volume_key)}'><thead><tr>"
        f"<th scope='col'>{first}</th>{fixed}{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _lesion_row(name: str, lesion: Lesion, known: bool, cells: str) -> str:
    z, y, x = lesion.centre
    figures = (
        ("Slice", str(lesion.slice_index + 1)),
        ("Volume mL", _ml(lesion.volume_ml) if known else "n/a"),
        ("Diameter mm", f"{lesion.diameter_mm:.0f}" if known else "n/a"),
        ("Density HU", _hu(lesion.mean_hu)),
        ("Contrast HU", _hu(lesion.contrast_hu)),
    )
    fixed = "".join(f"<td data-title='{title}'>{text}</td>" for title, text in figures)
    return (
        f"<tr data-slice='{z}' data-x='{x}' data-y='{y}'><th scope='row'><button type='button'>{name}</button></th>"
        f"{fixed}{cells}</tr>"
    )


def _hu(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.0f}".replace("-", "−")


# ------------------------------------------------------------------------------------------------- tissues

_TISSUES = ("background", "liver", "tumour")


def tissue_tables(case: Case, entries: Sequence[Entry]) -> str:
    """Which tissue is taken for which: one 3×3 table per entry, rows the reference, in per cent of the row."""
    if case.reference is None:
        return NOTHING_DRAWN
    if not entries:
        return NO_TISSUES_YET
    tables = "".join(_tissue_table(case.reference, entry) for entry in entries)
    return (
        f"<div class='tissues'>{tables}</div><p class='note'>Of the voxels that the reference calls so (row), how many "
        "per cent the model calls so (column). Here liver is liver without its tumours.</p>"
    )


def _tissue_table(reference: np.ndarray, entry: Entry) -> str:
    counts = count_classes(entry.label_map, reference)
    rows = []
    for truth, name in enumerate(_TISSUES):
        total = int(counts[truth].sum())
        cells = []
        for called in range(len(_TISSUES)):
            share = counts[truth, called] / total if total else math.nan
            text = "n/a" if math.isnan(share) else f"{100 * share:.1f}"
            depth = 0 if math.isnan(share) else round(100 * share)
            kind = "right" if truth == called else "wrong"
            cells.append(
                f"<td class='{kind}' style='--share:{depth}%' title='{int(counts[truth, called])} voxels'>{text}</td>"
            )
        rows.append(f"<tr><th scope='row'>{name}</th>{''.join(cells)}</tr>")
    heads = "".join(f"<th scope='col'>{name}</th>" for name in _TISSUES)
    return (
        f"<table class='tissue'><caption>{_e(entry.title)}</caption><thead><tr><td></td>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _e(text: str) -> str:
    return html.escape(text, quote=True)
