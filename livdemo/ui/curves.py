"""Precision against recall as a picture, one curve per model: made when it is asked for, plotly is large."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from livdemo.cases import Case
from livdemo.curves import LOWEST_KNOWN, curves_of
from livdemo.metrics import LABELS, LabelMetrics, PrecisionRecall
from livdemo.ui.events import DRAWING, QUIET, while_open
from livdemo.ui.session import Session
from livdemo.ui.wall import Entry, Standing

# After Okabe and Ito, darkened until each has 3:1 on a light page and on a dark one; where two are alike to somebody,
# their dashes are not, and no two of eighteen curves share both.
COLOURS = ("#1479BE", "#D55E00", "#C06A98", "#B87B00", "#009E73", "#767C86")
DASHES = ("solid", "dash", "dot")
GRID = "rgba(139,152,169,.25)"

WHAT = """A curve is of the voxels of this one case: for every threshold of the probability, how many of the voxels that
the model calls so are right (*precision*), and how many of the reference's it finds (*recall*)."""

MEANING = (
    "The dot, and precision and recall in the table, are of the mask on the wall. Its rule is more than one threshold, "
    "so it may lie beside its curve. "
    "Area is the average precision: precision times the gain in recall, summed while the threshold falls; 1 is "
    f"perfect, {{chance}} is chance here. Probabilities below {LOWEST_KNOWN:g} are not kept: a curve ends there."
)


@dataclass(frozen=True, eq=False)
class Drawn:
    """One model's curve and where its mask on the wall lies."""

    entry: Entry
    curve: PrecisionRecall
    metrics: LabelMetrics

    @property
    def title(self) -> str:
        return f"{self.entry.title}{f' ({self.entry.note})' if self.entry.note else ''}"


def curve_panel(session: gr.State, standing: gr.State) -> list[Any]:
    """An accordion that draws when it is opened and when the wall changes. Returns what clear_curves() clears."""
    with gr.Accordion("Precision and recall", open=False, elem_id="curves") as panel:
        gr.Markdown(WHAT, elem_classes="note")
        label = gr.Radio(
            [(name.capitalize(), name) for name in LABELS], value="tumour", label="Of", elem_id="curves-label"
        )
        plot = gr.Plot(show_label=False, visible=False, elem_id="curves-plot")
        table = gr.HTML(elem_id="curves-table", apply_default_css=False)
    for asked in (panel.expand, label.input, while_open("curves", standing)):
        asked(draw_curves, [session, standing, label], [plot, table], **DRAWING)
    panel.collapse(lambda: gr.Plot(visible=False), None, plot, queue=False, **QUIET)
    return [panel, plot, table]


def clear_curves() -> list[Any]:
    """Nothing of the last case."""
    return [gr.Accordion(open=False), gr.Plot(visible=False), ""]


def draw_curves(session: Session | None, standing: Standing | None, label: object) -> list[Any]:
    """The picture, and the same figures in words; or the sentence that says why there is none."""
    if label not in LABELS:
        return [gr.skip(), gr.skip()]
    hidden = gr.Plot(visible=False)
    if session is None or standing is None or not standing.models or not standing.is_of(session.results):
        return [hidden, "<p class='empty'>The curves of all models stand here once one has run.</p>"]
    if session.case.reference is None:
        return [hidden, "<p class='note'>This case has no reference, so nothing is right or wrong.</p>"]
    if not (session.case.reference >= LABELS.index(str(label)) + 1).any():
        return [hidden, f"<p class='note'>The reference has no {label}, so there is nothing to find.</p>"]
    entries = list(standing.models.values())
    drawn = drawn_curves(session.case, entries, str(label))
    without = [entry.title for entry in entries if all(one.entry is not entry for one in drawn)]
    figure = gr.Plot(curve_figure(drawn, str(label)), visible=True) if drawn else hidden
    return [figure, curve_table(drawn, without, str(label))]


def drawn_curves(case: Case, entries: Sequence[Entry], label: str) -> list[Drawn]:
    """The curves of all models that know the label and whose probabilities were kept."""
    assert case.reference is not None
    index, drawn = LABELS.index(label), []
    for entry in entries:
        kept = entry.prediction.quantised if entry.prediction else None
        if kept is None or entry.scores is None or index >= len(entry.scores.metrics):
            continue
        curve = curves_of(kept, case.reference, index + 1)[index]
        drawn.append(Drawn(entry, curve, entry.scores.metrics[index]))
    return drawn


def curve_figure(drawn: Sequence[Drawn], label: str) -> go.Figure:
    """Recall (across) against precision (up): a line per model, from the lowest kept threshold on, and a dot."""
    figure = go.Figure()
    for number, one in enumerate(drawn):
        look = {"legendgroup": str(number), "hovertemplate": _hover(one)}
        figure.add_trace(_line(one, number, look))
        if not math.isnan(one.metrics.precision) and not math.isnan(one.metrics.sensitivity):
            figure.add_trace(_dot(one, number, look))
    axis = {"range": [-0.02, 1.04], "gridcolor": GRID, "zeroline": False}
    figure.update_layout(
        height=380 + 20 * len(drawn),
        margin={"l": 56, "r": 16, "t": 12, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7c8998"},  # readable on light and dark
        legend={"orientation": "v", "x": 0, "y": -0.2, "yanchor": "top", "tracegroupgap": 0},
        xaxis={"title": f"recall of the {label}", **axis},
        yaxis={"title": "precision", **axis},
    )
    return figure


def line_look(number: int) -> tuple[str, str]:
    """Colour and dash of the curve of this number, from 0."""
    return COLOURS[number % len(COLOURS)], DASHES[(number + number // len(COLOURS)) % len(DASHES)]


def _line(one: Drawn, number: int, look: dict[str, str]) -> go.Scatter:
    curve, (colour, dash) = one.curve, line_look(number)
    known = (curve.thresholds >= LOWEST_KNOWN) & ~np.isnan(curve.precision)
    return go.Scatter(
        x=curve.recall[known].round(4).tolist(),
        y=curve.precision[known].round(4).tolist(),
        text=[f"threshold {threshold:.2f}" for threshold in curve.thresholds[known]],
        name=f"{one.title}, area {curve.area:.3f}",
        mode="lines",
        line={"color": colour, "width": 2.5, "dash": dash},
        **look,
    )


def _dot(one: Drawn, number: int, look: dict[str, str]) -> go.Scatter:
    return go.Scatter(
        x=[round(one.metrics.sensitivity, 4)],
        y=[round(one.metrics.precision, 4)],
        text=["mask on the wall"],
        name=f"{one.title}, mask on the wall",
        showlegend=False,
        mode="markers",
        marker={"size": 12, "color": line_look(number)[0], "line": {"width": 2, "color": "#fff"}},
        **look,
    )


def _hover(one: Drawn) -> str:
    return f"{html.escape(one.title)}, %{{text}}<br>recall %{{x:.3f}}, precision %{{y:.3f}}<extra></extra>"


def curve_table(drawn: Sequence[Drawn], without: Sequence[str], label: str) -> str:
    """Area, and precision and recall of the mask on the wall, model by model; then what each figure is."""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(one.title)}</th><td data-title='Area'>{one.curve.area:.3f}</td>"
        f"<td data-title='Precision'>{_share(one.metrics.precision)}</td>"
        f"<td data-title='Recall'>{_share(one.metrics.sensitivity)}</td></tr>"
        for one in drawn
    )
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("Area ↑", "Precision ↑", "Recall ↑"))
    table = (
        f"<div class='wide'><table class='figures'><thead><tr><th scope='col'>Model, {label}</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
    silent = "".join(f" {html.escape(title)} knows no {label}, so it has no curve." for title in without)
    if not drawn:
        return f"<p class='note'>{silent}</p>"
    return f"{table}<p class='note'>{MEANING.format(chance=f'{drawn[0].curve.chance:.2g}')}{silent}</p>"


def _share(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
