"""Prediction and reference as surfaces to be turned: made when asked for, drawn by the plotly that gradio brings."""

from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from livdemo.cases import Case
from livdemo.mesh import Mesh, distances_mm, surface
from livdemo.metrics import LABELS
from livdemo.ui.events import DRAWING, QUIET, while_open
from livdemo.ui.session import Session
from livdemo.ui.wall import Entry, Standing

MAX_TRIANGLES = 12_000  # per surface: some 250 kB on the way to the browser
ROOM_BELOW = 0.22  # of the picture's height, for the scale of distances
WAYS = {"both": "Prediction and reference", "liver": "Liver by distance", "tumour": "Tumours by distance"}
REFERENCE_COLOUR, PREDICTION_COLOUR, LIVER_COLOUR = "#E69F00", "#56B4E9", "#8FA3B5"

HOW = """Drag to turn, scroll to come closer, press a name to hide it. *By distance* colours the model's surface by how
far it is from the reference's, in mm."""
NOTHING_YET = "<p class='empty'>The surfaces of a model stand here once one has run.</p>"


def solid_panel(session: gr.State, standing: gr.State) -> list[Any]:
    """An accordion that draws when it is opened and when the wall changes; another case clears what is returned."""
    with gr.Accordion("In three dimensions", open=False, elem_id="solid") as panel:
        gr.Markdown(HOW, elem_classes="note")
        with gr.Row():
            model = gr.Dropdown([], label="Model", filterable=False, elem_id="solid-model", interactive=True)
            way = gr.Radio(
                [(title, way) for way, title in WAYS.items()], value="both", label="Show", elem_id="solid-way"
            )
        said = gr.HTML(elem_id="solid-said", apply_default_css=False)
        plot = gr.Plot(show_label=False, visible=False, elem_id="solid-plot")
    asked = [session, standing, model, way]
    for opened in (panel.expand, while_open("solid", standing)):
        opened(open_solid, asked, [model, plot, said], **DRAWING)
    for control in (model, way):
        control.input(draw_solid, asked, [plot, said], **DRAWING)
    panel.collapse(lambda: gr.Plot(visible=False), None, plot, queue=False, **QUIET)
    return [panel, plot, said]


def clear_solid() -> list[Any]:
    """Nothing of the last case."""
    return [gr.Accordion(open=False), gr.Plot(visible=False), ""]


def open_solid(session: Session | None, standing: Standing | None, model: object, way: object) -> list[Any]:
    """The models that stand on the wall to choose from, and the first, or the one chosen before, as a picture."""
    entries = standing.entries if standing is not None else []
    names = [entry.key for entry in entries]
    chosen = model if model in names else next(iter(names), None)
    choices = [(entry.title, entry.key) for entry in entries]
    return [gr.Dropdown(choices, value=chosen), *draw_solid(session, standing, chosen, way)]


def draw_solid(session: Session | None, standing: Standing | None, model: object, way: object) -> list[Any]:
    """One model's surfaces, or none where it does not stand on the wall; and the sentence that says what is missing."""
    entries = standing.entries if standing is not None else []
    entry = next((one for one in entries if one.key == model), None)
    if session is None or entry is None or not isinstance(way, str) or way not in WAYS:
        return [gr.Plot(visible=False), NOTHING_YET]
    return [gr.Plot(solid_figure(session.case, entry, way), visible=True), what_is_missing(session.case, entry, way)]


def what_is_missing(case: Case, entry: Entry, way: str) -> str:
    """Why the picture has no distances; "" where it has, and where it is not about them."""
    if way == "both":
        return ""
    if case.reference is None:
        return "<p class='note'>This case has no reference, so there is nothing to measure from.</p>"
    least = LABELS.index(way) + 1
    if not (case.reference >= least).any():
        return f"<p class='note'>The reference has no {way}, so there is nothing to measure from.</p>"
    if not (entry.label_map >= least).any():
        return f"<p class='note'>The model found no {way}, so there is nothing to measure.</p>"
    return ""


def solid_figure(case: Case, entry: Entry, way: str) -> go.Figure:
    """way: "both" for liver and tumours of model and reference, or a label whose surface is coloured by distance.

    Patient's right is on the left, as seen from the front; the head is up. Without a reference only the model is shown.
    """
    measured = way != "both" and case.reference is not None
    parts = _by_distance(case, entry, way) if measured else _both(case, entry)
    figure = go.Figure([part for part in parts if part is not None])
    title = f"{entry.title}{f' ({entry.note})' if entry.note else ''}"
    hidden = {"visible": False}
    figure.update_layout(
        title={"text": title, "font": {"size": 14}, "x": 0.02},
        margin={"l": 0, "r": 0, "t": 36, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7c8998"},  # readable on light and dark
        legend={"orientation": "h", "x": 0, "y": 0},
        scene={
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
            "aspectmode": "data",
            "domain": {"y": [ROOM_BELOW if measured else 0, 1]},
            "uirevision": "turned",  # the same for all, so that a new picture keeps the visitor's view
            "camera": {"eye": {"x": 0.2, "y": -1.25, "z": 0.25}},
            "annotations": _sides(case),
        },
    )
    return figure


def _both(case: Case, entry: Entry) -> list[go.Mesh3d | None]:
    spacing = case.volume.spacing_mm
    parts = [
        _solid(surface(entry.label_map >= 1, spacing, MAX_TRIANGLES), f"liver, {entry.title}", PREDICTION_COLOUR, 0.1),
        _solid(
            surface(entry.label_map == 2, spacing, MAX_TRIANGLES), f"tumours, {entry.title}", PREDICTION_COLOUR, 0.75
        ),
    ]
    if case.reference is not None:
        parts += [
            _solid(surface(case.reference >= 1, spacing, MAX_TRIANGLES), "liver, reference", LIVER_COLOUR, 0.14),
            _solid(surface(case.reference == 2, spacing, MAX_TRIANGLES), "tumours, reference", REFERENCE_COLOUR, 0.4),
        ]
    return parts


def _by_distance(case: Case, entry: Entry, label: str) -> list[go.Mesh3d | None]:
    """The model's surface of one label coloured by its distance, and the reference's as a shadow."""
    assert case.reference is not None
    least, spacing = LABELS.index(label) + 1, case.volume.spacing_mm
    found = surface(entry.label_map >= least, spacing, MAX_TRIANGLES)
    truth = surface(case.reference >= least, spacing, MAX_TRIANGLES)
    shadow = _solid(truth, f"{label}, reference", LIVER_COLOUR, 0.15)
    coloured = _solid(found, f"{label}, {entry.title}", PREDICTION_COLOUR, 1.0)
    if coloured is not None and shadow is not None:
        away = distances_mm(found, truth)
        unit = "mm" if case.volume.spacing_known else "voxels"
        coloured.update(
            intensity=away,
            colorscale="Cividis",
            cmin=0,
            cmax=max(float(np.percentile(away, 99)), 1.0),  # one stray speck would make all the rest one colour
            colorbar={  # lying below, so that it takes no width from the picture on a phone
                "title": {"text": f"{unit} away", "side": "top"},
                "orientation": "h",
                "len": 0.9,
                "thickness": 10,
                "y": 0.07,
                "yanchor": "bottom",
            },
            hovertemplate=f"%{{intensity:.1f}} {unit} from the reference<extra></extra>",
        )
    return [shadow, coloured]


def _solid(mesh: Mesh, name: str, colour: str, opacity: float) -> go.Mesh3d | None:
    if not len(mesh.triangles):
        return None
    z, y, x = mesh.vertices_mm.T
    i, j, k = mesh.triangles.T
    return go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k, name=name, color=colour, opacity=opacity, showlegend=True, hoverinfo="name"
    )  # fmt: skip


def _sides(case: Case) -> list[dict[str, Any]]:
    """R and L beside the body, at the height of the liver's middle."""
    depth, height, width = case.volume.shape
    step_z, step_y, step_x = case.volume.spacing_mm
    middle = {"y": height * step_y / 2, "z": depth * step_z / 2, "showarrow": False, "font": {"size": 14}}
    inside = case.reference if case.reference is not None else case.volume.hu > 0
    columns = np.flatnonzero(inside.any(axis=(0, 1)))
    ends = (columns[0], columns[-1]) if columns.size else (0, width - 1)
    margin = 12 / step_x
    return [
        {**middle, "x": (ends[0] - margin) * step_x, "text": "R"},
        {**middle, "x": (ends[1] + margin) * step_x, "text": "L"},
    ]
