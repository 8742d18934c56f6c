"""A cohort: every pair once, in any number of processes, also after a kill; misses stay in."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from livdemo import evaluation
from livdemo.cases import find_case_files
from livdemo.checkpoints import read_manifest, write_manifest
from livdemo.cli import main
from livdemo.errors import InputError
from livdemo.evaluation import Cohort, Workers, evaluate, read_lines, summarise_lines
from tests.conftest import REPOSITORY
from tests.made_up import block_case
from tests.small_model import write_thresholds

ALONE = Workers(0, 1, lambda: None)
CASES = 6


@pytest.fixture
def cohort_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six cases; the sixth has a liver that the model cannot see. Two models: one hides small pieces."""
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    first = write_thresholds(tmp_path / "weights")
    second = write_thresholds(tmp_path / "weights2", model="largest", largest_component=True)
    (tmp_path / "weights" / "largest.ts").write_bytes((tmp_path / "weights2" / second.file).read_bytes() + b"\0")
    content = (tmp_path / "weights" / "largest.ts").read_bytes()
    second = replace(second, file="largest.ts", sha256=hashlib.sha256(content).hexdigest())
    write_manifest([first, second], tmp_path / "weights")
    folder = tmp_path / "cases"
    folder.mkdir()
    case = block_case()
    grid = case.volume.grid
    for number in range(CASES):
        hu = case.volume.hu.copy()
        hu[1, 8 : 8 + 2 * number, 8:24] = -1000  # more and more of the liver's lowest slice is missing
        if number == CASES - 1:
            hu[:] = -1000
        nibabel.Nifti1Image(grid.from_display(hu), grid.affine).to_filename(folder / f"c{number}_ct.nii.gz")
        nibabel.Nifti1Image(grid.from_display(case.reference), grid.affine).to_filename(
            folder / f"c{number}_seg.nii.gz"
        )
    return folder


def _cohort(folder: Path) -> Cohort:
    return Cohort(tuple(find_case_files(folder)), tuple(read_manifest()), {}, device="cpu")


def _rows_without_time(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_every_case_with_every_model(cohort_folder: Path, tmp_path: Path) -> None:
    summary = evaluate(_cohort(cohort_folder), tmp_path / "out", ALONE)
    rows = _rows_without_time(tmp_path / "out" / "metrics.csv")
    assert len(rows) == CASES * 2 * 2
    liver = summary["labels"]["liver"]["models"]["largest"]
    assert liver["dice"]["n"] == CASES
    assert liver["dice"]["n_missed"] == 1
    assert liver["dice"]["worst"] == 0
    expected = np.mean([float(r["dice"]) for r in rows if r["model"] == "largest" and r["label"] == "liver"])
    assert liver["dice"]["interval"]["mean"] == pytest.approx(expected)
    assert summary["labels"]["liver"]["ranking"]["ranked"]
    assert summary["labels"]["liver"]["ranking"]["order"][0] == "largest"
    json.loads((tmp_path / "out" / "summary.json").read_text())


def test_a_kill_loses_the_pair_in_work_alone(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = _cohort(cohort_folder)
    evaluate(cohort, tmp_path / "whole", ALONE)
    genuine, ran = evaluation.compare, []

    def dies_at_the_fourth(case, checkpoints, *rest):
        ran.append((case.name, checkpoints[0].model))
        if len(ran) == 4:
            raise KeyboardInterrupt
        return genuine(case, checkpoints, *rest)

    monkeypatch.setattr(evaluation, "compare", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        evaluate(cohort, tmp_path / "out", ALONE)
    rows_file = tmp_path / "out" / "rows" / "0.jsonl"
    with open(rows_file, "a") as file:
        file.write('{"case": "c9", "mod')  # what a kill in the middle of a line leaves
    assert len(read_lines(rows_file.parent)) == 3
    monkeypatch.setattr(evaluation, "compare", genuine)
    evaluate(cohort, tmp_path / "out", ALONE)
    assert _rows_without_time(tmp_path / "out" / "metrics.csv") == _rows_without_time(
        tmp_path / "whole" / "metrics.csv"
    )


def test_two_processes_give_what_one_gives(cohort_folder: Path, tmp_path: Path) -> None:
    """The genuine thing: torchrun starts two processes on the CPU, which find each other through accelerate."""
    pytest.importorskip("accelerate")
    evaluate(_cohort(cohort_folder), tmp_path / "one", ALONE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "livdemo", "evaluate", str(cohort_folder), "--out", str(tmp_path / "two"), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.name for path in (tmp_path / "two" / "rows").iterdir()} == {"0.jsonl", "1.jsonl"}
    assert _rows_without_time(tmp_path / "one" / "metrics.csv") == _rows_without_time(tmp_path / "two" / "metrics.csv")
    summaries = [(tmp_path / name / "summary.json").read_text() for name in ("one", "two")]
    assert summaries[0] == summaries[1]


def test_a_case_that_cannot_be_read_is_named_and_the_others_go_on(cohort_folder: Path, tmp_path: Path) -> None:
    (cohort_folder / "c2_ct.nii.gz").write_bytes(b"no image")
    summary = evaluate(_cohort(cohort_folder), tmp_path / "out", ALONE)
    assert [one["case"] for one in summary["failed"]] == ["c2", "c2"]
    assert "c2_ct.nii.gz" in summary["failed"][0]["error"]
    assert summary["labels"]["liver"]["models"]["largest"]["cases"] == CASES - 1


def test_fewer_than_five_cases_are_not_ranked(cohort_folder: Path, tmp_path: Path) -> None:
    cohort = _cohort(cohort_folder)
    few = Cohort(cohort.cases[:3], cohort.checkpoints, {}, device="cpu")
    ranking = evaluate(few, tmp_path / "out", ALONE)["labels"]["liver"]["ranking"]
    assert not ranking["ranked"]
    assert "3 cases" in ranking["reason"]


def test_another_way_of_inference_needs_another_folder(cohort_folder: Path, tmp_path: Path) -> None:
    cohort = _cohort(cohort_folder)
    evaluate(cohort, tmp_path / "out", ALONE)
    scaled = evaluation.Inference(scales=(0.5, 1.0))
    with pytest.raises(InputError, match="another --out"):
        evaluate(Cohort(cohort.cases, cohort.checkpoints, {}, scaled), tmp_path / "out", ALONE)


def test_nothing_to_summarise_is_said(cohort_folder: Path) -> None:
    summary = summarise_lines(_cohort(cohort_folder), [])
    assert summary["cases"] == []
    assert summary["labels"]["liver"]["models"] == {}


def test_the_command(cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(cohort_folder), "--models", "largest", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "95 % interval" in out
    assert "not for clinical use" in out
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", str(tmp_path / "empty"), "--out", str(tmp_path / "out2")]) == 2
    assert "no scan with a reference" in capsys.readouterr().err
