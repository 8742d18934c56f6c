"""python -m train.results: every figure about training, from the log of finished runs and from nothing else.

RESULTS.md, results/results.json, and what the cards and the manifest of the weights say about held-out patients. The
same log gives the same files to the byte, wherever it is read. results.json holds the tables' figures for the app;
RESULTS.md is that file in words. Nothing is ranked by hand: models stand in the order of the list, and where a paired
test over patients separates two of them, a sentence says so.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from livdemo.checkpoints import weights_folder
from livdemo.errors import InputError
from livdemo.metrics.statistics import bootstrap_mean, compare_models
from livdemo.models import ModelSpec, get_model, list_models
from livdemo.results import FORMAT, NO_TUMOURS_DRAWN, PROTOCOL_TITLES, SIGNIFICANT, plan_in_words, protocol_of
from train.ablations import STUDIES, Study
from train.evidence import refresh
from train.plan import items_of
from train.results_page import page
from train.run_log import Row, asked_size, fat_hu, latest, learned_from_twins, neck_mm, read_rows, speck_ml, without_nan
from train.trust import trained_twice, without_twins

FOLDER = Path("results")
PAGE = Path("RESULTS.md")
EVERYBODY = "all"
DECIMALS = 4
NO_NUMBER = float("nan")
PATIENT_FIGURES = ("liver_dice", "tumour_dice", "lesion_sensitivity", "false_positives")
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m train.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="holds the .jsonl logs; results.json goes there")
    parser.add_argument("--weights", type=Path, default=weights_folder(), help="whose cards and manifest are renewed")
    parser.add_argument("--page", type=Path, default=PAGE, help="the Markdown page to write")
    asked = parser.parse_args(arguments)
    try:
        refresh(write_results(asked.folder, asked.page), asked.weights)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{asked.page} and {asked.folder / 'results.json'} are made from {asked.folder}/*.jsonl.")
    return 0


def write_results(folder: Path, page_path: Path) -> dict[str, Any]:
    """Read every log of the folder, write both files and give their figures.

    InputError for a damaged log, or where nothing can be written.
    """
    rows = [row for path in sorted(folder.glob("*.jsonl")) for row in read_rows(path)]
    results = tables(rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=1, ensure_ascii=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        page_path.write_text(page(results), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written ({error.strerror}); name another folder.") from error
    return results


def tables(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures of the page, rounded, without nan: reported, protocols, studies, trained_twice, without_twins.

    rows: of the log, in its order; where two say who alike the later one counts.
    """
    kept = latest(list(rows))
    whole = [row for row in kept if not row["study"]]
    order = list(PROTOCOL_TITLES)
    series = sorted({row["series"] for row in whole}, key=lambda name: (order.index(protocol_of(name)), name))
    ablations = sorted({row["series"] for row in kept if row["study"]}) or [""]
    results = {
        "format": FORMAT,
        "reported": [_reported(spec) for spec in list_models()],
        "protocols": [_protocol(name, [row for row in whole if row["series"] == name]) for name in series],
        "studies": [_study(study, name, kept) for name in ablations for study in STUDIES],
        "trained_twice": trained_twice(rows),
        "without_twins": without_twins(rows),
    }
    return without_nan(_rounded(results))


def _reported(spec: ModelSpec) -> Figures:
    """What the papers print, each with its unit and data, and what is known without training."""
    fields = ("metric", "value", "unit", "data", "note")
    return {
        "model": spec.name,
        "title": spec.title,
        "source": spec.source,
        "parameters": spec.parameters("classroom"),
        "parameters_paper": spec.parameters("paper"),
        "reported": [{field: getattr(one, field) for field in fields} for one in spec.reported],
    }


def _protocol(series: str, rows: Sequence[Row]) -> Figures:
    """One table of models: the models in the order of the list, what they were given, and which pairs differ."""
    found = {spec.name: [row for row in rows if row["model"] == spec.name] for spec in list_models()}
    models = [summary(found[name]) for name in found if found[name]]
    return {"series": series, **_how(rows), "models": models, "pairs": separated(models)}


def _study(study: Study, series: str, kept: Sequence[Row]) -> Figures:
    """One table of variants; those after the first with their difference from it."""
    rows = [row for row in kept if row["study"] == study.name and row["series"] == series]
    variants: list[Figures] = []
    for variant in study.variants:
        mine = [row for row in rows if (row["variant"], row["model"]) == (variant.name, variant.model)]
        found: Figures = {"variant": variant.name, "model": variant.model, "done": bool(mine)}
        if mine:
            found |= summary(mine)
            if variants and variants[0]["done"]:
                found["against_first"] = differences(found, variants[0])
        variants.append(found)
    about = {"study": study.name, "question": study.question, "note": study.note, "series": series}
    return {**about, **_how(rows), "variants": variants}


def _how(rows: Sequence[Row]) -> Figures:
    """Who made the figures of a table: commands, machines, commits, time, and whether all had the same plan."""
    plans = [_written(row["plan"]) for row in rows]
    # The one that most have; of two, that of single slices, from which the others follow.
    usual: Figures = max(
        (row["plan"] for row in rows),
        key=lambda plan: (plans.count(_written(plan)), plan["batch_size"]),
        default={},
    )
    other = {
        _with_what_differs(row, _in_items(usual, row))
        for row, plan in zip(rows, plans, strict=True)
        if plan not in (_written(usual), _written(_in_items(usual, row)))
    }
    trained = {row["key"]: row["seconds"] for row in rows}  # variants of the inference ask one network
    return {
        "commands": _distinct(rows, "command"),
        "devices": _distinct(rows, "device"),
        "torch": _distinct(rows, "torch"),
        "commits": sorted({row["commit"][:12] for row in rows}),
        "seeds": sorted({row["seed"] for row in rows}),
        "runs": len(trained),
        "hours": sum(trained.values()) / 3600,
        "sizes": _sizes(rows),
        "necks_mm": sorted({neck_mm(row) for row in rows}),
        "specks_ml": sorted({speck_ml(row) for row in rows}),
        "fats_hu": sorted({fat_hu(row) for row in rows}, key=lambda value: (value is not None, value)),
        "plan": usual or None,
        "other_plans": sorted(other),
    }


def _sizes(rows: Sequence[Row]) -> list[Figures]:
    """Sides of the views that networks learned from and of their input when they were asked, in pixels, and whose."""
    models: dict[tuple[int, int], set[str]] = {}
    for row in rows:
        models.setdefault((row["size"], asked_size(row)), set()).add(row["model"])
    return [{"learned": pair[0], "asked": pair[1], "models": sorted(models[pair])} for pair in sorted(models)]


def _written(plan: Figures) -> str:
    return json.dumps(plan, sort_keys=True)


def _in_items(plan: Figures, row: Row) -> Figures:
    """The plan for the row's kind of input, as train.plan.Plan.in_items."""
    return {**plan, "batch_size": items_of(plan["batch_size"], get_model(row["model"]).slices_an_item(row["preset"]))}


def _with_what_differs(row: Row, usual: Figures) -> str:
    """The row's model, in brackets what its plan has and the usual one has not, where that is put into words."""
    known = plan_in_words(usual).split(", ")
    more = [part for part in plan_in_words(row["plan"]).split(", ") if part not in known]
    return row["model"] + (f" ({', '.join(more)})" if more else "")


def _distinct(rows: Sequence[Row], key: str) -> list[str]:
    return sorted({row[key] for row in rows})


def summary(rows: Sequence[Row]) -> Figures:
    """One line of a table from the folds of one model or variant (at least one row).

    Means are over patients, with a 95 % bootstrap interval; misses and false alarms are in them at 0 and counted.
    """
    folds = [row for row in rows if row["fold"] != EVERYBODY]
    patients = sorted((p for row in folds for p in row["patients"]), key=lambda p: p["patient"])
    last = rows[-1]
    scored = [volume for row in rows for volume in row["volumes"] if "seconds" in volume]
    scored = scored or [one for row in rows for one in row["unseen"] or [] if one["label"] == "liver"]
    # The median: one volume that was scored while the machine stood still must not speak for all.
    pace = [volume["seconds"] / volume["slices"] for volume in scored]
    return {
        "model": last["model"],
        "folds": [row["fold"] for row in rows],
        "everybody": next((row["key"] for row in rows if row["fold"] == EVERYBODY), None),
        "leaky": any(row["split"] == "slice" for row in rows),
        "twins": any(learned_from_twins(row) for row in folds or rows),
        "everybody_twins": any(learned_from_twins(row) for row in rows if row["fold"] == EVERYBODY),
        "sources": last["sources"],
        "train_slices": [row["slices"]["train"] for row in rows],
        "tumour_patients": max(len(row["drawn_patients"]["train"]) for row in rows),
        "preprocessing": last["preprocessing"],
        "inference": last["inference"],
        "plan": last["plan"],
        "budget": last["budget"],
        "parameters": last["parameters"],
        "seconds_a_slice": median(pace) if pace else NO_NUMBER,
        "patients": patients,
        **{name: mean_over([p[name] for p in patients if name in p]) for name in PATIENT_FIGURES},
        **{name: sum(p.get(name, 0) for p in patients) for name in ("lesions", "lesions_found", "missed")},
        "pooled": {name: _pooled(folds, name) for name in ("liver_dice", "tumour_dice", "object_dice")},
        "unseen": _unseen(rows),
    }


FEWEST = 3  # patients: of two, a bootstrap can only give back their own two figures


def mean_over(values: Sequence[float | None]) -> Figures:
    """Mean with its 95 % bootstrap interval over patients; low and high are nan below FEWEST of them."""
    interval = bootstrap_mean([NO_NUMBER if value is None else value for value in values])
    if interval.n < FEWEST:
        return {"mean": interval.mean, "low": NO_NUMBER, "high": NO_NUMBER, "n": interval.n}
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}


def _pooled(folds: Sequence[Row], name: str) -> float:
    """Mean over the folds of the loop's own Dice, all pixels of all held-out slices thrown together."""
    values = [row["pooled"].get(name) for row in folds]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else NO_NUMBER


def _unseen(rows: Sequence[Row]) -> list[Figures]:
    """A line a case and label: mean and range over the folds' networks, and the network trained on everybody.

    A label that the reference says nothing about has no line. predicted_ml: of the network trained on everybody, or
    the mean over the folds'.
    """
    scores: dict[tuple[str, str], dict[str, Figures]] = {}
    for row in rows:
        for one in row["unseen"] or []:
            if one["label"] != "tumour" or one["case"] not in NO_TUMOURS_DRAWN:
                scores.setdefault((one["case"], one["label"]), {})[row["fold"]] = one
    return [_unseen_line(case, label, by_fold) for (case, label), by_fold in sorted(scores.items())]


def _unseen_line(case: str, label: str, by_fold: Figures) -> Figures:
    dice = [one["dice"] for fold, one in by_fold.items() if fold != EVERYBODY and one["dice"] is not None]
    line: Figures = {"case": case, "label": label, "networks": len(dice)}
    line |= {"mean": sum(dice) / len(dice), "lowest": min(dice), "highest": max(dice)} if dice else {}
    if EVERYBODY in by_fold:
        line["everybody"] = by_fold[EVERYBODY]["dice"]
    volumes = [one["volume_ml"] for one in by_fold.values() if one["volume_ml"] is not None]
    mean = sum(volumes) / len(volumes) if volumes else None
    line["predicted_ml"] = by_fold[EVERYBODY]["volume_ml"] if EVERYBODY in by_fold else mean
    line["reference_ml"] = next((one.get("reference_volume_ml") for one in by_fold.values()), None)
    return line


def separated(models: Sequence[Figures]) -> Figures:
    """Which pairs of models a paired test over the same patients tells apart, for liver and tumour.

    A pair counts when Holm's p is below 0.05 and the interval of its difference leaves out 0. Models that lack a
    patient of the others', and those on phantoms, are left out by name.
    """
    real = [model for model in models if model["sources"] != ["phantom"]]
    return {name: _separated(real, name) for name in ("liver_dice", "tumour_dice")}


def _separated(models: Sequence[Figures], name: str) -> Figures:
    scores = {m["model"]: {p["patient"]: p[name] for p in m["patients"] if name in p} for m in models}
    everyone = sorted({patient for mine in scores.values() for patient in mine})
    whole = {model: mine for model, mine in scores.items() if mine and sorted(mine) == everyone}
    ordered = {model: [_number(mine[patient]) for patient in everyone] for model, mine in whole.items()}
    pairs = compare_models(ordered, "dice") if len(ordered) > 1 else []
    apart = [
        {
            "better": pair.model if pair.mean_difference > 0 else pair.other,
            "worse": pair.other if pair.mean_difference > 0 else pair.model,
            "difference": abs(pair.mean_difference),
            "p": pair.p_holm,
        }
        for pair in pairs
        if pair.p_holm < SIGNIFICANT and not pair.interval.low <= 0 <= pair.interval.high
    ]
    left_out = sorted(model for model, mine in scores.items() if mine and model not in whole)
    return {"patients": len(everyone), "pairs": len(pairs), "apart": apart, "left_out": left_out}


def differences(variant: Figures, first: Figures) -> Figures:
    """Variant minus first over the patients of both: mean, interval, p (nan where no test was made)."""
    found = {}
    for name in ("liver_dice", "tumour_dice"):
        mine, theirs = ({p["patient"]: p[name] for p in one["patients"] if name in p} for one in (variant, first))
        both = sorted(mine.keys() & theirs.keys())
        if not both:
            continue
        scores = {who: [_number(one[patient]) for patient in both] for who, one in (("a", mine), ("b", theirs))}
        pair = compare_models(scores, "dice")[0]
        known = pair.n >= FEWEST
        ends = {"low": pair.interval.low if known else NO_NUMBER, "high": pair.interval.high if known else NO_NUMBER}
        found[name] = {"mean": pair.mean_difference, **ends, "n": pair.n, "p": pair.p}
    return found


def _number(value: float | None) -> float:
    return NO_NUMBER if value is None else value


def _rounded(value: Any) -> Any:
    """Floats to four decimals, so that another machine's last digit changes nothing."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, DECIMALS) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
