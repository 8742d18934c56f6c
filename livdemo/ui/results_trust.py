"""The end of the place "Results": what chance does to a figure, and what one mistake of ours was worth."""

from collections.abc import Sequence

from livdemo.results import TRAINED_TWICE, WITHOUT_TWINS, Figures, figure
from livdemo.ui.markup import escape, fold, inline
from livdemo.ui.results_tables import Column, Row, table, titled_link


def trust(results: Figures, titles: dict[str, str]) -> str:
    """Runs that were made twice, and figures from before and after it was known who is who; "" without either."""
    parts = []
    if results["trained_twice"]:
        told = f"<p class='note'>{TRAINED_TWICE}</p>{_twice_table(results['trained_twice'], titles)}"
        parts.append(fold("The same thing twice", told))
    if results["without_twins"]:
        told = f"<p class='note'>{inline(WITHOUT_TWINS)}</p>{_without_twins_table(results['without_twins'], titles)}"
        parts.append(fold("Patients who were learned from under other names", told))
    return "".join(["<h3>How far can these figures be trusted?</h3>", *parts]) if parts else ""


def _twice_table(twice: Sequence[Figures], titles: dict[str, str]) -> str:
    """Runs that were made twice: both figures of each."""
    columns = [
        Column("Held out", "The patients on whom both networks are scored."),
        Column("Pixels", "Side of the pictures that both were asked with."),
        Column("Liver Dice", "Mean over these patients, of the first and of the second network."),
        Column("Tumour Dice", "Mean over these patients, of the first and of the second network."),
        Column(
            "Unseen, liver", "Dice of the liver on whole volumes, of the first and of the second network.", wide=True
        ),
    ]
    rows = []
    for one in twice:
        cells = [escape(one["fold"]), str(one["asked_size"]), _both(one["liver_dice"]), _both(one["tumour_dice"])]
        unseen = "<br>".join(f"{escape(case)} {_both(pair)}" for case, pair in one["unseen"].items())
        rows.append(Row(titled_link(one, titles), [*cells, unseen]))
    return table(columns, rows)


def _both(pair: Sequence[float | None]) -> str:
    return " · ".join(figure(value) for value in pair)


def _without_twins_table(again: Sequence[Figures], titles: dict[str, str]) -> str:
    """Models of the fair table, trained before and after it was known who is who."""
    heads = [
        ("C, E, F: before", "twins", "before"),
        ("C, E, F: now", "twins", "now"),
        ("A, B, D: before", "others", "before"),
        ("A, B, D: now", "others", "now"),
    ]
    meaning = "Mean liver Dice of these patients, as far as they are in the folds that were trained both ways."
    rows = [
        Row(
            titled_link(one, titles),
            [escape(" ".join(one["folds"])), *(figure(one[whom][when]) for _, whom, when in heads)],
        )
        for one in again
    ]
    folds = Column("Folds", "Held-out patients of the folds that were trained both ways.")
    return table([folds, *(Column(title, meaning) for title, _, _ in heads)], rows)
