"""What a model looked at: the maps that it can tell of one slice, each with the sentence that says what it is."""

import base64
import html
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import gradio as gr
import numpy as np

from livdemo.errors import InputError
from livdemo.intensity import Preprocessing
from livdemo.predictor import Predictor
from livdemo.ui.bench import SLICE_IN_VIEW
from livdemo.ui.choices import explains_of, known_names, model_choices, ready_to_run
from livdemo.ui.events import QUIET
from livdemo.ui.line import free_buttons, runs_of
from livdemo.ui.messages import alert, status_html
from livdemo.ui.session import Session

MAPS_SHOWN = 8  # of one kind; some networks have dozens
OPACITY = 0.6

WHY = """Attention and gates say where a network looked, not whether it was right. Bright is much, dark is little, each
map on its own scale; the squares are as coarse as the network's own grid."""


def look_panel(session: gr.State, models: gr.CheckboxGroup, untrained: gr.CheckboxGroup) -> tuple[list[Any], list[Any]]:
    """Build the accordion. Returns the events of a run, and what clear_look() clears."""
    with gr.Accordion("What a model looked at", open=False, elem_id="look-at") as panel:
        gr.Markdown(WHY)
        with gr.Row(elem_classes="runbar"):
            model = gr.Dropdown(
                [],
                label="Model",
                filterable=False,
                elem_id="look-model",
                interactive=True,
                scale=0,
                min_width=280,
            )
            run = gr.Button("Look at the slice in view", elem_id="look-run", scale=0, min_width=220)
            cancel = gr.Button("Cancel", elem_id="look-cancel", interactive=False, scale=0, min_width=100)
            status = gr.HTML(elem_id="look-status", apply_default_css=False)
        result = gr.HTML(elem_id="look-result", apply_default_css=False)
    k = gr.Number(0, visible=False)
    panel.expand(choices_to_look, [models, untrained, model], [model, status], **QUIET)
    looking = {"fn": look, "inputs": [k, session, model], "outputs": [result, status], "js": SLICE_IN_VIEW}
    return runs_of({run: looking}, cancel, status), [result, status, run, cancel]


def clear_look() -> list[Any]:
    """Nothing of the last case."""
    return ["", "", *free_buttons()]


def choices_to_look(models: object, untrained: object, model: object) -> list[Any]:
    """The chosen models that have maps; without any the sentence says which would."""
    both = [*(models if isinstance(models, list) else []), *(untrained if isinstance(untrained, list) else [])]
    titles = {choice.name: choice.label for choice in model_choices()}
    able = [name for name in known_names(both) if explains_of(name)]
    others = [title for name, title in titles.items() if explains_of(name)]
    said = (
        ""
        if able
        else f"<p class='note'>None of the chosen models has maps; these have: {html.escape(', '.join(others))}.</p>"
    )
    value = model if model in able else next(iter(able), None)
    return [gr.Dropdown([(titles[name], name) for name in able], value=value), said]


def look(k: object, session: Session | None, model: object) -> Iterator[list[Any]]:
    """One model's maps of the slice in view."""
    try:
        if session is None:
            raise InputError("Open a case first.")
        if not isinstance(model, str) or not explains_of(model):
            raise InputError("Choose a model that has maps: tick one above, such as SFAN or Attention U-Net.")
        if isinstance(k, bool) or not isinstance(k, int | float) or not math.isfinite(k):
            raise InputError("The page and the server do not understand each other: reload the page.")
        index = min(max(int(k), 0), session.depth - 1)
        yield ["", status_html("Looking", 0.3)]
        checkpoint, networks = ready_to_run(model)
        predictor, volume = Predictor(checkpoint, network=networks.get(model)), session.case.volume
        maps = predictor.explain(volume, index)
        image = _input(volume.hu[index], predictor.preprocessing_for(volume))
        random = "" if checkpoint.sha256 else " Untrained: its weights are random, so its maps mean nothing."
        where = f"{checkpoint.title}, slice {index + 1}.{random}"
        yield [maps_html(maps, explains_of(model), image), f"<p class='note'>{html.escape(where)}</p>"]
    except InputError as error:
        yield ["", alert(error)]


def _input(hu: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The network's picture, float32 (S, S) in [0, 1]: a z-score would only shift its greys."""
    return replace(preprocessing, normalisation="unit").steps(hu)[-1].image


def maps_html(maps: dict[str, np.ndarray], meanings: dict[str, str], image: np.ndarray) -> str:
    """A section per name: its sentence, then maps (N, h, w) laid over the image (S, S), or bars (N,) as figures."""
    sections = []
    for name, values in maps.items():
        count = len(values)
        more = f" The first {MAPS_SHOWN} of {count}." if count > MAPS_SHOWN else ""
        if values.ndim == 1:
            body = f"<p class='note'>{', '.join(f'{value:.3g}' for value in values)}</p>"
        else:
            shown = enumerate(values[:MAPS_SHOWN], start=1)
            body = f"<div>{''.join(_figure(name, number, one, image) for number, one in shown)}</div>"
        meaning = html.escape(meanings.get(name, ""))
        sections.append(f"<section><h4>{html.escape(name)}</h4><p>{meaning}{more}</p>{body}</section>")
    return f"<div class='looked'>{''.join(sections)}</div>"


def _figure(name: str, number: int, values: np.ndarray, image: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return (
        f"<figure><img alt='{html.escape(name)} {number}' src='{_picture(values, image)}'>"
        f"<figcaption>{number}: {low:.2g} to {high:.2g}</figcaption></figure>"
    )


def _picture(values: np.ndarray, image: np.ndarray) -> str:
    """The map, from its lowest to its highest value, over the slice that the network got, as a PNG in the page."""
    low, high = float(values.min()), float(values.max())
    scaled = (
        np.zeros(values.shape, np.uint8)
        if high == low
        else np.rint((values - low) / (high - low) * 255).astype(np.uint8)
    )
    coloured = cv2.applyColorMap(
        cv2.resize(scaled, image.shape[::-1], interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_CIVIDIS
    )
    grey = np.repeat(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    mixed = cv2.addWeighted(coloured, OPACITY, grey, 1 - OPACITY, 0)
    return f"data:image/png;base64,{base64.b64encode(cv2.imencode('.png', mixed)[1].tobytes()).decode()}"
