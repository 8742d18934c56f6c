"""Several visitors at once: who waits is told how many come before, and each sees only what is their own."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.wall_visitors import scrub
from livdemo.comparison import compare
from livdemo.ui import compare as place
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import open_file, small_ct

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
RUN_MS = 180_000
DESKTOP = {"width": 1440, "height": 900}
VIEWER, STRIP = "#wall-viewer .lv", "#strip .ls"
FIRST_IN_LINE = re.compile(r"Waiting: 1 run before yours\.")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Real runs, but the first stays at work until the test lets it go on; they are not that slow by themselves."""
    opened = threading.Event()

    def gated(*given, **named):
        for event in compare(*given, **named):
            assert opened.wait(timeout=PATIENCE_MS / 1000)
            yield event

    monkeypatch.setattr(place, "compare", gated)
    return opened


def _enter(page: Page, models: str) -> None:
    page.locator(f'{VIEWER}[data-ready="1"]').wait_for()
    expect(page.locator(VIEWER)).to_have_attribute("data-panes", f"reference {models}")


def test_two_visitors_run_at_once_and_see_only_their_own(
    two_models: str, open_page: Callable[..., Page], gate: threading.Event, tmp_path: Path
) -> None:
    one = open_page(f"{two_models}?models=greys&place=compare", viewport=DESKTOP)
    other = open_page(f"{two_models}?models=tumourless&place=compare", viewport=DESKTOP)
    _enter(one, "greys")
    _enter(other, "tumourless")
    open_file(one, small_ct(tmp_path))
    expect(one.locator(f"{VIEWER} .lv-position")).to_contain_text("/ 40")
    one.locator("#wall-run").click()
    expect(one.locator("#wall-status")).to_contain_text("1 of 1: loading the model")
    other.locator("#wall-run").click()
    expect(other.locator("#wall-status")).to_contain_text(FIRST_IN_LINE)
    gate.set()
    expect(one.locator("#wall-status")).to_contain_text("Done: 1 model, 40 slices each", timeout=RUN_MS)
    expect(other.locator("#wall-status")).to_contain_text("Done: 1 model, 64 slices each", timeout=RUN_MS)

    expect(one.locator(VIEWER)).to_have_attribute("data-panes", "reference greys")
    expect(one.locator("#wall-scores tr[data-entry]")).to_have_count(1)
    expect(one.locator("#wall-scores tr[data-entry=greys]")).to_be_visible()
    expect(one.locator(STRIP)).to_contain_text("no reference")
    expect(other.locator(VIEWER)).to_have_attribute("data-panes", "reference tumourless")
    expect(other.locator(STRIP)).to_have_attribute("data-rows", "tumourless")
    expect(other.locator("#wall-scores tr[data-entry]")).to_have_count(1)
    expect(other.locator("#wall-scores")).to_contain_text("Dice")
    assert "patient-4711" not in other.content()
    assert "40 slices" not in other.locator("#wall-status").inner_text()


def test_who_waits_can_leave_the_line(two_models: str, open_page: Callable[..., Page], gate: threading.Event) -> None:
    """A cancelled wait never runs, and the one behind moves up; in Learn as on the wall."""
    pages = [open_page(f"{two_models}?models=greys&place={name}") for name in ("compare", "compare", "learn")]
    one, second, third = pages
    for page in (one, second):
        page.locator(f'{VIEWER}[data-ready="1"]').wait_for()
        page.get_by_role("button", name="models that are not trained yet").click()
        page.locator("#untrained label").first.click()  # its runs are not kept
        page.locator("#wall-choose > button").click()
        page.locator("#wall-models label").first.click()
    third.locator('#viewer .lv[data-ready="1"]').wait_for()
    third.get_by_role("tab", name="Segment").click()
    one.locator("#wall-run").click()
    expect(one.locator("#wall-status")).to_contain_text("loading the model")
    second.locator("#wall-run").click()
    expect(second.locator("#wall-status")).to_contain_text(FIRST_IN_LINE)
    third.locator("#run").click()
    expect(third.locator("#status")).to_contain_text("Waiting: 2 runs before yours.")
    second.locator("#wall-cancel").click()
    expect(second.locator("#wall-status")).to_contain_text("Cancelled")
    expect(third.locator("#status")).to_contain_text(FIRST_IN_LINE)
    third.locator("#cancel").click()
    expect(third.locator("#status")).to_contain_text("Cancelled")
    gate.set()
    expect(one.locator("#wall-status")).to_contain_text("slice ")
    one.locator("#wall-cancel").click()
    one.wait_for_timeout(2000)  # longer than a cancelled wait would need to come to its turn and say so
    for page, status, run in ((second, "#wall-status", "#wall-run"), (third, "#status", "#run")):
        expect(page.locator(status)).to_contain_text("Cancelled")
        expect(page.locator(run)).to_be_enabled()


def test_three_visitors_step_through_slices_without_a_request(two_models: str, open_page: Callable[..., Page]) -> None:
    """The small version of benchmarks/wall_visitors.py."""
    pages = [open_page(f"{two_models}?place=compare", viewport={"width": 800, "height": 600}) for _ in range(3)]
    for page in pages:
        page.locator(f'{VIEWER}[data-ready="1"]').wait_for()
    pages[0].wait_for_timeout(1000)  # what the page asks for when it opens
    before = [page.locator(VIEWER).get_attribute("data-slice") for page in pages]
    done = scrub(pages, steps=10)
    assert done.requests == []
    assert len(done.step_ms) == 30
    assert all(page.locator(VIEWER).get_attribute("data-slice") != at for page, at in zip(pages, before, strict=True))
