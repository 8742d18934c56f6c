"""Scores as cards, as a table and as a curve over the slices; every figure with its definition."""

import html
import math

import plotly.graph_objects as go

from livdemo.metrics import DEFINITIONS, LabelMetrics, SliceMetrics
from livdemo.report import format_metric, metric_rows
from livdemo.ui.session import Session

COLOURS = {"liver": "#009E73", "tumour": "#E69F00"}
CARD = ("iou", "hd_mm", "hd95_mm", "sensitivity", "precision")
TABLE = (
    "dice", "iou", "sensitivity", "specificity", "precision", "hd_mm", "hd95_mm", "assd_mm", "nsd",
    "volume_ml", "reference_volume_ml", "volume_difference",
)  # fmt: skip
STATES = {
    "both empty": "Neither the reference nor the model shows one: nothing to score.",
    "reference empty": "The reference shows none, the model does: a false alarm, scored as the worst.",
    "prediction empty": "The model found none of it: a miss, scored as the worst.",
}
NO_RESULT = "<p class='empty'>Scores appear here once a model has run: step 4, Segment.</p>"


def cards_html(session: Session | None, slice_index: int | None) -> str:
    """One card per label: Dice of the volume in large, the rest below, and Dice of the slice in view."""
    if session is None or session.result is None:
        return NO_RESULT
    if not session.result.metrics:
        return _volumes(session)
    known = session.case.volume.spacing_known
    cards = [_card(metrics, slices, slice_index, known) for metrics, slices in session.label_scores()]
    note = "" if known else "<p class='note'>This case has no voxel spacing: distances are counted in voxels.</p>"
    weak = session.result.prediction.checkpoint.weak_on(session.case.name)
    return f"<div class='cards'>{''.join(cards)}</div>{note}<p class='note'>{html.escape(weak)}</p>"


def _card(metrics: LabelMetrics, slices: SliceMetrics, slice_index: int | None, known: bool) -> str:
    figures = "".join(
        f"<div><dt title='{_definition(name)}'>{DEFINITIONS[name].title}</dt>"
        f"<dd>{format_metric(metrics, name, known)}</dd></div>"
        for name in CARD
    )
    state = f"<p class='state'>{STATES[metrics.state]}</p>" if metrics.state in STATES else ""
    here = ""
    if slice_index is not None:
        dice = float(slices.dice[slice_index])
        value = "n/a, empty here" if math.isnan(dice) else f"{dice:.3f}"
        here = f"<p class='here'>slice {slice_index + 1}: Dice {value}</p>"
    return (
        f"<section class='card {metrics.label}' data-label='{metrics.label}' aria-label='{metrics.label} scores'>"
        f"<h4>{metrics.label.capitalize()}</h4><p class='figure' data-metric='dice' title='{_definition('dice')}'>"
        f"{format_metric(metrics, 'dice', known)}</p><p class='unit'>Dice, whole volume (0 to 1, higher is better)</p>"
        f"{state}{here}<dl>{figures}</dl></section>"
    )


def _volumes(session: Session) -> str:
    """Without a reference there is nothing to score: sizes only."""
    assert session.result is not None
    cards = []
    for row in metric_rows(session.case, session.result):
        size = "n/a" if row["volume_ml"] is None else f"{row['volume_ml']:.0f} mL"
        cards.append(
            f"<section class='card {row['label']}'><h4>{row['label'].capitalize()}</h4>"
            f"<p class='figure'>{size}</p><p class='unit'>volume found by the model</p></section>"
        )
    why = "<p class='note'>This case has no reference, so there are no scores, only volumes.</p>"
    return f"<div class='cards'>{''.join(cards)}</div>{why}"


def table_html(session: Session | None) -> str:
    """All figures of the result, labels as columns, each with unit, direction and definition."""
    if session is None or session.result is None or not session.result.metrics:
        return ""
    known = session.case.volume.spacing_known
    labels = [metrics.label for metrics in session.result.metrics]
    head = "".join(f"<th scope='col'>{label.capitalize()}</th>" for label in labels)
    rows = []
    for name in TABLE:
        definition = DEFINITIONS[name]
        arrow = {"higher": "↑", "lower": "↓"}.get(definition.better, "")
        hint = f"{definition.better} is better" if definition.better else ""
        cells = "".join(f"<td>{format_metric(m, name, known)}</td>" for m in session.result.metrics)
        rows.append(
            f"<tr><th scope='row'>{definition.title} <span title='{hint}'>{arrow}</span>"
            f"<small>{html.escape(definition.sentence)}</small></th>{cells}</tr>"
        )
    return (
        f"<table class='scores'><thead><tr><th scope='col'>Whole volume</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def slice_curve(session: Session) -> go.Figure:
    """Dice of every slice for both labels; gaps where neither mask has a pixel."""
    figure = go.Figure()
    for _, slices in session.label_scores():
        figure.add_scatter(
            x=list(range(1, len(slices.dice) + 1)),
            y=[None if math.isnan(v) else float(v) for v in slices.dice],
            name=slices.label,
            mode="lines+markers",
            marker={"size": 4, "symbol": "circle" if slices.label == "liver" else "diamond"},
            line={"color": COLOURS[slices.label], "dash": "solid" if slices.label == "liver" else "dot"},
        )
    figure.update_layout(
        height=240,
        title={"text": "Dice of every slice", "font": {"size": 14}, "x": 0, "xref": "paper"},
        margin={"l": 44, "r": 8, "t": 34, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#8b98a9"},  # readable on light and dark
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.22},
        xaxis={"title": "slice, from the feet up", "gridcolor": "rgba(139,152,169,.25)", "zeroline": False},
        yaxis={"title": "Dice", "range": [-0.03, 1.03], "gridcolor": "rgba(139,152,169,.25)", "zeroline": False},
    )
    return figure


def _definition(name: str) -> str:
    return html.escape(f"{DEFINITIONS[name].sentence} ({DEFINITIONS[name].source})", quote=True)
