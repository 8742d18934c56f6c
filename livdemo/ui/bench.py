"""The preprocessing bench on the page: what the networks get, changed on purpose, on the slice in view."""

import base64
import html
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import gradio as gr
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from livdemo import overlay
from livdemo.bench import SWEEP_CENTERS, SWEEP_WIDTHS, Fed, feed, mismatch, sweep
from livdemo.cases import Case
from livdemo.errors import InputError
from livdemo.intensity import NAMED_WINDOWS, Equalisation, Window
from livdemo.ui.choices import known_names, ready_to_run
from livdemo.ui.events import QUIET
from livdemo.ui.line import free_buttons, runs_of
from livdemo.ui.messages import alert, status_html
from livdemo.ui.session import Session

EQUALISATIONS: Mapping[str, Equalisation] = MappingProxyType({"none": "none", "he": "he", "clahe": "clahe"})
CENTERS, WIDTHS = (-200, 400), (20, 2000)  # ends of the sliders, HU
FIRST = NAMED_WINDOWS["abdomen"]
ROW = 4  # pictures of a sweep beside each other
# The wall's slice lives in the browser: it is read there when a button is pressed, not sent at every step.
SLICE_IN_VIEW = "(k, ...rest) => [Number(document.querySelector('#wall-viewer .lv')?.dataset.slice ?? 0), ...rest]"

WHY = """A network knows the greys that it was trained with. What does it make of others? Left, each model as it was
trained; right, the same slice fed with the window and equalisation chosen here."""


def bench_panel(
    session: gr.State, models: gr.CheckboxGroup, untrained: gr.CheckboxGroup
) -> tuple[list[Any], list[Any]]:
    """Build the accordion. Returns the events of runs, and what clear_bench() clears."""
    with gr.Accordion("Preprocessing bench", open=False, elem_id="bench"):
        gr.Markdown(WHY)
        with gr.Row():
            preset = gr.Dropdown(
                [(f"{name} {w.width:g} / {w.center:g}", name) for name, w in NAMED_WINDOWS.items()],
                value="abdomen",
                label="Window (width / level in HU)",
                filterable=False,
            )
            width = gr.Slider(*WIDTHS, FIRST.width, step=10, label="Width in HU", buttons=[])
            center = gr.Slider(*CENTERS, FIRST.center, step=5, label="Level in HU", buttons=[])
            equalisation = gr.Radio(
                [("none", "none"), ("histogram", "he"), ("CLAHE", "clahe")], value="none", label="Equalisation"
            )
        with gr.Row(elem_classes="runbar"):
            run = gr.Button("Feed the slice in view", elem_id="bench-feed", scale=0, min_width=200)
            over = gr.Button("Sweep over windows", elem_id="bench-sweep", scale=0, min_width=200)
            cancel = gr.Button("Cancel", elem_id="bench-cancel", interactive=False, scale=0, min_width=100)
            label = gr.Radio(["liver", "tumour"], value="liver", label="Dice of", scale=0, min_width=230)
            status = gr.HTML(elem_id="bench-status", apply_default_css=False)
        result = gr.HTML(elem_id="bench-result", apply_default_css=False)
        plot = gr.Plot(show_label=False, visible=False, elem_id="bench-plot")
    k = gr.Number(0, visible=False)
    preset.input(lambda name: [NAMED_WINDOWS[name].width, NAMED_WINDOWS[name].center], preset, [width, center], **QUIET)
    here, of_chosen = {"js": SLICE_IN_VIEW}, [k, session, models, untrained]
    feeding = {"fn": feed_slice, "inputs": [*of_chosen, width, center, equalisation], "outputs": [result, status]}
    sweeping = {"fn": sweep_slice, "inputs": [*of_chosen, label], "outputs": [plot, status]}
    runs = runs_of({run: {**feeding, **here}, over: {**sweeping, **here}}, cancel, status)
    return runs, [result, plot, status, run, over, cancel]


def clear_bench() -> list[Any]:
    """Nothing of the last case."""
    return ["", gr.Plot(visible=False), "", *free_buttons(2)]


def _asked(k: object, session: Session | None, models: object, untrained: object) -> tuple[Session, int, list[str]]:
    """The open session, the slice, clamped, and the chosen models. InputError where one is missing."""
    if session is None:
        raise InputError("Open a case first.")
    both = [*(models if isinstance(models, list) else []), *(untrained if isinstance(untrained, list) else [])]
    names = known_names(both)
    if not names:
        raise InputError("Choose a model first.")
    if isinstance(k, bool) or not isinstance(k, int | float) or not math.isfinite(k):
        raise InputError("The page and the server do not understand each other: reload the page.")
    return session, min(max(int(k), 0), session.depth - 1), names


def _window(width: object, center: object) -> Window:
    numbers = [value for value in (width, center) if isinstance(value, int | float) and math.isfinite(value)]
    if len(numbers) != 2:
        raise InputError("A window needs a width and a level in HU: move the sliders.")
    return Window(min(max(numbers[1], CENTERS[0]), CENTERS[1]), min(max(numbers[0], WIDTHS[0]), WIDTHS[1]))


def feed_slice(
    k: object, session: Session | None, models: object, untrained: object, width: object, center: object, equal: object
) -> Iterator[list[Any]]:
    """Every chosen model on the slice in view, as trained and as asked; pictures appear model by model."""
    try:
        opened, index, names = _asked(k, session, models, untrained)
        window = _window(width, center)
        if not isinstance(equal, str) or equal not in EQUALISATIONS:
            raise InputError("There is no such equalisation: choose one of the three.")
    except InputError as error:
        yield ["", alert(error)]
        return
    rows: list[str] = []
    for done, name in enumerate(names):
        yield [_rows(rows), status_html(f"model {done + 1} of {len(names)}", done / len(names))]
        try:
            checkpoint, networks = ready_to_run(name)
            other = mismatch(checkpoint, window, EQUALISATIONS[equal])
            pair = [
                feed(opened.case, checkpoint, index, preprocessing, networks.get(name))
                for preprocessing in (checkpoint.preprocessing, other)
            ]
            rows.append(_row(opened.case, index, pair))
        except InputError as error:
            rows.append(alert(error))
    where = f"Slice {index + 1}, by itself: no largest-piece step, so figures may differ a little from the wall's."
    yield [_rows(rows), f"<p class='note'>{where}</p>"]


def _rows(rows: Sequence[str]) -> str:
    return f"<div class='fed'>{''.join(rows)}</div>" if rows else ""


def _row(case: Case, index: int, pair: Sequence[Fed]) -> str:
    own, other = pair
    title = html.escape(own.checkpoint.title)
    kinds = {True: ("pill", "as trained"), False: ("badge", "not as trained")}
    figures = "".join(
        f"<figure><img alt='{title}, slice {index + 1}, {html.escape(fed.badge)}' src='{_picture(case, index, fed)}'>"
        f"<figcaption>{_dice_words(fed, None if fed is own else own)}<span class='{kinds[fed.matches][0]}'>"
        f"{kinds[fed.matches][1]}: {html.escape(fed.preprocessing.describe())}</span>"
        "</figcaption></figure>"
        for fed in (own, other)
    )
    return f"<section><h4>{title}</h4><div>{figures}</div></section>"


def _dice_words(fed: Fed, own: Fed | None) -> str:
    words = []
    for label, value in fed.dice.items():
        text = "n/a" if math.isnan(value) else f"{value:.2f}"
        change = "" if own is None else _change(value - own.dice[label])
        words.append(f"<b class='{label}'>{label} {text}{change}</b>")
    return f"<span class='dices'>{' '.join(words)}</span>"


def _change(difference: float) -> str:
    return "" if math.isnan(difference) else f" ({difference:+.2f})".replace("-", "−")


def _picture(case: Case, index: int, fed: Fed) -> str:
    """What the network was given, with its outlines, as a lossless PNG in the page."""
    drawn = overlay.draw_labels(overlay.to_rgb(fed.image), fed.label_map)
    png = cv2.imencode(".png", drawn[..., ::-1])[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def sweep_slice(
    k: object, session: Session | None, models: object, untrained: object, label: object
) -> Iterator[list[Any]]:
    """Dice of the slice in view over windows, one picture per chosen model; each appears when it is done."""
    try:
        opened, index, names = _asked(k, session, models, untrained)
        if label not in ("liver", "tumour"):
            raise InputError("There is no such label: choose liver or tumour.")
        if opened.case.reference is None:
            raise InputError("This case has no reference, so there is no Dice to sweep over.")
    except InputError as error:
        yield [gr.skip(), alert(error)]
        return
    found: dict[str, list[Fed]] = {}
    count, began, done = len(SWEEP_CENTERS) * len(SWEEP_WIDTHS) * len(names), time.monotonic(), 0
    for name in names:
        try:
            checkpoint, networks = ready_to_run(name)
            if str(label) not in checkpoint.labels:
                done += count // len(names)
                continue
            for fed in sweep(opened.case, checkpoint, index, networks.get(name)):
                found.setdefault(checkpoint.title, []).append(fed)
                done += 1
                left = (time.monotonic() - began) / done * (count - done)
                yield [
                    gr.skip(),
                    status_html(f"{checkpoint.title}: window {done} of {count}, {left:.0f} s left", done / count),
                ]
        except InputError as error:
            yield [gr.skip(), alert(error)]
            return
        yield [gr.Plot(sweep_figure(found, str(label), index), visible=True), gr.skip()]
    frame = "the frame marks the window of the training, if it is one of these"
    yield [gr.skip(), f"<p class='note'>Dice of the {label} in slice {index + 1}; {frame}.</p>"]


def sweep_figure(found: Mapping[str, Sequence[Fed]], label: str, index: int) -> go.Figure:
    """Dice over window level (up) and width (across), one field per model; the training's own window is marked."""
    columns = min(ROW, max(len(found), 1))
    rows = math.ceil(max(len(found), 1) / columns)
    figure = make_subplots(rows, columns, subplot_titles=list(found), vertical_spacing=0.16 / rows)
    for number, fed in enumerate(found.values()):
        dice = {(one.preprocessing.window.center, one.preprocessing.window.width): one.dice[label] for one in fed}
        z = [[dice.get((center, width)) for width in SWEEP_WIDTHS] for center in SWEEP_CENTERS]
        place = {"row": number // columns + 1, "col": number % columns + 1}
        figure.add_heatmap(
            z=[[None if v is None or math.isnan(v) else round(v, 3) for v in line] for line in z],
            x=[f"{width:g}" for width in SWEEP_WIDTHS],
            y=[f"{center:g}" for center in SWEEP_CENTERS],
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            showscale=number == 0,
            texttemplate="%{z:.2f}",
            hovertemplate="width %{x}, level %{y}: Dice %{z:.3f}<extra></extra>",
            **place,
        )
        window = fed[0].checkpoint.preprocessing.window
        if window.center in SWEEP_CENTERS and window.width in SWEEP_WIDTHS:
            mark = {"symbol": "square-open", "size": 40, "line": {"width": 3}, "color": "#D55E00"}
            figure.add_scatter(
                x=[f"{window.width:g}"],
                y=[f"{window.center:g}"],
                mode="markers",
                marker=mark,
                showlegend=False,
                hoverinfo="skip",
                **place,
            )
    figure.update_xaxes(type="category", title="width")
    figure.update_yaxes(type="category", title="level")
    figure.update_layout(
        height=90 + 270 * rows,
        margin={"l": 56, "r": 16, "t": 40, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7c8998"},
        meta={"label": label, "slice": index},
    )
    return figure
