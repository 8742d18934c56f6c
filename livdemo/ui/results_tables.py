"""Tables of the place "Results": a head says what its column means, a phone shows a card per row."""

from collections.abc import Sequence
from dataclasses import dataclass

from livdemo.metrics import DEFINITIONS
from livdemo.results import (
    NOT_RUN,
    Figures,
    caveats,
    dagger,
    figure,
    find_model,
    found_of,
    millilitres,
    missed_in,
    on_phantoms,
    over_networks,
    plan_in_words,
    pooled,
    results_of,
    trained_on,
    unseen_livers,
    unseen_words,
)
from livdemo.ui.markup import card_link, definitions, escape, inline

CROSS = (
    "Of patients who were held out from the network that is scored on them: each volume scored as a whole, the largest "
    "piece kept, the volumes of a patient averaged, then the mean over patients. Below it the 95 % bootstrap interval "
    "over patients and their number n; at six patients such intervals are narrower than they claim."
)


@dataclass(frozen=True)
class Column:
    """A head, and what stands under it. wide: words, which take a whole line of a phone's card."""

    title: str
    meaning: str
    wide: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table: its head and its cells are HTML. A line shorter than the heads ends in an empty cell."""

    head: str
    cells: Sequence[str]


LIVER = Column(
    "Liver Dice ↑", f"{DEFINITIONS['dice'].sentence} Here the liver counts with its tumours. {CROSS} Higher is better."
)
TUMOUR = Column(
    "Tumour Dice ↑",
    f"{DEFINITIONS['dice'].sentence} {CROSS} A volume of whose tumours not one voxel is right counts with Dice 0 and "
    "stays in the mean. Higher is better.",
)
REPORTED = Column(
    "Reported by the paper",
    "What the paper prints, with its unit and data: other patients, other tasks, often another metric. It shows what "
    "was claimed and cannot be compared with our figures.",
    wide=True,
)
UNSEEN = Column(
    "Unseen, liver ↑",
    "Dice of the liver on whole volumes that no network was trained on: of the network trained on all "
    "patients, or the mean over the folds' networks.",
    wide=True,
)
SIZE = Column("Parameters", "Numbers that training sets, in the preset that ran; small, those of its paper's network.")
SPEED = Column(
    "Seconds a slice ↓",
    "Time to label one slice on one thread of the machine named below, beside other work: good to a factor of two.",
)
TRAINED = Column("Trained on", "Slices of the training side of a fold, and their data sets.", wide=True)
FOUND = Column(
    "Lesions found ↑",
    "Lesions of the references, over all patients, that one predicted lesion overlaps with an IoU of at least 0.1.",
)
SENSITIVITY = Column("Sensitivity ↑", f"Share of a patient's lesions that were found. {CROSS}")
ALARMS = Column("False positives a volume ↓", f"Predicted lesions that match none of the reference, a volume. {CROSS}")
MISSED = Column("Nothing right ↓", "Volumes with tumours in which not one tumour voxel of the network was right.")
CHANGE = (
    "Difference to the first row, patient by patient, with its 95 % interval. Where that holds 0 it shows nothing; p "
    "is of a paired Wilcoxon test, not corrected for the number of rows."
)


def table(columns: Sequence[Column], rows: Sequence[Row], first: str = "Model") -> str:
    """The table, and under it what each head means."""
    return bare_table(columns, rows, first) + meanings(columns)


def meanings(columns: Sequence[Column]) -> str:
    """What each head means, folded; heads that mean the same are told together."""
    alike: dict[str, list[str]] = {}
    for one in columns:
        alike.setdefault(one.meaning, []).append(one.title)
    return definitions((" · ".join(titles), meaning) for meaning, titles in alike.items())


def bare_table(columns: Sequence[Column], rows: Sequence[Row], first: str) -> str:
    """The table alone; its heads tell their meaning to those who hover."""
    heads = "".join(_column_head(one) for one in columns)
    body = "".join(f"<tr><th scope='row'>{row.head}</th>{_cells(columns, row.cells)}</tr>" for row in rows)
    return (
        f"<div class='wide' role='group' tabindex='0' aria-label='{escape(first)} by {escape(columns[0].title)} and "
        f"more'><table class='figures told'><thead><tr><th scope='col'>{escape(first)}</th>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _column_head(column: Column) -> str:
    kind = "words" if column.wide else "number"
    return f"<th scope='col' class='{kind}' title='{escape(column.meaning)}'>{escape(column.title)}</th>"


def _cells(columns: Sequence[Column], cells: Sequence[str]) -> str:
    if len(cells) < len(columns):
        rest = len(columns) - len(cells) + 1
        return f"{_cells(columns[: len(cells) - 1], cells[:-1])}<td colspan='{rest}' class='words'>{cells[-1]}</td>"
    return "".join(
        f"<td class='{'words' if column.wide else 'number'}' data-title='{escape(column.title)}'>{cell}</td>"
        for column, cell in zip(columns, cells, strict=True)
    )


def spread(found: Figures, below: str = "") -> str:
    """Mean, and small below it the interval and n, then what else there is to say."""
    if not found["n"]:
        return "n/a"
    ends = (
        f"n {found['n']}, too few for an interval"
        if found["low"] is None
        else f"{figure(found['low'])} to {figure(found['high'])}, n {found['n']}"
    )
    return f"<b>{figure(found['mean'])}</b><small>{ends}</small>{f'<small>{below}</small>' if below else ''}"


def _tumour(model: Figures) -> str:
    return spread(model["tumour_dice"], missed_in(model)) if model["tumour_dice"]["n"] else "n/a"


def _liver(model: Figures) -> str:
    return spread(model["liver_dice"], inline(" ".join(caveats(model))))


def _unseen(model: Figures) -> str:
    found = (f"{escape(dice)} <small>{whose}</small>" for dice, whose in unseen_livers(model["unseen"]))
    return "<br>".join(found) or "not scored"


def reported_cell(reported: Sequence[Figures]) -> str:
    """Each figure with its unit and data; all but the first are folded away."""
    if not reported:
        return "no number"
    lines = [
        f"<span lang='en'>{escape(one['metric'])} <b>{escape(one['value'])}</b> "
        f"<small>{escape(one['unit'])}; {escape(one['data'])}{_sentence(one['note'])}</small></span>"
        for one in reported
    ]
    more = f"<details><summary>{len(lines) - 1} more</summary>{'<br>'.join(lines[1:])}</details>"
    return lines[0] + (more if len(lines) > 1 else "")


def _sentence(note: str) -> str:
    return f". {escape(note)}" if note else ""


def main_table(models: Sequence[Figures], reported: Sequence[Figures], whole: bool = True) -> str:
    """Models in the order of the list. whole: run or not, with what their papers report; else those that have run."""
    rows = []
    for spec in reported:
        model = find_model(models, spec["model"])
        if model is None and not whole:
            continue
        cells = [reported_cell(results_of(spec["reported"]))] if whole else []
        if model is None:
            cells.append(f"<span class='note'>{NOT_RUN}; {spec['parameters']:,} parameters</span>")
        else:
            cells += [_liver(model), _tumour(model), _unseen(model)]
            cells += [f"{model['parameters']:,}<small>{spec['parameters_paper']:,}</small>"]
            cells += [figure(model["seconds_a_slice"]), inline(trained_on(model))]
        rows.append(Row(card_link(spec["model"], spec["title"]) + (dagger(model) if model else ""), cells))
    columns = [*([REPORTED] if whole else []), LIVER, TUMOUR, UNSEEN, SIZE, SPEED, TRAINED]
    left_out = [spec["title"] for spec in reported if not whole and find_model(models, spec["model"]) is None]
    note = f"<p class='note'>{NOT_RUN.capitalize()}: {escape(', '.join(left_out))}.</p>" if left_out else ""
    return table(columns, rows) + note


def titled_link(one: Figures, titles: dict[str, str]) -> str:
    """A link to the model's card, called by its title; of a model that is on the list no more by its name."""
    name = str(one["model"])
    return card_link(name, titles.get(name, name))


def marked_link(model: Figures, titles: dict[str, str]) -> str:
    """The same with the mark of TWINS, where it belongs."""
    return titled_link(model, titles) + dagger(model)


def lesion_table(models: Sequence[Figures], titles: dict[str, str]) -> str:
    """Models that were scored on tumours, lesion by lesion."""
    rows = []
    for one in models:
        if one["tumour_dice"]["n"]:
            cells = [found_of(one), spread(one["lesion_sensitivity"]), spread(one["false_positives"])]
            cells += [str(one["missed"])]
            rows.append(Row(marked_link(one, titles), cells))
    if not rows:
        return "<p class='note'>No model that knows tumours has been scored.</p>"
    return table([FOUND, SENSITIVITY, ALARMS, MISSED], rows)


def patient_tables(models: Sequence[Figures], titles: dict[str, str]) -> str:
    """Dice of liver / tumour of each patient; phantoms apart, since they have nothing to do with patients."""
    kinds = [[m for m in models if on_phantoms(m) == phantoms and m["patients"]] for phantoms in (False, True)]
    tables = "".join(_patient_table(kind, titles) for kind in kinds if kind)
    return tables or "<p class='note'>No patient has been scored.</p>"


def _patient_table(models: Sequence[Figures], titles: dict[str, str]) -> str:
    names = sorted({p["patient"] for m in models for p in m["patients"]})
    rows = []
    for model in models:
        mine = {p["patient"]: p for p in model["patients"]}
        rows.append(Row(marked_link(model, titles), [_patient(mine.get(name)) for name in names]))
    meaning = "Dice of liver / tumour of this patient, mean over its volumes, by the network that has not seen it."
    return table([Column(name, meaning) for name in names], rows)


def _patient(patient: Figures | None) -> str:
    if patient is None:
        return "<span class='note'>not scored</span>"
    miss = ""
    if patient.get("missed"):
        miss = f"<small>no voxel right in {patient['missed']} of {patient['volumes']} volumes</small>"
    return f"{figure(patient['liver_dice'])} / {figure(patient.get('tumour_dice'))}{miss}"


def unseen_table(models: Sequence[Figures], titles: dict[str, str]) -> str:
    """Each model on each volume that nobody trained on, liver and tumour."""
    columns = [
        Column("Volume", "Which of the volumes described above."),
        Column("Label", "Liver with its tumours, or tumour."),
        Column("Dice, folds' networks ↑", "Mean over the networks of the folds, with the lowest and the highest."),
        Column("Dice, trained on all ↑", "Of the one network that was trained on all patients."),
        Column("Predicted mL", "Volume that the network trained on all calls so; without one, mean over the others."),
        Column("Reference mL", "Volume that the reference calls so."),
        Column("Where there is none", "A label that the reference has nothing of: whatever is found is a false alarm."),
    ]
    rows = []
    for model in models:
        for one in model["unseen"]:
            everybody = "n/a" if one["reference_ml"] == 0 else figure(one.get("everybody"))
            cells = [escape(one["case"]), one["label"], over_networks(one), everybody]
            cells += [millilitres(one["predicted_ml"]), millilitres(one["reference_ml"]), unseen_words(one)]
            rows.append(Row(marked_link(model, titles), cells))
    return table(columns, rows) if rows else "<p class='note'>No unseen volume has been scored.</p>"


def recipe_table(models: Sequence[Figures], titles: dict[str, str]) -> str:
    """What each was given, where each has a plan of its own."""
    columns = [
        Column("Recipe", "The parts of the plan that decide a result.", wide=True),
        Column("Epochs run", "Passes that the run made."),
        Column("Epoch kept", "Whose weights were scored.", wide=True),
        Column("Input", "Window, equalisation, scale of the greys, pixels.", wide=True),
        Column("Shortened", "What was taken away to fit the machine.", wide=True),
    ]
    rows = []
    for one in models:
        plan = one["plan"]
        kept = "chosen on the scored patients: flatters" if plan["keep"] == "best" else "the last"
        cells = [escape(plan_in_words(plan)), str(one["budget"]["epochs"]), kept]
        rows.append(
            Row(marked_link(one, titles), [*cells, escape(one["preprocessing"]), escape(plan["shortened"] or "no")])
        )
    return table(columns, rows)


def study_table(variants: Sequence[Figures]) -> str:
    """The variants of a study, those after the first with their difference from it."""
    columns = [
        LIVER,
        Column("Change, liver", CHANGE),
        TUMOUR,
        Column("Change, tumour", CHANGE),
        FOUND,
        ALARMS,
        Column(
            "Pooled slices",
            "The training loop's own Dice, liver / tumour, over all pixels of a fold's held-out slices, liver-only "
            "patients among them, averaged over the folds; how the network is asked afterwards does not change it.",
        ),
        UNSEEN,
    ]
    rows = []
    for one in variants:
        link = card_link(one["model"], one["model"])
        mark = dagger(one) if one["done"] else ""
        head = f"<span lang='en'>{escape(one['variant'])}</span>{mark}<small translate='no'>{link}</small>"
        if not one["done"]:
            rows.append(Row(head, [f"<span class='note'>{NOT_RUN}</span>"]))
            continue
        against = one.get("against_first", {})
        cells = [_liver(one), _change(against.get("liver_dice")), _tumour(one), _change(against.get("tumour_dice"))]
        rows.append(
            Row(head, [*cells, found_of(one), spread(one["false_positives"]), pooled(one["pooled"]), _unseen(one)])
        )
    return table(columns, rows, first="Variant")


def _change(found: Figures | None) -> str:
    """Difference with its interval, and whether that leaves out 0."""
    if found is None:
        return "<span aria-label='none'>–</span>"
    mean = f"{found['mean']:+.3f}".replace("-", "−")
    if found["low"] is None:
        return f"<b>{mean}</b><small>n {found['n']}, too few for an interval</small>"
    ends = f"{found['low']:+.3f} to {found['high']:+.3f}".replace("-", "−")
    test = "no test" if found["p"] is None else f"p {found['p']:.2f}"
    shows = "" if found["low"] > 0 or found["high"] < 0 else "<small>shows nothing</small>"
    return f"<b>{mean}</b><small>{ends}, n {found['n']}, {test}</small>{shows}"
