"""results/results.json: the figures of cross-validation and experiments, read and put into words.

train/results.py makes the file from the log of finished runs. RESULTS.md and the app's place "Results" are both made
from it, so the words that they share stand here. Marks inside the words are Markdown's: **strong** and `code`.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from livdemo.errors import InputError
from livdemo.metrics.statistics import MIN_CASES

Figures = dict[str, Any]

FORMAT = 2
NOT_RUN = "not run yet"
SIGNIFICANT = 0.05  # p below which two models count as told apart
CASE_NOTES = {
    "chaos": "`chaos` is CHAOS CT of a healthy liver donor: any tumour found there is a false alarm.",
    "lowres": "`lowres` is a CT of 3 mm voxels without contrast agent; its reference is a model's output, not drawn by "
    "hand, and says nothing about tumours.",
}
NO_TUMOURS_DRAWN = frozenset({"lowres"})  # unseen volumes whose reference says nothing about tumours
UNSEEN_ARE_NO_TEST = (
    "Nobody trained on these volumes, but they were looked at while the rules and the courses that ship were chosen, "
    "and they are two: a warning light, no test set."
)
TWINS = (
    "† Trained before it was known who is who in ct_liver_only: some of its slices, with the liver alone drawn, show "
    "patients under second names. A network scored on E had learned from 7 slices of E, on F from 19, on C from 9; A, "
    "B and D had none. No tumour was drawn on any of them. What was trained on all learned from 6 slices of lits117 "
    "and from 59 of eighteen patients of 3D-IRCADb-01 as well, so these are not unseen by it."
)
STUDIES_ARE_SMALL = (
    "Differences are to the first row, patient by patient. Two patients show nothing by themselves: look whether "
    "lesions and unseen volumes say the same. Of six an exact p is 0.03 at the least, and no p here is corrected for "
    "the number of rows. A network that was trained again by the same plan differs as well: see “The same thing twice”."
)
TRAINED_TWICE = (
    "Runs that were made twice, at two states of the code, by one plan, on the same slices, with the same seed: what "
    "lies between the two is chance, so a smaller difference in the tables above means nothing."
)
WITHOUT_TWINS = (
    "Mean liver Dice of the fair table's networks, trained before and after it was known who is who in "
    "ct_liver_only. Of C, E and F the earlier networks had seen slices, of A, B and D they had not: what changed for "
    "those is chance, and other slices of other people."
)
# What each part of the file has at least; a file that lacks it was cut short or edited by hand.
_PARTS = {
    "reported": {"model", "title", "source", "parameters", "parameters_paper", "reported"},
    "protocols": {"series", "commands", "devices", "torch", "commits", "seeds", "runs", "hours", "plan", "models"}
    | {"sizes", "necks_mm", "specks_ml", "fats_hu", "other_plans", "pairs"},
    "studies": {"study", "question", "note", "series", "commands", "runs", "hours", "variants"},
    "trained_twice": {"model", "fold", "asked_size", "liver_dice", "tumour_dice", "unseen"},
    "without_twins": {"model", "folds", "twins", "others"},
}
_MODEL = {
    "model",
    "leaky",
    "twins",
    "sources",
    "train_slices",
    "preprocessing",
    "plan",
    "budget",
    "parameters",
    "patients",
}
_MODEL |= {"seconds_a_slice", "liver_dice", "tumour_dice", "lesion_sensitivity", "false_positives", "lesions"}
_MODEL |= {"lesions_found", "missed", "pooled", "unseen"}


def results_path() -> Path:
    """results.json in the folder LIVDEMO_RESULTS, or in results/ beside the package."""
    folder = os.environ.get("LIVDEMO_RESULTS") or Path(__file__).parent.parent / "results"
    return Path(folder) / "results.json"


def read_results(path: Path | None = None) -> Figures:
    """The whole file, its parts as in _PARTS. InputError where it is missing or damaged."""
    path = path or results_path()
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; make it with `python -m train.results`.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check whose file it is.") from error
    except ValueError as error:
        raise InputError(_damaged(path, str(error))) from error
    wrong = _wrong(found)
    if wrong:
        raise InputError(_damaged(path, wrong))
    return dict(found)


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged ({why}); make it again with `python -m train.results`."


def _wrong(found: object) -> str:
    """What keeps it from being a results file; "" if nothing does."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return f"it is not of format {FORMAT}"
    for part, keys in _PARTS.items():
        if missing := _missing(found.get(part), keys):
            return f"{part}: {missing}"
    for one in found["protocols"]:
        if missing := _missing(one["models"], _MODEL):
            return f"models of {one['series']}: {missing}"
    for one in found["studies"]:
        done = [v for v in one["variants"] if isinstance(v, dict) and v.get("done")]
        if missing := _missing(one["variants"], {"variant", "model", "done"}) or _missing(done, _MODEL):
            return f"variants of {one['study']}: {missing}"
    return ""


def _missing(rows: object, keys: set[str]) -> str:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return "there is no list of them"
    lacking = sorted({key for row in rows for key in keys - row.keys()})
    return f"{', '.join(lacking)} not there" if lacking else ""


# --------------------------------------------------------------------------------------------------- words


def figure(value: float | None) -> str:
    """Three decimals; "n/a" where there is no number."""
    return "n/a" if value is None or value != value else f"{value:.3f}"


def millilitres(value: float | None) -> str:
    """Whole ones, small volumes with a decimal, so that a small false alarm is no 0; "n/a" where it is not known."""
    if value is None:
        return "n/a"
    return f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"


def plan_in_words(plan: Figures) -> str:
    """The parts of a plan that decide a result, in one phrase."""
    slices = "every training slice" if plan["slices_per_epoch"] is None else f"{plan['slices_per_epoch']:,} slices"
    words = [
        f"{'up to ' if plan['stop_after'] else ''}{plan['epochs']} epochs of {slices}",
        f"views of {plan['view']:.0%} of a slice's side" if "view" in plan else "",
        f"batch {plan['batch_size']}",
        f"{plan['optimiser']} at {plan['learning_rate']:g} ({plan['schedule']})",
        f"loss {plan['loss']}",
        f"augmentation {plan['augmentation']}",
        f"{plan['union_share']:.0%} of the items from volumes with liver masks alone" if plan["union_share"] else "",
        f"synthetic tumours painted into {plan['painted']:.0%} of the CT items" if plan["painted"] else "",
        "exponential average of the weights" if plan["average"] else "",
        "the encoder that its paper keeps frozen learning too" if plan.get("thawed") else "",
        "in bfloat16" if plan["bf16"] else "",
    ]
    return ", ".join(filter(None, words))


ITEMS = (
    "The batch counts slices: sequences, 3D blocks and contrast phases come so many to a step as make up about that "
    "number of slices, at least one. They learn nothing from a volume that has too few neighbouring slices for them."
)


def made_with(one: Figures, same_plan: bool) -> list[str]:
    """How the figures of a table came about, in sentences: plan, runs, machines, versions. Commands are apart."""
    lines = []
    if same_plan:
        lines.append(f"Plan: {plan_in_words(one['plan'])}.")
        lines.append(ITEMS)
        if one["other_plans"]:
            lines.append(f"**Another plan than that had: {', '.join(one['other_plans'])}; compare with care.**")
    if same_plan or len(one["sizes"]) == 1:  # variants of other sizes say so by their names
        lines += sizes_in_words(one["sizes"])
    if same_plan:  # variants that differ in these say so by their names
        lines += asked_as_in_the_app(one)
    lines.append(
        f"Training runs: {one['runs']}; hours of training: {one['hours']:.1f}; {'; '.join(one['devices'])}; torch "
        f"{', '.join(one['torch'])}; seed {', '.join(map(str, one['seeds']))}; commit {', '.join(one['commits'])}."
    )
    return lines


def sizes_in_words(sizes: Sequence[Figures]) -> list[str]:
    """What the networks of a table learned from and how large pictures they were asked with; what few had, by name."""
    told = []
    for number, one in enumerate(sorted(sizes, key=lambda one: -len(one["models"]))):
        whose = f" ({', '.join(one['models'])})" if number else ""
        asked = "the same" if one["asked"] == one["learned"] else f"pictures of {one['asked']}"
        told.append(f"Learned from views of {one['learned']} pixels, asked with {asked}{whose}.")
    return told


def asked_as_in_the_app(one: Figures) -> list[str]:
    """What of the app's rule changed figures; cuts and specks only those of known spacing, so of the unseen volumes."""
    lines = []
    if neck_mm := max(one["necks_mm"], default=0):
        lines.append(
            f"{_of_some(one['necks_mm'])}What hung on the liver by a neck thinner than {neck_mm:g} mm was cut off, "
            "as in the app, where the spacing is known: on the unseen volumes."
        )
    if speck_ml := max(one["specks_ml"], default=0):
        lines.append(
            f"{_of_some(one['specks_ml'])}Tumours below {speck_ml:g} mL were dropped, as in the app, where the "
            "spacing is known: on the unseen volumes."
        )
    for hu in filter(None, one["fats_hu"]):
        below = f"{hu:g} HU".replace("-", "−")
        lines.append(f"{_of_some(one['fats_hu'])}Where a CT is below {below} nothing was liver, as in the app.")
    return lines


def _of_some(values: Sequence[float | None]) -> str:
    return "In some of the runs: " if len(values) > 1 else ""


PROTOCOL_TITLES = {  # in the order of the page
    "fair": "The fair table: the same for all",
    "recipe": "The recipe table: each with its paper's loss, optimiser and input, shortened",
    "second": "The second course: all go on from the fair table's networks",
    "third": "The third course: on from the second course's networks, with finer pictures",
}

COURSES = {"fair": "first", "second": "second", "third": "third"}  # each goes on where the one before ended


def protocol_of(series: str) -> str:
    """The protocol that a series of runs belongs to: a key of PROTOCOL_TITLES if train.reproduce made it."""
    return series.split(",")[0].split(" ")[0]


def same_for_all(protocol: Figures) -> bool:
    """Whether all models had the same plan; by recipe each has that of its paper."""
    return protocol_of(protocol["series"]) in COURSES


def protocol_title(protocol: Figures) -> str:
    """Heading of a table of models."""
    series = protocol["series"]
    title = PROTOCOL_TITLES.get(protocol_of(series))
    return f"{title} ({series})" if title else str(series)


def on_phantoms(model: Figures) -> bool:
    """Scored on rendered phantoms, which have nothing to do with the patients of the others."""
    return bool(model["sources"] == ["phantom"])


def found_of(model: Figures) -> str:
    """Lesions found of lesions there are."""
    return f"{model['lesions_found']} of {model['lesions']}" if model["lesions"] else "n/a"


def missed_in(model: Figures) -> str:
    """In how many scored volumes not one tumour voxel was right."""
    return f"no voxel right in {model['missed']} of {sum(patient['volumes'] for patient in model['patients'])} volumes"


def dagger(model: Figures) -> str:
    """The mark of TWINS, where it belongs."""
    return "\u00a0†" if model["twins"] else ""


def caveats(model: Figures) -> list[str]:
    """What has to stand beside a model's cross-validated figures."""
    told = ["**rendered phantoms, not patients**"] if on_phantoms(model) else []
    if model["patients"] and model["plan"]["keep"] == "best":
        told.append("**epoch chosen on these patients: flatters**")
    return told


def unseen_words(one: Figures) -> str:
    """What a line of an unseen volume means where the reference has nothing of the label; "" where it has."""
    if one["reference_ml"] != 0:
        return ""
    return "rightly nothing" if one["predicted_ml"] == 0 else "false alarm: there is none"


def trained_on(model: Figures) -> str:
    """Slices and data sets of the training side."""
    low, high = min(model["train_slices"]), max(model["train_slices"])
    count = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    leak = " **LEAKY split by slice**" if model["leaky"] else ""
    return f"{count} slices of {', '.join(model['sources'])}{leak}"


def networks(unseen: Figures) -> str:
    """How many folds' networks stand behind a line of an unseen volume."""
    return f"{unseen['networks']} network{'' if unseen['networks'] == 1 else 's'}"


def unseen_livers(unseen: Iterable[Figures]) -> list[tuple[str, str]]:
    """For each volume that nobody was trained on: its name with the liver's Dice, and of which network that is."""
    phrases = []
    for one in unseen:
        if one["label"] == "liver":
            value = one.get("everybody", one.get("mean"))
            whose = "trained on all" if "everybody" in one else f"mean of {networks(one)}"
            phrases.append((f"{one['case']} {figure(value)}", whose))
    return phrases


def over_networks(one: Figures) -> str:
    """Dice of an unseen volume over the folds' networks, with the lowest and the highest where there are several.

    Nothing where the reference has none of the label: Dice is then 0 however small the false alarm.
    """
    if not one["networks"] or one["reference_ml"] == 0:
        return "n/a"
    ends = f" ({figure(one.get('lowest'))} to {figure(one.get('highest'))})" if one["networks"] > 1 else ""
    return f"{figure(one.get('mean'))}{ends}, {networks(one)}"


def pooled(found: Figures) -> str:
    """The training loop's own Dice over all pixels of the held-out slices: liver / tumour, or of the one object."""
    if found["object_dice"] is not None:
        return f"{figure(found['object_dice'])} (object)"
    return f"{figure(found['liver_dice'])} / {figure(found['tumour_dice'])}"


def rankings(pairs: Mapping[str, Figures]) -> list[str]:
    """Whether anything may be said about who is better: a sentence for the liver and one for the tumour."""
    lines = []
    for name, found in pairs.items():
        label = name.partition("_")[0]
        if not found["pairs"]:
            whom = f"all {found['patients']} patients" if found["patients"] else "any patient"
            lines.append(f"{label}: no two models have been scored on {whom}, so nothing is compared.")
            continue
        if found["patients"] < MIN_CASES:
            lines.append(f"{label}: {found['patients']} patients so far, and no test is made below {MIN_CASES}.")
            continue
        about = (
            f"Wilcoxon on the same {found['patients']} patients, pairs of models: {found['pairs']}, corrected by Holm"
        )
        apart = ", ".join(f"{a['better']} > {a['worse']} (+{a['difference']:.3f})" for a in found["apart"])
        told = f"it separates {len(found['apart'])}: {apart}" if apart else f"{_none_apart(found)}: **no ranking**"
        left = f" Not in it, for want of a patient: {', '.join(found['left_out'])}." if found["left_out"] else ""
        lines.append(f"{label}: paired test ({about}): {told}.{left}")
    return lines


def _none_apart(found: Figures) -> str:
    """That no pair was told apart, and whether any could have been: at best all patients agree, p = 2 / 2ⁿ."""
    smallest = 2.0 ** (1 - found["patients"])
    corrected = min(smallest * found["pairs"], 1.0)
    if corrected < SIGNIFICANT:
        return "it separates none"
    return (
        f"it could separate none, since with {found['patients']} patients an exact p is {smallest:.3f} at the least, "
        f"{corrected:.2f} after the correction"
    )


def study_command(study: Figures) -> str:
    """What runs a study."""
    return f'python -m train.reproduce --data DIR --protocol ablations --studies "{study["study"]}"'


def results_of(reported: Iterable[Figures]) -> list[Figures]:
    """What a paper reports, less its losses, which are no result: the cards have them."""
    return [one for one in reported if one["metric"] != "loss"]


def find_model(models: Sequence[Figures], name: str) -> Figures | None:
    """A model's line of a table; None where it has not run."""
    return next((model for model in models if model["model"] == name), None)
