"""How far figures may be trusted, by the log itself: runs that were made twice, and what a mistake was worth."""

from collections.abc import Callable, Sequence
from typing import Any

from livdemo.models import get_model, list_models
from train.run_log import Row, asked_size, how_asked, learned_from_twins, who
from train.sources.lits_patients import HAD_TWINS

Figures = dict[str, Any]
NO_NUMBER = float("nan")


def trained_twice(rows: Sequence[Row]) -> list[Figures]:
    """Networks that were trained twice by one plan, on the same slices, with the same seed, and asked alike.

    A line each: model, fold, asked_size, and pairs of means over the fold's patients, `liver_dice` and `tumour_dice`,
    and of the unseen livers by case. How far the two lie apart is what chance alone does to a figure.
    """
    alike: dict[tuple[Any, ...], dict[float, Row]] = {}
    for row in rows:
        if row["patients"]:
            asked = (*how_asked(row).values(), row["inference"], row["largest_component"])
            alike.setdefault((row["key"], row["fold"], *asked), {}).setdefault(round(row["seconds"]), row)
    pairs = [_pair(list(found.values())) for found in alike.values() if len(found) > 1]
    return sorted(pairs, key=lambda pair: get_model(pair["model"]).number)


def _pair(found: Sequence[Row]) -> Figures:
    ends = (found[0], found[-1])
    cases = sorted({one["case"] for row in ends for one in row["unseen"] or []})
    return {
        "model": ends[0]["model"],
        "fold": ends[0]["fold"],
        "asked_size": asked_size(ends[0]),
        **{name: [_mean_of(row["patients"], name) for row in ends] for name in ("liver_dice", "tumour_dice")},
        "unseen": {case: [_unseen_liver(row, case) for row in ends] for case in cases},
    }


def without_twins(rows: Sequence[Row]) -> list[Figures]:
    """Models of the fair table trained again after it was known who is who: liver Dice before and now.

    `twins`: the patients of whom the earlier network had seen slices under another name; `others`: those of whom it
    had not, for whom nothing but chance and a few other slices has changed. Only folds that were made both ways.
    """
    before = _last(rows, learned_from_twins)
    now = _last(rows, lambda row: not learned_from_twins(row))
    both = sorted(key for key in before if key in now and before[key]["plan"] == now[key]["plan"])
    lines = []
    for model in (spec.name for spec in list_models()):
        pairs = [(before[key], now[key]) for key in both if before[key]["model"] == model]
        if not pairs:
            continue
        line: Figures = {"model": model, "folds": [row["fold"] for row, _ in pairs]}
        for name, is_twin in (("twins", True), ("others", False)):
            ends = [
                [p for row in side for p in row["patients"] if (p["patient"] in HAD_TWINS) == is_twin]
                for side in zip(*pairs, strict=True)
            ]
            line[name] = {
                "patients": sorted({p["patient"] for p in ends[0]}),
                "before": _mean_of(ends[0], "liver_dice"),
                "now": _mean_of(ends[1], "liver_dice"),
            }
        lines.append(line)
    return lines


def _last(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> dict[tuple[str, ...], Row]:
    """Of each run of the fair table on real patients the last row that is wanted."""
    fair = [row for row in rows if not row["study"] and row["series"].startswith("fair, ") and row["patients"]]
    return {who(row): row for row in fair if "ct_liver_tumour" in row["sources"] and wanted(row)}


def _mean_of(patients: Sequence[Figures], name: str) -> float:
    values = [p[name] for p in patients if p.get(name) is not None]
    return sum(values) / len(values) if values else NO_NUMBER


def _unseen_liver(row: Row, case: str) -> float:
    found = [one["dice"] for one in row["unseen"] or [] if (one["case"], one["label"]) == (case, "liver")]
    return found[0] if found and found[0] is not None else NO_NUMBER
