"""The main job in a real browser: open a case, scrub, change the window, run the model, read the scores, go home."""

import csv
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from livdemo.cases import load_case
from livdemo.metrics import score_case
from livdemo.ui.app import build_app, launch_options
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import open_file, small_ct

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
RUN_MS = 180_000  # the whole phantom on a busy machine


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(build_app().queue(), **launch_options())


def _ready(page: Page) -> None:
    page.locator('#viewer .lv[data-ready="1"]').wait_for()


def _step(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def _download(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator(f'#files a[download="{name}"]').click()
    path = folder / name
    download.value.save_as(path)
    return path


def test_the_main_job(address: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(address, viewport={"width": 1440, "height": 900}, accept_downloads=True)
    _ready(page)
    expect(page.get_by_text("teaching only, not for clinical use")).to_be_visible()
    viewer = page.locator("#viewer .lv")

    first = int(viewer.get_attribute("data-slice"))
    page.locator("#viewer .lv-grid").focus()
    page.keyboard.press("ArrowUp")
    expect(viewer).to_have_attribute("data-slice", str(first + 1))
    page.get_by_role("group", name="Named windows").get_by_role("button", name="liver").click()
    expect(viewer).to_have_attribute("data-window", "150/30")

    _step(page, "Equalise")
    expect(page.locator("figure.step")).to_have_count(4)
    equalised = page.locator("figure.step[data-step=equalised] img")
    before = equalised.get_attribute("src")
    page.get_by_label("CLAHE").check()
    expect(equalised).not_to_have_attribute("src", before)

    _step(page, "Segment")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("Done: 64 slices", timeout=RUN_MS)

    _step(page, "Score")
    liver = page.locator(".card[data-label=liver] [data-metric=dice]")
    expect(liver).to_be_visible()
    mask = _download(page, "unet64.nii.gz", tmp_path)
    table = _download(page, "metrics.csv", tmp_path)

    # What the screen says is what the downloaded mask scores against the truth, and the CSV says the same.
    case = load_case("phantom")
    image = nibabel.load(mask)
    assert image.shape == case.volume.grid.shape
    assert np.allclose(image.affine, case.volume.grid.affine)
    label_map = case.volume.grid.to_display(np.asarray(image.dataobj))
    scored = score_case(label_map, case.reference, case.volume.spacing_mm)
    with open(table, newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    for metrics in scored:
        shown = page.locator(f".card[data-label={metrics.label}] [data-metric=dice]").inner_text()
        assert shown == f"{metrics.dice:.3f}"
        assert float(rows[metrics.label]["dice"]) == pytest.approx(metrics.dice)
    assert scored[0].dice > 0.9  # a network that has learned finds the phantom's liver


def test_cancel_stops_and_scores_nothing(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address)
    _ready(page)
    _step(page, "Segment")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("slice ")
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_contain_text("Cancelled")
    expect(page.locator("#run")).to_be_enabled()
    _step(page, "Score")
    expect(page.locator("#cards")).to_contain_text("Scores appear here once a model has run")


def test_one_visitor_does_not_see_the_other(address: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    one, other = open_page(address), open_page(address)
    _ready(one)
    _ready(other)
    open_file(one, small_ct(tmp_path, 5))
    expect(one.locator(".facts").first).to_contain_text("48 × 48 × 5 voxels")
    expect(other.locator(".facts").first).to_contain_text("256 × 256 × 64 voxels")
    assert "patient-4711" not in other.content()


def test_ones_own_case_is_on_the_list(address: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(address)
    _ready(page)
    open_file(page, small_ct(tmp_path, 5))
    case, facts = page.get_by_label("Case", exact=True), page.locator(".facts").first
    expect(case).to_have_value("Your upload: patient-4711")
    expect(facts).to_contain_text("48 × 48 × 5 voxels")
    for name, voxels in (("Phantom", "256 × 256 × 64"), ("Your upload", "48 × 48 × 5")):
        case.click()
        page.get_by_role("option", name=name).click()
        expect(facts).to_contain_text(f"{voxels} voxels")


def test_a_bad_file_is_explained_and_the_case_stays(
    address: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    (tmp_path / "letter.nii").write_text("dear doctor")
    page = open_page(address)
    _ready(page)
    open_file(page, tmp_path / "letter.nii")
    expect(page.get_by_role("alert")).to_contain_text("letter.nii")
    expect(page.locator(".facts").first).to_contain_text("256 × 256 × 64 voxels")
    _ready(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(address: str, open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(address, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    _ready(page)
    for name in ("Window", "Equalise", "Segment", "Score"):
        _step(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
