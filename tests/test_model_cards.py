"""The place "Models": what every card must say, for all models of the list, and where it takes it from."""

import json
import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from livdemo.checkpoints import read_manifest
from livdemo.models import get_model, list_models
from livdemo.models.drawing import diagram, source_file
from livdemo.ui.model_cards import fed_with, model_card, our_figures, paper_of, recipe_in_words, sizes
from livdemo.ui.models import models_html, show_models
from tests.conftest import REPOSITORY
from tests.test_results_place import Balanced
from tests.train.log_rows import HIGH, LOW, patient, row_of, three_folds
from train.results import tables

SPECS = list_models()


def _names(model: object) -> str:
    return str(getattr(model, "name", model))


@pytest.mark.parametrize("spec", SPECS, ids=_names)
def test_every_card_says_what_the_registry_says(spec) -> None:
    card = model_card(spec, None, None)
    parser = Balanced()
    parser.feed(card)
    assert parser.open == []
    plain = card.replace("&#x27;", "'").replace("&quot;", '"').replace("&amp;", "&")
    for text in (spec.idea, spec.source, *spec.deviations, *spec.equations, *(one.data for one in spec.reported)):
        assert text in plain
    classroom, paper = sizes(spec.name)
    assert f"{classroom:,} in the classroom preset, {paper:,}" in plain
    assert "not trained yet" in plain
    assert f"python -m train {spec.name} --data DIR" in plain
    assert ("our reading" in plain) == spec.our_reading


@pytest.mark.parametrize("spec", SPECS, ids=_names)
def test_every_model_has_a_drawing_in_its_own_file(spec) -> None:
    drawn = diagram(spec)
    source = (REPOSITORY / source_file(spec)).read_text()
    assert "─" in drawn
    assert all(line.strip() in source for line in drawn.splitlines())
    assert not drawn.startswith(" ")


@pytest.mark.parametrize("spec", SPECS, ids=_names)
def test_every_model_comes_from_one_of_the_five_papers(spec) -> None:
    assert paper_of(spec)[0] in {"S0", "S1", "S2", "S3", "S4"}


def test_a_trained_model_says_on_what_and_where_it_is_weak() -> None:
    checkpoint = next(row for row in read_manifest(REPOSITORY / "weights") if row.model == "unet64")
    card = model_card(get_model("unet64"), checkpoint, None)
    assert checkpoint.trained_on in card
    assert checkpoint.weak in card
    assert checkpoint.sha256[:12] in card
    assert "not trained yet" not in card
    measured = replace(checkpoint, validation={"tumour_dice": 0.1234})
    assert "0.123" in model_card(get_model("unet64"), measured, None)


def test_what_each_kind_of_network_is_fed_with() -> None:
    assert fed_with(get_model("sfan"), None).startswith("one slice at a time: window 250/50 HU")
    assert fed_with(get_model("dalunet"), None).startswith("5 neighbouring slices at a time")
    assert fed_with(get_model("dpcnet"), None).startswith("blocks of 8 slices:")
    assert "4 contrast phases (native, arterial, portal, delayed)" in fed_with(get_model("clstm4d"), None)
    assert fed_with(get_model("unet_valid"), None).endswith("94 mirrored pixels on each side")


def test_what_a_paper_does_not_say() -> None:
    words = recipe_in_words(get_model("sfan").recipe)
    assert "loss weighted cross-entropy" in words
    assert "rate 0.0001, epochs not stated, batch not stated" in words


def test_our_figures_are_those_of_the_results() -> None:
    seen = {"case": "chaos", "label": "liver", "state": "ok", "dice": 0.95, "volume_ml": 1500.0, "seconds": 2.0}
    rows = three_folds("sfan", LOW)
    rows.append(row_of("sfan", "all", [], unseen=[seen | {"slices": 40}]))
    rows += [row_of("clstm4d", "0 of the phantoms", [patient("phantom 1", 0.99, 0.9)], sources=["phantom"])]
    rows += three_folds("unet64", HIGH)
    results = tables(rows)
    liver, tumour, unseen, time = our_figures("sfan", results)
    assert "0.900" in liver.cells[0]
    assert "no voxel right in 0 of 6 volumes" in tumour.cells[0]
    assert "0.950" in unseen.cells[0]
    assert "chaos, trained on all (fair, classroom, 128 pixels)" in unseen.cells[2]
    assert time.cells[1:] == ["seconds", "cpu, 2 threads"]
    assert "rendered phantoms" in our_figures("clstm4d", results)[0].cells[2]
    assert our_figures("dtan", results) == []


def test_the_list_has_every_model_once_and_a_button_for_every_paper() -> None:
    page = models_html()
    assert re.findall(r"id='model-([^']+)'", page) == [spec.name for spec in SPECS]
    assert re.findall(r"<button type='button' data-paper='([^']*)'", page) == ["", "S0", "S1", "S2", "S3", "S4"]


def test_without_our_figures_the_cards_stand_and_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_RESULTS", str(tmp_path))
    page = models_html()
    assert "is missing; make it with" in page
    assert page.count("<details class='model'") == 17


def test_cards_are_sent_once_and_again_when_the_weights_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path))
    shown, stamp = show_models("")
    assert "class='state trained'" not in shown
    assert show_models(stamp) == [gr.skip(), gr.skip()]
    (tmp_path / "manifest.json").write_text((REPOSITORY / "weights" / "manifest.json").read_text())
    assert "class='state trained'" in show_models(stamp)[0]
    (tmp_path / "manifest.json").write_text(json.dumps({"checkpoints": [3]}))
    damaged, stamp = show_models(stamp)
    assert "role='alert'" in damaged
    assert stamp == ""
