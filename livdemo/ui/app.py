"""The page: one case, and two places to look at it: Learn, five steps beside a viewer, and Compare (compare.py).
Two more need no case: Models (models.py) and Results (results.py).

build_app() puts it together; handlers of the case and of Learn come after.

Handlers are public functions of the web server (anybody can call them), so each checks what it is given.
"""

import html
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
import numpy as np

from livdemo.cases import Case, is_built_in, list_cases
from livdemo.checkpoints import find_checkpoint
from livdemo.comparison import Comparison, Progress, Result, compare
from livdemo.errors import InputError
from livdemo.framing import aspect_of
from livdemo.intensity import NAMED_WINDOWS, Equalisation, Preprocessing
from livdemo.predictor import PLAIN, Assembly, decision_rule, named_inference
from livdemo.report import write_report
from livdemo.ui import built_in
from livdemo.ui.api import compare_endpoint
from livdemo.ui.choices import first_model, model_choices
from livdemo.ui.compare import compare_place, tick_models, waiting
from livdemo.ui.deep_link import NO_LINK, Link, link_button, link_value, on_press, read_link
from livdemo.ui.events import QUIET
from livdemo.ui.language import FOLDER as LANGUAGES_FOLDER
from livdemo.ui.language import language_picker, language_script
from livdemo.ui.line import IN_LINE, cancel_with, free_buttons, tell_line
from livdemo.ui.messages import alert, status_html
from livdemo.ui.models import models_place
from livdemo.ui.results import results_place
from livdemo.ui.scores import NO_RESULT, cards_html, slice_curve, table_html
from livdemo.ui.session import Session, close_session, open_session
from livdemo.ui.steps import steps_html
from livdemo.ui.upload import read_upload
from livdemo.ui.viewer import Pane, ct_viewer, parse_slice, viewer_value

FIRST_CASE = "phantom"
UPLOADED = "upload/"  # in the list of cases: what was opened from the panel; no case of the catalogue has a slash
MESSAGE = 4  # where _opened() and _refused() have what is said about the case
SECONDS_BETWEEN_PICTURES = 0.7  # how often a running model's slices are sent to the viewer
SESSION_SECONDS = 3600
EQUALISATIONS: Mapping[str, Equalisation] = MappingProxyType({"none": "none", "he": "he", "clahe": "clahe"})
HERE = Path(__file__).parent

HEADER = f"""<header class='masthead'><h1>livdemo</h1><p>how networks outline liver tumours, slice by slice</p>
<span class='pill'>teaching only, not for clinical use</span>{language_picker()}</header>"""

PRIVACY = """Uploads stay on this server, are seen by you alone, and are deleted at the latest
two hours after the visit. Do not upload anything that identifies a patient."""

LOOK = """### What is on the picture?
A CT is a stack of slices. You look at each from the feet up: the patient's **right is on the left** of the picture.
Scroll, press ← →, or swipe to go through the slices. The green outline is the liver, the orange one is tumour."""

WINDOW = """### Which tissues get the greys?
A CT knows some 4,000 levels, a screen shows 256. Drag on the picture: **left or right** changes how wide the grey
scale is (the window *width*), **up or down** what is in its middle (the window *level*). The band on the histogram
under the picture is the part of the scale that you can see. Try *liver*, then *lung*."""

EQUALISE = """### What is the network given?
Not your window: each network gets the one that it was trained with. Here is the slice in view, step by step.
Change window and equalisation to see what another paper's network would be given."""

SEGMENT = """### Where is the liver, where is tumour?
The network colours one slice after the other. You can go through the finished ones while it works."""

SCORE = """### How close is the outline?
*Dice* counts the shared volume twice: 1 is perfect, 0 is no overlap. The *Hausdorff distance* (HD) asks for the
one worst stray edge; HD95 forgives the worst 5 %."""


def build_app() -> gr.Blocks:
    """The whole page as a gradio app, ready to launch with launch_options()."""
    with gr.Blocks(title="livdemo", analytics_enabled=False, delete_cache=(1800, 7200)) as app:
        session = gr.State(None, time_to_live=SESSION_SECONDS, delete_callback=close_session)
        slice_index = gr.State(0)
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Row(elem_classes="casebar"):
            case = gr.Dropdown(_case_choices(), value=FIRST_CASE, label="Case", filterable=False, elem_id="case")
            facts = gr.HTML(elem_classes="facts", apply_default_css=False)
            link = link_button(over=True, elem_id="copy-link")
            with gr.Accordion("Open a CT of your own", open=False, elem_id="upload", elem_classes="fold"):
                upload = _upload_panel()
        message = gr.HTML("", elem_id="message", elem_classes="message", apply_default_css=False)
        # All places are rendered from the start: who comes back finds everything as it was.
        with gr.Tabs(elem_id="places") as places:
            with gr.Tab("Learn", id="learn", render_children=True, elem_id="learn"), gr.Row(elem_classes="bench"):
                with gr.Column(scale=8, min_width=340):
                    viewer = ct_viewer(elem_id="viewer")
                with gr.Column(scale=5, min_width=320), gr.Tabs(elem_id="steps") as steps:
                    with gr.Tab("1 Look", id="look"):
                        gr.Markdown(LOOK)
                        _next_button("Next: Window", "window", steps)
                    with gr.Tab("2 Window", id="window"):
                        gr.Markdown(WINDOW)
                        _next_button("Next: Equalise", "equalise", steps)
                    with gr.Tab("3 Equalise", id="equalise"):
                        equalise = _equalise_panel()
                        _next_button("Next: Segment", "segment", steps)
                    with gr.Tab("4 Segment", id="segment"):
                        segment = _segment_panel()
                        _next_button("Next: Score", "score", steps)
                    with gr.Tab("5 Score", id="score"):
                        score = _score_panel()
            with gr.Tab("Compare", id="compare", render_children=True, elem_id="compare") as compare_tab:
                wall = compare_place(compare_tab, session)
            with gr.Tab("Models", id="models", render_children=True, elem_id="models") as models_tab:
                models_place(models_tab)
            with gr.Tab("Results", id="results", render_children=True, elem_id="results") as results_tab:
                results_place(results_tab)

        asked = [equalise["window"], equalise["equalisation"]]
        seen = [slice_index, equalise["steps"], score["cards"]]
        viewer.slice(
            show_slice,
            [session, *asked],
            seen,
            queue=False,
            trigger_mode="always_last",  # else an event is dropped while the last one is worked on
            **QUIET,
        )
        for control in asked:
            control.input(
                show_steps,
                [session, slice_index, *asked],
                equalise["steps"],
                **QUIET,
            )
        segment["model"].input(model_html, segment["model"], segment["about"], api_visibility="private")
        pressed = segment["run"].click(
            waiting,
            None,
            [segment["status"], segment["run"], segment["cancel"], message],
            queue=False,
            **QUIET,
        )
        running = pressed.then(
            run_model,
            [session, slice_index, segment["model"], segment["inference"]],
            [
                *(session, viewer, segment["status"], segment["run"], segment["cancel"], message),
                *(score["cards"], score["table"], score["curve"], score["files"]),
            ],
            **QUIET,
            **IN_LINE,
        )
        told = tell_line(pressed.then, running, segment["status"])
        buttons = [segment["run"], segment["cancel"]]
        running.then(free_buttons, None, buttons, queue=False, **QUIET)
        cancel_with(segment["cancel"], [running, told], cancelled, [segment["status"], *buttons])
        opened = [session, slice_index, viewer, facts, message, equalise["steps"], segment["status"]]
        opened += [segment["run"], segment["cancel"], score["cards"], score["table"], score["curve"], score["files"]]
        opened += [case, link]
        files = [upload["ct"], upload["reference"], upload["resample"]]
        old_runs = [running, told, *wall.running]  # they would go on and bring the old case back onto the screen
        opening = case.input(
            open_case,
            [case, session, *asked, *files],
            opened,
            cancels=old_runs,
            **QUIET,
        )
        parts = wall.components
        loaded = app.load(
            open_link,
            [session, *asked],
            [*opened, parts["models"], parts["untrained"], parts["place"], places],
            **QUIET,
        )
        for event in (opening, loaded):
            wall.follow(event)
        for button in (link, parts["link"]):
            on_press(button, link, parts["models"], parts["untrained"])
        uploaded = upload["open"].click(
            open_upload,
            [*files, session, *asked],
            opened,
            cancels=old_runs,
            api_visibility="private",
        )
        wall.follow(uploaded)
        compare_endpoint()
    return app


def launch_options() -> dict[str, Any]:
    """Arguments of launch() that belong to the page: look, limits, nothing kept, no contact to outside."""
    return {
        "theme": gr.themes.Base(
            primary_hue="teal",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ).set(  # white on gradio's own teal is too faint to read (2.5 to 1; WCAG AA asks for 4.5)
            button_primary_background_fill="*primary_700",
            button_primary_background_fill_hover="*primary_800",
            button_primary_background_fill_dark="*primary_700",
            button_primary_background_fill_hover_dark="*primary_600",
            button_primary_text_color="white",
            checkbox_background_color_selected="*primary_700",
            block_info_text_color="var(--muted)",  # its own grey has 2 to 1
            block_info_text_color_dark="var(--muted)",
        ),
        "css_paths": [HERE / "theme.css", HERE / "places.css"],
        "head": f"<style>{(HERE / 'page.css').read_text('utf-8')}</style>{language_script()}",
        "allowed_paths": [str(LANGUAGES_FOLDER)],
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": "600mb",
        "strict_cors": True,
    }


def _next_button(text: str, step: str, steps: gr.Tabs) -> None:
    """All steps can be opened at any time by their tab; this is the way through for a first visit."""
    button = gr.Button(text, elem_classes="next")
    button.click(lambda: gr.Tabs(selected=step), None, steps, queue=False, **QUIET)


def _upload_panel() -> dict[str, Any]:
    with gr.Row():
        ct = gr.File(
            label="CT: .nii, .nii.gz, .nrrd, .mha, a .zip of a DICOM series, its files, or a .png slice",
            file_count="multiple",
            type="filepath",
        )
        reference = gr.File(label="Reference, if there is one: 0 background, 1 liver, 2 tumour", type="filepath")
    resample = gr.Checkbox(
        False, label="If the reference lies on another grid, resample it (nearest neighbour; scores change a little)"
    )
    gr.Markdown(PRIVACY, elem_classes="note")
    return {"ct": ct, "reference": reference, "resample": resample, "open": gr.Button("Open", variant="primary")}


def _equalise_panel() -> dict[str, Any]:
    gr.Markdown(EQUALISE)
    with gr.Row():
        window = gr.Dropdown(
            [(f"{name} {w.width:g} / {w.center:g}", name) for name, w in NAMED_WINDOWS.items()],
            value="paper S3",
            label="Window (width / level in HU)",
            filterable=False,
        )
        equalisation = gr.Radio(
            [("none", "none"), ("histogram", "he"), ("CLAHE", "clahe")], value="he", label="Equalisation"
        )
    return {"window": window, "equalisation": equalisation, "steps": gr.HTML(apply_default_css=False)}


def _segment_panel() -> dict[str, Any]:
    gr.Markdown(SEGMENT)
    choices = [(choice.title, choice.name) for choice in model_choices() if choice.trained]
    first = first_model()
    model = gr.Dropdown(
        choices, value=first, label="Model", filterable=False, interactive=len(choices) > 1, elem_id="model"
    )
    inference = gr.Radio(
        [("as it is", "plain"), ("three scales", "multiscale"), ("cascade", "cascade")],
        value="plain",
        label="How it is asked (three scales and cascade are SFAN's ways)",
        elem_id="inference",
    )
    with gr.Row():
        run = gr.Button("Run", variant="primary", elem_id="run", interactive=bool(choices))
        cancel = gr.Button("Cancel", elem_id="cancel", interactive=False)
    status = gr.HTML(elem_id="status", apply_default_css=False)
    about = gr.HTML(model_html(first), apply_default_css=False)
    return {
        "model": model,
        "inference": inference,
        "about": about,
        "run": run,
        "cancel": cancel,
        "status": status,
    }


def _score_panel() -> dict[str, Any]:
    gr.Markdown(SCORE)
    cards = gr.HTML(NO_RESULT, elem_id="cards", apply_default_css=False)
    curve = gr.Plot(label="Dice of every slice", show_label=False, visible=False, elem_id="curve")
    with gr.Accordion("All figures and what they mean", open=False):
        table = gr.HTML(apply_default_css=False)
    files = gr.File(label="Take home: mask on the CT's grid, scores, report", visible=False, elem_id="files")
    return {"cards": cards, "table": table, "curve": curve, "files": files}


def _case_choices() -> list[tuple[str, str]]:
    return [(info.title, info.name) for info in list_cases()]


# ---------------------------------------------------------------------------------------------- handlers


def open_case(
    name: str,
    session: Session | None,
    window: str,
    equalisation: str,
    ct: list[str] | None = None,
    reference: str | None = None,
    resample: bool = False,
    link: Link = NO_LINK,
) -> list[Any]:
    """A case of the list: of the catalogue, or UPLOADED, the visitor's own files; at the slice and in the window of a
    link if there is one. On any error the case that was open stays open."""
    try:
        case = read_upload(ct, reference, resample) if name == UPLOADED else built_in.open_case(name)
        return _opened(name, case, session, window, equalisation, link)
    except InputError as error:
        return _refused(error, session)


def open_link(session: Session | None, window: str, equalisation: str, request: gr.Request) -> list[Any]:
    """What the page's address asks for; what it asks for in vain is said, and the rest is as on a first visit."""
    link = read_link(request.query_params)
    values = open_case(link.case or FIRST_CASE, session, window, equalisation, link=link)
    if values[0] == gr.skip():  # on the list, but it cannot be read: say so beside the first case
        refused = values[MESSAGE]
        values = open_case(FIRST_CASE, session, window, equalisation)
        values[MESSAGE] = refused
    elif link.problem:
        values[MESSAGE] = alert(InputError(link.problem))
    # Without a place in the link nothing is selected: the visitor may have gone somewhere while the case was read.
    place = [gr.skip()] * 2 if link.place is None else [link.place, gr.Tabs(selected=link.place)]
    return [*values, *tick_models(link.models), *place]


def open_upload(
    ct: list[str] | None,
    reference: str | None,
    resample: bool,
    session: Session | None,
    window: str,
    equalisation: str,
) -> list[Any]:
    """The files of the panel, by its button."""
    return open_case(UPLOADED, session, window, equalisation, ct, reference, resample)


def _opened(name: str, case: Case, previous: Session | None, window: str, equalisation: str, link: Link) -> list[Any]:
    """Values of every component that depends on the case. name: in the list of cases."""
    fresh = open_session(case, previous, is_built_in(name))
    first_window = link.window or fresh.first_window
    session = replace(fresh, listed=name, first_slice=link.slice_index, first_window=first_window)
    value = _viewer(session)
    steps = show_steps(session, value["slice"], window, equalisation)
    facts = _facts_html(case)
    own = name == UPLOADED
    listed = gr.Dropdown([*_case_choices(), (f"Your upload: {case.name}", UPLOADED)], value=name) if own else name
    to_link = link_value(None if own else name, value["volume"]["key"])
    values = [session, value["slice"], value, facts, "", steps, "", *free_buttons(), *_score_values(None, None)]
    return [*values, listed, to_link]


def _refused(error: InputError, session: Session | None) -> list[Any]:
    """Say what is wrong and leave everything else as it is; but a run was cancelled by the press of Open, and the list
    says again what is open."""
    listed = session.listed if session else gr.skip()
    return [*[gr.skip()] * 4, alert(error), gr.skip(), "", *free_buttons(), *[gr.skip()] * 4, listed, gr.skip()]


def _facts_html(case: Case) -> str:
    volume = case.volume
    z, y, x = volume.hu.shape
    spacing = (
        f"{volume.spacing_mm[2]:.2f} × {volume.spacing_mm[1]:.2f} × {volume.spacing_mm[0]:.2f} mm"
        if volume.spacing_known
        else "voxel spacing unknown"
    )
    reference = "with reference" if case.reference is not None else "no reference, so volumes only"
    warnings = "".join(f"<p class='alert'>{html.escape(w)}</p>" for w in volume.warnings)
    return (
        f"<p>{x} × {y} × {z} voxels, {spacing}, {reference}.<br>"
        f"<span class='note'>From: {html.escape(case.source)}. Licence: {html.escape(case.licence)}.</span></p>"
        f"{warnings}"
    )


def _panes(session: Session, label_map: np.ndarray | None = None, finished: np.ndarray | None = None) -> list[Pane]:
    """Reference and prediction of the session, or of a running model if its label map is given."""
    case, result = session.case, session.result
    if label_map is None and result is not None:
        label_map = result.prediction.label_map
    return [
        Pane("reference", "Reference", label_map=case.reference, empty_text="no reference for this case"),
        Pane("prediction", "Prediction", label_map=label_map, finished=finished, empty_text="step 4 fills this in"),
    ]


def show_slice(event: gr.EventData, session: Session | None, window: str, equalisation: str) -> list[Any]:
    """The visitor went to another slice."""
    if session is None:
        return [gr.skip()] * 3
    try:
        index = parse_slice(event, session.depth)
    except InputError:  # not from our viewer: there is nobody to tell
        return [gr.skip()] * 3
    return [index, show_steps(session, index, window, equalisation), cards_html(session, index)]


def show_steps(session: Session | None, slice_index: int, window: str, equalisation: str) -> str:
    """The stages of the slice in view."""
    if session is None or window not in NAMED_WINDOWS or equalisation not in EQUALISATIONS:
        return ""
    index = min(max(int(slice_index), 0), session.depth - 1)
    volume = session.case.volume
    preprocessing = Preprocessing(
        NAMED_WINDOWS[window], EQUALISATIONS[equalisation], size=256, aspect=aspect_of(volume)
    )
    return steps_html(volume.hu[index], preprocessing, volume.spacing_mm[1:])


def model_html(model: str | None) -> str:
    """What a model is, what it was trained on and what it is fed with."""
    if model is None:
        return "<p class='alert'>No trained weights are here. Train a model: python -m train unet64 --data DIR.</p>"
    try:
        checkpoint = find_checkpoint(model)
    except InputError as error:
        return alert(error)
    facts = (
        ("Trained on", checkpoint.trained_on),
        ("Fed with", checkpoint.preprocessing.describe()),
        ("Labels", decision_rule(checkpoint)),
        ("Size", f"{checkpoint.parameters / 1e6:.2f} million parameters, {checkpoint.preset} preset"),
    )
    rows = "".join(f"<div><dt>{name}</dt><dd>{html.escape(text)}</dd></div>" for name, text in facts)
    return f"<dl class='about'>{rows}</dl><p class='weak'>{html.escape(checkpoint.weak)}</p>"


def run_model(session: Session | None, slice_index: int, model: str, inference: str = "plain") -> Iterator[list[Any]]:
    """Run one model on the open case; yields pictures while it works, scores at the end.

    Cancelling closes this generator, and with it the one that runs the network.
    """
    idle = free_buttons()
    unchanged = [gr.skip()] * 4
    if session is None:
        yield [session, gr.skip(), "", *idle, alert(InputError("Open a case first.")), *unchanged]
        return
    busy = [gr.Button(interactive=False), gr.Button(interactive=True)]
    yield [session, gr.skip(), status_html("Loading the model …", 0.0), *busy, "", *unchanged]
    try:
        shown = 0.0
        asked = named_inference(inference)
        for event in compare(session.case, [find_checkpoint(model)], inference=asked, quantised=asked == PLAIN):
            if isinstance(event, Result):
                session = session.with_result(event)
                if asked == PLAIN:  # the same as on the wall
                    session = session.with_results({model: event})
            elif time.monotonic() - shown > SECONDS_BETWEEN_PICTURES:
                shown = time.monotonic()
                picture = _viewer(session, event.assembly)
                yield [gr.skip(), picture, _progress(event), *[gr.skip()] * 3, *unchanged]
    except InputError as error:
        yield [gr.skip(), gr.skip(), "", *idle, alert(error), *unchanged]
        return
    result = session.result
    assert result is not None
    prediction = result.prediction
    done = (
        f"Done: {len(prediction.label_map)} slices in {prediction.seconds:.1f} s on {prediction.device.upper()}. "
        "Step 5 has the scores."
    )
    yield [
        session,
        _viewer(session),
        status_html(done, 1.0),
        *idle,
        "",
        *_score_values(session, slice_index),
    ]


def cancelled() -> list[Any]:
    """After a cancel: what is finished stays on the screen, and nothing is scored."""
    text = "Cancelled. The slices that were finished stay in view; an unfinished run is not scored."
    return [status_html(text, 0.0), *free_buttons()]


def _viewer(session: Session, running: Assembly | None = None) -> dict[str, Any]:
    panes = _panes(session) if running is None else _panes(session, running.label_map, running.finished)
    return viewer_value(
        session.case.volume, panes, session.folder, session.first_slice, session.first_window, linked=True
    )


def _progress(event: Progress) -> str:
    left = f"{event.seconds_left:.0f} s left" if event.seconds_left >= 1 else "nearly done"
    text = f"{event.checkpoint.title}: slice {event.done} of {event.total}, {left}"
    return status_html(text, event.done / event.total)


def _score_values(session: Session | None, slice_index: int | None) -> list[Any]:
    """Cards, table, curve and files; empty ones without a result."""
    if session is None or session.result is None:
        return [NO_RESULT, "", gr.Plot(visible=False), gr.File(visible=False)]
    comparison = Comparison(session.case, (session.result,))
    files = [str(path) for path in write_report(comparison, session.folder / "results")]
    curve = gr.Plot(slice_curve(session), visible=True) if session.result.slices else gr.Plot(visible=False)
    return [cards_html(session, slice_index), table_html(session), curve, gr.File(files, visible=True)]
