"""results/results.json: what is read, what is refused, and the words that page and app share."""

import json
from pathlib import Path

import pytest

from livdemo.errors import InputError
from livdemo.results import on_phantoms, rankings, read_results, results_path, unseen_livers
from tests.conftest import REPOSITORY
from tests.train.log_rows import HIGH, LOW, three_folds
from train.results import tables


def test_the_file_beside_the_package_is_whole() -> None:
    assert results_path() == REPOSITORY / "results" / "results.json"
    found = read_results()
    assert len(found["reported"]) == 17


def test_the_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_RESULTS", str(tmp_path))
    assert results_path() == tmp_path / "results.json"
    with pytest.raises(InputError, match=r"is missing; make it with `python -m train.results`"):
        read_results()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "not of format 2"),
        ('{"format": 1}', "not of format 2"),
        ('{"format": 2, "reported": 3}', "reported: there is no list"),
    ],
)
def test_a_damaged_file_is_said_so(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(InputError, match=why) as refused:
        read_results(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("lost", ["reported", "protocols", "studies"])
def test_a_part_that_was_cut_off(tmp_path: Path, lost: str) -> None:
    whole = json.loads(results_path().read_text())
    del whole[lost]
    (tmp_path / "results.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=f"{lost}: there is no list"):
        read_results(tmp_path / "results.json")


def test_a_model_without_its_figures(tmp_path: Path) -> None:
    whole = tables(three_folds("sfan", LOW))
    del whole["protocols"][0]["models"][0]["tumour_dice"]
    (tmp_path / "results.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="tumour_dice not there"):
        read_results(tmp_path / "results.json")


def test_who_may_be_called_better() -> None:
    two = tables([*three_folds("sfan", LOW), *three_folds("unet64", HIGH)])["protocols"][0]
    liver, tumour = rankings(two["pairs"])
    assert "it separates none: **no ranking**" in liver, "one pair of six patients could have been told apart"
    assert "unet64 > sfan (+0.325)" in tumour
    assert not any(on_phantoms(model) for model in two["models"])


def test_an_unseen_liver_says_of_which_network() -> None:
    folds = {"case": "chaos", "label": "liver", "networks": 2, "mean": 0.9}
    assert unseen_livers([folds, {**folds, "label": "tumour"}]) == [("chaos 0.900", "mean of 2 networks")]
    assert unseen_livers([{**folds, "everybody": 0.95}]) == [("chaos 0.950", "trained on all")]
