"""The plan of runs: complete, resumable after a kill, adopting finished runs, and figures that a hand can follow."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from livdemo.errors import InputError
from livdemo.intensity import Preprocessing, Window
from livdemo.models import ModelSpec, get_model
from livdemo.models.unet import UNet
from livdemo.models.untrained import untrained
from livdemo.phantom import make_phantom
from livdemo.predictor import Predictor
from livdemo.rescoring import Rule
from tests.conftest import REPOSITORY
from tests.made_up import block_case
from tests.small_model import Thresholds
from tests.train.slice_folder import write_slices
from train.ablations import STUDIES
from train.estimates import FORWARD_SHARE, Estimates
from train.fold_scores import cut_close, per_patient, score_volumes, voxels_in_ml
from train.loop import Training, train
from train.network_variants import sfan_without, unet_in_sequence
from train.plan import HOUSE
from train.planned import Planned, Settings, asked_folds, plan_runs, series_before
from train.reproduce import main
from train.run import exported_weights
from train.run_log import append_row, read_rows, who
from train.scans import Scan

PLAN = replace(HOUSE, epochs=2, slices_per_epoch=32, average=0.8, augmentation="s4", pretext_slices=0, painted=0.0)
FOLDS = ["--folds", "A", "B,E"]
Call = Callable[..., int]


def tiny(name: str) -> ModelSpec:
    """A very small U-Net under the name of a real model."""
    spec = get_model(name)
    return replace(
        spec,
        input_kind="slice",
        size_multiple=16,
        margin=0,
        aux_weights=(),
        architecture=lambda preset: UNet(widths=(4, 8), norm=True, classes=len(spec.labels)),
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model of a plan is tiny, and the house plan takes seconds."""
    monkeypatch.setattr("train.planned.get_model", tiny)
    monkeypatch.setattr("train.reproduce.HOUSE", PLAN)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_slices(tmp_path / "data")


@pytest.fixture
def call(small: None, data: Path, tmp_path: Path) -> Call:
    def run(*more: str) -> int:
        arguments = ["--data", str(data), "--size", "32", "--device", "cpu"]
        arguments += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
        return main([*arguments, "--log", str(tmp_path / "runs.jsonl"), *more])

    return run


def test_a_row_for_every_run_and_none_twice(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--models", "unet_liver,unet64", *FOLDS)
    assert call(*asked, "--dry-run") == 0
    assert "4 runs in the plan, 0 of them done; 4 to do on cpu" in capsys.readouterr().out
    assert not (tmp_path / "runs.jsonl").exists()

    assert call(*asked) == 0
    out = capsys.readouterr().out
    assert "4 of 4 done, about 0 s left." in out
    rows = read_rows(tmp_path / "runs.jsonl")
    assert sorted((row["model"], row["fold"]) for row in rows) == [
        (model, fold) for model in ("unet64", "unet_liver") for fold in ("A", "B,E")
    ]
    assert [row["model"] for row in rows] in (["unet64"] * 2 + ["unet_liver"] * 2, ["unet_liver"] * 2 + ["unet64"] * 2)
    second = next(row for row in rows if row["model"] == "unet64" and row["fold"] == "B,E")
    assert [patient["patient"] for patient in second["patients"]] == ["B", "E"]
    assert second["slices"] == {"train": 4 + 5 * 4, "validation": 2 * 4 + 4}
    assert second["budget"] == {"epochs": 2, "slices": 64}
    assert second["seconds"] > 0
    assert second["plan"]["recipe"] == "house"
    assert "tumour_dice" in second["pooled"]
    assert second["command"].endswith("--protocol fair --folds A B,E --size 32")

    before = (tmp_path / "runs.jsonl").read_bytes()
    assert call(*asked) == 0
    assert "4 runs in the plan, 4 of them done; 0 to do" in capsys.readouterr().out
    assert (tmp_path / "runs.jsonl").read_bytes() == before


def test_how_large_it_is_asked_costs_no_training(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another size of the pictures makes another row of the same network."""
    asked = ("--models", "unet64", "--folds", "A")
    assert call(*asked) == 0
    monkeypatch.setattr("train.planned.LARGER", 1.0)
    monkeypatch.setattr(Training, "epoch", lambda *_: pytest.fail("it was trained already"))
    assert call(*asked) == 0
    assert call(*asked) == 0, "nothing is left to do"
    larger, as_learned = read_rows(tmp_path / "runs.jsonl")
    assert who(larger) == who(as_learned)
    assert larger["key"] == as_learned["key"]
    assert (larger["size"], larger["asked_size"]) == (32, 48), "a quarter more, in whole multiples of 16"
    assert (as_learned["size"], as_learned["asked_size"]) == (32, 32)
    assert larger["preprocessing"].endswith("48×48")


def test_only_the_house_plan_is_asked_with_larger_pictures(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither contrast phases, of which nobody knows, nor a paper's recipe, whose zoom may be narrower."""
    monkeypatch.setattr("train.planned.PHANTOM_SHAPE", (16, 64, 64))
    drawn_once = make_phantom(0, (16, 64, 64))  # drawing ten in four phases would take a minute and more
    monkeypatch.setattr("train.sources.phantom.make_phantom", lambda *_, **__: drawn_once)
    settings = replace(_settings(data, tmp_path), models=("unet64", "clstm4d"), folds=("A",), size=128)
    sizes = {one.run.spec.name: one.asked_size for one in plan_runs(settings)[0]}
    assert sizes == {"unet64": 160, "clstm4d": 128}
    assert {one.asked_size for one in plan_runs(replace(settings, protocol="recipe"))[0]} == {128}


def test_a_second_course_goes_on_from_the_first_ones_network(
    call: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first course is trained where it is missing and found where it is there, and its fold is the same."""
    monkeypatch.setattr("train.reproduce.SECOND_COURSE", replace(PLAN, epochs=1, union_share=0.65))
    asked = ("--protocol", "second", "--models", "unet64", "--folds", "A")
    begun_with: list[Path | None] = []
    begin = Training.begin
    monkeypatch.setattr(Training, "begin", lambda self: (begun_with.append(self.run.start), begin(self))[1])
    assert call(*asked) == 0
    (row,) = read_rows(tmp_path / "runs.jsonl")
    assert (row["series"], row["fold"], row["budget"]["epochs"]) == ("second, classroom, 32 pixels", "A", 1)
    (fair,) = plan_runs(replace(_settings(data, tmp_path), folds=("A",)))[0]
    assert begun_with == [None, fair.run.out], "the first course from nothing, the second from the first"
    second = json.loads((tmp_path / "out" / f"unet64-{row['key']}" / "run.json").read_text())
    assert second["start"]["split"] == second["split"]
    assert second["start"]["plan"]["epochs"] == 2

    assert call("--models", "unet64", "--folds", "A") == 0, "the fair table's row, from the same network"
    assert call(*asked) == 0, "nothing is left to do"
    assert len(begun_with) == 2
    assert [one["series"] for one in read_rows(tmp_path / "runs.jsonl")] == [row["series"], fair.series]


def test_a_third_course_goes_on_with_finer_pictures(
    call: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each course before it is trained with pictures of its own size, where it is missing."""
    monkeypatch.setattr("train.reproduce.SECOND_COURSE", replace(PLAN, epochs=1, union_share=0.65))
    monkeypatch.setattr("train.reproduce.THIRD_COURSE", replace(PLAN, epochs=1, learning_rate=1e-4))
    asked = ("--protocol", "third", "--models", "unet64", "--folds", "A")
    begun: list[tuple[str, int]] = []
    begin = Training.begin

    def watched(self: Training) -> None:
        begun.append((str(self.run.start and self.run.start.name), self.run.slices.image.shape[-1]))
        begin(self)

    monkeypatch.setattr(Training, "begin", watched)
    assert call(*asked) == 0
    (row,) = read_rows(tmp_path / "runs.jsonl")
    assert (row["series"], row["size"], row["asked_size"]) == ("third, classroom, 48 pixels", 48, 64)
    third = json.loads((tmp_path / "out" / f"unet64-{row['key']}" / "run.json").read_text())
    second = third["start"]
    assert [third["size"], second["size"], second["start"]["size"]] == [48, 32, 32]
    assert third["split"] == second["split"] == second["start"]["split"]
    assert second["start"]["start"] is None
    keys = {one.protocol: plan_runs(one)[0][0].run.out.name for one in _courses(_settings(data, tmp_path))}
    assert begun == [("None", 32), (keys["fair"], 32), (keys["second"], 48)]

    assert call(*asked) == 0, "nothing is left to do"
    assert call("--protocol", "second", "--models", "unet64", "--folds", "A") == 0, "nor of the second course"
    assert len(begun) == 3


def test_dtans_third_course_lets_its_encoder_learn(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one departure from a paper's rule, so it stands in run.json; all other plans are as they were."""
    settings = replace(_settings(data, tmp_path), models=("dtan", "unet64"), folds=("A",), house=PLAN)
    short = replace(PLAN, epochs=1)
    settings = replace(settings, second_course=short, third_course=short, protocol="third")
    dtan, unet = plan_runs(settings)[0]
    assert dtan.described["plan"]["thawed"]
    assert "thawed" not in unet.described["plan"]
    assert dtan.begins_with is not None
    assert "thawed" not in dtan.begins_with.described["plan"]

    def moved(one: Planned) -> set[str]:
        """The parts whose parameters changed on the way."""
        train(one.run)
        assert one.begins_with is not None
        begun, ended = (exported_weights(run.out) for run in (one.begins_with.run, one.run))
        return {name.split(".")[0] for name in ended if not torch.equal(begun[name], ended[name])}

    assert dtan.begins_with.begins_with is not None
    train(dtan.begins_with.begins_with.run)
    assert "encoder" not in moved(dtan.begins_with)
    assert "encoder" in moved(dtan)


def _courses(settings: Settings) -> list[Settings]:
    """The first two, as the test above plans them."""
    second = replace(PLAN, epochs=1, union_share=0.65)
    fair = replace(settings, folds=("A",), second_course=second)
    return [fair, replace(fair, protocol="second")]


@pytest.mark.parametrize(
    ("series", "before"),
    [
        ("third, classroom, 192 pixels", "second, classroom, 128 pixels"),
        ("second, paper, 256 pixels", "fair, paper, 256 pixels"),
        ("fair, classroom, 128 pixels", None),
        ("recipe unshortened, paper, 256 pixels", None),
    ],
)
def test_a_course_knows_the_one_before(series: str, before: str | None) -> None:
    assert series_before(series) == before


def test_what_ships_is_only_asked_again(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another rule for its answers makes another row of the shipped network, without a training."""
    monkeypatch.setattr("train.reproduce.SECOND_COURSE", replace(PLAN, epochs=1))
    monkeypatch.setattr("train.planned.NECK_MM", 0.0)
    monkeypatch.setattr("train.planned.SPECK_ML", 0.0)
    monkeypatch.setattr("train.planned.FAT_HU", None)
    asked = ("--protocol", "second", "--models", "unet64", "--folds", "all", "--unseen")
    asked += (str(write_strangers(tmp_path / "strangers")),)
    assert call(*asked) == 0
    (before,) = read_rows(tmp_path / "runs.jsonl")
    assert (before["neck_mm"], before["speck_ml"], before["fat_hu"]) == (0, 0, None)

    folder = tmp_path / "out" / f"unet64-{before['key']}"
    kept = folder.rename(tmp_path / "elsewhere")
    monkeypatch.setattr("train.shipped_start.is_shipped", lambda one: one.key == before["key"])
    monkeypatch.setattr("train.carry_out.shipped_folder", lambda one: kept)
    monkeypatch.setattr("train.planned.NECK_MM", 28.0)
    monkeypatch.setattr("train.planned.SPECK_ML", 0.065)
    monkeypatch.setattr("train.planned.FAT_HU", -50)
    monkeypatch.setattr(Training, "epoch", lambda *_: pytest.fail("it was trained already"))
    assert call(*asked) == 0
    assert call(*asked) == 0, "nothing is left to do"
    _, after = read_rows(tmp_path / "runs.jsonl")
    differing = {name for name in before if before[name] != after[name]}
    assert differing <= {"neck_mm", "speck_ml", "fat_hu", "unseen"}
    assert (after["neck_mm"], after["speck_ml"], after["fat_hu"]) == (28, 0.065, -50)
    assert after["unseen"][0]["case"] == before["unseen"][0]["case"] == "block"
    assert not folder.exists()


def test_only_what_is_left_is_estimated(
    small: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a second a slice: 2 epochs of 32 slices with 8 held out, looked at in each for less, and scored once."""
    monkeypatch.setattr("train.estimates._measured", lambda one: 1.0)
    settings = replace(_settings(data, tmp_path), protocol="second", folds=("A",), second_course=PLAN)
    (one,) = plan_runs(settings)[0]
    assert one.begins_with is not None
    estimates = Estimates(tmp_path / "estimates.json", [], "cpu")
    course, scoring = 2 * (32 + FORWARD_SHARE * 8), 8
    assert estimates.seconds(one) == pytest.approx(2 * course + scoring), "the first course is missing too"
    train(one.begins_with.run)
    assert estimates.seconds(one) == pytest.approx(course + scoring)
    train(one.run)
    assert estimates.seconds(one) == pytest.approx(scoring)


def test_a_killed_plan_goes_on(data: Path, tmp_path: Path) -> None:
    """kill -9 in the second run, after its first epoch; the same command does what is missing and no more."""
    stub = "import sys; sys.path.insert(0, '.'); import train.planned, train.reproduce; "
    stub += "from tests.train.test_reproduce import PLAN, tiny; from dataclasses import replace; "
    stub += "train.planned.get_model = tiny; train.reproduce.HOUSE = replace(PLAN, slices_per_epoch=256); "
    stub += "sys.exit(train.reproduce.main(sys.argv[1:]))"
    command = [sys.executable, "-c", stub, "--data", str(data), "--size", "32", "--models", "unet64", "--folds"]
    command += ["A", "B", "--device", "cpu", "--cache", str(tmp_path / "cache")]
    command += ["--out", str(tmp_path / "out"), "--log", str(tmp_path / "runs.jsonl")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)

    broken = start()
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("*/history.csv"))) < 2:
        assert broken.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(broken.pid, signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    first = (tmp_path / "runs.jsonl").read_bytes()
    (second,) = [path for path in (tmp_path / "out").glob("*/history.csv") if len(path.read_text().splitlines()) == 2]
    before = second.read_text()

    assert start().wait() == 0
    assert (tmp_path / "runs.jsonl").read_bytes().startswith(first)
    assert [row["fold"] for row in read_rows(tmp_path / "runs.jsonl")] == ["A", "B"]
    assert second.read_text().startswith(before), "its first epoch was not trained again"
    assert len(second.read_text().splitlines()) == 3


def _settings(data: Path, tmp_path: Path) -> Settings:
    """As `call` asks for."""
    return Settings(
        "fair", data, tmp_path / "cache", tmp_path / "out", models=("unet64",), folds=("A", "B,E"), size=32, house=PLAN
    )  # fmt: skip


def test_a_finished_run_is_adopted(
    call: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned, _ = plan_runs(_settings(data, tmp_path))
    elsewhere = planned[0].in_folder(tmp_path / "elsewhere").run
    train(elsewhere)
    state = (elsewhere.out / "state.pt").read_bytes()

    def no_epoch(*_: object) -> float:
        raise AssertionError("an adopted run is not trained again")

    with monkeypatch.context() as patch:
        patch.setattr(Training, "epoch", no_epoch)
        assert call("--models", "unet64", "--folds", "A", "--adopt", str(elsewhere.out)) == 0
    (row,) = read_rows(tmp_path / "runs.jsonl")
    assert (row["adopted"], row["fold"], row["patients"][0]["patient"]) == (True, "A", "A")
    assert (elsewhere.out / "state.pt").read_bytes() == state

    other = replace(elsewhere, plan=replace(PLAN, painted=0.4), out=tmp_path / "other")
    train(other)
    assert call("--models", "unet64", "--folds", "A", "--adopt", str(other.out)) == 2
    assert "no run of the plan: plan.painted differ" in capsys.readouterr().err
    assert call("--models", "unet_liver", "--folds", "A", "--adopt", str(other.out)) == 2
    assert "a run of unet64, which is not in the plan" in capsys.readouterr().err


def test_an_unfinished_run_is_not_adopted(
    call: Call, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned, _ = plan_runs(_settings(data, tmp_path))
    run = planned[0].in_folder(tmp_path / "elsewhere").run
    train(run)
    history = run.out / "history.csv"
    history.write_text("\n".join(history.read_text().splitlines()[:-1]) + "\n")
    assert call("--models", "unet64", *FOLDS, "--adopt", str(run.out)) == 2
    assert "has 1 of 2 epochs" in capsys.readouterr().err


def test_one_run_that_cannot_be_made_does_not_stop_the_others(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Kvasir-SEG in the folder the polyps are told to be impossible, and the next study runs."""
    assert call("--protocol", "ablations", "--studies", "polyps,largest component", "--folds", "A") == 2
    assert "holds no RGB pictures" in capsys.readouterr().err
    kept, everything = read_rows(tmp_path / "runs.jsonl")
    assert (kept["variant"], everything["variant"]) == ("kept", "everything")
    assert kept["key"] == everything["key"], "one training, asked in two ways"
    assert (kept["largest_component"], everything["largest_component"]) == (True, False)
    assert len(list((tmp_path / "out").glob("unet64-*"))) == 1


def write_strangers(folder: Path) -> Path:
    """block_case() with and without its reference, as files."""
    case = block_case()
    assert case.reference is not None
    folder.mkdir()
    for name, voxels in (("block_ct", case.volume.hu), ("block_seg", case.reference), ("alone_ct", case.volume.hu)):
        image = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([-1.0, -1.0, 2.0, 1.0]))
        nibabel.save(image, folder / f"{name}.nii.gz")
    return folder


def test_scans_of_strangers_are_scored_with_their_labels(call: Call, tmp_path: Path) -> None:
    folder = write_strangers(tmp_path / "strangers")
    asked = ("--models", "unet64", "--folds", "A", "all")
    assert call(*asked) == 0
    assert call(*asked, "--unseen", str(folder)) == 0
    rows = read_rows(tmp_path / "runs.jsonl")
    assert [row["unseen"] is None for row in rows] == [True, True, False, False]
    assert [who(row) for row in rows[:2]] == [who(row) for row in rows[2:]]
    assert [(one["case"], one["label"]) for one in rows[2]["unseen"]] == [("block", "liver"), ("block", "tumour")]
    assert rows[2]["unseen"][0]["reference_volume_ml"] == pytest.approx(4 * 16 * 16 * 2 / 1000)
    everybody = rows[3]
    assert (everybody["fold"], everybody["patients"], everybody["slices"]["validation"]) == ("all", [], 0)


def test_the_figures_of_a_volume_by_hand() -> None:
    """6×32×32: a liver of 1,024 voxels with a tumour of 32; the stray block of 16 counts until the largest is kept."""
    case = block_case()
    assert case.reference is not None
    scan = Scan("made up", "1", "A", "full", "CT", lambda: (case.volume.hu[:, None], case.reference, np.arange(6)))  # type: ignore[arg-type,return-value]
    gap = replace(scan, volume="2", load=lambda: (*scan.load()[:2], np.array([0, 1, 2, 4, 5, 6])))
    checkpoint = replace(
        untrained(get_model("unet64"))[0], preprocessing=Preprocessing(Window(50, 100), size=32), size_multiple=1
    )
    everything, skipped = score_volumes(Predictor(checkpoint, "cpu", network=Thresholds()), [scan, gap])
    assert everything["liver_dice"] == pytest.approx(2 * 1024 / (1024 + 1040))
    assert everything["tumour_dice"] == 1
    assert (everything["lesions"], everything["lesions_found"], everything["false_positives"]) == (1, 1, 0)
    assert skipped["skipped"] == "slices are missing in between"
    largest = replace(checkpoint, largest_component=True)
    assert score_volumes(Predictor(largest, "cpu", network=Thresholds()), [scan])[0]["liver_dice"] == 1
    # The tumour's grey is 0.95, so this network gives it 1 / (1 + e) = 0.27 of the probability.
    doubtful = Predictor(largest, "cpu", network=Thresholds(tumour_from=0.97))
    dice = [score_volumes(doubtful, [scan], Rule(tumour_threshold=t))[0]["tumour_dice"] for t in (0.25, 0.3)]
    assert dice == [1, 0]


def test_a_volume_is_cut_around_its_liver() -> None:
    """The liver fills 8 to 24 of 32 rows and columns; cut to half, it is all that is left."""
    case = block_case()
    assert case.reference is not None
    hu, reference = cut_close(case.volume.hu[:, None], case.reference, 0.5)
    assert (hu.shape, reference.shape) == ((6, 1, 16, 16), (6, 16, 16))
    assert (reference[1:5] > 0).all()
    assert np.array_equal(hu[:, 0], case.volume.hu[:, 8:24, 8:24])

    moved = np.roll(case.reference, 8, axis=2)  # its middle is now nearer to the edge than half a square
    assert np.array_equal(cut_close(case.volume.hu[:, None], moved, 0.75)[1], moved[:, 4:28, 8:])
    everything, none = cut_close(case.volume.hu[:, None], np.zeros_like(case.reference), 1.0)
    assert everything.shape == (6, 1, 32, 32)
    assert not none.any()


def test_volumes_are_averaged_to_the_patient_first() -> None:
    """B has two volumes, one of them missed; F's has no tumour and rightly none was found."""

    def volume(patient: str, liver: float, tumour: float, state: str, found: int, lesions: int, false: int) -> dict:
        return {
            "patient": patient, "liver_dice": liver, "tumour_dice": tumour, "tumour_state": state, "lesions": lesions,
            "lesions_found": found, "false_positives": false,
        }  # fmt: skip

    rows = per_patient(
        [
            volume("F", 0.8, float("nan"), "both empty", 0, 0, 0),
            volume("B", 0.9, 0.6, "ok", 1, 2, 3),
            volume("B", 0.7, 0.0, "prediction empty", 0, 4, 0),
            volume("E", 0.9, 0.0, "ok", 0, 1, 20),
            {"patient": "C", "skipped": "slices are missing in between"},
        ]
    )
    b, e, f = rows
    assert (b["patient"], b["volumes"], b["liver_dice"]) == ("B", 2, pytest.approx(0.8))
    assert b["tumour_dice"] == pytest.approx(0.3)
    assert b["lesion_sensitivity"] == pytest.approx((1 / 2 + 0) / 2)
    assert (b["false_positives"], b["lesions"], b["lesions_found"], b["missed"]) == (1.5, 6, 1, 1)
    assert (e["missed"], e["false_alarms"]) == (1, 0), "what was predicted lies elsewhere: nothing was found"
    assert np.isnan(f["tumour_dice"])
    assert np.isnan(f["lesion_sensitivity"])
    assert (f["missed"], f["false_alarms"]) == (0, 0)


def test_what_decides_the_weights_decides_the_folder(
    small: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variants that change nothing share a run, also with the fair table; every other has its own."""
    fair = _settings(data, tmp_path)
    monkeypatch.setattr("train.planned.LIVER_FREE_SEEDS", range(1))
    names = ("loss", "equalisation", "batch size", "liver-free slices")
    planned, _ = plan_runs(replace(fair, protocol="ablations", studies=names, folds=("A",)))
    keys = {(one.study, one.variant.name): one.key for one in planned}
    base = plan_runs(replace(fair, folds=("A",)))[0][0].key
    same = [keys["loss", "house"], keys["equalisation", "none"], keys["batch size", "8 items"]]
    assert {*same, keys["liver-free slices", "without"]} == {base}
    others = [key for key in keys.values() if key != base]
    assert len(others) == len(set(others)) == 5 + 2 + 1 + 1


def test_networks_of_sequences_and_blocks_take_as_many_steps(
    small: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many slices a step make as many steps an epoch, whatever a network sees at once."""
    monkeypatch.setattr("train.planned.get_model", get_model)
    names = ("unet64", "dalunet", "dpcnet")
    settings = replace(_settings(data, tmp_path), models=names, folds=("A",), size=64, house=HOUSE)
    steps = {}
    for one in plan_runs(settings)[0]:
        plan, slices = one.run.plan, one.run.spec.slices_an_item("classroom")
        steps[one.run.spec.name] = plan.slices_per_epoch // (plan.batch_size * slices)
    assert steps == {"unet64": 128, "dalunet": 102, "dpcnet": 128}


def test_every_study_names_models_and_settings_that_exist() -> None:
    """A typing error in the data would else be found after hours."""
    from train.augment import AUGMENTATIONS
    from train.losses import LOSSES

    for study in STUDIES:
        assert len({(v.name, v.model) for v in study.variants}) == len(study.variants)
        for variant in study.variants:
            spec = get_model(variant.model)
            plan = replace(HOUSE, **variant.plan)
            assert plan.loss in LOSSES
            assert plan.augmentation in AUGMENTATIONS
            changed = replace(spec.preprocessing["classroom"], **variant.preprocessing)
            assert Preprocessing.from_dict(changed.to_dict()) == changed
            if variant.network is not None:
                network = variant.network("classroom")
                named = network.state_dict().keys() & spec.build("classroom").state_dict().keys()
                assert len(named) > 0.5 * len(network.state_dict()), "the model with one part changed"


def test_folds_by_number_or_by_name() -> None:
    assert asked_folds(["3"]) == ("A,E", "B,F", "C,D")
    assert asked_folds(["6", "all"]) == (*"ABCDEF", "all")
    assert asked_folds(["A,B", "C"]) == ("A,B", "C")
    with pytest.raises(InputError, match="A is in two folds"):
        asked_folds(["3", "A"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--folds", "Z"), "No fully drawn patient is called Z"),
        (("--size", "33", *FOLDS), "takes multiples of 16"),
        (("--protocol", "ablations", "--studies", "moon"), "no study called moon"),
    ],
)
def test_what_cannot_be_planned_is_said(
    call: Call, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert call("--models", "unet64", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_row_cut_short_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    row = {"series": "s", "study": "", "variant": "", "model": "m", "fold": "A"}
    append_row(path, {**row, "figure": float("nan")})
    path.write_bytes(path.read_bytes() + b'{"series": "s", "st')
    assert len(read_rows(path)) == 1
    append_row(path, {**row, "fold": "B"})
    assert [one["fold"] for one in read_rows(path)] == ["A", "B"]
    assert json.loads(path.read_text().splitlines()[0])["figure"] is None
    path.write_text('{"series": 1}\n')
    with pytest.raises(InputError, match=r"Line 1 of .* is no row"):
        read_rows(path)


def test_operating_points_are_of_one_network(call: Call, tmp_path: Path) -> None:
    assert call("--protocol", "ablations", "--studies", "operating point", "--folds", "A") == 0
    rows = read_rows(tmp_path / "runs.jsonl")
    assert [row["variant"] for row in rows] == ["0.5", "0.25", "0.75", "0.9"]
    assert len({row["key"] for row in rows}) == 1, "one training, asked in four ways"
    assert rows[0]["inference"] == "plain"
    assert all(f"more than {row['variant']} of that sum" in row["inference"] for row in rows[1:])


def test_specks_are_counted_in_voxels_where_nobody_knows_millimetres(call: Call, tmp_path: Path) -> None:
    """One training, asked four ways; with fewer pieces there are never more false positives."""
    assert call("--protocol", "ablations", "--studies", "specks", "--folds", "A") == 0
    rows = read_rows(tmp_path / "runs.jsonl")
    assert len({row["key"] for row in rows}) == 1
    assert [row["speck_ml"] for row in rows] == [0, 0, 0, 0]
    assert rows[0]["inference"] == "plain"
    assert rows[2]["inference"].endswith("tumours below 0.02 mL dropped")
    alarms = [row["patients"][0]["false_positives"] for row in rows]
    assert alarms == sorted(alarms, reverse=True)
    (study,) = [one for one in STUDIES if one.name == "specks"]
    assert [voxels_in_ml(one.speck_voxels) for one in study.variants] == [0, 0.005, 0.02, 0.08]


def test_a_cascade_looks_where_the_same_fold_found_the_liver(call: Call, tmp_path: Path) -> None:
    """The coarse liver is trained once a fold, by the same plan, and never on the patient who is scored."""
    assert call("--protocol", "ablations", "--studies", "cascade", "--folds", "A") == 0
    plain, cascade = read_rows(tmp_path / "runs.jsonl")
    assert plain["key"] == cascade["key"], "one training, asked in two ways"
    assert (plain["inference"], cascade["inference"]) == ("plain", "tumours inside the liver that unet_liver found")
    assert [row["patients"][0]["patient"] for row in (plain, cascade)] == ["A", "A"]
    (liver,) = (tmp_path / "out").glob("unet_liver-*")
    assert json.loads((liver / "split.json").read_text())["validation"][0] == "A"

    assert call("--models", "unet_liver", "--folds", "A") == 0
    assert len(list((tmp_path / "out").glob("unet_liver-*"))) == 1, "the fair table's own run"


@pytest.mark.parametrize("study", ["sfan attention", "aspp", "encoder"])
def test_every_network_of_a_study_is_another(study: str) -> None:
    """All variants answer in the same shape; those with a network of their own answer differently."""
    (found,) = [one for one in STUDIES if one.name == study]
    x = torch.rand(1, 1, 64, 64)
    answers, sizes = [], []
    for variant in found.variants:
        torch.manual_seed(0)
        network = (
            get_model(variant.model).build("classroom") if variant.network is None else variant.network("classroom")
        )
        answers.append(network.eval()(x))
        sizes.append(sum(p.numel() for p in network.parameters() if p.requires_grad))
    assert {answer.shape for answer in answers} == {(1, 3, 64, 64)}
    if study != "encoder":
        assert len(set(sizes)) == len(sizes)
        assert sizes[0] == sum(p.numel() for p in get_model(found.variants[0].model).build("classroom").parameters())
    else:
        assert sizes[2] > sizes[0] == sizes[1], "a frozen encoder does not learn"


def test_sfan_without_its_gates_passes_everything_on() -> None:
    """Open gates: what each level contributes is what its 1×1 convolution makes of the encoder's map, by hand."""
    network = sfan_without("classroom", sat=False, gca=False).eval()
    x = torch.rand(1, 1, 32, 32)
    weighted, vectors, weights = network.weigh(x)
    assert all(bool((one == 1).all()) for one in (*vectors, weights))
    first = network.align[0](network.encoder[0](x))
    assert torch.allclose(weighted[:, : first.shape[1]], first)


def test_a_slice_in_a_sequence_sees_the_ones_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the U-Net 100, 10 and 1 times its channels, by hand: below, itself, above; the ends repeated."""

    def read(self: UNet, x: torch.Tensor) -> torch.Tensor:
        assert x.is_contiguous(memory_format=torch.channels_last)
        return (x * torch.tensor([100.0, 10.0, 1.0])[:, None, None]).sum(1, keepdim=True)

    monkeypatch.setattr(UNet, "forward", read)
    x = torch.arange(1.0, 5.0).reshape(1, 4, 1, 1, 1).expand(2, 4, 1, 2, 2)
    seen = unet_in_sequence("classroom", reach=1)(x)
    assert seen.shape == (2, 4, 1, 2, 2)
    assert seen[1, :, 0, 0, 0].tolist() == [112, 123, 234, 344]


def test_a_network_of_slices_learns_from_stacks_for_the_study_of_context(
    call: Call, data: Path, tmp_path: Path
) -> None:
    write_slices(data, slices_per_patient=6)
    assert call("--protocol", "ablations", "--studies", "context", "--folds", "A") == 0
    rows = {row["variant"]: row for row in read_rows(tmp_path / "runs.jsonl")}
    alone, beside = rows["five slices, each alone"], rows["each with the two beside it"]
    assert alone["key"] != beside["key"]
    assert beside["parameters"] - alone["parameters"] == 16 * 2 * 9, "two channels more in the first convolution"
    assert [row["budget"]["slices"] for row in (alone, beside)] == [64, 64]
    assert all(row["patients"][0]["liver_dice"] is not None for row in (alone, beside))
