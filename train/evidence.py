"""What the log of runs says about the weights that ship: the figures in their cards and in the manifest.

What ships was trained on everybody, so it has no held-out patients of its own. The same plan on the folds speaks for
it: each patient scored by a network that has not seen them. `python -m train.results` keeps cards and manifest at what
the log says; a row of the manifest names its run (Checkpoint.run), so that no figure reaches other weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from livdemo.checkpoints import Checkpoint, read_manifest, write_manifest
from livdemo.results import COURSES, figure, find_model, found_of, on_phantoms, protocol_of
from livdemo.words import counted
from train.planned import series_before
from train.results_page import spread, table

Figures = dict[str, Any]
BEGIN, END = "<!-- by python -m train.results -->", "<!-- end -->"
NOT_YET = "No patient has been held out from this recipe yet, so nothing is known about the next one."
EARLIER_ALONE = (
    "No patient has been held out from the {last} course of these weights yet. The {earlier} one, on which it builds, "
    "was cross-validated; what the {last} changes for unseen patients is not known."
)
HOW = (
    "The {whose} plan, trained again without the patient who is then scored: whole volumes on their own grid, the "
    "largest piece kept, several volumes of a patient averaged. The network in this file has seen all of these "
    "patients."
)
LEARNED_TWINS = (
    "**Trained before it was known who is who in `ct_liver_only`** (RESULTS.md, †): these weights also learned from "
    "the liver's mask in 6 slices of `lits117` and in 59 of eighteen patients of 3D-IRCADb-01, so on those they are "
    "flattered."
)


def refresh(results: Figures, folder: Path) -> None:
    """Write the log's figures into the cards and the manifest of a weights folder. InputError when that is damaged."""
    models = {m["everybody"]: m for p in results["protocols"] for m in p["models"] if m["everybody"]}
    earlier = earlier_courses(results)
    rows = read_manifest(folder)
    for number, row in enumerate(rows):
        if model := models.get(row.run):
            rows[number] = _told(row, model, earlier.get(row.run))
            path = folder / f"{row.model}.md"
            path.write_text(_in_card(path.read_text("utf-8"), row, rows[number], model, earlier.get(row.run)), "utf-8")
    write_manifest(rows, folder)


@dataclass(frozen=True)
class Earlier:
    """The course that speaks for weights of a later one, from which nobody was held out."""

    model: Figures  # of the latest course before that has patients
    course: str  # "first" or "second"
    last: str  # the weights' own
    asked: str  # how large its pictures were, and what was left in


def earlier_courses(results: Figures) -> dict[str, Earlier]:
    """Of the runs on everybody that took a later course and have no patient of their own."""
    protocols = {protocol["series"]: protocol for protocol in results["protocols"]}
    found: dict[str, Earlier] = {}
    for series, protocol in protocols.items():
        for model in (model for model in protocol["models"] if model["everybody"] and not model["patients"]):
            before = series_before(series)
            while before is not None and model["everybody"] not in found:
                there = protocols.get(before)
                earlier = there and find_model(there["models"], model["model"])
                if there and earlier and earlier["patients"]:
                    names = COURSES[protocol_of(before)], COURSES[protocol_of(series)]
                    found[model["everybody"]] = Earlier(earlier, *names, _asked(there, model["model"]))
                before = series_before(before)
    return found


def _asked(protocol: Figures, model: str) -> str:
    """How a course's networks were asked, as far as the app may ask what ships in another way."""
    sizes = sorted({one["asked"] for one in protocol["sizes"] if model in one["models"]})
    kept = "" if any(protocol["specks_ml"]) else "; specks of tumour were left in"
    return f"It was asked with pictures of {' and '.join(map(str, sizes))} pixels{kept}."


def _told(row: Checkpoint, model: Figures, earlier: Earlier | None) -> Checkpoint:
    """The manifest's row with the figures of its run."""
    means = {name: model[name]["mean"] for name in ("liver_dice", "tumour_dice")}
    known = {name: value for name, value in means.items() if value is not None}
    learned = ("lits117",) if model["everybody_twins"] else ()
    return replace(row, validation=known, weak=weakness(row.labels, model, earlier), learned_cases=learned)


def weakness(labels: Sequence[str], model: Figures, earlier: Earlier | None = None) -> str:
    """What these weights cannot do, in one sentence for the app. earlier: as earlier_courses() has it."""
    label, phantoms = labels[-1], on_phantoms(model)
    known, whom = model[f"{label}_dice"], "phantom" if phantoms else "patient"
    if phantoms:
        start = learned_from_phantoms(built_in=True)  # phantom 0 is one of train.planned.PHANTOM_SEEDS
    elif label == "liver":
        start = "Knows the liver alone, no tumours"
    else:
        start = f"Learned tumours from {model['tumour_patients']} patients only"
    if not known["n"] and earlier is not None:
        before = earlier.model[f"{label}_dice"]
        unseen = f"{counted(before['n'], 'patient')} whom it had not seen"
        figures = f"{label} Dice on {unseen} was {before['mean']:.2f} after its {earlier.course} course"
        return f"{start}; {figures}, and was not measured after the {earlier.last}."
    if not known["n"]:
        return f"{start}; how it does on {whom}s that it has not seen was not measured yet."
    found = f"{label} Dice on {counted(known['n'], whom)} whom the same recipe had not seen was {known['mean']:.2f}"
    return f"{start}; {found}" + (", so expect missed tumours." if label == "tumour" and not phantoms else ".")


def learned_from_phantoms(built_in: bool) -> str:
    """The beginning of such a sentence. built_in: whether the phantom that the app shows (seed 0) was among them."""
    shown = ", the built-in one among them," if built_in else ""
    return f"Learned from rendered phantoms alone{shown} and has never seen a real scan"


def section(model: Figures, earlier: Earlier | None = None) -> list[str]:
    """The card's lines: patients one by one, their mean with its interval, and the volumes of strangers."""
    lines = [LEARNED_TWINS, ""] if model["everybody_twins"] else []
    lines += ["## On patients that the recipe has not seen", ""]
    if model["patients"]:
        told = HOW.format(whose="same") + (" **Rendered phantoms, not patients.**" if on_phantoms(model) else "")
        lines += [told, "", _patients(model)]
    elif earlier is not None:
        alone = EARLIER_ALONE.format(last=earlier.last, earlier=earlier.course)
        how = HOW.format(whose=f"{earlier.course} course's")
        lines += [alone, "", f"{how} {earlier.asked}", "", _patients(earlier.model)]
    else:
        lines += [NOT_YET]
    return [*lines, "", *_strangers(model)]


def _patients(model: Figures) -> str:
    """A table: a row a patient, and their mean."""
    header = ["patient", "liver Dice", "tumour Dice", "lesions found", "false positives a volume"]
    rows = [_patient(one) for one in model["patients"]]
    mean = ["mean (95 % interval)", spread(model["liver_dice"]), spread(model["tumour_dice"])]
    rows.append([*mean, found_of(model), spread(model["false_positives"])])
    return table(header, rows)


def _patient(one: Figures) -> list[str]:
    found = f"{one['lesions_found']} of {one['lesions']}" if one.get("lesions") else "n/a"
    cells = [one["patient"], figure(one["liver_dice"]), figure(one.get("tumour_dice")), found]
    return [*cells, figure(one.get("false_positives"))]


def _strangers(model: Figures) -> list[str]:
    """Volumes that neither these weights nor any fold has seen, scored with these weights."""
    scored = [one for one in model["unseen"] if "everybody" in one]
    if not scored:
        return []
    rows = [[one["case"], one["label"], figure(one["everybody"]), _alarm(one)] for one in scored]
    head = ["## On unseen volumes, these weights", ""]
    return [*head, table(["volume", "label", "Dice", "false alarm, mL"], rows), ""]


def _alarm(one: Figures) -> str:
    """Millilitres that were found where the reference has none."""
    if one["reference_ml"] != 0 or not one["predicted_ml"]:
        return ""
    return f"{one['predicted_ml']:.1f}"


def _in_card(card: str, before: Checkpoint, row: Checkpoint, model: Figures, earlier: Earlier | None) -> str:
    """The card with its section and its sentence renewed; ValueError where it has no such section."""
    assert before.weak, "train.card gives every network a sentence that is found again here"
    top, rest = card.split(BEGIN)
    _, bottom = rest.split(END)
    return top.replace(before.weak, row.weak) + marked(section(model, earlier)) + bottom


def marked(lines: Sequence[str]) -> str:
    """Lines between the marks at which `refresh` finds them again."""
    return "\n".join([BEGIN, *lines, END])
