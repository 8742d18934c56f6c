"""A cohort: any models over a folder of cases, resumable, in any number of processes, with statistics.

    python -m livdemo evaluate CASES_DIR --models unet64,sfan --out DIR
    accelerate launch -m livdemo evaluate ...      the same on several GPUs or machines
    torchrun --nproc-per-node 2 -m livdemo evaluate ...    and in several processes on a CPU

Every finished pair of case and model is one line appended to DIR/rows/PROCESS.jsonl, so a kill loses the pair in
work and no more. Who runs which pair depends on the number of processes, what comes out does not: DIR/metrics.csv
and DIR/summary.json are made from the lines, sorted, once all pairs are done.
"""

import csv
import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from livdemo.cases import Case, CaseFiles, open_files
from livdemo.checkpoints import Checkpoint
from livdemo.comparison import Progress, Result, compare
from livdemo.errors import InputError
from livdemo.metrics import DEFINITIONS, LabelMetrics
from livdemo.metrics.statistics import compare_models, pooled_dice, rank_models, summarise
from livdemo.predictor import PLAIN, Inference
from livdemo.report import COLUMNS, DISCLAIMER, metric_rows

SUMMARISED = ("dice", "iou", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd")
COMPARED = "dice"


@dataclass(frozen=True)
class Workers:
    """This process among those of the run: the part of the pairs that it works on, and a way to wait for all."""

    index: int
    count: int
    wait: Callable[[], None]


def find_workers() -> Workers:
    """The processes that `accelerate launch` or `torchrun` started, or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Workers(0, 1, lambda: None)
    try:
        from accelerate import PartialState
    except ModuleNotFoundError as error:
        raise InputError("Several processes need accelerate: pip install -r train/requirements.txt.") from error
    state = PartialState(cpu=not torch.cuda.is_available())
    return Workers(state.process_index, state.num_processes, state.wait_for_everyone)


@dataclass(frozen=True, eq=False)
class Cohort:
    """What is evaluated: every case with every model. `networks` are untrained models by name."""

    cases: tuple[CaseFiles, ...]
    checkpoints: tuple[Checkpoint, ...]
    networks: Mapping[str, nn.Module]
    inference: Inference = PLAIN
    device: str = "auto"

    def pairs(self) -> list[tuple[CaseFiles, Checkpoint]]:
        """Cases with a reference times models; the models of one case follow each other, so it is read once."""
        return [(case, model) for case in self.cases if case.reference is not None for model in self.checkpoints]


def evaluate(
    cohort: Cohort, out: Path, workers: Workers, on_progress: Callable[[str, int, int], None] = lambda *_: None
) -> dict[str, Any] | None:
    """Run this process's share of the pairs that are not done yet; the first process then returns the summary.

    on_progress(case and model, slices done, slices) is called after every slice. A case that cannot be read is
    noted in its place and in the summary, and the others go on. InputError when DIR holds another evaluation.
    """
    rows_folder = out / "rows"
    rows_folder.mkdir(parents=True, exist_ok=True)
    _check_same(cohort, out, workers)
    done = {(line["case"], line["checkpoint"]) for line in read_lines(rows_folder)}
    todo = [(case, model) for case, model in cohort.pairs() if (case.name, _key(model)) not in done]
    opened: tuple[str, Case | InputError] = ("", InputError(""))
    with open(rows_folder / f"{workers.index}.jsonl", "a", encoding="utf-8") as file:
        file.write("\n")  # ends a line that a kill may have cut short
        for files, checkpoint in todo[workers.index :: workers.count]:
            if opened[0] != files.name:
                opened = (files.name, _open(files))
            line = {"case": files.name, "model": checkpoint.model, "checkpoint": _key(checkpoint)}
            file.write(json.dumps(line | _one(opened[1], checkpoint, cohort, on_progress)) + "\n")
            file.flush()
            os.fsync(file.fileno())
    workers.wait()
    if workers.index:
        return None
    lines = sorted(read_lines(rows_folder), key=lambda line: (line["case"], line["model"]))
    summary = summarise_lines(cohort, lines)
    _write_csv(lines, out / "metrics.csv")
    (out / "summary.json").write_text(json.dumps(_without_nan(summary), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return summary


def _key(checkpoint: Checkpoint) -> str:
    return checkpoint.sha256 or f"untrained {checkpoint.model}"


def _open(files: CaseFiles) -> Case | InputError:
    try:
        return open_files(files)
    except InputError as error:
        return error


def _one(
    case: Case | InputError, checkpoint: Checkpoint, cohort: Cohort, on_progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """The rows of one pair, or the sentence that says why there are none."""
    if isinstance(case, InputError):
        return {"rows": [], "error": str(case)}
    try:
        for event in compare(case, [checkpoint], cohort.device, cohort.inference, cohort.networks):
            if isinstance(event, Progress):
                on_progress(f"{case.name} {checkpoint.model}", event.done, event.total)
            elif isinstance(event, Result):
                return {"rows": metric_rows(case, event), "error": ""}
    except InputError as error:
        return {"rows": [], "error": str(error)}
    raise AssertionError("compare ends with a result")


def read_lines(rows_folder: Path) -> list[dict[str, Any]]:
    """All whole lines of all processes; a line that a kill cut short is left out and its pair run again."""
    lines = []
    for path in sorted(rows_folder.glob("*.jsonl")):
        for text in filter(None, path.read_text("utf-8").splitlines()):
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
    return lines


def _check_same(cohort: Cohort, out: Path, workers: Workers) -> None:
    """An evaluation is resumed with the way of inference it was begun with; more cases or models may be added."""
    path = out / "evaluation.json"
    asked = {"inference": cohort.inference.describe() or "plain"}
    if path.exists():
        there = json.loads(path.read_text())
        if there != asked:
            raise InputError(f"{out} holds an evaluation with inference {there['inference']}; name another --out.")
    elif workers.index == 0:
        path.write_text(json.dumps(asked) + "\n")


def summarise_lines(cohort: Cohort, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means with intervals, pooled Dice, paired tests and a ranking with its stability, from the rows alone.

    Only the cohort's models are summarised. Misses are in every mean at their worst value; what was left out is
    counted and named.
    """
    models = [checkpoint.model for checkpoint in cohort.checkpoints]
    keys = {_key(checkpoint) for checkpoint in cohort.checkpoints}
    used = [line for line in lines if line["checkpoint"] in keys]
    failed = [{k: line[k] for k in ("case", "model", "error")} for line in used if line["error"]]
    whole = _cases_of_every_model(used, models)
    labels: dict[str, Any] = {}
    for label in ("liver", "tumour"):
        rows = {model: _label_rows(used, model, label) for model in models}
        shared = {model: [rows[model][case] for case in whole] for model in models if set(whole) <= rows[model].keys()}
        scores = {model: [getattr(row, COMPARED) for row in found] for model, found in shared.items()}
        labels[label] = {
            "models": {model: _summary(list(found.values())) for model, found in rows.items() if found},
            "paired": [dataclasses.asdict(pair) for pair in compare_models(scores, COMPARED)] if scores else [],
            "ranking": dataclasses.asdict(rank_models(scores, COMPARED)) if scores else None,
        }
    return {
        "disclaimer": DISCLAIMER,
        "cases": sorted({line["case"] for line in used}),
        "without_reference": [case.name for case in cohort.cases if case.reference is None],
        "failed": failed,
        "inference": cohort.inference.describe() or "plain",
        "checkpoints": {checkpoint.model: _key(checkpoint) for checkpoint in cohort.checkpoints},
        "compared_on": {"metric": COMPARED, "cases": whole},
        "labels": labels,
    }


def _cases_of_every_model(lines: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[str]:
    """Cases that every model has: a paired test needs the same cases on both sides."""
    by_model = [{line["case"] for line in lines if line["model"] == model and not line["error"]} for model in models]
    return sorted(set.intersection(*by_model)) if by_model else []


def _label_rows(lines: Sequence[Mapping[str, Any]], model: str, label: str) -> dict[str, LabelMetrics]:
    """The scores of a model by case; what was written as null is NaN again."""
    found = {}
    for line in lines:
        for row in line["rows"]:
            if line["model"] == model and row["label"] == label:
                figures = {name: math.nan if row[name] is None else row[name] for name in DEFINITIONS}
                found[line["case"]] = LabelMetrics(label=label, state=row["state"], **figures)
    return found


def _summary(rows: list[LabelMetrics]) -> dict[str, Any]:
    figures = {metric: dataclasses.asdict(summarise(rows, metric)) for metric in SUMMARISED}
    return {"cases": len(rows), "pooled_dice": pooled_dice(rows), **figures}


def _write_csv(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*COLUMNS, "checkpoint_sha256"])
        writer.writeheader()
        for line in lines:
            writer.writerows({k: "n/a" if v is None else v for k, v in row.items()} for row in line["rows"])


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary_text(summary: Mapping[str, Any]) -> list[str]:
    """The summary as lines for a terminal: Dice per model and label with its interval, and what was left out."""
    lines = []
    for label, found in summary["labels"].items():
        for model, figures in found["models"].items():
            dice, interval = figures["dice"], figures["dice"]["interval"]
            spread = f"95 % interval {interval['low']:.3f} to {interval['high']:.3f}" if dice["n"] > 1 else "one case"
            lines.append(
                f"{label:<7} {model:<14} Dice {interval['mean']:.3f} ({spread}), n {dice['n']}, both empty "
                f"{dice['n_empty']}, missed {dice['n_missed']}, false alarms {dice['n_false_alarm']}, pooled Dice "
                f"{figures['pooled_dice']:.3f}"
            )
        ranking = found["ranking"]
        if ranking and len(ranking["mean"]) > 1:
            lines.append(
                f"{label:<7} {'order: ' + ', '.join(ranking['order']) if ranking['ranked'] else ranking['reason']}"
            )
    lines += [f"left out: {one['case']} with {one['model']}: {one['error']}" for one in summary["failed"]]
    if summary["without_reference"]:
        lines.append(f"without reference, not scored: {', '.join(summary['without_reference'])}")
    return lines
