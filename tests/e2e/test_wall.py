"""The wall in a real browser: run, scrub without a request, jump to errors, another rule, two visitors, cancel."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from livdemo.agreement import error_peaks, per_slice, worst_slice
from livdemo.cases import Case, load_case
from livdemo.metrics.lesions import label_lesions
from livdemo.run_cache import read_run
from livdemo.ui.choices import ready_to_run
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import open_file, small_ct, unfold

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
RUN_MS = 180_000
DESKTOP = {"width": 1440, "height": 900}
VIEWER, STRIP = "#wall-viewer .lv", "#strip .ls"


@pytest.fixture(scope="module")
def address(two_models: str) -> str:
    return two_models


def _enter(page: Page) -> None:
    page.locator('#viewer .lv[data-ready="1"]').wait_for()
    page.get_by_role("tab", name="Compare").click()
    page.locator(f'{VIEWER}[data-ready="1"]').wait_for()


def _run(page: Page) -> None:
    page.locator("#wall-run").click()
    expect(page.locator("#wall-status")).to_contain_text("Done: 2 models, 64 slices each", timeout=RUN_MS)
    page.locator(f'{STRIP}[data-ready="1"]').wait_for()


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case("phantom")


def _slice(page: Page) -> int:
    """Slice of the wall, once viewer and strip agree."""
    page.wait_for_function(
        "([a, b]) => document.querySelector(a).dataset.slice === document.querySelector(b).dataset.slice",
        arg=[VIEWER, STRIP],
    )
    return int(str(page.locator(VIEWER).get_attribute("data-slice")))


def test_the_wall_from_the_first_press_to_the_files(
    address: str, open_page: Callable[..., Page], case: Case, tmp_path: Path
) -> None:
    page = open_page(address, viewport=DESKTOP, accept_downloads=True)
    _enter(page)
    expect(page.locator(STRIP)).to_have_attribute("data-ready", "empty")
    expect(page.locator("#wall-scores")).to_contain_text("once one has run")
    _run(page)
    assert page.locator(VIEWER).get_attribute("data-panes") == "reference greys tumourless majority agree tumour"

    # The screen says what the kept masks score.
    prediction = read_run(case, ready_to_run("greys")[0])
    assert prediction is not None
    assert case.reference is not None
    liver, tumour = per_slice(prediction.label_map, case.reference, case.volume.spacing_mm)
    table = page.locator("#wall-scores tr[data-entry=greys]")
    assert f"{liver.pooled_dice:.3f}" in table.inner_text()
    assert f"{tumour.pooled_dice:.3f}" in table.inner_text()
    expect(page.locator(STRIP)).to_contain_text(tumour.gap)

    # Stepping, jumping and dragging ask the server nothing.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    grid = page.locator(f"{VIEWER} .lv-grid")
    grid.focus()
    before = _slice(page)
    page.keyboard.press("ArrowUp")
    expect(page.locator(VIEWER)).to_have_attribute("data-slice", str(before + 1))
    k = _slice(page)
    here = page.locator(f'{VIEWER} [data-pane="greys"]').locator("xpath=..").locator("[data-label=liver] b")
    expect(here).to_have_text("n/a" if np.isnan(liver.dice[k]) else f"{liver.dice[k]:.2f}")
    page.keyboard.press("w")
    expect(page.locator(VIEWER)).to_have_attribute("data-slice", str(worst_slice(tumour)))
    k = _slice(page)
    page.keyboard.press("n")
    peaks = error_peaks(tumour)
    expect(page.locator(VIEWER)).to_have_attribute(
        "data-slice", str(peaks[np.searchsorted(peaks, k, "right") % len(peaks)])
    )
    k = _slice(page)
    page.keyboard.press("j")
    lesions = sorted(one.slice_index for one in label_lesions(case.reference, case.volume.spacing_mm).lesions)
    expect(page.locator(VIEWER)).to_have_attribute("data-slice", str(next((z for z in lesions if z > k), lesions[0])))
    canvas = page.locator(f"{STRIP} canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 10.5 / 64, "y": 30})
    expect(page.locator(VIEWER)).to_have_attribute("data-slice", "10")
    page.locator("#wall-lesions tr[data-slice] button").first.click()
    first = label_lesions(case.reference, case.volume.spacing_mm).lesions[0]
    expect(page.locator(VIEWER)).to_have_attribute("data-slice", str(first.slice_index))
    page.wait_for_timeout(500)  # longer than the viewer waits before it would tell the server
    assert asked == []

    # Whoever goes back to the lesson finds the same slice there.
    page.get_by_role("tab", name="Learn").click()
    expect(page.locator("#viewer .lv")).to_have_attribute("data-slice", str(first.slice_index))
    page.get_by_role("tab", name="Compare").click()

    # Sorting moves the rows; another rule moves the scores, and back.
    heads = page.locator("#wall-scores button[data-column]")
    heads.first.click()
    shown = [float(cell.inner_text().strip("★ \n")) for cell in page.locator("#wall-scores td:nth-child(2)").all()]
    assert shown == sorted(shown, reverse=True)
    page.get_by_role("button", name="Another rule").click()
    page.get_by_label("Fill holes in each slice").check()
    expect(page.locator("#wall-scores")).to_contain_text("re-scored")
    page.get_by_role("button", name="Reset the rule").click()
    expect(page.locator("#wall-scores")).not_to_contain_text("re-scored")

    page.get_by_role("button", name="Take home").click()
    page.locator("#wall-write").click()
    with page.expect_download() as download:
        page.locator('#wall-files a[download="greys.nii.gz"]').click()
    download.value.save_as(tmp_path / "greys.nii.gz")
    assert (tmp_path / "greys.nii.gz").stat().st_size > 1000


def test_the_next_visitor_finds_the_wall_full(address: str, open_page: Callable[..., Page]) -> None:
    """What is kept on disk is on the wall at once; what a visitor uploads is nobody else's."""
    page = open_page(address, viewport=DESKTOP)
    _enter(page)
    page.locator(f'{STRIP}[data-ready="1"]').wait_for(timeout=10_000)
    assert page.locator(STRIP).get_attribute("data-rows") == "greys tumourless majority"
    page.get_by_role("button", name="Models: 2 of 2").click()
    page.get_by_role("checkbox", name="Tumourless").uncheck()
    expect(page.locator(STRIP)).to_have_attribute("data-rows", "greys")
    expect(page.locator("#wall-choose > button")).to_contain_text("Models: 1 of 2 · together: 2 of 6")


def test_another_case_stops_the_run_and_stays(address: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    """The old case's run neither goes on nor comes back onto the screen; the other visitor sees nothing of it."""
    one, other = open_page(address, viewport=DESKTOP), open_page(address, viewport=DESKTOP)
    for page in (one, other):
        _enter(page)
    one.get_by_role("button", name="models that are not trained yet").click()
    one.locator("#untrained label").first.click()
    one.locator("#wall-run").click()
    expect(one.locator("#wall-status")).to_contain_text("slice ")
    open_file(one, small_ct(tmp_path))
    expect(one.locator(".facts").first).to_contain_text("48 × 48 × 40 voxels")
    expect(one.locator(f"{VIEWER} .lv-position")).to_contain_text("/ 40")
    expect(one.locator("#wall-run")).to_be_enabled()
    one.wait_for_timeout(2500)  # longer than a running model waits between two pictures
    expect(one.locator(f"{VIEWER} .lv-position")).to_contain_text("/ 40")
    expect(one.locator("#wall-status")).to_have_text("")
    expect(one.locator(STRIP)).to_contain_text("no reference")
    assert "patient-4711" not in other.content()
    expect(other.locator(f"{VIEWER} .lv-position")).to_contain_text("/ 64")


@pytest.mark.parametrize("chosen", [False, True])
def test_without_a_reference_it_goes_to_the_liver_that_was_found(
    address: str, open_page: Callable[..., Page], tmp_path: Path, chosen: bool
) -> None:
    """A CT of one's own opens in its middle; a slice that the visitor has chosen since then stays."""
    phantom = load_case("phantom")
    hu = np.concatenate([np.full((40, *phantom.volume.hu.shape[1:]), -1000, np.int16), phantom.volume.hu])
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) * np.array([*phantom.volume.spacing_mm[::-1], 1.0])
    nibabel.Nifti1Image(hu.transpose(2, 1, 0), affine).to_filename(tmp_path / "mine.nii.gz")
    page = open_page(address, viewport=DESKTOP)
    _enter(page)
    open_file(page, tmp_path / "mine.nii.gz")
    middle = len(hu) // 2
    expect(page.locator(f'{VIEWER}[data-ready="1"]')).to_have_attribute("data-slice", str(middle))
    if chosen:
        page.locator(f"{VIEWER} canvas").first.click()
        page.keyboard.press("ArrowUp")
        expect(page.locator(VIEWER)).not_to_have_attribute("data-slice", str(middle))
    there = int(str(page.locator(VIEWER).get_attribute("data-slice")))
    page.locator("#wall-run").click()
    expect(page.locator("#wall-status")).to_contain_text("Done: 2 models", timeout=RUN_MS)
    if chosen:
        page.wait_for_timeout(1000)
        expect(page.locator(VIEWER)).to_have_attribute("data-slice", str(there))
        return
    expect(page.locator(VIEWER)).not_to_have_attribute("data-slice", str(middle))
    assert phantom.reference is not None
    found = int(str(page.locator(VIEWER).get_attribute("data-slice"))) - 40
    assert phantom.reference[found].any(), "a slice with liver"


def test_cancel_keeps_what_is_done(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address, viewport=DESKTOP)
    _enter(page)
    page.locator(f'{STRIP}[data-ready="1"]').wait_for()
    page.get_by_role("button", name="models that are not trained yet").click()
    page.locator("#untrained label").first.click()
    page.locator("#wall-run").click()
    expect(page.locator("#wall-status")).to_contain_text("slice ")
    page.locator("#wall-cancel").click()
    expect(page.locator("#wall-status")).to_contain_text("Models that were done stay")
    expect(page.locator("#wall-run")).to_be_enabled()
    assert page.locator(STRIP).get_attribute("data-rows") == "greys tumourless majority"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(address: str, open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(address, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    _enter(page)
    page.locator(f'{STRIP}[data-ready="1"]').wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(f"{STRIP} button[data-jump=lesion]").click()
    _slice(page)
    unfold(page, "#rule")
    ticks = page.locator("#rule .tick")
    expect(ticks).to_have_count(2)
    for tick in ticks.all():
        assert tick.evaluate("one => one.scrollWidth <= one.clientWidth"), "its label is not cut off"
