"""The place "Results": how good the networks are on patients whom they have not seen, from results/results.json.

    results_place(tab)      # inside of the page's tab

Everything is one piece of HTML, made when the place is opened and again when the file has changed. Models stand in the
order of the list; nothing is ranked that a paired test does not separate.
"""

from typing import Any

import gradio as gr

from livdemo.results import (
    CASE_NOTES,
    NOT_RUN,
    STUDIES_ARE_SMALL,
    TWINS,
    UNSEEN_ARE_NO_TEST,
    Figures,
    dagger,
    made_with,
    on_phantoms,
    protocol_title,
    rankings,
    read_results,
    results_path,
    same_for_all,
    study_command,
)
from livdemo.ui.dots import Line, dot_chart
from livdemo.ui.events import file_stamp, filled_place, unless_shown
from livdemo.ui.markup import definitions, escape, fold, inline
from livdemo.ui.results_tables import (
    lesion_table,
    main_table,
    marked_link,
    patient_tables,
    recipe_table,
    study_table,
    unseen_table,
)
from livdemo.ui.results_trust import trust

WAITING = "<p class='empty'>The figures of all models will stand here.</p>"

OPENING = """<h3>How good are these networks on patients whom they have not seen?</h3>
<p class='weak'><strong>Six patients.</strong> What is said here about tumours was learned from and cross-validated on
six patients, eleven volumes. That is far too few to say how good a network is on the next patient.
For teaching only, not for clinical use.</p>"""

READING = (
    ("Reported", "What a paper prints, with its own data and unit: other patients, other tasks, often another metric. "
     "It shows what was claimed and cannot be compared with our figures."),
    ("Cross-validated", "The network is trained on some patients and scored on the others, in turn, so that each "
     "patient is scored by a network that has not seen it."),
    ("95 % interval", "Where the mean lies in 95 of 100 redraws of these patients (bootstrap). At six patients such "
     "intervals are narrower than they claim; below three there is none."),
    ("Misses", "A volume of whose tumours not one voxel is right counts with Dice 0, stays in the mean, is counted."),
    ("Lesions", "A lesion is a connected piece of drawn tumour in one volume. The 62 of these patients are no 62 "
     "tumours: 31 of them are in five scans of patient F, 23 in two of patient A."),
    ("Courses", "The first trains all networks alike; the second and third go on where the one before ended and also "
     "learn from painted tumours. What ships took two or three of them."),
    ("†", "Trained on a few slices of held-out patients, who stood there under other names; a note says more."),
    ("Order", "Models stand in the order of the list, not by score. A paired test says below whether any two differ."),
)  # fmt: skip


def results_place(tab: gr.Tab) -> None:
    """Build the place inside of `tab`, which is open at the time of the call."""
    filled_place(tab, show_results, "results-page", WAITING)


def show_results(shown: object) -> list[Any]:
    """The page and what it was made from; nothing where the visitor has that already."""
    return unless_shown(shown, file_stamp(results_path()), lambda: results_html(read_results()))


def results_html(results: Figures) -> str:
    """The whole place."""
    protocols = results["protocols"]
    titles = {spec["model"]: spec["title"] for spec in results["reported"]}
    parts = [OPENING, definitions(READING, "How to read this page")]
    if not protocols:
        parts += ["<p class='empty'>No run has finished yet.</p>", main_table([], results["reported"])]
    for number, protocol in enumerate(protocols):
        body = _protocol(protocol, results["reported"], titles, whole=number == 0)
        parts.append(fold(protocol_title(protocol), body, is_open=number == 0, kind="protocol"))
    parts += [_studies(results["studies"]), trust(results, titles)]
    return f"<article class='results'>{''.join(parts)}</article>"


def _protocol(protocol: Figures, reported: list[Figures], titles: dict[str, str], whole: bool) -> str:
    """One protocol: who may be called better, the picture, the table, and what lies behind them. whole: with models
    that have not run, and what the papers report."""
    models = protocol["models"]
    lines = []
    for model in models:
        title = titles.get(model["model"], model["model"])
        name = marked_link(model, titles)
        lines.append(Line(f"{name} <small>phantoms</small>" if on_phantoms(model) else name, title, model))
    seen = {one["case"] for model in models for one in model["unseen"]}
    notes = "".join(f"<p class='note'>{inline(note)}</p>" for case, note in CASE_NOTES.items() if case in seen)
    parts = [
        _rankings(protocol),
        dot_chart(lines, f"Dice of every model, {protocol['series']}"),
        main_table(models, reported, whole),
        _twins_note(models),
        how_made(protocol, same_plan=same_for_all(protocol)),
        fold("Tumours, lesion by lesion", lesion_table(models, titles)),
        fold("Patient by patient", patient_tables(models, titles)),
        fold("Unseen volumes", f"<p class='note'>{UNSEEN_ARE_NO_TEST}</p>{notes}{unseen_table(models, titles)}"),
    ]
    if not same_for_all(protocol):
        parts.append(fold("What each was given", recipe_table(models, titles)))
    return "".join(parts)


def _twins_note(models: list[Figures]) -> str:
    return f"<p class='note'>{inline(TWINS)}</p>" if any(model["twins"] for model in models) else ""


def _rankings(protocol: Figures) -> str:
    sentences = "".join(f"<li>{inline(line[:1].upper() + line[1:])}</li>" for line in rankings(protocol["pairs"]))
    return f"<h4>Is any model better than another?</h4><ul class='rankings'>{sentences}</ul>"


def how_made(one: Figures, same_plan: bool) -> str:
    """The commands that made a table, and on what machine."""
    commands = "".join(f"<code>{escape(command)}</code>" for command in one["commands"])
    lines = "".join(f"<p class='note'>{inline(line)}</p>" for line in made_with(one, same_plan))
    return f"<div class='made'><p class='note'>Made with</p>{commands}{lines}</div>"


def _studies(studies: list[Figures]) -> str:
    several = len({study["series"] for study in studies}) > 1
    same = "" if several or not studies else studies[0]["series"]
    whose = f" <span>All of them: {escape(same)}.</span>" if same else ""
    ran = [variant for study in studies for variant in study["variants"] if variant["done"]]
    parts = [
        "<h3>What if one thing is changed?</h3><p>Each question changes one thing and leaves the rest as it is."
        f"{whose}</p><p class='note'>{STUDIES_ARE_SMALL}</p>{_twins_note(ran)}"
    ]
    for study in studies:
        done = sum(variant["done"] for variant in study["variants"])
        count = len(study["variants"])
        state = NOT_RUN if not done else "done" if done == count else f"{done} of {count} run"
        series = f" ({study['series']})" if several else ""
        parts.append(fold(f"{study['question']}{series}", _study(study, bool(done)), kind="study", note=state))
    return "".join(parts)


def _study(study: Figures, done: bool) -> str:
    note = f"<p lang='en'>{inline(study['note'])}</p>" if study["note"] else ""
    if not done:
        names = "; ".join(f"{one['variant']} (`{one['model']}`)" for one in study["variants"])
        return (
            f"{note}<p>{NOT_RUN.capitalize()}: <span lang='en'>{inline(names)}.</span></p>"
            f"<div class='made'><p class='note'>To run it</p>"
            f"<code>{escape(study_command(study))}</code></div>"
        )
    lines = [
        Line(f"<span lang='en'>{escape(one['variant'])}</span>{dagger(one)}", one["variant"], one)
        for one in study["variants"]
        if one["done"]
    ]
    return (
        f"{note}{dot_chart(lines, study['question'])}{study_table(study['variants'])}{how_made(study, same_plan=False)}"
    )
