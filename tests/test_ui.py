"""The page's handlers as plain functions: what they return, what they refuse, and that visitors do not meet."""

import html
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import nibabel
import numpy as np
import pytest

from livdemo.comparison import Result, compare
from livdemo.intensity import Preprocessing, Window
from livdemo.metrics import DEFINITIONS
from livdemo.ui import app
from livdemo.ui.scores import NO_RESULT, cards_html, slice_curve, table_html
from livdemo.ui.session import Session, close_session, open_session
from livdemo.ui.steps import steps_html
from tests.made_up import block_case
from tests.small_model import write_thresholds

ASKED = ("paper S3", "he")  # the controls of the preprocessing
LISTED = -2  # where the list of cases stands among what depends on the case; the last is the link


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    write_thresholds(tmp_path / "weights")
    return tmp_path / "weights"


@pytest.fixture
def session() -> Iterator[Session]:
    opened = open_session(block_case(), None)
    yield opened
    close_session(opened)


def _scored(session: Session) -> Session:
    from livdemo.checkpoints import read_manifest

    *_, result = compare(session.case, read_manifest(), "cpu")
    assert isinstance(result, Result)
    return session.with_result(result)


def test_the_page_can_be_built(weights: Path) -> None:
    assert app.build_app().title == "livdemo"
    assert app.launch_options()["run_history"] is False


def test_two_visitors_have_two_folders() -> None:
    case = block_case()
    one, other = open_session(case, None), open_session(case, None)
    assert one.folder != other.folder
    close_session(one)
    assert not one.folder.exists()
    assert other.folder.exists()
    close_session(other)


def test_another_case_leaves_the_last_ones_folder_to_the_run_that_is_being_cancelled(
    weights: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that the old case's run has begun is written in peace; one case later its folder is gone."""
    monkeypatch.setattr(app, "SECONDS_BETWEEN_PICTURES", 0)
    run = app.run_model(session, 2, "thresholds")
    next(run)
    second = open_session(block_case(), session)
    pictures = [update[1] for update in run]
    assert any(isinstance(picture, dict) for picture in pictures)
    third = open_session(block_case(), second)
    assert not session.folder.exists()
    assert second.folder.exists()
    close_session(third)
    assert not second.folder.exists()
    assert not third.folder.exists()


def test_a_run_shows_progress_and_ends_in_scores(weights: Path, session: Session) -> None:
    updates = list(app.run_model(session, 2, "thresholds"))
    assert "Loading the model" in updates[0][2]
    last = updates[-1]
    assert last[0].result.metrics[1].dice == 1
    assert "Done: 6 slices" in last[2]
    assert "1.000" in last[6]
    assert {"metrics.csv", "thresholds.nii.gz"} <= {file["orig_name"] for file in last[9].value}


def test_a_cancelled_run_scores_nothing(weights: Path, session: Session) -> None:
    running = app.run_model(session, 0, "thresholds")
    next(running)
    next(running)
    running.close()
    assert session.result is None
    status, run, cancel = app.cancelled()
    assert "not scored" in status
    assert run.interactive
    assert not cancel.interactive


@pytest.mark.parametrize("model", ["unet99", "../../etc/passwd", None, 3])
def test_a_model_that_is_not_in_the_manifest(weights: Path, session: Session, model: object) -> None:
    last = list(app.run_model(session, 0, model))[-1]
    assert "role='alert'" in last[5]


def test_run_without_a_case(weights: Path) -> None:
    assert "Open a case first" in next(app.run_model(None, 0, "thresholds"))[5]


def test_an_unknown_case_leaves_the_open_one(session: Session) -> None:
    refused = app.open_case("no such case", session, *ASKED)
    assert refused[0] == gr.skip()
    assert "role='alert'" in refused[4]
    assert session.folder.exists()


def test_a_bad_upload_leaves_the_open_case(session: Session, tmp_path: Path) -> None:
    (tmp_path / "note.nii").write_text("dear diary")
    refused = app.open_upload([str(tmp_path / "note.nii")], None, False, session, *ASKED)
    assert refused[0] == gr.skip()
    assert "note.nii" in refused[4]
    assert "No CT was chosen" in app.open_upload(None, None, False, session, *ASKED)[4]


def test_an_upload_with_its_reference(tmp_path: Path) -> None:
    case = block_case()
    grid = case.volume.grid
    for name, array in (("ct", case.volume.hu), ("seg", case.reference)):
        nibabel.Nifti1Image(grid.from_display(array), grid.affine).to_filename(tmp_path / f"{name}.nii.gz")
    opened = app.open_upload([str(tmp_path / "ct.nii.gz")], str(tmp_path / "seg.nii.gz"), False, None, *ASKED)
    session = opened[0]
    assert np.array_equal(session.case.reference, case.reference)
    assert "32 × 32 × 6 voxels" in opened[3]
    assert opened[LISTED].value == app.UPLOADED
    assert ("Your upload: ct", app.UPLOADED) in opened[LISTED].choices
    close_session(session)


def test_ones_own_case_can_be_chosen_from_the_list_again(tmp_path: Path) -> None:
    volume = block_case().volume
    path = tmp_path / "ct.nii.gz"
    nibabel.Nifti1Image(volume.grid.from_display(volume.hu), volume.grid.affine).to_filename(path)
    chosen = app.open_case(app.UPLOADED, None, *ASKED, [str(path)])
    assert "32 × 32 × 6 voxels" in chosen[3]
    close_session(chosen[0])


def test_a_case_that_is_refused_leaves_the_list_at_what_is_open() -> None:
    opened = app.open_case("phantom", None, *ASKED)[0]
    for name, why in ((app.UPLOADED, "No CT was chosen"), ("no such case", "There is no case")):
        refused = app.open_case(name, opened, *ASKED)
        assert why in refused[4]
        assert refused[LISTED] == "phantom"
    close_session(opened)


def test_names_of_files_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "<img src=x>.nii"
    path.write_text("no image")
    message = app.open_upload([str(path)], None, False, None, *ASKED)[4]
    assert "<img" not in message


@pytest.mark.parametrize("sent", [{"k": 10**9}, {"k": -5}, {"k": 2.7}])
def test_slice_events_are_clamped(session: Session, sent: dict[str, float]) -> None:
    event = SimpleNamespace(_data=sent, k=sent["k"])
    index, steps, cards = app.show_slice(event, session, "paper S3", "he")
    assert 0 <= index < 6
    assert steps.count("<figure") == 4
    assert cards == NO_RESULT


@pytest.mark.parametrize("sent", [{}, {"k": "x"}, {"k": None}, {"k": float("nan")}])
def test_slice_events_that_are_no_number_change_nothing(session: Session, sent: dict[str, object]) -> None:
    event = SimpleNamespace(_data=sent)
    assert len(app.show_slice(event, session, "paper S3", "he")) == 3


def test_steps_show_what_the_network_gets(session: Session) -> None:
    shown = steps_html(session.case.volume.hu[2], Preprocessing(Window(50, 250), "none", size=64), (1.0, 1.0))
    assert shown.count("<figure") == 3
    assert shown.count("<svg") == 3
    assert app.show_steps(session, 2, "no window", "he") == ""
    assert app.show_steps(session, 2, "liver", "sharpen") == ""


def test_cards_say_which_slice_and_which_state(weights: Path, session: Session) -> None:
    scored = _scored(session)
    shown = cards_html(scored, 0)
    assert "slice 1: Dice n/a, empty here" in shown
    assert "Dice 1.000" in cards_html(scored, 2)
    assert "It only looks at the grey." in shown
    for metrics, _ in scored.label_scores():
        assert f"{metrics.dice:.3f}" in shown


def test_every_figure_of_the_table_has_its_definition(weights: Path, session: Session) -> None:
    table = table_html(_scored(session))
    assert DEFINITIONS["hd95_mm"].sentence in table
    assert table.count("<small>") == table.count("<tr>") - 1
    assert table_html(session) == ""


def test_the_curve_has_gaps_where_nothing_is(weights: Path, session: Session) -> None:
    figure = slice_curve(_scored(session))
    assert list(figure.data[0].y) == [None, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert list(figure.data[0].x) == [1, 2, 3, 4, 5, 6]


def test_ways_of_inference(weights: Path, session: Session) -> None:
    scaled = list(app.run_model(session, 0, "thresholds", "multiscale"))[-1]
    assert "averaged over the scales" in scaled[0].result.prediction.rule
    refused = list(app.run_model(session, 0, "thresholds", "cascade"))[-1][5]
    assert "no trained weights for 'unet_liver'" in html.unescape(refused)
    assert "role='alert'" in list(app.run_model(session, 0, "thresholds", "sideways"))[-1][5]
