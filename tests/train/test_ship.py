"""What ships: the networks of the fold `all`, with the figures of the other folds in card and manifest."""

import io
import json
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from livdemo.checkpoints import find_checkpoint, load_model, read_manifest
from tests.train.slice_folder import write_slices
from tests.train.test_reproduce import PLAN, tiny, write_strangers
from train.ask_again import main as ask_again
from train.evidence import EARLIER_ALONE, refresh
from train.export import _same_network, _scripted, export
from train.loop import Training
from train.reproduce import main as reproduce
from train.results import tables
from train.run_log import Row, append_row, read_rows
from train.ship import EARLIER, latest_courses
from train.ship import SERIES as SHIPPED
from train.ship import main as ship

SERIES = "fair, classroom, 32 pixels"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fold `all` of two tiny models, and one held-out fold of the first."""
    folder = tmp_path_factory.mktemp("trained")
    common = ["--data", str(write_slices(folder / "data")), "--size", "32", "--device", "cpu", *_there(folder)]
    common += ["--cache", str(folder / "cache")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.planned.get_model", tiny)
        patch.setattr("train.reproduce.HOUSE", PLAN)
        assert reproduce([*common, "--models", "unet64", "--folds", "A", "all"]) == 0
        assert reproduce([*common, "--models", "unet_liver", "--folds", "all"]) == 0
    return folder


@pytest.fixture
def shipping(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of train.ship, whose weights folder is the test's own."""
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("train.ship.get_model", tiny)
    return [*_there(trained), "--series", SERIES]


def _there(folder: Path) -> list[str]:
    return ["--out", str(folder / "out"), "--log", str(folder / "runs.jsonl")]


def _card(tmp_path: Path, model: str) -> str:
    return (tmp_path / "weights" / f"{model}.md").read_text()


def test_what_ships_says_how_well_its_recipe_did(
    shipping: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ship(shipping) == 0
    assert "2 models are in" in capsys.readouterr().out
    rows = {(row["model"], row["fold"]): row for row in read_rows(trained / "runs.jsonl")}
    (patient,) = rows["unet64", "A"]["patients"]

    unet = find_checkpoint("unet64")
    assert unet.run == rows["unet64", "all"]["key"]
    assert unet.preprocessing.size == rows["unet64", "all"]["asked_size"] == 48
    assert unet.validation["liver_dice"] == pytest.approx(patient["liver_dice"], abs=1e-4)
    assert "nobody was held out" in unet.trained_on
    told = f"tumour Dice on 1 patient whom the same recipe had not seen was {patient['tumour_dice']:.2f}"
    assert told in unet.weak
    card = _card(tmp_path, "unet64")
    assert unet.weak in card
    assert "48×48" in card, "how it is asked"
    assert "32 pixels a side" in card, "what it learned from"
    assert f"| A | {patient['liver_dice']:.3f} | {patient['tumour_dice']:.3f} |" in card

    liver = find_checkpoint("unet_liver")
    assert liver.validation == {}
    assert liver.weak == (
        "Knows the liver alone, no tumours; how it does on patients that it has not seen was not measured yet."
    )
    card = _card(tmp_path, "unet_liver")
    assert "No patient has been held out from this recipe yet" in card
    assert card.count(liver.weak) == 1, "the sentence of the export is replaced, in its one place"
    assert f"use.** {liver.weak}\n" in card


def _scale_by(factor: float) -> bytes:
    """A scripted network whose class torch numbers anew at every call."""

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(factor))

        def forward(self, x: Tensor) -> Tensor:
            if x.dim() == 0:
                warnings.warn("a number is no picture", stacklevel=2)  # torch counts a process's warnings
            return x * self.factor

    return _scripted(Scale())


def test_the_same_network_is_known_in_other_bytes() -> None:
    one, again, other = _scale_by(0.5), _scale_by(0.5), _scale_by(0.25)
    assert one != again
    assert _same_network(one, again)
    assert not _same_network(one, other)


def test_other_names_of_values_make_no_other_network() -> None:
    """Torch chooses them by what else a process has scripted."""

    def squared() -> nn.Module:
        class Network(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                doubled = x * 2
                return doubled * x

        return Network()

    def renamed() -> nn.Module:
        class Network(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                other = x * 2
                return other * x

        return Network()

    def rewired() -> nn.Module:
        class Network(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                doubled = x * 2
                return doubled * doubled

        return Network()

    assert _same_network(_scripted(squared()), _scripted(renamed()))
    assert not _same_network(_scripted(squared()), _scripted(rewired()))


def test_another_map_of_what_it_looked_at_is_another_network() -> None:
    """The app calls more than forward, so a file whose explain() differs must not be kept."""

    class Explained(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

        @torch.jit.export
        def explain(self, x: Tensor) -> dict[str, Tensor]:
            return {"attention": x}

    class Otherwise(Explained):
        @torch.jit.export
        def explain(self, x: Tensor) -> dict[str, Tensor]:
            return {"attention": x + 1}

    class Silent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    explained, otherwise, silent = (_scripted(network()) for network in (Explained, Otherwise, Silent))
    assert _same_network(explained, _scripted(Explained()))
    assert not _same_network(explained, otherwise)
    assert not _same_network(explained, silent)


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_a_file_that_breaks_off_is_replaced(kept: int) -> None:
    whole = _scale_by(0.5)
    assert not _same_network(whole[:kept], whole)


def test_shipping_again_leaves_the_file_alone(
    shipping: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ship([*shipping, "--models", "unet64"]) == 0
    file = tmp_path / "weights" / "unet64.ts"
    before, row = file.read_bytes(), find_checkpoint("unet64")
    golden = file.with_suffix(".golden.npz").stat().st_mtime_ns

    def commented(model: nn.Module) -> bytes:
        content = io.BytesIO(_scripted(model))
        with zipfile.ZipFile(content, "a") as archive:
            archive.comment = b"the same network in another file"
        return content.getvalue()

    monkeypatch.setattr("train.export._scripted", commented)
    assert ship([*shipping, "--models", "unet64"]) == 0
    assert file.read_bytes() == before
    assert find_checkpoint("unet64") == row
    assert file.with_suffix(".golden.npz").stat().st_mtime_ns == golden


def test_later_folds_reach_the_card_and_the_manifest(shipping: list[str], trained: Path, tmp_path: Path) -> None:
    assert ship([*shipping, "--models", "unet64"]) == 0
    before = find_checkpoint("unet64")
    rows: list[Row] = read_rows(trained / "runs.jsonl")
    first = next(row for row in rows if row["model"] == "unet64" and row["fold"] == "A")
    later = json.loads(json.dumps(first).replace('"patient": "A"', '"patient": "B"')) | {"fold": "B"}
    later["patients"][0] |= {"liver_dice": 0.75, "tumour_dice": 0.5}
    refresh(tables([*rows, later]), tmp_path / "weights")

    after = find_checkpoint("unet64")
    assert after.sha256 == before.sha256
    assert "tumour Dice on 2 patients" in after.weak
    assert "| B | 0.750 | 0.500 |" in _card(tmp_path, "unet64")
    assert "tumour Dice on 1 patients" not in _card(tmp_path, "unet64")


def test_figures_of_another_run_reach_nobody(shipping: list[str], trained: Path, tmp_path: Path) -> None:
    """The log may hold a newer run of a model than the file that ships."""
    assert ship([*shipping, "--models", "unet64"]) == 0
    before = _card(tmp_path, "unet64")
    rows = [row | {"key": f"other {row['key']}"} for row in read_rows(trained / "runs.jsonl")]
    refresh(tables(rows), tmp_path / "weights")
    assert _card(tmp_path, "unet64") == before


def test_a_model_without_the_fold_is_named(shipping: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ship([*shipping, "--models", "sfan"]) == 2
    assert "sfan has no fold `all`" in capsys.readouterr().err


def test_weights_of_another_run_are_replaced_only_by_name(
    shipping: list[str], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that train.export brought from elsewhere is not lost to a command that names nobody."""
    held_out = next(row for row in read_rows(trained / "runs.jsonl") if row["fold"] == "A")
    export(tiny("unet64"), trained / "out" / f"unet64-{held_out['key']}")
    before = find_checkpoint("unet64")
    assert ship(shipping) == 0
    assert "1 models are in" in capsys.readouterr().out
    assert find_checkpoint("unet64") == before
    assert ship([*shipping, "--models", "unet64"]) == 0
    assert find_checkpoint("unet64").sha256 != before.sha256


def test_the_second_course_ships_where_there_is_one(shipping: list[str], trained: Path, tmp_path: Path) -> None:
    """Of the tables that are asked for, a model's weights are of the first that it is in."""
    rows = read_rows(trained / "runs.jsonl")
    first, liver = (next(r for r in rows if (r["model"], r["fold"]) == (m, "all")) for m in ("unet64", "unet_liver"))
    second = {**first, "series": SERIES.replace("fair", "second"), "key": "second"}
    shutil.copytree(trained / "out", tmp_path / "out")
    shutil.copytree(trained / "out" / f"unet64-{first['key']}", tmp_path / "out" / "unet64-second")
    for row in [*rows, second]:
        append_row(tmp_path / "runs.jsonl", row)
    assert ship([*_there(tmp_path), "--series", second["series"], SERIES]) == 0
    assert {row.model: row.run for row in read_manifest()} == {"unet64": "second", "unet_liver": liver["key"]}
    # Nobody was held out from the second course: the first one's patient is told as such, and is no figure of these.
    unet = find_checkpoint("unet64")
    assert unet.validation == {}
    assert "tumour Dice on 1 patient whom it had not seen was" in unet.weak
    assert unet.weak.endswith("after its first course, and was not measured after the second.")
    assert EARLIER_ALONE.format(last="second", earlier="first") in _card(tmp_path, "unet64")
    assert "| A |" in _card(tmp_path, "unet64")
    assert "first course" not in find_checkpoint("unet_liver").weak

    # A third one on top of it: still the first speaks, for the second has nobody either.
    third = {**second, "series": "third, classroom, 48 pixels", "key": "third"}
    shutil.copytree(tmp_path / "out" / "unet64-second", tmp_path / "out" / "unet64-third")
    append_row(tmp_path / "runs.jsonl", third)
    assert ship([*_there(tmp_path), "--series", third["series"], second["series"], SERIES]) == 0
    assert find_checkpoint("unet64").run == "third"
    assert find_checkpoint("unet64").weak.endswith("after its first course, and was not measured after the third.")
    assert EARLIER_ALONE.format(last="third", earlier="first") in _card(tmp_path, "unet64")


def test_what_ships_is_asked_again_where_its_rule_has_changed(
    shipping: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the shipped file alone, and a row for each model that ships: no run folder is needed, no fold is touched."""
    log = tmp_path / "log.jsonl"
    shutil.copy(trained / "runs.jsonl", log)
    before = read_rows(log)
    assert ship(shipping) == 0
    asked = ["--unseen", str(write_strangers(tmp_path / "strangers")), "--log", str(log), "--device", "cpu"]
    assert ask_again(asked) == 0
    added = read_rows(log)[len(before) :]
    assert sorted(row["model"] for row in added) == ["unet64", "unet_liver"]
    for row in added:
        (own,) = [one for one in before if one["key"] == row["key"]]
        assert {name for name in row if row[name] != own.get(name)} <= {"unseen", "neck_mm", "speck_ml", "fat_hu"}
        shipped = find_checkpoint(row["model"])
        assert (row["fat_hu"], row["neck_mm"], row["speck_ml"]) == (-50, shipped.neck_mm, shipped.speck_ml)
        assert {one["case"] for one in row["unseen"]} == {"block"}
    capsys.readouterr()
    assert ask_again(asked) == 0
    assert capsys.readouterr().out.startswith("0 rows were added")


def test_a_second_course_begins_with_what_ships_where_the_first_ones_folder_is_gone(
    shipping: list[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ship(shipping) == 0
    shipped = load_model(find_checkpoint("unet64").sha256, "cpu").state_dict()
    monkeypatch.setattr("train.planned.get_model", tiny)
    monkeypatch.setattr("train.reproduce.HOUSE", PLAN)
    monkeypatch.setattr("train.reproduce.SECOND_COURSE", replace(PLAN, epochs=1, union_share=0.65))
    begun_with: list[dict[str, Tensor]] = []
    begin = Training.begin

    def watched(self: Training) -> None:
        begin(self)
        begun_with.append({name: value.clone() for name, value in self.network.state_dict().items()})

    monkeypatch.setattr(Training, "begin", watched)
    there = ["--out", str(tmp_path / "elsewhere"), "--log", str(tmp_path / "runs.jsonl")]
    common = ["--data", str(trained / "data"), "--size", "32", "--device", "cpu", "--cache", str(trained / "cache")]
    asked = [*common, *there, "--protocol", "second", "--models", "unet64", "--folds", "all"]
    assert reproduce(asked) == 0
    (begun,) = begun_with
    assert begun.keys() == shipped.keys()
    assert all(torch.equal(value, shipped[name]) for name, value in begun.items())
    (row,) = read_rows(tmp_path / "runs.jsonl")
    first = find_checkpoint("unet64").run
    made = {path.name for path in (tmp_path / "elsewhere").iterdir() if path.is_dir()}
    assert made == {f"unet64-{row['key']}", f"unet64-{first}-shipped"}

    assert reproduce([*common, *there, "--models", "unet64", "--folds", "all"]) == 0
    assert len(begun_with) == 2, "the first course itself is trained where it is asked for: the shipped file is no run"
    assert reproduce(asked) == 0, "and nothing is left to do"
    assert len(begun_with) == 2


def test_who_stays_with_an_earlier_course() -> None:
    def row(series: str, model: str, fold: str = "all", study: str = "") -> Row:
        return {"series": series, "study": study, "variant": "", "model": model, "fold": fold}

    there = [row(series, model) for series in ("first", "second", "third") for model in ("sfan", "dalunet")]
    there += [row("third", "unet64", fold="A,E"), row("first", "unet64"), row("third", "aunet", study="window")]
    courses = ("third", "second", "first")
    chosen = latest_courses(there, courses, {"dalunet": "second"})
    assert {model: one["series"] for model, one in chosen.items()} == {
        "sfan": "third",
        "dalunet": "second",
        "unet64": "first",
    }
    assert latest_courses(there, courses, {})["dalunet"]["series"] == "third"


def test_what_ships_is_of_the_course_that_it_should_be() -> None:
    log = Path(__file__).parent.parent.parent / "results" / "runs.jsonl"
    chosen = latest_courses(read_rows(log), SHIPPED, EARLIER)
    assert {row.model: row.run for row in read_manifest() if row.run} == {m: row["key"] for m, row in chosen.items()}
