"""The command line as other tools rely on it: forms, files, exit statuses, one plain sentence on errors."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

import livdemo.cli
from livdemo.checkpoints import read_manifest, write_manifest
from livdemo.cli import main
from livdemo.models import list_models
from livdemo.report import FIRST_COLUMNS
from tests.made_up import block_case
from tests.small_model import write_thresholds


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ct.nii.gz, seg.nii.gz and the weights of a hand-made model."""
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    write_thresholds(tmp_path / "weights")
    case = block_case()
    grid = case.volume.grid
    nibabel.Nifti1Image(grid.from_display(case.volume.hu), grid.affine).to_filename(tmp_path / "ct.nii.gz")
    nibabel.Nifti1Image(grid.from_display(case.reference), grid.affine).to_filename(tmp_path / "seg.nii.gz")
    return tmp_path


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1, "one sentence"
    assert "Traceback" not in error
    return error


def test_models_as_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [spec.name for spec in list_models()]
    unet = next(row for row in rows if row["name"] == "unet64")
    assert unet["parameters"] == {"paper": 31_030_723, "classroom": 1_943_795}
    assert unet["trained"] is False
    assert unet["checkpoint"] is None


def test_cases_as_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cases", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert {"phantom", "lits117"} <= set(names)
    assert main(["cases"]) == 0
    assert "phantom" in capsys.readouterr().out


def test_a_mask_is_there_as_soon_as_its_model_is_done(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = livdemo.cli.compare

    def killed_after_the_first(*given: object) -> Iterator[object]:
        yield from genuine(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(livdemo.cli, "compare", killed_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        main(["compare", str(files / "ct.nii.gz"), "--models", "all", "--out", str(files / "o")])
    assert [path.name for path in (files / "o").iterdir()] == ["thresholds.nii.gz"]


def test_compare_writes_everything(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "compare",
        files / "ct.nii.gz",
        "--reference",
        files / "seg.nii.gz",
        "--models",
        "all",
        "--out",
        files / "o",
    ]
    assert main([str(a) for a in asked]) == 0
    assert {p.name for p in (files / "o").iterdir()} == {
        "metrics.csv",
        "comparison.json",
        "lesions.csv",
        "thresholds.nii.gz",
        "report.html",
    }
    assert "not for clinical use" in capsys.readouterr().out


def test_score_as_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seg = str(files / "seg.nii.gz")
    assert main(["score", seg, seg, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in rows] == ["liver", "tumour"]
    assert set(FIRST_COLUMNS) <= set(rows[0])
    assert rows[0]["dice"] == 1
    assert rows[0]["hd_mm"] == 0
    assert main(["score", seg, seg]) == 0
    assert "1.000" in capsys.readouterr().out


def test_unknown_model(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = _refused(capsys, "compare", files / "ct.nii.gz", "--models", "unet99", "--out", files / "o")
    assert "unet99" in error
    assert "unet64" in error


def test_unknown_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.nii.gz" in _refused(capsys, "compare", files / "nowhere.nii.gz", "--out", files / "o")


def test_truncated_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (files / "ct.nii.gz").read_bytes()
    (files / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert "cut.nii.gz" in _refused(capsys, "compare", files / "cut.nii.gz", "--out", files / "o")
    assert not (files / "o").exists()


def test_text_named_nii(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "note.nii").write_text("dear diary")
    assert "note.nii" in _refused(capsys, "compare", files / "note.nii", "--out", files / "o")
    (files / "note.nii.gz").write_bytes(gzip.compress(b"dear diary"))
    assert "note.nii.gz" in _refused(capsys, "compare", files / "note.nii.gz", "--out", files / "o")


def test_reference_on_another_grid_needs_consent(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seg = nibabel.load(files / "seg.nii.gz")
    coarse = nibabel.Nifti1Image(np.asarray(seg.dataobj)[::2], seg.affine @ np.diag([2.0, 1, 1, 1]))
    coarse.to_filename(files / "coarse.nii.gz")
    asked = ["compare", files / "ct.nii.gz", "--reference", files / "coarse.nii.gz", "--out", files / "o"]
    error = _refused(capsys, *asked)
    assert "32×32×6" in error
    assert "16×32×6" in error
    assert main([str(a) for a in asked] + ["--resample"]) == 0


def test_a_catalogue_case_brings_its_own_reference(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "phantom", "--reference", files / "seg.nii.gz", "--out", files / "o"]
    assert "brings its own reference" in _refused(capsys, *asked)


def test_out_that_is_a_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a file" in _refused(capsys, "compare", files / "ct.nii.gz", "--out", files / "seg.nii.gz")


def test_an_untrained_model_says_so_and_is_not_among_all(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", files / "ct.nii.gz", "--models", "sfan,thresholds", "--out", files / "o"]
    assert main([str(a) for a in asked]) == 0
    assert "its mask means nothing" in capsys.readouterr().out
    rows = json.loads((files / "o" / "comparison.json").read_text())["provenance"]["models"]
    assert [row["model"] for row in rows] == ["sfan", "thresholds"]
    assert "untrained" in rows[0]["title"]
    assert main(["compare", str(files / "ct.nii.gz"), "--models", "all", "--out", str(files / "p")]) == 0
    assert not (files / "p" / "sfan.nii.gz").exists()


def test_of_all_the_models_one_that_cannot_read_the_case_is_left_out(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = read_manifest()
    write_manifest(
        [row, replace(row, model="phased", title="Phased", input_kind="phases", phases=("arterial", "late"))]
    )
    assert main(["compare", str(files / "ct.nii.gz"), "--models", "all", "--out", str(files / "o")]) == 0
    assert "Left out: Phased reads 2 contrast phases" in capsys.readouterr().err
    rows = json.loads((files / "o" / "comparison.json").read_text())["provenance"]["models"]
    assert [row["model"] for row in rows] == ["thresholds"]
    write_manifest([replace(row, input_kind="phases", phases=("arterial", "late"))])
    assert "No trained model can read this case so." in _refused(
        capsys, "compare", files / "ct.nii.gz", "--out", files / "p"
    )


def test_a_cascade_without_its_first_stage(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", files / "ct.nii.gz", "--inference", "cascade", "--out", files / "o"]
    assert "no trained weights for 'unet_liver'" in _refused(capsys, *asked)
    assert "called sideways" in _refused(capsys, *asked[:2], "--inference", "sideways", "--out", files / "o")


def test_three_scales(files: Path) -> None:
    asked = ["compare", files / "ct.nii.gz", "--inference", "multiscale", "--out", files / "o"]
    assert main([str(a) for a in asked]) == 0
    assert "0.5, 1, 1.5" in (files / "o" / "comparison.json").read_text()


def test_curves_on_request(files: Path) -> None:
    asked = ["compare", files / "ct.nii.gz", "--reference", files / "seg.nii.gz", "--curves", "--out", files / "o"]
    assert main([str(a) for a in asked]) == 0
    liver, tumour = json.loads((files / "o" / "comparison.json").read_text())["precision_recall"]
    assert (liver["label"], tumour["label"]) == ("liver", "tumour")
    assert tumour["area"] == pytest.approx(1, abs=1e-6)
    assert liver["chance"] < liver["area"] < 1
