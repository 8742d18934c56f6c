"""The command line: models, cases, compare, evaluate, score.

Every error that a user can cause is one plain sentence on stderr and exit status 2; a traceback is a bug.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from livdemo.cases import Case, CaseFiles, find_case_files, list_cases, load_case, open_files
from livdemo.checkpoints import Checkpoint, read_manifest
from livdemo.comparison import Comparison, Progress, Result, able, compare, score_maps
from livdemo.errors import InputError
from livdemo.metrics import CLASS_DEFINITIONS, DEFINITIONS
from livdemo.models import list_models
from livdemo.models.selection import select
from livdemo.predictor import named_inference
from livdemo.report import COLUMNS, DISCLAIMER, format_metric, metric_figures, results_table, write_mask, write_report
from livdemo.volume import read_label_map, read_volume


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        asked.run(asked)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m livdemo", description=f"How networks outline liver tumours. {DISCLAIMER}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    models = commands.add_parser("models", help="the models, their size, and whether they are trained")
    models.add_argument("--json", action="store_true")
    models.set_defaults(run=_models)

    cases = commands.add_parser("cases", help="the cases that can be opened by name")
    cases.add_argument("--json", action="store_true")
    cases.set_defaults(run=_cases)

    comparing = commands.add_parser("compare", help="run models on a case and write masks, scores and a report")
    comparing.add_argument("ct", metavar="CT", help="a .nii, .nii.gz, .nrrd, .mha, DICOM folder or .zip, or a case")
    comparing.add_argument("--reference", type=Path, help="label map: 0 background, 1 liver, 2 tumour")
    comparing.add_argument("--resample", action="store_true", help="let a reference on another grid be resampled")
    comparing.add_argument("--models", default="all", help="names with commas, or all (trained, able to read it)")
    comparing.add_argument(
        "--inference",
        default="plain",
        help="cascade (tumours inside the liver that unet_liver finds), multiscale (S3's three scales), or both with +",
    )
    comparing.add_argument("--curves", action="store_true", help="precision-recall curves too (keeps probabilities)")
    comparing.add_argument("--out", type=Path, required=True, help="folder for the results")
    comparing.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    comparing.set_defaults(run=_compare)

    cohort = commands.add_parser("evaluate", help="models over a folder of cases, with statistics; resumes")
    cohort.add_argument("cases", type=Path, metavar="CASES_DIR")
    cohort.add_argument("--models", default="all", help="names with commas, or all (the trained ones)")
    cohort.add_argument("--inference", default="plain", help="as for compare")
    cohort.add_argument("--out", type=Path, required=True, help="folder for rows, metrics.csv and summary.json")
    cohort.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    cohort.set_defaults(run=_evaluate)

    scoring = commands.add_parser("score", help="score one mask against another")
    scoring.add_argument("prediction", type=Path, metavar="PREDICTION")
    scoring.add_argument("reference", type=Path, metavar="REFERENCE")
    scoring.add_argument("--json", action="store_true")
    scoring.set_defaults(run=_score)
    return parser


def _models(asked: argparse.Namespace) -> None:
    trained = {checkpoint.model: checkpoint for checkpoint in read_manifest()}
    rows: list[dict[str, Any]] = []
    for spec in list_models():
        checkpoint = trained.get(spec.name)
        rows.append(
            {
                "name": spec.name,
                "title": spec.title,
                "source": spec.source,
                "parameters": {"paper": spec.parameters("paper"), "classroom": spec.parameters("classroom")},
                "trained": checkpoint is not None,
                "checkpoint": checkpoint
                and {"file": checkpoint.file, "sha256": checkpoint.sha256, "bytes": checkpoint.bytes},
            }
        )
    if asked.json:
        _print_json(rows)
        return
    for row in rows:
        size = f"{row['parameters']['classroom'] / 1e6:.2f} M (paper {row['parameters']['paper'] / 1e6:.1f} M)"
        state = "trained" if row["trained"] else "not trained"
        print(f"{row['name']:<14} {row['title']:<28} {size:<26} {state:<12} {row['source']}")


def _cases(asked: argparse.Namespace) -> None:
    infos = list_cases()
    if asked.json:
        _print_json([asdict(info) for info in infos])
        return
    for info in infos:
        reference = "with reference" if info.has_reference else "no reference"
        print(f"{info.name:<16} {info.title:<44} {reference:<15} {info.note}")


def _compare(asked: argparse.Namespace) -> None:
    checkpoints, networks = _chosen(asked.models)
    inference = named_inference(asked.inference)
    case = _open(asked.ct, asked.reference, asked.resample)
    for warning in case.volume.warnings:
        print(f"Note: {warning}", file=sys.stderr)
    if asked.models == "all":
        checkpoints, left_out = able(case, checkpoints, inference)
        if not checkpoints:
            raise InputError(f"No trained model can read this case so. {left_out[0]}")
        for reason in left_out:
            print(f"Left out: {reason}", file=sys.stderr)
    if asked.out.exists() and not asked.out.is_dir():
        raise InputError(f"{asked.out} is a file; --out must name a folder.")
    results, masks = [], []
    slices = len(checkpoints) * len(case.volume.hu) * inference.passes
    with tqdm(total=slices, unit="slice", disable=None) as bar:
        for event in compare(case, checkpoints, asked.device, inference, networks, asked.curves):
            if isinstance(event, Progress):
                bar.set_description(event.checkpoint.model, refresh=False)
                bar.update()
            elif isinstance(event, Result):
                results.append(event)
                masks.append(write_mask(case.volume, event, asked.out))  # kept if the next model is killed
    comparison = Comparison(case, tuple(results))
    paths = write_report(comparison, asked.out, masks)
    _print_table(*results_table(comparison))
    for checkpoint in checkpoints:
        if weak := checkpoint.weak_on(case.name):
            print(f"{checkpoint.title}: {weak}")
    print(f"{DISCLAIMER} Written: {', '.join(str(path) for path in paths)}")


def _evaluate(asked: argparse.Namespace) -> None:
    # Loads scipy's statistics, a second that the other commands need not wait.
    from livdemo.evaluation import Cohort, evaluate, find_workers, summary_text

    cases = find_case_files(asked.cases)
    if not any(case.reference for case in cases):
        raise InputError(f"{asked.cases} holds no scan with a reference; `livdemo/cases.py` says how they are named.")
    checkpoints, networks = _chosen(asked.models)
    cohort = Cohort(tuple(cases), tuple(checkpoints), networks, named_inference(asked.inference), asked.device)
    workers = find_workers()
    with tqdm(unit="slice", disable=None, position=workers.index) as bar:

        def show(what: str, done: int, total: int) -> None:
            if done == 1:
                bar.reset(total)
                bar.set_description(what, refresh=False)
            bar.update()

        summary = evaluate(cohort, asked.out, workers, show)
    if summary is not None:
        print("\n".join([*summary_text(summary), f"{DISCLAIMER} Written: {asked.out}/metrics.csv, summary.json"]))


def _chosen(names: str) -> tuple[list[Checkpoint], dict[str, nn.Module]]:
    """The asked models, and networks with random weights for those that are asked for by name but not trained."""
    trained = {checkpoint.model: checkpoint for checkpoint in read_manifest()}
    if names == "all":
        if not trained:
            raise InputError("No model has trained weights yet; train one with python -m train NAME --data DIR.")
        return list(trained.values()), {}
    return select([part.strip() for part in names.split(",")])


def _open(ct: str, reference: Path | None, resample: bool) -> Case:
    """A case of the catalogue by name, or a file with or without its reference."""
    if not Path(ct).exists() and ct.split(":")[0] in {info.name.split(":")[0] for info in list_cases()}:
        if reference is not None:
            raise InputError(f"{ct} is a case of the catalogue and brings its own reference; leave out --reference.")
        return load_case(ct)
    return open_files(CaseFiles(Path(ct).name.split(".")[0], Path(ct), reference), resample)


def _score(asked: argparse.Namespace) -> None:
    volume = read_volume(asked.reference)
    reference = read_label_map(asked.reference, volume)
    prediction = read_label_map(asked.prediction, volume)
    scores = score_maps(prediction, reference, volume.spacing_mm)
    rows = scores.metrics
    if asked.json:
        stamp = {"case": asked.reference.name, "model": asked.prediction.name, "seconds": None}
        stamp |= {"spacing_known": volume.spacing_known}
        figures = [{**stamp, **metric_figures(row, volume.spacing_known)} for row in rows]
        classes = {k: None if math.isnan(v) else v for k, v in asdict(scores.classes).items()}
        _print_json([{**{name: row[name] for name in COLUMNS}, "classes": classes} for row in figures])
        return
    known = volume.spacing_known
    names = [name for name in DEFINITIONS if name != "tolerance_mm"]
    _print_table(
        ["", *(row.label for row in rows)],
        [
            ["State", *(row.state for row in rows)],
            *([DEFINITIONS[name].title, *(format_metric(row, name, known) for row in rows)] for name in names),
        ],
    )
    for name, definition in CLASS_DEFINITIONS.items():
        value = getattr(scores.classes, name)
        print(f"{definition.title}: {'n/a' if math.isnan(value) else f'{value:.4f} {definition.unit}'.strip()}")
    if scores.lesions and scores.lesions.reference:
        found, invented = scores.lesions.n_found, len(scores.lesions.false_positives)
        print(f"Lesions found: {found} of {len(scores.lesions.reference)}; false alarms: {invented}")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(rows: list[dict[str, Any]]) -> None:
    print(json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False))
