"""RESULTS.md from the figures of train/results.py: words and tables, no arithmetic."""

from collections.abc import Sequence

from livdemo.results import (
    CASE_NOTES,
    NOT_RUN,
    Figures,
    figure,
    find_model,
    found_of,
    made_with,
    missed_in,
    on_phantoms,
    over_networks,
    plan_in_words,
    pooled,
    protocol_title,
    rankings,
    same_for_all,
    study_command,
    trained_on,
    unseen_livers,
)

TOP = """# Results

Made by `python -m train.results` from `results/*.jsonl`, which `python -m train.reproduce` writes; do not edit.
The figures are in `results/results.json` too.

**Six patients.** Whatever is said here about tumours was learned from and cross-validated on six patients (A to F of
`ct_liver_tumour`, eleven volumes). That is far too few to say how good a network is on the next patient.
For teaching only, not for clinical use.

How to read the tables
- *Reported* is what a paper prints, with its own data and unit: other patients, other tasks, often another metric.
  It stands beside our figures to show what was claimed, never to be compared with them.
- *Cross-validated* figures are of patients whom the network has not seen. Each volume is scored as a whole, on its own
  grid, with the largest piece kept; several volumes of a patient are averaged first. The figure is the mean over
  patients, in brackets its 95 % bootstrap interval; at six patients such intervals are narrower than they claim.
- Dice of the liver counts tumours as liver. A tumour that was missed altogether counts with Dice 0 and stays in the
  mean. A lesion is found when one predicted lesion overlaps it with an IoU of at least 0.1.
- Models stand in the order of the list, not by score.
"""


def page(results: Figures) -> str:
    """The whole page, ending with a newline."""
    parts = [TOP.rstrip(), *_protocols(results), *_studies(results["studies"])]
    return "\n\n".join(parts) + "\n"


def _protocols(results: Figures) -> list[str]:
    reported = results["reported"]
    if not results["protocols"]:
        return ["## The fair table", "No run has finished yet.", _main_table([], reported)]
    parts: list[str] = []
    for one in results["protocols"]:
        same_plan = same_for_all(one)
        parts += [f"## {protocol_title(one)}", _how(one, same_plan), _main_table(one["models"], reported)]
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


def _main_table(models: Sequence[Figures], reported: Sequence[Figures]) -> str:
    """One line for each model of the list, run or not."""
    header = ["model", "reported (data, unit)", "liver Dice, cross-validated", "tumour Dice, cross-validated"]
    header += ["unseen volumes, liver Dice", "parameters", "seconds a slice", "trained on"]
    lines = []
    for spec in reported:
        model = find_model(models, spec["model"])
        cells = [f"{spec['title']} (`{spec['model']}`)", _reported(spec["reported"])]
        if model is None:
            cells += [NOT_RUN, "", "", f"{spec['parameters']:,}", "", ""]
        else:
            phantoms = " **rendered phantoms, not patients**" if on_phantoms(model) else ""
            cells += [spread(model["liver_dice"]) + phantoms, _tumour(model), _unseen_cell(model["unseen"])]
            cells += [f"{model['parameters']:,}", figure(model["seconds_a_slice"]), trained_on(model)]
        lines.append(cells)
    return table(header, lines)


def _reported(reported: Sequence[Figures]) -> str:
    return "<br>".join(f"{r['metric']} {r['value']} ({r['data']}; {r['unit']})" for r in reported) or "no number"


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
    header += ["volumes whose tumours were all missed", "volumes without tumour where one was seen"]
    lines = [
        [
            f"`{m['model']}`",
            found_of(m),
            spread(m["lesion_sensitivity"]),
            spread(m["false_positives"]),
            str(m["missed"]),
            str(m["false_alarms"]),
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
        lines.append([f"`{model['model']}`", *(_patient(mine.get(name)) for name in names)])
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
            figure(one.get("everybody")),
            "n/a" if one["predicted_ml"] is None else f"{one['predicted_ml']:.0f}",
            ", ".join(one["state"]),
        ]
        for model in models
        for one in model["unseen"]
    ]
    if not lines:
        return []
    header = ["model", "volume", "label", "Dice of the folds' networks (lowest to highest)"]
    header += ["Dice, trained on all", "predicted mL, mean", "state"]
    notes = [note for case, note in CASE_NOTES.items() if any(line[1] == case for line in lines)]
    return ["### Unseen volumes", *notes, table(header, lines)]


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
    parts = [
        "## One thing changed at a time",
        "Differences are to the first row, patient by patient, with a 95 % interval; where it holds 0 the row shows "
        "nothing. *Pooled slices*: the training loop's own Dice over all pixels of the held-out slices.",
    ]
    for study in studies:
        series = f" ({study['series']})" if study["series"] else ""
        parts.append(f"### {study['question']}{series}")
        done = any(variant["done"] for variant in study["variants"])
        if study["note"]:
            parts.append(study["note"])
        if done:
            parts += [_how(study, same_plan=False), _study_table(study["variants"])]
        else:
            names = "; ".join(f"{v['variant']} (`{v['model']}`)" for v in study["variants"])
            parts.append(f"{NOT_RUN.capitalize()}: {names}.  \n`{study_command(study)}`")
    return parts


def _study_table(variants: Sequence[Figures]) -> str:
    header = ["variant", "model", "liver Dice", "tumour Dice", "lesions found", "false positives a volume"]
    header += ["difference, liver", "difference, tumour", "pooled slices, liver / tumour", "unseen volumes, liver Dice"]
    lines = []
    for one in variants:
        cells = [one["variant"], f"`{one['model']}`"]
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
