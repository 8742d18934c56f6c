"""What is taken home: the right figures, no figure that was not computed, and where it comes from."""

import base64
import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import SimpleITK

from livdemo.agreement import profile_of
from livdemo.comparison import Comparison, Progress, Result, compare, score
from livdemo.intensity import NAMED_WINDOWS
from livdemo.metrics import score_case
from livdemo.predictor import Inference, decision_rule
from livdemo.report import FIRST_COLUMNS, format_metric, provenance, report_html, results_table, write_report
from livdemo.report.curve import dice_curve
from livdemo.report.key_slices import common_shot, frame_of, own_shots
from livdemo.report.outline import outline
from livdemo.report.pictures import PICTURE_BYTES, display_window
from livdemo.report.provenance import mask_origin
from livdemo.volume import read_label_map
from tests.made_up import block_case, make_volume
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


def test_a_mask_says_in_its_header_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    write_report(comparison, tmp_path / "out")
    path = tmp_path / "out" / "thresholds.nii.gz"
    header = nibabel.load(path).header
    prediction = comparison.results[0].prediction
    sha256 = prediction.checkpoint.sha256
    assert header["descrip"].item().decode() == f"livdemo thresholds {sha256[:12]}"
    (extension,) = header.extensions
    assert extension.get_code() == 6  # a comment, in NIfTI's list of extensions
    told = json.loads(extension.text)
    assert told["checkpoint"]["sha256"] == sha256
    assert told["preprocessing"] == prediction.checkpoint.preprocessing.to_dict()
    assert told["rule"] == prediction.rule
    assert told["versions"]["numpy"] == np.__version__
    assert told["date"][:2] == "20"
    assert "not for clinical use" in told["disclaimer"]
    # Other readers still find the voxels, and so do we.
    volume = comparison.case.volume
    np.testing.assert_array_equal(read_label_map(path, volume), prediction.label_map)
    assert SimpleITK.ReadImage(str(path)).GetSize() == volume.grid.shape


def test_a_mask_of_random_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _comparison(tmp_path, monkeypatch).results[0]
    untrained = replace(result.prediction, checkpoint=replace(result.prediction.checkpoint, sha256=""))
    origin = mask_origin(replace(result, prediction=untrained))
    assert origin.summary == "livdemo thresholds untrained"
    assert origin.provenance["trained"] is False


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
    invented, _ = score_case(reference, prediction, (1, 1, 1))
    assert format_metric(invented, "hd_mm").startswith("false alarm (")
    prediction[0, :4, 1:5] = 1
    liver, _ = score_case(prediction, reference, (1, 1, 1))
    assert format_metric(liver, "hd_mm") == "1.00 mm"
    assert format_metric(liver, "hd_mm", spacing_known=False) == "1.00 voxels"
    assert format_metric(liver, "volume_ml", spacing_known=False) == "n/a"


def _with_prediction(comparison: Comparison, label_map: np.ndarray, **changes: object) -> Comparison:
    """The comparison with another mask (and checkpoint), scored again."""
    old = comparison.results[0].prediction
    prediction = replace(old, label_map=label_map, checkpoint=replace(old.checkpoint, **changes))
    return Comparison(comparison.case, (score(comparison.case, prediction),))


def _area_of(path: str) -> int:
    """What a path of h and v steps encloses, holes taken off: the shoelace formula of each closed part."""
    area = 0
    for part in path.split("z")[:-1]:
        x, y = map(int, re.match(r"M(-?\d+) (-?\d+)", part).groups())
        for axis, length in re.findall(r"([hv])(-?\d+)", part):
            if axis == "h":
                x, area = x + int(length), area - y * int(length)
            else:
                y += int(length)
    return area


def test_an_outline_encloses_exactly_its_pixels() -> None:
    square = np.zeros((5, 6), bool)
    square[1:4, 2:5] = True
    assert outline(square) == "M2 1h3v3h-3v-3z"
    ring = square.copy()
    ring[2, 3] = False
    diagonal = np.eye(4, dtype=bool)
    noise = np.random.default_rng(0).random((20, 30)) > 0.5
    for mask in (square, ring, diagonal, noise, np.ones((3, 3), bool)):
        assert _area_of(outline(mask)) == mask.sum()
    assert outline(ring).count("M") == 2
    assert outline(np.zeros((3, 3), bool)) == ""


def test_pictures_are_the_ct_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    page = report_html(comparison)
    shot = common_shot(comparison)
    assert (shot.index, shot.label) == (2, "tumour")
    stored = re.findall(r"<image id=ct(\d+) .*?base64,([^']+)'", page)
    assert [int(k) for k, _ in stored] == [2, 5], "the slice with most tumour and the one with the stray block, once"
    for k, data in stored:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)
        shown = NAMED_WINDOWS["liver"](comparison.case.volume.hu[int(k)][frame_of(comparison, [2, 5])])
        assert np.array_equal(picture, np.rint(shown * 255))


def test_the_slices_are_those_that_tell_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    (shot,) = own_shots(comparison.results[0])  # the stray block is the only error; the tumour has none
    assert (shot.index, shot.label) == (5, "liver")
    assert shot.witness.distance_mm == pytest.approx((2**2 + 8**2 + 8**2) ** 0.5)
    page = report_html(comparison)
    assert "11.5 mm" in page
    assert "nearest point of the reference is in slice 5, so the line is seen along the body" in page
    assert "Dice of slice 6: <span class='tag liver'>liver</span> 0.000 (volume 0.992)" in page
    unknown = report_html(_comparison(tmp_path / "v", monkeypatch, known=False))
    assert " mm</text>" not in unknown
    assert re.search(r">[0-9.]+ voxels</text>", unknown)
    assert "5 cm" not in unknown


def test_errors_have_a_second_cue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    page = report_html(_with_prediction(comparison, np.roll(comparison.case.reference, 2, axis=2)))
    areas = {name: _area_of(re.search(rf"<path class={name} d='([^']*)'", page)[1]) for name in ("right", "extra")}
    assert areas == {"right": 8, "extra": 8}  # the tumour of 4×4, moved by 2
    for name, pattern in (("extra", "hatch"), ("missed", "dots")):
        assert f".slice .{name}{{fill:url(#{pattern})}}" in page
        assert f"<pattern id={pattern} " in page


def test_without_a_reference_most_predicted_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch, reference=False)
    assert common_shot(comparison).why == "most predicted tumour"
    page = report_html(comparison)
    assert "class=tumour" in page
    assert "class=missed" not in page
    nothing = _with_prediction(comparison, np.zeros_like(comparison.results[0].prediction.label_map))
    assert "nothing was found" in report_html(nothing)


def test_the_page_is_stamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    page, facts = report_html(comparison), provenance(comparison)
    checkpoint = comparison.results[0].prediction.checkpoint
    words = ("For teaching only, not for clinical use", checkpoint.sha256, checkpoint.preprocessing.describe())
    words += (facts["versions"]["torch"], facts["versions"]["numpy"], facts["date"][:10], "livdemo 0.")
    words += ("python -m livdemo compare block --models thresholds", "the network by itself", "Twice the shared volume")
    for word in words:
        assert word in page
    assert "UNTRAINED" not in page
    untrained = _with_prediction(comparison, comparison.case.reference, sha256="", title="T (untrained)")
    page = report_html(untrained)
    assert page.count("UNTRAINED") > 3, "in the header, at the scores, on the pictures"
    assert "random weights of seed 0" in page
    with open(write_report(untrained, tmp_path / "out")[1], newline="") as file:
        assert next(csv.DictReader(file))["checkpoint_sha256"] == "untrained"


@pytest.mark.parametrize("way", ["cascade", "multiscale", "cascade+multiscale"])
def test_inference_and_command(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    result = comparison.results[0]
    checkpoint = replace(result.prediction.checkpoint, largest_component=True)
    scales = (0.5, 1.0) if "multiscale" in way else (1.0,)
    inference = Inference(scales, checkpoint if "cascade" in way else None)
    rule = decision_rule(checkpoint, inference)
    case = replace(comparison.case, source="file my scan.nii.gz")
    changed = replace(result, prediction=replace(result.prediction, checkpoint=checkpoint, rule=rule))
    facts = provenance(Comparison(case, (changed,)))
    assert facts["models"][0]["inference"] == inference.describe()
    expected = f"compare 'my scan.nii.gz' --reference REFERENCE --models thresholds --inference {way} --out results"
    assert facts["command"].endswith(expected)


def test_the_window_follows_the_liver_and_the_modality() -> None:
    volume = make_volume(np.full((2, 4, 4), 110))
    everywhere = np.ones((2, 4, 4), bool)
    assert display_window(volume, ~everywhere)[0] == NAMED_WINDOWS["liver"]
    window, words = display_window(volume, everywhere)
    assert (window.center, window.width) == (110, 150)
    assert "moved to 110 HU" in words
    mr = replace(make_volume(np.arange(32).reshape(2, 4, 4)), modality="MR")
    assert 0 <= display_window(mr, everywhere)[0].low < 1


def test_many_models_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _comparison(tmp_path / "w", monkeypatch)
    result = comparison.results[0]
    names = [f"model{k}" for k in range(17)]
    models = [
        replace(
            result, prediction=replace(result.prediction, checkpoint=replace(result.prediction.checkpoint, model=n))
        )
        for n in names
    ]
    many = Comparison(comparison.case, tuple(models))
    page = report_html(many)
    assert page.count("<image ") == 2, "each slice once, however many models show it"
    assert len(page) < PICTURE_BYTES
    monkeypatch.setattr("livdemo.report.pictures.PICTURE_BYTES", 5_000)
    small = report_html(many)
    assert "Not drawn, to keep this file small: open model16.nii.gz" in small
    assert small.count("<svg class=slice") < page.count("<svg class=slice")
    monkeypatch.setattr("livdemo.report.pictures.RAGGED_EDGES", 10)
    assert "Not drawn" in report_html(comparison)


def test_the_curve_breaks_where_there_is_no_dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = _comparison(tmp_path / "w", monkeypatch).results
    liver, tumour = (profile_of(slices, (2, 1, 1)) for slices in result.slices)
    gapped = replace(liver, dice=np.array([1, np.nan, 0.5, 0.5, np.nan, np.nan]))
    svg = dice_curve((gapped, tumour), [2, 3], "Dice per slice")
    line = re.search(r"class='line liver' d='([^']*)'", svg)[1]
    assert (line.count("M"), line.count("L"), line.count("h0")) == (2, 1, 1)
    assert "class=area" in svg
