"""RESULTS.md from the figures of train/results.py: words and tables, no arithmetic."""

from collections.abc import Sequence

from livdemo.results import (
    CASE_NOTES,
    NOT_RUN,
    STUDIES_ARE_SMALL,
    TRAINED_TWICE,
    TWINS,
    UNSEEN_ARE_NO_TEST,
    WITHOUT_TWINS,
    Figures,
    caveats,
    dagger,
    figure,
    find_model,
    found_of,
    made_with,
    millilitres,
    missed_in,
    on_phantoms,
    over_networks,
    plan_in_words,
    pooled,
    protocol_title,
    rankings,
    results_of,
    same_for_all,
    study_command,
    trained_on,
    unseen_livers,
    unseen_words,
)

TOP = """# Results

Made by `python -m train.results` from `results/*.jsonl`, which `python -m train.reproduce` writes; do not edit.
The figures are in `results/results.json` too.

**Six patients.** Whatever is said here about tumours was learned from and cross-validated on six patients (A to F of
`ct_liver_tumour`, eleven volumes). That is far too few to say how good a network is on the next patient.
For teaching only, not for clinical use.

How to read the tables
- *Reported* is what a paper prints, with its own data and unit: other patients, other tasks, often another metric,
  and its own network, mostly many times as large as ours. It stands beside our figures to show what was claimed, never
  to be compared with them.
- *Cross-validated* figures are of patients who were held out from the network that is scored on them. Each volume is
  scored as a whole, on its own grid, with the largest piece kept; several volumes of a patient are averaged first. The
  figure is the mean over patients, in brackets its 95 % bootstrap interval; at six patients such intervals are narrower
  than they claim. † marks networks for which "held out" was not quite true.
- *Dice* is a fraction from 0 to 1. That of the liver counts tumours as liver. A volume of whose tumours not one voxel
  is right counts with Dice 0 and stays in the mean.
- A *lesion* is a connected piece of drawn tumour in one volume. It is found when the predicted piece matched to it
  overlaps it with an IoU of at least 0.1; a predicted piece that matches none, or less, is a *false positive*. The 62
  lesions are no 62 tumours: 31 of them are in five scans of patient F, 23 in two of patient A.
- *Pooled slices* is the training loop's own Dice over all pixels of a fold's held-out slices, those of liver-only
  patients among them, averaged over the folds; it does not know how the network is asked afterwards.
- *Seconds a slice* are the median over volumes, of one thread beside other work on a shared machine: good to a factor
  of two.
- Models stand in the order of the list, not by score.

Words
- *S0* to *S4*: the five papers, DTAN; UNet_ASPP and TransUNet with attention; LT-Net; SFAN; DALU-Net
  (`livdemo/models` names them whole). *Classroom*: the small network of that layout that trains on a CPU.
- *House plan*: the same training for all (`train/plan.py`), in up to three *courses*, each going on where the one
  before ended; the later ones also learn from painted tumours. An *item* or *view* is a slice, or part of one, as it
  is drawn, turned and zoomed for training.
- `ct_liver_tumour`: 1,592 slices of eleven LiTS volumes with liver and tumours drawn; their spacing is not known, so no
  distance is given for these patients. `ct_liver_only`: 924 slices of 102 volumes with the liver's outline alone.
- *Specks*: tumours too small to be any (below 0.065 mL). *Necks*: what joins another organ to the liver.
"""


def page(results: Figures) -> str:
    """The whole page, ending with a newline."""
    parts = [TOP.rstrip(), *_protocols(results), *_studies(results["studies"]), *_twice(results)]
    return "\n\n".join(parts) + "\n"


def _protocols(results: Figures) -> list[str]:
    reported = results["reported"]
    if not results["protocols"]:
        return ["## The fair table", "No run has finished yet.", _main_table([], reported, whole=True)]
    parts: list[str] = []
    for number, one in enumerate(results["protocols"]):
        same_plan = same_for_all(one)
        parts += [f"## {protocol_title(one)}", _how(one, same_plan)]
        parts += [_main_table(one["models"], reported, whole=number == 0), *_not_run(one["models"], reported, number)]
        parts += [TWINS] if any(model["twins"] for model in one["models"]) else []
        parts += ["\n".join(f"- {line}" for line in rankings(one["pairs"]))]
        parts += ["### Tumours, lesion by lesion", _lesion_table(one["models"])]
        parts += ["### Patient by patient: Dice of liver / tumour", *_patient_tables(one["models"])]
        parts += _unseen_section(one["models"])
        if not same_plan:
            parts += ["### What each was given", _recipe_table(one["models"])]
    return parts


def _how(one: Figures, same_plan: bool) -> str:
    """How the figures of a table came about."""
    return "  \n".join([*(f"`{command}`" for command in one["commands"]), *made_with(one, same_plan)])


def _main_table(models: Sequence[Figures], reported: Sequence[Figures], whole: bool) -> str:
    """whole: a line for each model of the list, run or not, with what its paper reports; else those that have run."""
    header = ["model", *(["reported (data, unit)"] if whole else [])]
    header += ["liver Dice, cross-validated", "tumour Dice, cross-validated"]
    header += ["unseen volumes, liver Dice", "parameters (its paper's)", "seconds a slice", "trained on"]
    lines = []
    for spec in reported:
        model = find_model(models, spec["model"])
        if model is None and not whole:
            continue
        cells = [f"{spec['title']} (`{spec['model']}`){dagger(model) if model else ''}"]
        cells += [_reported(spec["reported"])] if whole else []
        parameters = f"({spec['parameters_paper']:,})"
        if model is None:
            cells += [NOT_RUN, "", "", f"{spec['parameters']:,} {parameters}", "", ""]
        else:
            cells += [" ".join([spread(model["liver_dice"]), *caveats(model)]), _tumour(model)]
            cells += [_unseen_cell(model["unseen"]), f"{model['parameters']:,} {parameters}"]
            cells += [figure(model["seconds_a_slice"]), trained_on(model)]
        lines.append(cells)
    return table(header, lines)


def _not_run(models: Sequence[Figures], reported: Sequence[Figures], number: int) -> list[str]:
    """Whom the table leaves out; the first one leaves out nobody."""
    missing = [spec["model"] for spec in reported if number and find_model(models, spec["model"]) is None]
    return [f"{NOT_RUN.capitalize()}: {', '.join(f'`{name}`' for name in missing)}."] if missing else []


def _reported(reported: Sequence[Figures]) -> str:
    """Each figure with its data and unit and what has to be known about it; a loss is no result, the cards have it."""
    told = [
        f"{r['metric']} {r['value']} ({r['data']}; {r['unit']}) {_emphasised(r['note'])}" for r in results_of(reported)
    ]
    return "<br>".join(one.strip() for one in told) or "no number"


def _emphasised(note: str) -> str:
    return f"*{note}*" if note else ""


def spread(found: Figures) -> str:
    """Mean (low to high), n; what is not there is said."""
    if not found["n"]:
        return "n/a"
    if found["low"] is None:
        return f"{found['mean']:.3f} (n {found['n']}, too few for an interval)"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f}), n {found['n']}"


def _tumour(model: Figures) -> str:
    return f"{spread(model['tumour_dice'])}, {missed_in(model)}" if model["tumour_dice"]["n"] else "n/a"


def _unseen_cell(unseen: Sequence[Figures]) -> str:
    return "<br>".join(f"{dice} ({whose})" for dice, whose in unseen_livers(unseen)) or "not scored"


def _lesion_table(models: Sequence[Figures]) -> str:
    header = ["model", "lesions found", "sensitivity, mean over patients", "false positives a volume"]
    header += ["volumes of whose tumours not one voxel is right"]
    lines = [
        [
            f"`{m['model']}`{dagger(m)}",
            found_of(m),
            spread(m["lesion_sensitivity"]),
            spread(m["false_positives"]),
            str(m["missed"]),
        ]
        for m in models
        if m["tumour_dice"]["n"]
    ]
    return table(header, lines) if lines else "No model that knows tumours has been scored."


def _patient_tables(models: Sequence[Figures]) -> list[str]:
    """Patients and phantoms apart: they have nothing to do with each other."""
    kinds = [[m for m in models if on_phantoms(m) == phantoms and m["patients"]] for phantoms in (False, True)]
    return [_patient_table(kind) for kind in kinds if kind] or ["No patient has been scored."]


def _patient_table(models: Sequence[Figures]) -> str:
    names = sorted({p["patient"] for m in models for p in m["patients"]})
    lines = []
    for model in models:
        mine = {p["patient"]: p for p in model["patients"]}
        lines.append([f"`{model['model']}`{dagger(model)}", *(_patient(mine.get(name)) for name in names)])
    return table(["model", *names], lines)


def _patient(patient: Figures | None) -> str:
    if patient is None:
        return ""
    return f"{figure(patient['liver_dice'])} / {figure(patient.get('tumour_dice'))}"


def _unseen_section(models: Sequence[Figures]) -> list[str]:
    lines = [
        [
            f"`{model['model']}`",
            one["case"],
            one["label"],
            over_networks(one),
            "n/a" if one["reference_ml"] == 0 else figure(one.get("everybody")),
            millilitres(one["predicted_ml"]),
            millilitres(one["reference_ml"]),
            unseen_words(one),
        ]
        for model in models
        for one in model["unseen"]
    ]
    if not lines:
        return []
    header = ["model", "volume", "label", "Dice of the folds' networks (lowest to highest)", "Dice, trained on all"]
    header += ["predicted mL (trained on all, else mean)", "reference mL", ""]
    notes = [note for case, note in CASE_NOTES.items() if any(line[1] == case for line in lines)]
    return ["### Unseen volumes", UNSEEN_ARE_NO_TEST, *notes, table(header, lines)]


def _recipe_table(models: Sequence[Figures]) -> str:
    header = ["model", "recipe", "epochs run", "epoch kept", "input", "shortened"]
    lines = [
        [
            f"`{m['model']}`",
            plan_in_words(m["plan"]),
            str(m["budget"]["epochs"]),
            "chosen on the scored patients: flatters" if m["plan"]["keep"] == "best" else "the last",
            m["preprocessing"],
            m["plan"]["shortened"] or "no",
        ]
        for m in models
    ]
    return table(header, lines)


def _studies(studies: Sequence[Figures]) -> list[str]:
    ran = [study for study in studies if any(variant["done"] for variant in study["variants"])]
    parts = ["## One thing changed at a time", STUDIES_ARE_SMALL]
    if any(variant["done"] and variant["twins"] for study in ran for variant in study["variants"]):
        parts.append(TWINS)
    for study in ran:
        series = f" ({study['series']})" if study["series"] else ""
        parts += [f"### {study['question']}{series}", *([study["note"]] if study["note"] else [])]
        parts += [_how(study, same_plan=False), _study_table(study["variants"])]
    if waiting := [study for study in studies if study not in ran]:
        names = [
            f"- {s['question']} {'; '.join(v['variant'] for v in s['variants'])}: `{study_command(s)}`" for s in waiting
        ]
        parts += [f"### {NOT_RUN.capitalize()}", "\n".join(names)]
    return parts


def _twice(results: Figures) -> list[str]:
    """What chance does to a figure, and what it was worth that some patients were learned from under other names."""
    parts = []
    if twice := results["trained_twice"]:
        header = ["model", "held out", "pixels", "liver Dice", "tumour Dice", "unseen volumes, liver Dice"]
        lines = [
            [
                f"`{one['model']}`",
                one["fold"],
                str(one["asked_size"]),
                *(_first_and_second(one[name]) for name in ("liver_dice", "tumour_dice")),
                "<br>".join(f"{case} {_first_and_second(pair)}" for case, pair in one["unseen"].items()),
            ]
            for one in twice
        ]
        parts += ["## The same thing twice", TRAINED_TWICE, table(header, lines)]
    if again := results["without_twins"]:
        header = ["model", "folds", "C, E, F: liver Dice before", "now", "A, B, D: before", "now"]
        lines = [
            [
                f"`{one['model']}`",
                " ".join(one["folds"]),
                *(figure(one[whom][when]) for whom in ("twins", "others") for when in ("before", "now")),
            ]
            for one in again
        ]
        parts += ["## Patients who were learned from under other names", WITHOUT_TWINS, table(header, lines)]
    return parts


def _first_and_second(pair: Sequence[float | None]) -> str:
    return " and ".join(figure(value) for value in pair)


def _study_table(variants: Sequence[Figures]) -> str:
    header = ["variant", "model", "liver Dice", "tumour Dice", "lesions found", "false positives a volume"]
    header += ["difference, liver", "difference, tumour", "pooled slices, liver / tumour", "unseen volumes, liver Dice"]
    lines = []
    for one in variants:
        cells = [one["variant"], f"`{one['model']}`{dagger(one) if one['done'] else ''}"]
        if not one["done"]:
            lines.append([*cells, NOT_RUN, *[""] * 7])
            continue
        found = one.get("against_first", {})
        cells += [spread(one["liver_dice"]), _tumour(one), found_of(one)]
        cells += [spread(one["false_positives"])]
        cells += [_difference(found.get(name)) for name in ("liver_dice", "tumour_dice")]
        lines.append([*cells, pooled(one["pooled"]), _unseen_cell(one["unseen"])])
    return table(header, lines)


def _difference(found: Figures | None) -> str:
    if found is None:
        return ""
    if found["low"] is None:
        return f"{found['mean']:+.3f} (n {found['n']}, too few for an interval)"
    test = "no test" if found["p"] is None else f"p {found['p']:.2f}"
    return f"{found['mean']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f}), n {found['n']}, {test}"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell would end it, so it is escaped."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
