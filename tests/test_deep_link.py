"""What an address may ask for: nothing of it is believed before it is found on a list."""

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.ui import app
from livdemo.ui.compare import tick_models
from livdemo.ui.deep_link import NO_LINK, Link, link_value, read_link
from livdemo.ui.session import close_session
from tests.small_model import write_pair

ASKED = ("paper S3", "he")  # the controls of the preprocessing


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("LIVDEMO_CACHE", str(tmp_path / "cache"))
    write_pair(tmp_path / "weights")


def test_everything_that_a_link_can_say() -> None:
    asked = {"case": "phantom", "slice": "31", "window": "liver", "models": "sfan,thresholds", "place": "compare"}
    link = read_link(asked)
    assert link == Link("phantom", 30, NAMED_WINDOWS["liver"], ("thresholds", "sfan"), "compare")
    assert link.problem == ""
    assert read_link({}) == NO_LINK
    assert read_link({"models": ""}).models == ()  # none is a choice too


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("paper S3", NAMED_WINDOWS["paper S3"]),
        ("Liver", NAMED_WINDOWS["liver"]),
        ("333/-60", Window(-60, 333)),
        ("0/99999", Window(3071, 1)),
        ("99999/-99999", Window(-1024, 4096)),
    ],
)
def test_windows_by_name_and_by_numbers(text: str, window: Window) -> None:
    assert read_link({"window": text}).window == window


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("case", "../../etc/passwd"),
        ("case", "phantom:7"),  # not in the list, so the page could not show it as chosen
        ("slice", "0"),
        ("slice", "-1"),
        ("slice", "1e9"),
        ("slice", "٣"),  # a digit, but not one of ours
        ("slice", "9" * 5000),
        ("window", "nan/inf"),
        ("window", "wide"),
        ("models", "unet99"),
        ("place", "nowhere"),
    ],
)
def test_what_is_not_here_is_named_and_nothing_else_happens(name: str, text: str) -> None:
    link = read_link({name: text})
    assert (link.case, link.slice_index, link.window, link.models, link.place) == (None,) * 5
    assert text[:40] in link.problem
    assert len(link.problem) < 150
    assert link.problem.count(".") == 1 + text[:40].count(".")


def test_several_wrong_things_are_one_sentence() -> None:
    link = read_link({"case": "x", "slice": "4", "models": "thresholds,a,b"})
    assert link.problem.startswith("This link asks for the case “x” and the model “a”, which")
    assert link.models == ("thresholds",)
    assert link.slice_index is None  # of a case that is not here


def test_the_page_opens_where_the_link_points() -> None:
    request = SimpleNamespace(query_params={"slice": "999", "window": "100/20", "place": "compare"})
    session, index, viewer, *_ = values = app.open_link(None, *ASKED, request)
    assert index == viewer["slice"] == session.depth - 1
    assert viewer["window"] == {"center": 20.0, "width": 100.0}
    assert session.first_window == Window(20, 100)
    assert values[app.MESSAGE] == ""
    assert values[-2] == "compare"
    close_session(session)


def test_without_a_place_the_visitor_stays_where_they_went() -> None:
    values = app.open_link(None, *ASKED, SimpleNamespace(query_params={}))
    assert values[-2:] == [gr.skip(), gr.skip()]
    close_session(values[0])


def test_a_case_that_cannot_be_read_leaves_the_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "letter.nii").write_text("dear doctor")
    monkeypatch.setenv("LIVDEMO_CASES", str(tmp_path / "cases"))
    request = SimpleNamespace(query_params={"case": "letter", "slice": "3"})
    values = app.open_link(None, *ASKED, request)
    assert values[0].case.name == "phantom"
    assert values[0].first_slice is None
    assert "letter.nii" in values[app.MESSAGE]
    close_session(values[0])


def test_ticks_are_split_into_trained_and_untrained() -> None:
    trained, others = tick_models(("tumourless", "sfan"))
    assert trained.value == ["tumourless"]
    assert others.value == ["sfan"]


def test_only_cases_of_the_list_have_a_link() -> None:
    assert link_value(None, "key")["case"] is None
    assert app.open_case("phantom", None, *ASKED)[-1]["case"] == "phantom"
