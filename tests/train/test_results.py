"""RESULTS.md: made from the log alone, the same every time, and honest about what the figures cannot say."""

import json
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.train.log_rows import HIGH, LOW, Row, patient, row_of, three_folds
from train.evidence import refresh
from train.plan import HOUSE
from train.results import main, mean_over, tables, write_results
from train.results_page import page
from train.run_log import append_row, read_rows


def test_the_committed_page_and_cards_are_what_the_log_gives(tmp_path: Path) -> None:
    folder, weights = tmp_path / "results", tmp_path / "weights"
    folder.mkdir()
    weights.mkdir()
    for log in (REPOSITORY / "results").glob("*.jsonl"):
        (folder / log.name).write_bytes(log.read_bytes())
    told = [REPOSITORY / "weights" / "manifest.json", *(REPOSITORY / "weights").glob("*.md")]
    for path in told:
        (weights / path.name).write_bytes(path.read_bytes())
    refresh(write_results(folder, tmp_path / "RESULTS.md"), weights)
    again = "run python -m train.results and commit what it writes"
    assert (tmp_path / "RESULTS.md").read_text() == (REPOSITORY / "RESULTS.md").read_text(), again
    committed = (REPOSITORY / "results" / "results.json").read_text()
    assert (folder / "results.json").read_text() == committed, again
    for path in told:
        assert (weights / path.name).read_text() == path.read_text(), again


def test_a_mean_and_its_misses_by_hand() -> None:
    rows = three_folds("unet64", LOW)
    rows[1]["patients"] = [patient("B", 0.8, 0.0, missed=1, lesions_found=0), patient("F", 1.0, None, lesions=0)]
    rows[0]["volumes"][0]["seconds"] = 500.0  # while the machine stood still
    (model,) = tables(rows)["protocols"][0]["models"]
    assert model["liver_dice"]["mean"] == pytest.approx((4 * 0.9 + 0.8 + 1.0) / 6)
    assert model["liver_dice"]["n"] == 6
    assert model["tumour_dice"]["mean"] == pytest.approx((0.10 + 0.0 + 0.30 + 0.15 + 0.25) / 5)
    assert model["tumour_dice"]["n"] == 5, "a patient without tumour has no figure"
    assert (model["missed"], model["lesions"], model["lesions_found"]) == (1, 10, 5)
    assert model["seconds_a_slice"] == 0.05
    assert model["tumour_dice"]["low"] < model["tumour_dice"]["mean"] < model["tumour_dice"]["high"]


def test_the_later_row_of_a_run_counts() -> None:
    rows = [*three_folds("unet64", LOW), row_of("unet64", "A,E", [patient("A", 0.5, 0.5), patient("E", 0.5, 0.5)])]
    (model,) = tables(rows)["protocols"][0]["models"]
    assert [p["liver_dice"] for p in model["patients"]] == [0.5, 0.9, 0.9, 0.9, 0.5, 0.9]


def test_nothing_is_ranked_that_the_test_does_not_separate() -> None:
    """Two models that differ in every one of six patients: p = 2/64. A third pair to correct for undoes that."""
    two = tables([*three_folds("sfan", LOW), *three_folds("unet64", HIGH)])["protocols"][0]
    assert [model["model"] for model in two["models"]] == ["sfan", "unet64"], "the order of the list, not of the scores"
    (apart,) = two["pairs"]["tumour_dice"]["apart"]
    assert (apart["better"], apart["worse"], apart["p"]) == ("unet64", "sfan", pytest.approx(0.0312, abs=1e-4))
    assert two["pairs"]["liver_dice"]["apart"] == [], "the livers score alike"

    same = {name: value + 0.01 for name, value in LOW.items()}
    three = tables([*three_folds("sfan", LOW), *three_folds("unet64", HIGH), *three_folds("aunet", same)])
    assert three["protocols"][0]["pairs"]["tumour_dice"]["apart"] == []
    assert "could separate none, since with 6 patients an exact p is 0.031 at the least, 0.09 after" in page(three)


def test_models_of_other_patients_are_not_compared() -> None:
    phantoms = [row_of("clstm4d", "0 of the phantoms", [patient("phantom 1", 0.99, 0.9)], sources=["phantom"])]
    rows = [*three_folds("sfan", LOW), *three_folds("unet64", HIGH)[:2], *phantoms]
    results = tables(rows)
    pairs = results["protocols"][0]["pairs"]["tumour_dice"]
    assert (pairs["pairs"], pairs["patients"], pairs["left_out"]) == (0, 6, ["unet64"])
    assert "0.990 (n 1, too few for an interval) **rendered phantoms, not patients**" in page(results)


def test_a_variant_is_compared_with_the_first_of_its_study() -> None:
    about = {"study": "encoder", "series": "ablations, classroom, 128 pixels"}
    rows = three_folds("dtan", LOW, variant="pretext task, frozen", **about)
    rows += three_folds("dtan", HIGH, variant="pretext task, fine-tuned", **about)
    study = next(one for one in tables(rows)["studies"] if one["study"] == "encoder")
    first, control, tuned = study["variants"]
    assert "against_first" not in first
    assert not control["done"]
    found = tuned["against_first"]["tumour_dice"]
    assert found["mean"] == pytest.approx(0.3 + 0.01 * 2.5)
    assert (found["n"], found["p"]) == (6, pytest.approx(0.0312, abs=1e-4))
    assert found["low"] > 0
    text = page(tables(rows))
    assert "| random, frozen (control) | `dtan` | not run yet |" in text
    assert "+0.325 (" in text


def test_a_network_that_is_asked_in_two_ways_was_trained_once() -> None:
    about = {"study": "scales", "series": "ablations, classroom, 128 pixels"}
    asked = [row | about | {"variant": way} for way in ("one scale", "three") for row in three_folds("sfan", LOW)]
    study = next(study for study in tables(asked)["studies"] if study["study"] == "scales")
    assert study["runs"] == 3
    assert study["hours"] == pytest.approx(sum(row["seconds"] for row in asked[:3]) / 3600)


def test_unseen_volumes_keep_folds_and_everybody_apart() -> None:
    def seen(dice: float) -> list[Row]:
        one = {"case": "chaos", "label": "liver", "state": "ok", "dice": dice, "volume_ml": 1500.0, "seconds": 2.0}
        return [one | {"slices": 40}]

    rows = three_folds("unet64", LOW)
    for row, dice in zip(rows, (0.90, 0.92, 0.97), strict=True):
        row["unseen"] = seen(dice)
    rows.append(row_of("unet64", "all", [], unseen=seen(0.96)))
    results = tables(rows)
    (model,) = results["protocols"][0]["models"]
    (line,) = model["unseen"]
    assert (line["mean"], line["lowest"], line["highest"], line["networks"]) == (0.93, 0.90, 0.97, 3)
    assert line["everybody"] == 0.96
    assert model["liver_dice"]["n"] == 6, "the network of everybody has no cross-validated figure"
    assert "chaos 0.960 (trained on all)" in page(results)
    assert "healthy liver donor" in page(results)


def test_another_plan_in_the_fair_table_is_named() -> None:
    rows = [*three_folds("sfan", LOW), *three_folds("unet64", LOW, plan=HOUSE.described() | {"epochs": 20})[:2]]
    assert "**Another plan than that had: unet64 (20 epochs of 1,024 slices); compare with care.**" in page(
        tables(rows)
    )


def test_folds_in_bfloat16_are_told_from_those_that_are_not() -> None:
    first, second, third = three_folds("sfan", LOW)
    rows = [first, second, third | {"plan": HOUSE.described() | {"bf16": True}}, *three_folds("unet64", LOW)]
    assert "**Another plan than that had: sfan (in bfloat16); compare with care.**" in page(tables(rows))


def test_what_of_the_apps_rule_changed_the_figures_is_said() -> None:
    cut = "What hung on the liver by a neck thinner than 28 mm was cut off, as in the app"
    plain = three_folds("sfan", LOW)
    assert "as in the app" not in page(tables(plain))
    asked = three_folds("sfan", LOW, neck_mm=28.0, speck_ml=0.065, fat_hu=-50)
    told = page(tables(asked))
    assert cut in told
    assert "In some" not in told
    assert "Tumours below 0.065 mL were dropped, as in the app" in told
    assert "Where a CT is below −50 HU nothing was liver, as in the app" in told
    assert f"In some of the runs: {cut}" in page(tables([*plain, *three_folds("unet64", LOW, neck_mm=28.0)]))


def test_fewer_sequences_a_step_are_the_same_plan() -> None:
    """Eight slices make two sequences of five, and a block of eight slices is one."""
    plans = {"dalunet": HOUSE.in_items(5), "dpcnet": HOUSE.in_items(8), "clstm4d": HOUSE.in_items(16)}
    assert [plan.batch_size for plan in plans.values()] == [2, 1, 1]
    rows = [row for name, plan in plans.items() for row in three_folds(name, LOW, plan=plan.described())]
    rows += [*three_folds("unet64", LOW), *three_folds("sfan", LOW)]
    assert "Another plan" not in page(tables(rows))
    wrong = three_folds("dalunet", LOW, plan=HOUSE.in_items(8).described())
    told = page(tables([*wrong, *three_folds("unet64", LOW)]))
    assert "**Another plan than that had: dalunet (batch 1); compare" in told


def test_a_leak_is_stamped() -> None:
    study = {"study": "split", "variant": "by slice (leaky)", "series": "ablations, classroom, 128 pixels"}
    rows = [row_of("ltnet_unet", "20% of the slices", [], split="slice", **study)]
    text = page(tables(rows))
    assert "by slice (leaky)" in text
    assert "Neighbours of the validated slices were trained on" in text


def test_the_page_says_what_it_must(tmp_path: Path) -> None:
    log = tmp_path / "results" / "runs.jsonl"
    for row in [*three_folds("sfan", LOW), *three_folds("unet64", HIGH)]:
        append_row(log, row)
    assert main(["--folder", str(log.parent), "--page", str(tmp_path / "RESULTS.md"), "--weights", str(tmp_path)]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert "**Six patients.**" in text
    assert "`python -m train.reproduce --data DIR`" in text
    line = next(line for line in text.splitlines() if line.startswith("| SFAN"))
    assert "Dice per case, tumour 71.0 (LiTS test set (70 volumes); %)" in line, "a quoted number has data and unit"
    assert "0.900 (0.900 to 0.900), n 6" in line
    assert "/work" not in text

    first = (text, (log.parent / "results.json").read_bytes())
    assert main(["--folder", str(log.parent), "--page", str(tmp_path / "RESULTS.md"), "--weights", str(tmp_path)]) == 0
    assert ((tmp_path / "RESULTS.md").read_text(), (log.parent / "results.json").read_bytes()) == first
    assert page(json.loads(first[1])) == text, "the app's file holds all that the page says"


def test_a_damaged_log_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs.jsonl").write_text("no row\n")
    assert main(["--folder", str(tmp_path), "--page", str(tmp_path / "RESULTS.md"), "--weights", str(tmp_path)]) == 2
    assert "is no row of a run" in capsys.readouterr().err
    assert not (tmp_path / "RESULTS.md").exists()


def test_intervals_of_few_patients() -> None:
    assert mean_over([])["n"] == 0
    one = mean_over([0.5, None])
    assert (one["mean"], one["n"]) == (0.5, 1)
    assert one["low"] != one["low"], "one patient has no interval"
    assert mean_over([0.5, 0.7])["low"] != mean_over([0.5, 0.7])["low"], "nor have two"
    assert mean_over([0.5, 0.6, 0.7])["low"] < 0.6


def test_every_row_of_the_committed_log_is_whole() -> None:
    for path in (REPOSITORY / "results").glob("*.jsonl"):
        for row in read_rows(path):
            assert row.keys() >= row_of("unet64", "A", []).keys() - {"left_out"}, (
                "rows from before twins were known lack it"
            )


def test_runs_that_were_made_twice_by_hand() -> None:
    seen = [
        {"case": "chaos", "label": "liver", "state": "ok", "dice": 0.9, "volume_ml": 1.0, "seconds": 1.0, "slices": 1}
    ]
    first = row_of("unet64", "A,E", [patient("A", 0.9, 0.2), patient("E", 0.8, None)], unseen=seen)
    again = first | {"seconds": 300.0, "patients": [patient("A", 0.8, 0.4), patient("E", 0.8, None)], "unseen": None}
    asked_otherwise = first | {"seconds": 200.0, "asked_size": 160}
    (twice,) = tables([first, again, asked_otherwise])["trained_twice"]
    assert (twice["model"], twice["fold"], twice["asked_size"]) == ("unet64", "A,E", 128)
    assert (twice["liver_dice"], twice["tumour_dice"]) == ([0.85, 0.8], [0.2, 0.4])
    assert twice["unseen"] == {"chaos": [0.9, None]}
    text = page(tables([first, again]))
    assert "| `unet64` | A,E | 128 | 0.850 and 0.800 | 0.200 and 0.400 | chaos 0.900 and n/a |" in text
    assert tables([first, first])["trained_twice"] == [], "the same run, asked again"


def test_rows_from_before_it_was_known_who_is_who_are_marked_and_compared() -> None:
    def fold(names: str, liver: float, **changes: object) -> Row:
        return row_of("unet64", names, [patient(name, liver, 0.1) for name in names.split(",")], **changes)

    before = [{k: v for k, v in fold(names, 0.9).items() if k != "left_out"} for names in ("A,E", "B,F", "C,D")]
    (marked,) = tables(before)["protocols"][0]["models"]
    assert marked["twins"]
    assert "(`unet64`)\u00a0† |" in page(tables(before))

    after = tables([*before, fold("A,E", 0.8, key="another")])
    (mixed,) = after["protocols"][0]["models"]
    assert mixed["twins"], "two of the three folds are still from before"
    (line,) = after["without_twins"]
    assert line["folds"] == ["A,E"]
    assert line["twins"] == {"patients": ["E"], "before": 0.9, "now": 0.8}
    assert line["others"] == {"patients": ["A"], "before": 0.9, "now": 0.8}
    assert "| `unet64` | A,E | 0.900 | 0.800 | 0.900 | 0.800 |" in page(after)

    clean = tables([*before, *(fold(names, 0.8, key=f"other {names}") for names in ("A,E", "B,F", "C,D"))])
    assert not clean["protocols"][0]["models"][0]["twins"]
    assert "(`unet64`) |" in page(clean)


def test_a_network_of_neighbouring_slices_never_learned_from_the_twins() -> None:
    rows = three_folds("dalunet", LOW)
    for row in rows:
        del row["left_out"]
    (model,) = tables(rows)["protocols"][0]["models"]
    assert not model["twins"]
    rows = [row | {"model": "unet64"} for row in rows]
    (single,) = tables(rows)["protocols"][0]["models"]
    assert single["twins"]
    (stacked,) = tables([row | {"slices_at_once": 5} for row in rows])["protocols"][0]["models"]
    assert not stacked["twins"]


def test_a_label_that_the_reference_has_nothing_of_has_no_dice() -> None:
    def seen(case: str, millilitres: float) -> Row:
        about = {"case": case, "label": "tumour", "state": "reference empty", "dice": 0.0, "seconds": 1.0, "slices": 1}
        return about | {"volume_ml": millilitres, "reference_volume_ml": 0.0}

    row = row_of("unet64", "all", [], unseen=[seen("chaos", 4.0), seen("lowres", 9.0), seen("other", 0.0)])
    text = page(tables([row]))
    assert "| `unet64` | chaos | tumour | n/a | n/a | 4.0 | 0 | false alarm: there is none |" in text
    assert "| `unet64` | other | tumour | n/a | n/a | 0 | 0 | rightly nothing |" in text
    assert "lowres | tumour" not in text, "its reference says nothing about tumours"
