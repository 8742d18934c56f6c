"""The place "Compare": models side by side on the open case, and every figure about where they are right.

    place = compare_place(session, slice_index)     # inside of the page's blocks
    place.follow(opened)                            # after a case was opened: show it, let go of the old run

Handlers are public functions of the web server, so each checks what it is given.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from livdemo.cases import Case
from livdemo.comparison import Comparison, Progress, Result, compare
from livdemo.errors import InputError
from livdemo.pieces import SPECK_ML
from livdemo.report import write_report
from livdemo.rescoring import HIGHEST_THRESHOLD, LOWEST_THRESHOLD
from livdemo.ui.bench import bench_panel, clear_bench
from livdemo.ui.built_in import keep_result, kept_result
from livdemo.ui.choices import first_models, known_names, model_choices, ready_to_run
from livdemo.ui.curves import clear_curves, curve_panel
from livdemo.ui.deep_link import link_button
from livdemo.ui.events import QUIET
from livdemo.ui.line import IN_LINE, cancel_with, free_buttons, tell_line
from livdemo.ui.look import clear_look, look_panel
from livdemo.ui.messages import alert, status_html
from livdemo.ui.session import Session
from livdemo.ui.solid import clear_solid, solid_panel
from livdemo.ui.speed import speed_figure
from livdemo.ui.strip import slice_strip, strip_value
from livdemo.ui.tables import figure_table, lesion_table, score_table, tissue_tables
from livdemo.ui.viewer import ct_viewer, pane_value, viewer_value
from livdemo.ui.wall import (
    EXTRAS,
    FIRST_EXTRAS,
    Adjustment,
    Standing,
    arrange,
    panes_of,
    running_pane,
    with_pane,
)

SECONDS_BETWEEN_PICTURES = 0.7  # how often a running model's slices are sent to the viewer
STANDING_SECONDS = 3600  # label maps are large; they are made again from the session when asked for
SMALLEST_ML = 5.0  # upper end of the slider
COMPONENTS = {"own": None, "on": True, "off": False}

QUESTION = """### Who is right, and where?"""

READING = """All pictures show the same slice. Above each stands its Dice in this slice and, after *3D*, in the whole
volume. *Errors* shows what a model adds (hatched) and what it misses (dotted), *Largest gap* where the Hausdorff
distance (HD) is measured."""

RULE = """The networks have said how probable liver and tumour are. A *rule* makes labels of that. Move it, and
pictures and scores follow at once: nothing runs again."""


@dataclass(frozen=True)
class Place:
    """The components that other parts of the page need, and what happens when a case was opened."""

    components: Mapping[str, Any]
    running: tuple[Any, ...]  # events that another case cancels

    def follow(self, opened: Any) -> None:
        """After the event `opened`: the old run's buttons are free again, and the wall shows the new case."""
        parts = self.components
        opened.then(idle, None, parts["cleared"], queue=False, **QUIET).then(
            enter_wall, parts["enter_inputs"], parts["enter_outputs"], **QUIET
        )


def compare_place(tab: gr.Tab, session: gr.State) -> Place:
    """Build the place inside of `tab`, which is open at the time of the call."""
    place, plotted = gr.State(""), gr.State(False)
    standing = gr.State(None, time_to_live=STANDING_SECONDS)
    with gr.Row(elem_classes="runbar"):
        chosen, whole = _model_panel()
        run = gr.Button("Run", variant="primary", elem_id="wall-run", scale=0, min_width=120)
        cancel = gr.Button("Cancel", elem_id="wall-cancel", interactive=False, scale=0, min_width=100)
        status = gr.HTML("", elem_id="wall-status", apply_default_css=False)
    message = gr.HTML("", elem_id="wall-message", elem_classes="message", apply_default_css=False)
    viewer = ct_viewer(elem_id="wall-viewer", histogram=False)
    gr.Markdown(QUESTION)
    gr.Markdown(READING, elem_classes="note")
    strip = slice_strip(elem_id="strip")
    others = len(chosen[1].choices)
    title = f"{others} models that are not trained yet"
    with gr.Accordion(title, open=False, visible=bool(others), elem_id="untrained", elem_classes="choices"):
        gr.Markdown("Their weights are random: they run, and show how fast they are, but their masks mean nothing.")
        chosen[1].render()
    with gr.Accordion("Another rule, without running again", open=False, elem_id="rule"):
        sliders, reset = _rule_panel()
    gr.Markdown("### Scores")
    scores = figure_table(elem_id="wall-scores")
    with gr.Accordion("Lesion by lesion", open=True):
        lesions = figure_table(elem_id="wall-lesions")
    solid = solid_panel(session, standing)
    with gr.Accordion("Which tissue is taken for which", open=False):
        tissues = figure_table(elem_id="wall-tissues")
    with gr.Accordion("Speed against Dice", open=False, elem_id="speed") as speed:
        gr.Markdown("One point per label of each model that has run: what more seconds buy, on this case and machine.")
        plot = gr.Plot(show_label=False, visible=False, elem_id="wall-plot")
    curves = curve_panel(session, standing)
    fed, benched = bench_panel(session, chosen[0], chosen[1])
    looked, maps = look_panel(session, chosen[0], chosen[1])
    with gr.Accordion("Take home", open=False):
        gr.Markdown("A mask per model on the CT's grid, all figures as CSV and JSON, and one page that opens offline.")
        write = gr.Button("Write the files", elem_id="wall-write", scale=0, min_width=160)
        files = gr.File(label="Files", visible=False, elem_id="wall-files")
        link = link_button(elem_id="wall-link")

    asked = [*chosen, *sliders, plotted]
    shown = [standing, viewer, strip, scores, lesions, tissues, plot]
    view_inputs, enter_inputs = [session, standing, *asked], [place, session, standing, *asked]
    enter_outputs = [session, *shown]
    pressed = run.click(waiting, None, [status, run, cancel, message], queue=False, **QUIET)
    ran = pressed.then(run_wall, view_inputs, [session, *shown, status, run, cancel, message], **IN_LINE, **QUIET)
    told = tell_line(pressed.then, ran, status)
    ran.then(show_wall, view_inputs, shown, **QUIET)  # the choices may have changed since the press of Run
    ran.then(free_buttons, None, [run, cancel], queue=False, **QUIET)  # whatever a cancelled run still had to show
    cancel_with(cancel, [ran, told], cancelled, [status, run, cancel])
    tab.select(lambda: "compare", None, place, queue=False, **QUIET).then(
        enter_wall, enter_inputs, enter_outputs, **QUIET
    )
    for control in chosen[:2]:
        control.input(lambda: "compare", None, place, queue=False, **QUIET).then(
            enter_wall, enter_inputs, enter_outputs, trigger_mode="always_last", **QUIET
        )
    for button, names in whole:
        button.click(lambda names=names: ("compare", names), None, [place, chosen[0]], queue=False, **QUIET).then(
            enter_wall, enter_inputs, enter_outputs, trigger_mode="always_last", **QUIET
        )
    for control in [chosen[2], *(one for one in sliders if not isinstance(one, gr.Slider))]:
        control.input(show_wall, view_inputs, shown, trigger_mode="always_last", **QUIET)
    for control in (one for one in sliders if isinstance(one, gr.Slider)):
        control.release(show_wall, view_inputs, shown, trigger_mode="always_last", **QUIET)
    reset.click(lambda: list(_first_sliders()), None, sliders, queue=False, **QUIET).then(
        show_wall, view_inputs, shown, **QUIET
    )
    speed.expand(lambda: True, None, plotted, queue=False, **QUIET).then(show_plot, [standing], plot, **QUIET)
    speed.collapse(lambda: (False, gr.Plot(visible=False)), None, [plotted, plot], queue=False, **QUIET)
    write.click(write_files, [session, standing], [files, message], **QUIET)
    components: dict[str, Any] = {"cleared": [status, run, cancel, *solid, *curves, *benched, *maps, files]}
    components |= {"enter_inputs": enter_inputs, "enter_outputs": enter_outputs}
    components |= {"place": place, "models": chosen[0], "untrained": chosen[1], "link": link}
    return Place(components, (ran, told, *fed, *looked))


def _model_panel() -> tuple[list[Any], list[tuple[gr.Button, list[str]]]]:
    """Folded away, so that the pictures stand high: trained models, untrained ones, and what to show beside them.

    The fold's title says how many are chosen; it is one line however many models there are. Also two buttons, each
    with the models that it ticks.
    """
    choices = model_choices()
    trained = [(choice.title, choice.name) for choice in choices if choice.trained]
    others = [(choice.title, choice.name) for choice in choices if not choice.trained]
    first, every = first_models(), [name for _, name in trained]
    title = choice_words(first, [], FIRST_EXTRAS)
    with (
        gr.Accordion(title, open=False, elem_id="wall-choose", elem_classes="fold") as chooser,
        gr.Row(elem_classes="choices"),
    ):
        with gr.Column(min_width=300):
            models = gr.CheckboxGroup(
                trained, value=first, label="Models", elem_id="wall-models", visible=bool(trained)
            )
            with gr.Row(elem_classes="whole", visible=len(trained) > 2):
                whole = [
                    (gr.Button(text, size="sm", scale=0, min_width=90, elem_id=f"wall-{text.lower()}"), names)
                    for text, names in (("All", every), ("None", []))
                ]
        extras = gr.CheckboxGroup(
            [(title, name) for name, title in EXTRAS.items()],
            value=list(FIRST_EXTRAS),
            label="Together (all but the last need two models)",
            elem_id="wall-extras",
            min_width=300,
        )
    # Rendered further below, where those who want it look for it.
    untrained = gr.CheckboxGroup(others, value=[], label="Untrained models", show_label=False, render=False)
    groups = [models, untrained, extras]
    for group in groups:
        group.change(lambda *now: gr.Accordion(label=choice_words(*now)), groups, chooser, queue=False, **QUIET)
    return groups, whole


def choice_words(models: object, untrained: object, extras: object) -> str:
    """What is chosen, in one line: "Models: 3 of 17 · together: 2 of 6"."""
    counts = [len(one) if isinstance(one, list | tuple) else 0 for one in (models, untrained, extras)]
    trained = sum(choice.trained for choice in model_choices())
    parts = [f"{counts[0]} of {trained}", *([f"{counts[1]} untrained"] if counts[1] else [])]
    return f"Models: {', '.join(parts)} · together: {counts[2]} of {len(EXTRAS)}"


def tick_models(names: Sequence[str] | None) -> list[Any]:
    """Trained and untrained models with exactly these ticked; None leaves them as they are."""
    if names is None:
        return [gr.skip(), gr.skip()]
    choices = model_choices()
    return [
        gr.CheckboxGroup(value=[one.name for one in choices if one.name in names and one.trained is trained])
        for trained in (True, False)
    ]


def _first_sliders() -> tuple[Any, ...]:
    own = Adjustment()
    return own.liver_threshold, own.tumour_threshold, "own", own.liver_gate, own.fill_holes, SPECK_ML


def _rule_panel() -> tuple[list[Any], gr.Button]:
    """The sliders in the order of read_adjustment(), and the way back."""
    liver, tumour, component, gate, holes, smallest = _first_sliders()
    gr.Markdown(RULE)
    with gr.Row():
        low, high = LOWEST_THRESHOLD, HIGHEST_THRESHOLD
        from_liver = gr.Slider(low, high, liver, step=0.01, label="Liver from a probability of", buttons=[])
        from_tumour = gr.Slider(low, high, tumour, step=0.01, label="Tumour from this share of it", buttons=[])
        dropped = gr.Slider(
            0,
            SMALLEST_ML,
            smallest,
            step=0.005,
            label="Drop tumours below (mL)",
            info="A ball of 5 mm has 0.065 mL. Only where the scan says how large a voxel is.",
            buttons=[],
        )
    with gr.Row():
        kept = gr.Radio(
            [("as shipped", "own"), ("yes", "on"), ("no", "off")],
            value=component,
            label="Keep only the largest piece of liver",
            info="Without other organs that hang on it by a thin neck, where the scan says how large a voxel is.",
            min_width=300,
        )
        gated = gr.Checkbox(gate, label="Tumour only inside the liver", elem_classes="tick")
        filled = gr.Checkbox(holes, label="Fill holes in each slice", elem_classes="tick")
        back = gr.Button("Reset the rule", scale=0, min_width=210, elem_id="own-rules")
    return [from_liver, from_tumour, kept, gated, filled, dropped], back


# ---------------------------------------------------------------------------------------------- handlers


def read_adjustment(
    liver: object, tumour: object, component: object, gate: object, holes: object, smallest: object
) -> Adjustment:
    """The sliders as a rule, clamped to what they can be. InputError for what no slider sends."""

    def number(value: object, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise InputError("The page and the server do not understand each other: reload the page.")
        return min(max(float(value), low), high)

    if not isinstance(component, str) or component not in COMPONENTS:
        raise InputError("The page and the server do not understand each other: reload the page.")
    return Adjustment(
        number(liver, LOWEST_THRESHOLD, HIGHEST_THRESHOLD),
        number(tumour, LOWEST_THRESHOLD, HIGHEST_THRESHOLD),
        COMPONENTS[component],
        bool(gate),
        bool(holes),
        None if smallest == SPECK_ML else number(smallest, 0, SMALLEST_ML),  # where it starts, each model has its own
    )


@dataclass(frozen=True)
class Asked:
    """What the controls ask for, checked."""

    chosen: tuple[str, ...]
    extras: tuple[str, ...]
    adjustment: Adjustment
    plotted: bool


def _asked(session: Session, models: object, untrained: object, extras: object, *rest: object) -> Asked:
    both = [*(models if isinstance(models, list) else []), *(untrained if isinstance(untrained, list) else [])]
    wanted = extras if isinstance(extras, list) else []
    *sliders, plotted = rest
    together = tuple(extra for extra in EXTRAS if extra in wanted)
    return Asked(tuple(known_names(both)), together, read_adjustment(*sliders), bool(plotted))


def enter_wall(place: str, session: Session | None, standing: Standing | None, *controls: object) -> list[Any]:
    """The visitor comes to the wall, chooses models or opens a case: what others have run is there at once."""
    if session is None:
        return [gr.skip()] * 8
    if place != "compare":  # the visitor still looks at the case: score meanwhile what others have run on it
        for choice in model_choices():
            if session.built_in and choice.trained:
                kept_result(session.case.name, choice.name)
        return [gr.skip()] * 8
    asked = _asked(session, *controls)
    found = {}
    if session.built_in:
        missing = (name for name in asked.chosen if name not in session.results)
        kept = ((name, kept_result(session.case.name, name)) for name in missing)
        found = {name: result for name, result in kept if result is not None}
    if found:
        session = session.with_results(found)
    return [session if found else gr.skip(), *_view(session, asked, standing)]


def show_wall(session: Session | None, standing: Standing | None, *controls: object) -> list[Any]:
    """The same results under another rule, or with other maps beside them."""
    if session is None:
        return [gr.skip()] * 7
    return _view(session, _asked(session, *controls), standing)


def show_plot(standing: Standing | None) -> gr.Plot:
    """Speed against Dice of what stands on the wall."""
    return _plot(standing) if standing is not None else gr.Plot(visible=False)


def _plot(standing: Standing) -> gr.Plot:
    scored = any(entry.scores for entry in standing.models.values())
    return gr.Plot(speed_figure(list(standing.models.values())), visible=True) if scored else gr.Plot(visible=False)


def _view(
    session: Session, asked: Asked, before: Standing | None, failed: Mapping[str, str] | None = None
) -> list[Any]:
    """Values of everything that shows results: standing, viewer, strip, tables, plot."""
    case = session.case
    standing = arrange(case, session.results, asked.chosen, asked.extras, asked.adjustment, before)
    titles = {choice.name: choice.title for choice in model_choices() if choice.name in asked.chosen}
    panes = panes_of(case, titles, standing, failed or {})
    value = viewer_value(case.volume, panes, session.folder, session.first_slice, session.first_window, linked=True)
    key = value["volume"]["key"]
    entries = standing.entries
    return [
        standing,
        value,
        strip_value(case, entries, key),
        score_table(case, entries, key),
        lesion_table(case, entries, key),
        tissue_tables(case, entries),
        _plot(standing) if asked.plotted else gr.skip(),
    ]


def waiting() -> list[Any]:
    """Between the press of Run and the first free place for a network."""
    text = "Waiting for a free place: one network runs at a time."
    return [status_html(text, 0.0), gr.Button(interactive=False), gr.Button(interactive=True), ""]


def idle() -> list[Any]:
    """Nothing runs, and what was drawn or written of the last case is gone."""
    return [
        "",
        *free_buttons(),
        *clear_solid(),
        *clear_curves(),
        *clear_bench(),
        *clear_look(),
        gr.File(visible=False),
    ]


def cancelled() -> list[Any]:
    """After a cancel: finished models keep their place and their scores."""
    text = "Cancelled. Models that were done stay; the one at work keeps its finished slices in view, unscored."
    return [status_html(text, 0.0), *free_buttons()]


def run_wall(session: Session | None, standing: Standing | None, *controls: object) -> Iterator[list[Any]]:
    """Run the chosen models that have no result yet, one after the other; each appears when it is done.

    Cancelling closes this generator, and with it the one that runs the network; what was yielded is kept.
    """
    unchanged = [gr.skip()] * 7
    free = free_buttons()
    if session is None:
        yield [gr.skip(), *unchanged, "", *free, alert(InputError("Open a case first."))]
        return
    asked = _asked(session, *controls)
    missing = [name for name in asked.chosen if name not in session.results]
    if not missing:
        text = "Every chosen model has run on this case." if asked.chosen else "Choose a model first."
        yield [gr.skip(), *unchanged, status_html(text, 1.0 if asked.chosen else 0.0), *free, ""]
        return
    began, failed = time.monotonic(), {}
    view = _view(session, asked, standing)
    for number, name in enumerate(missing, start=1):
        before = f"{number} of {len(missing)}"
        yield [
            gr.skip(),
            *unchanged,
            status_html(f"{before}: loading the model", (number - 1) / len(missing)),
            *_busy(),
        ]
        try:
            for event in run_one(session.case, name, session.built_in):
                if isinstance(event, Result):
                    session = session.with_results({name: event})
                else:
                    status = _progress(event, number, len(missing))
                    picture = with_pane(view[1], _running(session, name, event))
                    yield [gr.skip(), gr.skip(), picture, *[gr.skip()] * 5, status, *_busy()]
        except InputError as error:
            failed[name] = str(error)
        view = _view(session, asked, view[0], failed)
        share = number / len(missing)
        yield [session, *view, status_html(f"{before} done", share), *_busy()]
    text = _summary(session, [name for name in missing if name not in failed], time.monotonic() - began)
    problems = "".join(alert(InputError(reason)) for reason in failed.values())
    yield [gr.skip(), *unchanged, status_html(text, 1.0), *free, problems]


def _busy() -> list[Any]:
    return [gr.Button(interactive=False), gr.Button(interactive=True), gr.skip()]


def run_one(case: Case, name: str, built_in: bool) -> Iterator[Progress | Result]:
    """Progress now and then, at the end the result; a built-in case's result is kept for the next visitor."""
    kept = kept_result(case.name, name) if built_in else None
    if kept is not None:
        yield kept
        return
    checkpoint, networks = ready_to_run(name)
    shown = 0.0
    for event in compare(case, [checkpoint], untrained=networks, quantised=True):
        if isinstance(event, Result):
            if built_in:
                keep_result(case, event)
            yield event
        elif time.monotonic() - shown > SECONDS_BETWEEN_PICTURES:
            shown = time.monotonic()
            yield event


def _running(session: Session, name: str, event: Progress) -> dict[str, Any]:
    title = event.checkpoint.title.removesuffix(" (untrained)")
    assembly = event.assembly
    pane = running_pane(title, "", assembly.label_map, assembly.finished, name)
    return pane_value(pane, session.folder)


def _progress(event: Progress, number: int, count: int) -> str:
    """This model's slices and time; the others' pace is not known yet, so they are only counted."""
    left = f"{event.seconds_left:.0f} s left" if event.seconds_left >= 1 else "nearly done"
    waiting_models = count - number
    after = f", then {waiting_models} more" if waiting_models else ""
    text = f"{event.checkpoint.title}: slice {event.done} of {event.total}, {left}{after}"
    return status_html(text, (number - 1 + event.done / event.total) / count)


def _summary(session: Session, ran: Sequence[str], seconds: float) -> str:
    if not ran:
        return "No model could run on this case."
    devices = {session.results[name].prediction.device.upper() for name in ran}
    models = "1 model" if len(ran) == 1 else f"{len(ran)} models"
    return f"Done: {models}, {session.depth} slices each, in {seconds:.0f} s on {' and '.join(sorted(devices))}."


def write_files(session: Session | None, standing: Standing | None) -> list[Any]:
    """Masks, tables and the report of the models on the wall, under the rule that they stand under."""
    if session is None or standing is None or not standing.models:
        return [gr.File(visible=False), alert(InputError("Run a model first: then there is something to take home."))]
    results = tuple(
        Result(entry.prediction, entry.scores) for entry in standing.models.values() if entry.prediction is not None
    )
    paths = write_report(Comparison(session.case, results), session.folder / "wall")
    return [gr.File([str(path) for path in paths], visible=True), ""]
