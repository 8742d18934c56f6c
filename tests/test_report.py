"""What is taken home: the right figures, no figure that was not computed, and where it comes from."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from livdemo.comparison import Comparison, Progress, Result, compare
from livdemo.metrics import score_case
from livdemo.report import FIRST_COLUMNS, format_metric, report_html, results_table, worst_slice, write_report
from tests.made_up import block_case
from tests.small_model import write_thresholds


def _comparison(
    weights: Path, monkeypatch: pytest.MonkeyPatch, known: bool = True, reference: bool = True
) -> Comparison:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(weights))
    checkpoint = write_thresholds(weights)
    case = block_case(known)
    if not reference:
        case = type(case)(case.name, case.volume, None, case.source, case.licence, case.note)
    events = list(compare(case, [checkpoint], "cpu"))
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in progress] == [1, 2, 3, 4, 5, 6]
    assert progress[-1].seconds_left == 0
    return Comparison(case, tuple(event for event in events if isinstance(event, Result)))


def test_files_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    paths = write_report(comparison, tmp_path / "out")
    assert {p.name for p in paths} == {
        "metrics.csv",
        "lesions.csv",
        "comparison.json",
        "thresholds.nii.gz",
        "report.html",
    }
    with open(tmp_path / "out" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0])[: len(FIRST_COLUMNS)] == FIRST_COLUMNS
    liver, tumour = rows
    # 4·16·16 voxels of liver, and 4·4 more that the model calls liver: 2·1024 / (1024 + 1040)
    assert float(liver["dice"]) == pytest.approx(2 * 1024 / (1024 + 1040))
    assert float(liver["volume_ml"]) == pytest.approx(1040 * 2 / 1000)
    assert float(tumour["dice"]) == 1
    assert tumour["state"] == "ok"


def test_the_mask_lies_on_the_input_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    write_report(comparison, tmp_path / "out")
    mask = nibabel.load(tmp_path / "out" / "thresholds.nii.gz")
    grid = comparison.case.volume.grid
    assert mask.shape == grid.shape
    assert np.allclose(mask.affine, grid.affine)
    assert np.array_equal(grid.to_display(np.asarray(mask.dataobj)), comparison.results[0].prediction.label_map)


def test_json_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    write_report(comparison, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    facts = content["provenance"]
    assert facts["models"][0]["checkpoint"]["sha256"] == comparison.results[0].prediction.checkpoint.sha256
    assert facts["models"][0]["preprocessing"]["window"] == {"center": 50, "width": 100}
    assert facts["definitions"]["hd95_mm"]["unit"] == "mm"
    assert "not for clinical use" in facts["disclaimer"]
    liver = content["slices"][0]
    assert liver["dice"] == [None, 1, 1, 1, 1, 0]  # nothing there; right; false alarm on an empty slice


def test_lesions_classes_and_witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    write_report(comparison, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    (lesion,) = content["lesions"]
    assert lesion["found"] is True
    assert lesion["volume_ml"] == pytest.approx(2 * 4 * 4 * 2 / 1000)
    assert lesion["mean_hu"] == 95
    assert lesion["contrast_hu"] == 35
    # The stray block's far corner (5, 31, 31) is 2, 8 and 8 mm from the liver's (4, 23, 23).
    liver = content["hausdorff_witness"][0]
    assert liver["voxel"] == [5, 31, 31]
    assert liver["nearest_voxel"] == [4, 23, 23]
    assert liver["distance_mm"] == pytest.approx((2**2 + 8**2 + 8**2) ** 0.5)
    assert content["classes"][0]["foreground_accuracy"] == 1
    with open(tmp_path / "out" / "lesions.csv", newline="") as file:
        assert next(csv.DictReader(file))["found"] == "True"


def test_without_spacing_nothing_is_in_millimetres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch, known=False)
    write_report(comparison, tmp_path / "out")
    with open(tmp_path / "out" / "metrics.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert row["spacing_known"] == "False"
    assert {row[name] for name in ("hd_mm", "hd95_mm", "assd_mm", "nsd", "volume_ml")} == {"n/a"}
    assert float(row["dice"]) > 0.9
    _, rows = results_table(comparison)
    assert "voxels" in rows[0][4]


def test_without_a_reference_there_are_volumes_and_no_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch, reference=False)
    write_report(comparison, tmp_path / "out")
    with open(tmp_path / "out" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["no reference", "no reference"]
    assert {row["dice"] for row in rows} == {"n/a"}
    assert float(rows[1]["volume_ml"]) == pytest.approx(2 * 4 * 4 * 2 / 1000)
    assert "no scores" in report_html(comparison)
    _, words = results_table(comparison)
    assert [row[1] for row in words] == ["liver", "tumour"]
    assert "0.06 mL" in words[1]
    assert "0.06 mL" in report_html(comparison)


def test_the_page_opens_offline_and_escapes_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    case = comparison.case
    evil = type(case)("<script>x</script>", case.volume, case.reference, case.source, case.licence, case.note)
    page = report_html(Comparison(evil, comparison.results))
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "data:image/png;base64," in page
    assert "It only looks at the grey." in page


def test_figures_as_words() -> None:
    reference, prediction = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)
    reference[0, :4, :4] = 1
    liver, tumour = score_case(prediction, reference, (1, 1, 1))
    assert format_metric(liver, "dice") == "0.000"
    assert format_metric(liver, "hd_mm").startswith("miss (")
    assert format_metric(tumour, "dice") == "n/a"
    prediction[0, :4, 1:5] = 1
    liver, _ = score_case(prediction, reference, (1, 1, 1))
    assert format_metric(liver, "hd_mm") == "1.00 mm"
    assert format_metric(liver, "hd_mm", spacing_known=False) == "1.00 voxels"
    assert format_metric(liver, "volume_ml", spacing_known=False) == "n/a"


def test_the_worst_slice_is_the_largest_of_the_lowest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    assert worst_slice(comparison.results[0].slices[0]) == 5
