"""The wall's pure parts and its handlers: what stands on it, what is worked out again, what a visitor may ask."""

import base64
import html
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
import pytest

from livdemo.bench import sweep
from livdemo.cases import Case
from livdemo.checkpoints import load_model
from livdemo.comparison import Result, compare
from livdemo.errors import InputError
from livdemo.metrics import score_case
from livdemo.models import get_model
from livdemo.models.untrained import untrained
from livdemo.pieces import SPECK_ML
from livdemo.predictor import Predictor
from livdemo.run_cache import runs_folder
from livdemo.ui import built_in, choices
from livdemo.ui import compare as place
from livdemo.ui.bench import feed_slice, sweep_figure, sweep_slice
from livdemo.ui.choices import Choice, explains_of, known_names, model_choices, ready_to_run
from livdemo.ui.curves import COLOURS, curve_figure, draw_curves, drawn_curves, line_look
from livdemo.ui.look import choices_to_look, look, maps_html
from livdemo.ui.session import Session, close_session, open_session
from livdemo.ui.solid import draw_solid, open_solid, solid_figure, what_is_missing
from livdemo.ui.speed import speed_figure
from livdemo.ui.strip import strip_value
from livdemo.ui.tables import (
    NO_LESIONS_YET,
    NO_TISSUES_YET,
    NOTHING_DRAWN,
    NOTHING_YET,
    lesion_table,
    score_table,
    tissue_tables,
)
from livdemo.ui.viewer import viewer_value
from livdemo.ui.wall import EXTRAS, OWN_RULES, Adjustment, Entry, LevelMap, Standing, arrange, panes_of, witnesses_of
from tests.made_up import block_case
from tests.small_model import write_pair

BOTH = ["thresholds", "tumourless"]
SLIDERS = (0.5, 0.5, "own", True, False, 0.0)
CONTROLS = (BOTH, [], ["majority"], *SLIDERS, False)  # models, untrained, together, rule, plot is open


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("LIVDEMO_CACHE", str(tmp_path / "cache"))
    write_pair(tmp_path / "weights")
    return tmp_path / "weights"


@pytest.fixture
def session() -> Iterator[Session]:
    opened = open_session(block_case(), None)
    yield opened
    close_session(opened)


def results_of(case: Case) -> dict[str, Result]:
    checkpoints = [ready_to_run(name)[0] for name in BOTH]
    found = [event for event in compare(case, checkpoints, "cpu", quantised=True) if isinstance(event, Result)]
    return dict(zip(BOTH, found, strict=True))


@pytest.fixture
def results() -> dict[str, Result]:
    return results_of(block_case())


def test_models_stand_with_their_scores(results: dict[str, Result]) -> None:
    case = block_case()
    standing = arrange(case, results, BOTH, [])
    sees, blind = standing.entries
    assert (sees.title, blind.title) == ("Thresholds", "Tumourless")
    expected = tuple(score_case(sees.label_map, case.reference, case.volume.spacing_mm))
    assert repr(sees.scores.metrics) == repr(expected)  # NaN is not equal to itself
    assert blind.scores.metrics[1].state == "prediction empty"
    assert "sha256" in sees.provenance
    assert "on CPU" in sees.provenance
    assert sees.note == ""
    assert list(arrange(case, results, ["tumourless", "sfan"], []).models) == [
        "tumourless"
    ]  # what has no result does not stand


def test_only_what_is_new_is_worked_out(results: dict[str, Result]) -> None:
    case = block_case()
    one = arrange(case, results, BOTH[:1], ["majority"])
    assert not one.extras  # a consensus of one is none
    two = arrange(case, results, BOTH, ["majority"], before=one)
    assert two.models["thresholds"] is one.models["thresholds"]
    again = arrange(case, results, BOTH, ["majority", "unsure"], before=two)
    assert again.extras["majority"] is two.extras["majority"]
    fewer = arrange(case, results, BOTH[1:], ["unsure"], before=again)
    assert fewer.extras["unsure"] is not again.extras["unsure"]


def test_another_rule_is_scored_and_says_so(results: dict[str, Result]) -> None:
    case = block_case()
    before = arrange(case, results, BOTH, [])
    strict = arrange(case, results, BOTH, [], Adjustment(smallest_lesion_ml=1.0), before)
    sees = strict.models["thresholds"]
    assert not (sees.label_map == 2).any()  # the tumour of 2×4×4 voxels of 2 mm³ is 0.064 mL
    assert sees.note == "re-scored"
    assert "below 1 mL dropped" in sees.provenance
    assert sees.scores.metrics[1].dice == 0
    back = arrange(case, results, BOTH, [], OWN_RULES, strict)
    assert np.array_equal(back.models["thresholds"].label_map, before.models["thresholds"].label_map)
    assert back.models["thresholds"].note == ""


def test_the_papers_own_component_is_kept_unless_asked(results: dict[str, Result]) -> None:
    """thresholds keeps the largest piece by its row, blind does not: each its own, or both alike."""
    case = block_case()
    stray = {None: (0, 16), True: (0, 0), False: (16, 16)}  # liver voxels of slice 5, where only the stray block is
    for asked, expected in stray.items():
        standing = arrange(case, results, BOTH, [], Adjustment(largest_component=asked))
        assert tuple(int((entry.label_map[5] > 0).sum()) for entry in standing.entries) == expected


def test_everything_that_models_say_together(results: dict[str, Result]) -> None:
    case = block_case()
    standing = arrange(case, results, BOTH, list(EXTRAS))
    assert list(standing.extras) == list(EXTRAS)
    votes = standing.extras["agree tumour"]
    assert isinstance(votes, LevelMap)
    assert np.array_equal(votes.label_map, (case.reference == 2).astype(np.uint8))
    assert [level.name for level in votes.levels] == ["0 of 2", "1 of 2", "2 of 2"]
    bits = standing.extras["disagreement"]
    assert bits.levels[int(bits.label_map[2, 13, 13])].name == "1.0 bits"  # one says tumour, one liver
    assert bits.label_map[2, 9, 9] == 0
    kinds = [entry.kind for entry in standing.entries]
    assert kinds == ["model", "model", "consensus", "consensus"]
    panes = panes_of(
        case, {"thresholds": "Thresholds", "tumourless": "Tumourless", "sfan": "SFAN"}, standing, {"sfan": "why"}
    )
    assert [pane.id for pane in panes] == ["reference", "thresholds", "tumourless", "sfan", *EXTRAS]
    assert panes[3].empty_text == "why"
    assert panes[3].label_map is None
    assert panes[1].dice[1].volume == 1


def test_the_viewer_takes_it_as_json(results: dict[str, Result], tmp_path: Path) -> None:
    case = block_case()
    standing = arrange(case, results, BOTH, list(EXTRAS))
    panes = panes_of(case, dict(zip(BOTH, BOTH, strict=True)), standing, {})
    value = json.loads(json.dumps(viewer_value(case.volume, panes, tmp_path, linked=True), allow_nan=False))
    dice = {one["label"]: one for one in value["panes"][1]["dice"]}
    assert dice["tumour"]["slices"] == [None, None, 1.0, 1.0, None, None]
    assert value["linked"] is True


def test_the_strip_has_every_line(results: dict[str, Result]) -> None:
    case = block_case()
    entries = arrange(case, results, BOTH, ["majority"]).entries
    strip = json.loads(json.dumps(strip_value(case, entries, "key"), allow_nan=False))
    assert [row["id"] for row in strip["rows"]] == [*BOTH, "majority"]
    assert strip["label"] == "tumour"
    assert strip["reference"]["tumour"] == [0, 0, 16, 16, 0, 0]
    blind = strip["rows"][1]["profiles"]
    assert blind["tumour"]["worst"] == 2
    assert blind["liver"]["alarm"] == [0, 0, 0, 0, 0, 16]  # the stray block, which no paper's rule removed here
    assert blind["liver"]["errors"] == [5]
    assert "Pooled Dice" in blind["liver"]["gap"]
    assert [lesion["slice"] for lesion in strip["lesions"]] == [2]
    unscored = strip_value(replace(case, reference=None), [], "key")
    assert unscored["has_reference"] is False
    assert unscored["rows"] == []


def test_the_table_marks_the_best_and_proves_nothing(results: dict[str, Result]) -> None:
    case = block_case()
    entries = arrange(case, results, BOTH, ["majority"]).entries
    table = score_table(case, entries)
    row = table.split("data-entry='thresholds'")[1].split("</tr>")[0]
    assert "★" in row.split("Dice tumour")[1].split("</td>")[0]
    assert "one case proves nothing" in table
    assert "miss" in table.split("data-entry='tumourless'")[1].split("</tr>")[0]
    assert "<small>consensus</small>" in table
    assert "★</span> 1.000" not in score_table(case, entries[:1])  # nothing to be better than
    assert score_table(case, []) == NOTHING_YET
    assert lesion_table(case, [], "key") == NO_LESIONS_YET
    assert tissue_tables(case, []) == NO_TISSUES_YET


def test_a_tumour_where_the_reference_has_none_is_a_false_alarm() -> None:
    case = block_case()
    assert case.reference is not None
    healthy = replace(case, reference=np.minimum(case.reference, 1))
    table = score_table(healthy, arrange(healthy, results_of(healthy), BOTH, ["majority"]).entries)
    assert "<small class='why'>false alarm</small>" in table
    assert ">miss<" not in table


def test_without_a_reference_there_are_volumes_only() -> None:
    case = replace(block_case(), reference=None)
    entries = arrange(case, results_of(case), BOTH, ["majority"]).entries
    table = score_table(case, entries)
    assert "Dice" not in table
    assert "Volume mL" in table
    assert lesion_table(case, entries, "key") == tissue_tables(case, entries) == NOTHING_DRAWN
    assert not speed_figure(entries).data[0].x


def test_the_ledger_jumps_and_says_missed(results: dict[str, Result]) -> None:
    case = block_case()
    entries = arrange(case, results, BOTH, []).entries
    ledger = lesion_table(case, entries, "the-volume")
    assert "data-key='the-volume'" in ledger
    assert "data-slice='2'" in ledger
    assert "missed" in ledger
    assert "No false alarms" in ledger


def test_a_distance_shows_where_it_is_measured(results: dict[str, Result], tmp_path: Path) -> None:
    """The stray block of slice 5 is the lonely one; a perfect tumour and a missed one have nothing to show."""
    case = block_case()
    standing = arrange(case, results, BOTH, [])
    sees, blind = standing.entries
    (witness,) = witnesses_of(blind, True)
    (z, y, x), (_, near_y, near_x) = witness.ends
    assert (witness.label, witness.whose, z, y, x) == ("liver", "prediction", 5, 31, 31)
    assert case.reference[witness.ends[1]] == 1
    assert (near_y, near_x) == (23, 23)
    assert list(witnesses_of(sees, True)) == []
    row = score_table(case, standing.entries, "key").split("data-entry='tumourless'")[1].split("</tr>")[0]
    assert "data-slice='5' data-x='31' data-y='31' data-witness='liver'" in row
    assert witness.words.removesuffix(" mm") in row.split("<button")[1].split("</button>")[0]
    assert "<button" not in row.split("HD mm tumour")[1].split("</td>")[0]
    panes = panes_of(case, {"tumourless": "Tumourless"}, standing, {})
    sent = json.loads(json.dumps(viewer_value(case.volume, panes, tmp_path)))["panes"][1]["witnesses"]
    assert sent == [
        {"label": "liver", "ends": [list(end) for end in witness.ends], "whose": "prediction", "words": witness.words}
    ]
    unknown = block_case(known=False)
    assert next(witnesses_of(arrange(unknown, results_of(unknown), BOTH[1:], []).entries[0], False)).words[-7:] == (
        " voxels"
    )


def test_tissues_add_up(results: dict[str, Result]) -> None:
    case = block_case()
    blind = tissue_tables(case, arrange(case, results, ["tumourless"], []).entries)
    assert "title='32 voxels'>100.0" in blind  # all of the tumour is called liver


def test_without_spacing_nothing_is_in_mm() -> None:
    case = block_case(known=False)
    entries = arrange(case, results_of(case), BOTH, []).entries
    assert "HD95 voxels" in score_table(case, entries)
    assert strip_value(case, entries, "key")["unit"] == "pixels"


@pytest.mark.parametrize(
    "sent", [("x", *SLIDERS[1:]), (0.5, float("nan"), *SLIDERS[2:]), (0.5, 0.5, "all", True, False, 0.0)]
)
def test_sliders_that_are_none(sent: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="reload the page"):
        place.read_adjustment(*sent)


def test_sliders_are_clamped() -> None:
    asked = place.read_adjustment(7, -1, "off", True, False, 99)
    assert (asked.liver_threshold, asked.tumour_threshold, asked.smallest_lesion_ml) == (0.95, 0.05, 5.0)
    assert asked.largest_component is False


def test_where_the_slider_starts_each_model_has_its_own() -> None:
    """So a model that drops nothing by itself is not re-scored by a page that was only opened."""
    first = place._first_sliders()
    assert first[-1] == SPECK_ML
    asked = place.read_adjustment(*first)
    assert asked == OWN_RULES
    here = untrained(get_model("sfan"))[0]
    ships = replace(here, speck_ml=SPECK_ML)
    rules = [asked.rule_for(one, True).smallest_lesion_ml for one in (here, ships)]
    assert rules == [0, SPECK_ML]
    moved = place.read_adjustment(*first[:-1], 0.5)
    assert [moved.rule_for(one, True).smallest_lesion_ml for one in (here, ships)] == [0.5, 0.5]
    assert [moved.rule_for(one, False).smallest_lesion_ml for one in (here, ships)] == [0, 0], "no mL without a spacing"


def test_names_that_are_on_no_list() -> None:
    assert known_names(["tumourless", "../../etc/passwd", 3, None]) == ["tumourless"]
    assert known_names("tumourless") == []
    assert [choice.trained for choice in model_choices()][:3] == [True, True, False]
    assert "untrained" in model_choices()[2].label
    with pytest.raises(InputError, match="choose one of thresholds"):
        ready_to_run("../../etc/passwd")


def test_the_folded_choices_say_how_many() -> None:
    assert place.choice_words(BOTH, [], ["majority"]) == "Models: 2 of 2 · together: 1 of 6"
    assert place.choice_words([], ["sfan"], None) == "Models: 0 of 2, 1 untrained · together: 0 of 6"


# ---------------------------------------------------------------------------------------------- handlers


def run_all(session: Session, *controls: Any) -> list[list[Any]]:
    return list(place.run_wall(session, None, *(controls or CONTROLS)))


def sessions(updates: list[list[Any]]) -> list[Session]:
    return [update[0] for update in updates if isinstance(update[0], Session)]


def test_results_appear_model_by_model(session: Session) -> None:
    updates = run_all(session)
    assert [list(one.results) for one in sessions(updates)] == [BOTH[:1], BOTH]
    last = updates[-1]
    assert "Done: 2 models, 6 slices each" in last[8]
    assert last[9].interactive
    assert not last[10].interactive
    standing = next(update[1] for update in reversed(updates) if isinstance(update[1], Standing))
    assert list(standing.extras) == ["majority"]
    assert session.results == {}  # nobody's session is written to


def test_what_has_run_does_not_run_again(session: Session, results: dict[str, Result]) -> None:
    updates = run_all(session.with_results(results))
    assert len(updates) == 1
    assert "Every chosen model has run" in updates[0][8]
    assert "Choose a model" in run_all(session, [], [], [], *SLIDERS, False)[0][8]


def test_a_cancel_keeps_the_models_that_were_done(session: Session) -> None:
    running = place.run_wall(session, None, *CONTROLS)
    done = next(update[0] for update in running if isinstance(update[0], Session))
    running.close()
    assert list(done.results) == BOTH[:1]
    status, run, cancel = place.cancelled()
    assert "Models that were done stay" in status
    assert run.interactive
    assert not cancel.interactive


def test_a_model_that_cannot_run_does_not_stop_the_others(session: Session, weights: Path) -> None:
    (weights / "thresholds.ts").write_bytes(b"changed")
    load_model.cache_clear()
    updates = run_all(session)
    assert list(sessions(updates)[-1].results) == ["tumourless"]
    assert "thresholds.ts is not the file" in updates[-1][11]
    panes = {pane["id"]: pane for pane in updates[-2][2]["panes"]}
    assert "thresholds.ts is not the file" in panes["thresholds"]["empty_text"]


def test_the_wall_without_a_case() -> None:
    assert "Open a case first" in next(place.run_wall(None, None, *CONTROLS))[11]
    assert place.enter_wall("compare", None, None, *CONTROLS) == [gr.skip()] * 8
    assert place.show_wall(None, None, *CONTROLS) == [gr.skip()] * 7
    assert "Run a model first" in place.write_files(None, None)[1]


def test_the_next_visitor_finds_a_built_in_case_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_in, "load_case", lambda name: replace(block_case(), name=name))
    built_in._built_in.cache_clear()
    first = open_session(built_in.open_case("phantom"), None, built_in=True)
    assert place.enter_wall("compare", first, None, *CONTROLS)[0] == gr.skip()
    run_all(first)
    second = open_session(built_in.open_case("phantom"), None, built_in=True)
    assert place.enter_wall("learn", second, None, *CONTROLS) == [gr.skip()] * 8
    entered = place.enter_wall("compare", second, None, *CONTROLS)
    assert list(entered[0].results) == BOTH
    assert second.case is first.case
    with pytest.raises(ValueError, match="read-only"):
        second.case.volume.hu[0, 0, 0] = 1
    for one in (first, second):
        close_session(one)
    built_in._built_in.cache_clear()
    built_in._kept_result.cache_clear()


def test_an_upload_is_never_kept_for_others(session: Session) -> None:
    run_all(session)
    assert not runs_folder().exists()


def test_files_to_take_home_are_of_the_shown_rule(session: Session, results: dict[str, Result]) -> None:
    dropped = (BOTH, [], [], 0.5, 0.5, "own", True, False, 1.0, False)
    standing = place.show_wall(session.with_results(results), None, *dropped)[0]
    files, message = place.write_files(session.with_results(results), standing)
    assert message == ""
    names = {Path(file["path"]).name if isinstance(file, dict) else Path(file).name for file in files.value}
    assert {"thresholds.nii.gz", "tumourless.nii.gz", "metrics.csv", "report.html"} <= names
    told = json.loads((session.folder / "wall" / "comparison.json").read_text())
    assert "below 1 mL dropped" in told["provenance"]["models"][0]["rule"]


def test_a_run_of_the_steps_stands_on_the_wall_too(session: Session) -> None:
    from livdemo.ui import app

    ran = list(app.run_model(session, 0, "thresholds"))[-1][0]
    assert list(ran.results) == ["thresholds"]
    scaled = list(app.run_model(session, 0, "thresholds", "multiscale"))[-1][0]
    assert scaled.results == {}  # asked in another way, it is another answer


def test_speed_has_a_point_per_model_and_label(results: dict[str, Result]) -> None:
    case = block_case()
    entries: list[Entry] = arrange(case, results, BOTH, ["majority"]).entries
    liver, tumour = speed_figure(entries).data
    assert list(liver.text) == ["Thresholds", "Tumourless"]
    assert list(tumour.y) == [1.0, 0.0]


# ---------------------------------------------------------------------------------------------- curves


def test_a_curve_per_model_and_the_mask_beside_it(session: Session, results: dict[str, Result]) -> None:
    opened = session.with_results(results)
    standing = arrange(session.case, results, BOTH, [])
    plot, table = draw_curves(opened, standing, "tumour")
    drawn = drawn_curves(session.case, standing.entries, "tumour")
    curve, mark, *_ = curve_figure(drawn, "tumour").data
    assert (mark.x, mark.y) == ((1,), (1,))  # all of the tumour is found, and nothing else
    assert curve.text[0] == "threshold 0.05"
    assert curve.name == "Thresholds, area 1.000"
    assert plot.visible
    assert "chance here" in table
    row = table.split("Tumourless</th>")[1].split("</tr>")[0]
    assert "data-title='Recall'>0.000" in row
    strict = arrange(session.case, results, BOTH, [], Adjustment(smallest_lesion_ml=1.0))
    moved = drawn_curves(session.case, strict.entries, "tumour")[0]
    assert (moved.curve.area, moved.metrics.sensitivity) == (1, 0)  # another rule moves the mask, not the curve


def test_curves_can_be_seen_and_told_apart_on_light_and_dark() -> None:
    """3:1 for graphics (WCAG 1.4.11) on gradio's white and on its darkest and lightest dark; eighteen differ."""
    for colour in COLOURS:
        assert min(_contrast(colour, ground) for ground in ("#ffffff", "#09090b", "#27272a")) >= 3
    assert len({line_look(number) for number in range(18)}) == 18


def _contrast(one: str, other: str) -> float:
    """WCAG's ratio of relative luminances."""
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_curves_that_cannot_be_drawn_say_why(session: Session, results: dict[str, Result]) -> None:
    standing = arrange(session.case, results, BOTH, [])
    opened = session.with_results(results)
    assert draw_curves(opened, standing, "spleen") == [gr.skip(), gr.skip()]
    assert "once one has run" in draw_curves(opened, None, "liver")[1]
    assert "once one has run" in draw_curves(session, standing, "liver")[1]  # of the case before
    unscored = replace(opened, case=replace(session.case, reference=None))
    assert "no reference" in draw_curves(unscored, standing, "liver")[1]
    healthy = replace(opened, case=replace(session.case, reference=np.minimum(session.case.reference, 1)))
    plot, said = draw_curves(healthy, standing, "tumour")
    assert "has no tumour" in said
    assert not plot.visible


# ---------------------------------------------------------------------------------------------- 3D


def test_surfaces_of_model_and_reference(results: dict[str, Result]) -> None:
    case = block_case()
    sees, unseeing = arrange(case, results, BOTH, []).entries
    names = {trace.name for trace in solid_figure(case, sees, "both").data}
    assert names == {"liver, Thresholds", "tumours, Thresholds", "liver, reference", "tumours, reference"}
    assert "tumours, Tumourless" not in {trace.name for trace in solid_figure(case, unseeing, "both").data}
    coloured = solid_figure(case, sees, "tumour").data[-1]
    assert np.abs(coloured.intensity).max() < 0.1  # the same surface
    assert len(coloured.i) <= 12_000
    alone = solid_figure(replace(case, reference=None), sees, "liver")
    assert {trace.name for trace in alone.data} == {"liver, Thresholds", "tumours, Thresholds"}


def test_distance_is_in_mm_and_right_is_on_the_left(results: dict[str, Result]) -> None:
    """The reference moved two voxels of 1 mm towards the patient's left: the model's liver is 2 mm off there."""
    case = block_case()
    entry = arrange(case, results, BOTH[:1], []).entries[0]
    moved = replace(case, reference=np.roll(case.reference, 2, axis=2))
    coloured = solid_figure(moved, entry, "liver").data[-1]
    assert coloured.intensity[np.argmin(coloured.x)] == pytest.approx(2, abs=0.4)
    right, left = solid_figure(case, entry, "both").layout.scene.annotations
    assert (right.text, left.text) == ("R", "L")
    assert right.x < left.x


def test_what_cannot_be_drawn_is_not_shown(session: Session, results: dict[str, Result]) -> None:
    standing = arrange(session.case, results, BOTH, [])
    for unknown in ((session, standing, "sfan", "both"), (session, standing, "thresholds", "upside down"), [None] * 4):
        plot, said = draw_solid(*unknown)
        assert plot.visible is False
        assert "once one has run" in said
    model, plot, said = open_solid(session, standing, "gone", "both")
    assert model.value == "thresholds"
    assert plot.visible
    assert said == ""


def test_surfaces_without_distances_say_why(session: Session, results: dict[str, Result]) -> None:
    case, (sees, unseeing) = session.case, arrange(session.case, results, BOTH, []).entries
    assert what_is_missing(case, sees, "tumour") == ""
    assert "The model found no tumour" in what_is_missing(case, unseeing, "tumour")
    healthy = replace(case, reference=np.minimum(case.reference, 1))
    assert "The reference has no tumour" in what_is_missing(healthy, sees, "tumour")
    assert what_is_missing(healthy, sees, "liver") == ""
    unscored = replace(case, reference=None)
    assert "no reference" in what_is_missing(unscored, sees, "liver")
    assert what_is_missing(unscored, sees, "both") == ""


# ---------------------------------------------------------------------------------------------- bench


def test_the_bench_feeds_every_chosen_model(session: Session) -> None:
    updates = list(feed_slice(2, session, BOTH, [], 100, 0, "none"))
    assert len(updates) == 3
    shown, said = updates[-1]
    assert shown.count("<figure>") == 4
    assert shown.count("not as trained: window 100/0") == 2
    assert "tumour 0.12 (−0.88)" in shown
    assert "Slice 3, by itself" in said


@pytest.mark.parametrize(
    "sent",
    [
        (float("nan"), BOTH, 100, 0, "none"),
        (0, [], 100, 0, "none"),
        (0, BOTH, "x", 0, "none"),
        (0, BOTH, 100, 0, "sharpen"),
    ],
)
def test_the_bench_refuses(session: Session, sent: tuple[Any, ...]) -> None:
    k, models, *rest = sent
    ((shown, said),) = feed_slice(k, session, models, [], *rest)
    assert shown == ""
    assert "role='alert'" in said
    assert "Open a case first" in next(feed_slice(0, None, BOTH, [], 100, 0, "none"))[1]


def test_a_sweep_is_a_field_per_model(session: Session) -> None:
    updates = list(sweep_slice(10**6, session, BOTH, [], "liver"))
    figures = [update[0].value for update in updates if isinstance(update[0], gr.Plot)]
    assert len(figures) == 2
    assert "slice 6" in updates[-1][1]
    assert "window 50 of 50" in updates[-3][1]
    unscored = replace(session, case=replace(session.case, reference=None))
    assert "no reference" in next(sweep_slice(0, unscored, BOTH, [], "liver"))[1]


def test_the_field_holds_the_dice_of_its_windows(session: Session) -> None:
    checkpoint = ready_to_run("thresholds")[0]
    fed = list(sweep(session.case, checkpoint, 2, device="cpu"))
    field = sweep_figure({"Thresholds": fed}, "tumour", 2).data[0]
    by_window = {(one.preprocessing.window.center, one.preprocessing.window.width): one.dice["tumour"] for one in fed}
    assert field.z[field.y.index("50")][field.x.index("100")] == pytest.approx(by_window[(50, 100)]) == 1


# ---------------------------------------------------------------------------------------------- maps


def test_maps_of_a_network_that_has_them(session: Session) -> None:
    (_, _), (shown, said) = look(2, session, "aunet")
    meanings = explains_of("aunet")
    assert shown.count("<section>") == len(meanings) == 4
    assert all(html.escape(text) in shown for text in meanings.values())
    assert shown.count("<img") >= 4
    assert "Untrained" in said
    assert "slice 3" in said


def test_maps_that_are_not_there(session: Session) -> None:
    assert "Choose a model that has maps" in next(look(0, session, "thresholds"))[1]
    assert "Choose a model that has maps" in next(look(0, session, None))[1]
    assert "reload the page" in next(look("x", session, "aunet"))[1]
    assert "Open a case first" in next(look(0, None, "aunet"))[1]
    with pytest.raises(InputError, match="no maps"):
        Predictor(ready_to_run("thresholds")[0], "cpu").explain(session.case.volume, 0)
    able, said = choices_to_look(BOTH, [], None)
    assert able.choices == []
    assert "Attention U-Net" in said
    able, said = choices_to_look(BOTH, ["aunet"], "gone")
    assert able.value == "aunet"
    assert said == ""


def test_a_map_lies_where_it_was_found() -> None:
    """A grid of 2×2 with one bright field: that quarter of the picture is brighter, the rest alike."""
    values = np.array([[[0, 1], [0, 0]]], np.float32)
    shown = maps_html(
        {"gate": values, "weights": np.array([0.25, 0.75])}, {"gate": "a < b"}, np.zeros((8, 8), np.float32)
    )
    png = base64.b64decode(shown.split("base64,")[1].split("'")[0])
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert len(np.unique(picture)) == 2
    assert (picture[:4, 4:] == picture.max()).all()
    assert (picture == picture.max()).sum() == 16
    assert "a &lt; b" in shown
    assert "0.25, 0.75" in shown


def test_the_first_wall_has_few_models_and_one_of_each_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*names: str) -> list[Choice]:
        return [Choice(name, name, True) for name in names] + [Choice("dpcnet", "dpcnet", False)]

    many = trained("dtan", "unetpp", "transunet_sca", "ltnet_unet", "sfan", "unet64", "aunet", "dalunet")
    monkeypatch.setattr(choices, "model_choices", lambda: many)
    assert choices.first_models() == ["transunet_sca", "ltnet_unet", "sfan", "unet64"], "in the order of the list"
    monkeypatch.setattr(choices, "model_choices", lambda: trained("unetpp", "unet64", "aunet"))
    assert choices.first_models() == ["unetpp", "unet64", "aunet"]
    monkeypatch.setattr(choices, "model_choices", lambda: trained())
    assert choices.first_models() == []
