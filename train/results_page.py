"""RESULTS.md from the figures of train/results.py: words and tables, no arithmetic."""

from collections.abc import Sequence
from typing import Any

from livdemo.metrics.statistics import MIN_CASES

Figures = dict[str, Any]

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

NOT_RUN = "not run yet"
CASE_NOTES = {
    "chaos": "`chaos` is CHAOS CT of a healthy liver donor: any tumour found there is a false alarm.",
    "lowres": "`lowres` is a CT of 3 mm voxels without contrast agent; its reference is a model's output, not drawn by "
    "hand, and says nothing about tumours.",
}


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
        fair = one["series"].startswith("fair")
        title = "The fair table: the same for all" if fair else "Each as its paper trained it"
        parts += [f"## {title} ({one['series']})", _how(one, fair), _main_table(one["models"], reported)]
        parts += [_pairs(one["pairs"])]
        parts += ["### Tumours, lesion by lesion", _lesion_table(one["models"])]
        parts += ["### Patient by patient: Dice of liver / tumour", *_patient_tables(one["models"])]
        parts += _unseen_section(one["models"])
        if not fair:
            parts += ["### What each was given", _recipe_table(one["models"])]
    return parts


def _how(one: Figures, same_plan: bool) -> str:
    """How the figures of a table came about."""
    lines = [f"`{command}`" for command in one["commands"]]
    if same_plan:
        lines.append(f"Plan: {plan_in_words(one['plan'])}.")
        if one["other_plans"]:
            lines.append(f"**Another plan than that had: {', '.join(one['other_plans'])}; compare with care.**")
    lines.append(
        f"{one['runs']} runs, {one['hours']:.1f} hours of training; {'; '.join(one['devices'])}; torch "
        f"{', '.join(one['torch'])}; seed {', '.join(map(str, one['seeds']))}; commit {', '.join(one['commits'])}."
    )
    return "  \n".join(lines)


def plan_in_words(plan: Figures) -> str:
    """The parts of a plan that decide a result, in one phrase."""
    slices = "every training slice" if plan["slices_per_epoch"] is None else f"{plan['slices_per_epoch']:,} slices"
    words = [
        f"{plan['epochs']} epochs of {slices}",
        f"batch {plan['batch_size']}",
        f"{plan['optimiser']} {plan['learning_rate']:g} ({plan['schedule']})",
        f"loss {plan['loss']}",
        f"augmentation {plan['augmentation']}",
        f"tumours painted into {plan['painted']:.0%} of the items" if plan["painted"] else "",
        "bf16" if plan["bf16"] else "",
    ]
    return ", ".join(filter(None, words))


def _main_table(models: Sequence[Figures], reported: Sequence[Figures]) -> str:
    """One line for each model of the list, run or not."""
    found = {model["model"]: model for model in models}
    header = ["model", "reported (data, unit)", "liver Dice, cross-validated", "tumour Dice, cross-validated"]
    header += ["unseen volumes, liver Dice", "parameters", "seconds a slice", "trained on"]
    lines = []
    for spec in reported:
        model = found.get(spec["model"])
        cells = [f"{spec['title']} (`{spec['model']}`)", _reported(spec["reported"])]
        if model is None:
            cells += [NOT_RUN, "", "", f"{spec['parameters']:,}", "", ""]
        else:
            phantoms = " **rendered phantoms, not patients**" if on_phantoms(model) else ""
            cells += [spread(model["liver_dice"]) + phantoms, _tumour(model), _unseen_cell(model["unseen"])]
            cells += [f"{model['parameters']:,}", figure(model["seconds_a_slice"]), _trained_on(model)]
        lines.append(cells)
    return table(header, lines)


def _reported(reported: Sequence[Figures]) -> str:
    return "<br>".join(f"{r['metric']} {r['value']} ({r['data']}; {r['unit']})" for r in reported) or "no number"


def spread(figure: Figures) -> str:
    """Mean (low to high), n; what is not there is said."""
    if not figure["n"]:
        return "n/a"
    if figure["low"] is None:
        return f"{figure['mean']:.3f} (n {figure['n']}, too few for an interval)"
    return f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}), n {figure['n']}"


def _tumour(model: Figures) -> str:
    figure = model["tumour_dice"]
    if not figure["n"]:
        return "n/a"
    volumes = sum(patient["volumes"] for patient in model["patients"])
    return f"{spread(figure)}, missed in {model['missed']} of {volumes} volumes"


def _found(model: Figures) -> str:
    return f"{model['lesions_found']} of {model['lesions']}" if model["lesions"] else "n/a"


def _unseen_cell(unseen: Sequence[Figures]) -> str:
    cells = []
    for one in unseen:
        if one["label"] == "liver":
            value = one.get("everybody", one.get("mean"))
            whose = "trained on all" if "everybody" in one else f"mean of {_networks(one)}"
            cells.append(f"{one['case']} {figure(value)} ({whose})")
    return "<br>".join(cells) or "not scored"


def _networks(unseen: Figures) -> str:
    return f"{unseen['networks']} network{'' if unseen['networks'] == 1 else 's'}"


def _trained_on(model: Figures) -> str:
    low, high = min(model["train_slices"]), max(model["train_slices"])
    count = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    leak = " **LEAKY split by slice**" if model["leaky"] else ""
    return f"{count} slices of {', '.join(model['sources'])}{leak}"


def _pairs(pairs: Figures) -> str:
    """Whether anything may be said about who is better."""
    lines = []
    for name, found in pairs.items():
        label = name.partition("_")[0]
        if not found["pairs"]:
            lines.append(f"- {label}: no two models have been scored on the same patients, so nothing is compared.")
            continue
        if found["patients"] < MIN_CASES:
            lines.append(f"- {label}: {found['patients']} patients so far, and no test is made below {MIN_CASES}.")
            continue
        about = f"{found['pairs']} pairs of models on the same {found['patients']} patients"
        apart = "; ".join(f"{a['better']} above {a['worse']} by {a['difference']:.3f}" for a in found["apart"])
        told = f"it separates {len(found['apart'])}: {apart}" if apart else "it separates none: **no ranking**"
        left = f" Not in it, for want of a patient: {', '.join(found['left_out'])}." if found["left_out"] else ""
        lines.append(f"- {label}: of {about}, paired test (Wilcoxon, corrected by Holm): {told}.{left}")
    return "\n".join(lines)


def _lesion_table(models: Sequence[Figures]) -> str:
    header = ["model", "lesions found", "sensitivity, mean over patients", "false positives a volume"]
    header += ["volumes whose tumours were all missed", "volumes without tumour where one was seen"]
    lines = [
        [
            f"`{m['model']}`",
            _found(m),
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


def on_phantoms(model: Figures) -> bool:
    """Whether it never saw a patient."""
    return bool(model["sources"] == ["phantom"])


def _patient(patient: Figures | None) -> str:
    if patient is None:
        return ""
    return f"{figure(patient['liver_dice'])} / {figure(patient.get('tumour_dice'))}"


def _over_networks(one: Figures) -> str:
    """Mean over the folds' networks, with the lowest and the highest where there are several."""
    if not one["networks"]:
        return "n/a"
    ends = f" ({figure(one.get('lowest'))} to {figure(one.get('highest'))})" if one["networks"] > 1 else ""
    return f"{figure(one.get('mean'))}{ends}, {_networks(one)}"


def _unseen_section(models: Sequence[Figures]) -> list[str]:
    lines = [
        [
            f"`{model['model']}`",
            one["case"],
            one["label"],
            _over_networks(one),
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
            command = f'python -m train.reproduce --data DIR --protocol ablations --studies "{study["study"]}"'
            parts.append(f"{NOT_RUN.capitalize()}: {names}.  \n`{command}`")
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
        cells += [spread(one["liver_dice"]), _tumour(one), _found(one)]
        cells += [spread(one["false_positives"])]
        cells += [_difference(found.get(name)) for name in ("liver_dice", "tumour_dice")]
        lines.append([*cells, _pooled(one["pooled"]), _unseen_cell(one["unseen"])])
    return table(header, lines)


def _difference(found: Figures | None) -> str:
    if found is None:
        return ""
    if found["low"] is None:
        return f"{found['mean']:+.3f} (n {found['n']}, too few for an interval)"
    test = "no test" if found["p"] is None else f"p {found['p']:.2f}"
    return f"{found['mean']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f}), n {found['n']}, {test}"


def _pooled(pooled: Figures) -> str:
    if pooled["object_dice"] is not None:
        return f"{figure(pooled['object_dice'])} (object)"
    return f"{figure(pooled['liver_dice'])} / {figure(pooled['tumour_dice'])}"


def figure(value: float | None) -> str:
    """Three decimals; what is not there is said."""
    return "n/a" if value is None or value != value else f"{value:.3f}"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell would end it, so it is escaped."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
