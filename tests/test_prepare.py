"""Built-in cases are run before anybody asks for them, once, and not a slice longer than the server lives."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livdemo.checkpoints import read_manifest, weights_folder
from livdemo.comparison import compare
from livdemo.run_cache import runs_folder
from livdemo.ui import compare as running
from livdemo.ui import prepare as place
from livdemo.ui.built_in import kept_result
from livdemo.ui.prepare import prepare, preparing
from tests.phantom_pair import SMALL_PHANTOM, forget, phantom_pair, shrink_phantom

BOTH = {("phantom", "greys"), ("phantom", "tumourless")}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two quick networks and an empty cache; a small phantom is the only case."""
    shrink_phantom(monkeypatch)
    phantom = [info for info in place.list_cases() if info.name == "phantom"]
    monkeypatch.setattr(place, "list_cases", lambda: phantom)
    with phantom_pair(tmp_path):
        yield


def test_every_trained_model_is_run_and_kept() -> None:
    assert kept_result("phantom", "greys") is None
    assert set(prepare()) == BOTH
    assert len(list(runs_folder().glob("*.npz"))) == 2
    for _, model in BOTH:
        result = kept_result("phantom", model)
        assert result is not None
        assert result.scores is not None


def test_what_is_kept_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    list(prepare())
    forget()  # as if the server had been started anew
    monkeypatch.setattr(running, "compare", None)  # whoever calls it fails
    assert set(prepare()) == BOTH


def test_a_network_that_cannot_be_read_is_told_and_the_others_are_run(caplog: pytest.LogCaptureFixture) -> None:
    (damaged,) = (row for row in read_manifest() if row.model == "greys")
    (weights_folder() / damaged.file).write_bytes(b"half a file")
    with caplog.at_level(logging.WARNING):
        assert set(prepare()) == {("phantom", "tumourless")}
    assert "greys on phantom is not prepared: " in caplog.text
    assert kept_result("phantom", "tumourless") is not None


def test_a_case_that_cannot_be_opened_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(name: str) -> None:
        raise place.InputError(f"{name} cannot be reached.")

    monkeypatch.setattr(place, "open_case", unreachable)
    with caplog.at_level(logging.WARNING):
        assert list(prepare()) == []
    assert caplog.messages == ["phantom is not prepared: phantom cannot be reached."]


def test_the_end_of_the_server_ends_it_between_two_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, slices = threading.Event(), []

    def counted(*given: Any, **named: Any) -> Iterator[Any]:
        for step in compare(*given, **named):
            slices.append(step)
            begun.set()
            yield step

    monkeypatch.setattr(running, "compare", counted)
    with preparing():
        assert begun.wait(timeout=60)
        (thread,) = (one for one in threading.enumerate() if one.name == "prepare")
    assert not thread.is_alive()
    done = len(slices)
    assert done < 2 * SMALL_PHANTOM[0]
    assert not list(runs_folder().glob("*")) or done > SMALL_PHANTOM[0]


def test_it_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_PREPARE", "0")
    with preparing():
        assert not [one for one in threading.enumerate() if one.name == "prepare"]
