"""The place "Results": every figure of the file on the page, nothing ranked, misses and gaps as words."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from livdemo.models import list_models
from livdemo.results import read_results
from livdemo.ui.dots import Scale, scale_of
from livdemo.ui.markup import inline
from livdemo.ui.results import results_html, show_results
from livdemo.ui.results_tables import spread
from tests.train.log_rows import HIGH, LOW, Row, patient, row_of, three_folds
from train.plan import HOUSE
from train.results import tables

ABLATIONS = "ablations, classroom, 128 pixels"


def rows() -> list[Row]:
    """Two models on six patients, one on phantoms, one recipe, one study of three variants of which two have run."""
    found = [*three_folds("sfan", LOW), *three_folds("unet64", HIGH)]
    found[0]["patients"] = [patient("A", 0.9, 0.0, missed=1, lesions_found=0), patient("E", 0.9, 0.25)]
    found += [row_of("clstm4d", "0 of the phantoms", [patient("phantom 1", 0.99, 0.9)], sources=["phantom"])]
    found += three_folds("sfan", LOW, series="recipe, classroom, 128 pixels", plan=HOUSE.described() | {"keep": "best"})
    found += three_folds("dtan", LOW, study="encoder", variant="pretext task, frozen", series=ABLATIONS)
    found += three_folds("dtan", HIGH, study="encoder", variant="pretext task, fine-tuned", series=ABLATIONS)
    return found


@pytest.fixture(scope="module")
def page() -> str:
    return results_html(tables(rows()))


def _words(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


class Balanced(HTMLParser):
    """Raises where an element is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_committed_figures_can_be_shown() -> None:
    parser = Balanced()
    parser.feed(results_html(read_results()))
    assert parser.open == []


def test_the_markup_closes_what_it_opens(page: str) -> None:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []


def test_every_model_stands_in_the_order_of_the_list_and_links_to_its_card(page: str) -> None:
    table = page[page.index("<table") : page.index("</table>")]
    assert re.findall(r"data-card='([^']+)'", table) == [spec.name for spec in list_models()]
    assert table.count("not run yet") == 17 - 3


def test_figures_and_their_intervals_are_those_of_the_file(page: str) -> None:
    sfan = next(m for m in tables(rows())["protocols"][0]["models"] if m["model"] == "sfan")
    tumour = sfan["tumour_dice"]
    said = f"{tumour['mean']:.3f} {tumour['low']:.3f} to {tumour['high']:.3f}, n 6 no voxel right in 1 of 6 volumes"
    assert said in _words(page)
    assert "no number" in page
    assert "71.0" in page
    assert "LiTS test set (70 volumes)" in page


def test_misses_phantoms_and_six_patients_are_said(page: str) -> None:
    words = _words(page)
    assert "Six patients." in words
    assert "rendered phantoms, not patients" in words
    assert "A 0.000 (no voxel right in 1 of 1 volumes)" in page
    assert "spot miss" in page
    assert "chosen on the scored patients: flatters" in words


def test_nothing_is_ranked_without_a_test(page: str) -> None:
    assert "it separates none: <strong>no ranking</strong>" in page
    assert "★" not in page
    assert "data-column" not in page, "no head sorts by score"


def test_a_study_shows_differences_and_what_is_missing(page: str) -> None:
    words = _words(page)
    assert "Does DTAN's frozen encoder know anything? 2 of 3 run" in words.replace("&#x27;", "'")
    assert "+0.325" in words
    assert "+0.000" in words
    assert "shows nothing" in words
    assert "python -m train.reproduce --data DIR --protocol ablations --studies &quot;window&quot;" in page
    assert "python -m train.reproduce --data DIR" in page


def test_every_head_has_its_meaning(page: str) -> None:
    heads = re.findall(r"<th scope='col' class='[a-z]+' title='([^']*)'", page)
    assert heads
    assert all(heads)


def test_names_from_the_file_are_escaped() -> None:
    results = tables(three_folds("sfan", LOW))
    results["protocols"][0]["series"] = "<img src=x onerror=alert(1)>"
    results["protocols"][0]["commands"] = ["<script>alert(1)</script>"]
    shown = results_html(results)
    assert "<img" not in shown
    assert "<script" not in shown


def test_before_the_first_run() -> None:
    words = _words(results_html(tables([])))
    assert "No run has finished yet." in words
    assert words.count("not run yet") >= 17


def test_a_mean_of_few_has_no_interval() -> None:
    assert spread({"mean": None, "low": None, "high": None, "n": 0}) == "n/a"
    assert "too few for an interval" in spread({"mean": 0.5, "low": None, "high": None, "n": 2})


def test_scales_hold_every_patient() -> None:
    def model(value: float) -> dict[str, Any]:
        return {"patients": [{"liver_dice": value}], "liver_dice": {"low": None}}

    assert scale_of([model(0.95)], "liver").low == 0.8
    assert scale_of([model(0.95), model(0.63)], "liver").low == 0.6
    assert scale_of([model(0.02)], "liver").low == 0.0
    scale = Scale(0.6, 0.1)
    assert scale.at(0.8) == 50
    assert scale.at(0.1) == 0
    assert [round(tick, 3) for tick in scale.ticks] == [0.6, 0.7, 0.8, 0.9, 1.0]


def test_marks_of_markdown() -> None:
    assert inline("**no** `x<y`") == "<strong>no</strong> <code>x&lt;y</code>"


def test_the_place_is_made_again_when_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_RESULTS", str(tmp_path))
    shown, stamp = show_results("")
    assert "role='alert'" in shown
    assert "python -m train.results" in shown
    (tmp_path / "results.json").write_text(json.dumps(tables([])))
    shown, stamp = show_results(stamp)
    assert "No run has finished yet" in shown
    assert show_results(stamp) == [gr.skip(), gr.skip()]
    (tmp_path / "results.json").write_text(json.dumps(tables(three_folds("sfan", LOW))))
    assert "0.900" in show_results(stamp)[0]
