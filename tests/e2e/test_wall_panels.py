"""What folds out under the wall, in a real browser: witness, curves, 3D, preprocessing bench, explain maps; and fit."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from livdemo.bench import Fed, feed, mismatch, sweep
from livdemo.cases import Case
from livdemo.comparison import Result, compare
from livdemo.curves import curves_of
from livdemo.intensity import Window
from livdemo.ui import bench as place
from livdemo.ui import built_in
from livdemo.ui.app import build_app, launch_options
from livdemo.ui.choices import explains_of, ready_to_run
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import type_number, unfold
from tests.phantom_pair import phantom_pair

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
TWICE = {"width": 720, "height": 450}  # what is left of a desktop at 200 % zoom
VIEWER = "#wall-viewer .lv"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two quick networks that know the phantom's greys, and a cache of runs of their own."""
    folder = tmp_path_factory.mktemp("panels")
    with phantom_pair(folder):
        yield folder


@pytest.fixture(scope="module")
def case(weights: Path) -> Case:
    return built_in.open_case("phantom")


@pytest.fixture(scope="module")
def result(case: Case) -> Result:
    """Of the model that finds tumours; kept, as is the other's, so that a visitor finds the wall full."""
    found = {}
    for name in ("greys", "tumourless"):
        checkpoint = ready_to_run(name)[0]
        (found[name],) = (e for e in compare(case, [checkpoint], "cpu", quantised=True) if isinstance(e, Result))
        built_in.keep_result(case, found[name])
    return found["greys"]


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], result: Result) -> str:
    return serve(build_app().queue(), **launch_options())


@pytest.fixture
def wall(address: str, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """wall(**context_options) -> a visitor's page at the full wall."""

    def enter(**options: Any) -> Page:
        page = open_page(address, **{"viewport": DESKTOP, **options})
        page.locator('#viewer .lv[data-ready="1"]').wait_for()
        page.get_by_role("tab", name="Compare").click()
        page.locator('#strip .ls[data-ready="1"]').wait_for()
        page.locator(f'{VIEWER}[data-ready="1"]').wait_for()
        return page

    return enter


def plotted(page: Page, panel: str) -> list[dict[str, Any]]:
    """The traces that plotly has drawn."""
    page.locator(f"{panel} .js-plotly-plot").wait_for()
    return page.locator(f"{panel} .js-plotly-plot").evaluate(
        """plot => plot._fullData.map(({ name, x, y, cmax, colorbar, mode }) => ({
          name, mode, cmax, colorbar: colorbar?.title?.text, x: x && [...x].slice(0, 400), y: y && [...y].slice(0, 400),
        }))"""
    )


def blue_pixels(shown: Locator) -> int:
    """How many pixels of a picture of it have clearly more blue than red."""
    picture = np.asarray(Image.open(io.BytesIO(shown.screenshot())).convert("RGB")).astype(int)
    return int((picture[..., 2] - picture[..., 0] > 30).sum())


def middle_of(well: Locator, shape: str) -> tuple[float, float]:
    """Of a circle of the drawing, as shares of the picture."""
    x, y = well.locator(shape).evaluate(
        """circle => {
          const { width, height } = circle.closest(".lv-well").getBoundingClientRect();
          return [circle.cx.baseVal.value / width, circle.cy.baseVal.value / height];
        }"""
    )
    return x, y


def test_a_hausdorff_distance_shows_where_it_is(wall: Callable[..., Page], case: Case, result: Result) -> None:
    assert result.scores is not None
    witness = result.scores.witnesses[1]
    assert witness is not None
    page = wall()
    viewer = page.locator(VIEWER)
    well = viewer.locator('.lv-well[data-pane="greys"]')
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    figure = page.locator("#wall-scores tr[data-entry=greys] button[data-witness=tumour]")
    words = f"{figure.inner_text()} mm"
    assert float(figure.inner_text()) == pytest.approx(result.metrics[1].hd_mm, rel=0.005)
    figure.click()
    expect(viewer).to_have_attribute("data-slice", str(witness.voxel[0]))
    expect(viewer).to_be_in_viewport()
    expect(page.get_by_role("button", name="Largest gap")).to_have_attribute("aria-pressed", "true")
    expect(well.locator("svg.lv-witness text", has_text=f"tumour {words}")).to_be_visible()
    viewer.locator(".lv-grid").press("l")  # without the liver's, which may lie in the same slice
    expect(well.locator("circle.lv-far")).to_have_count(1)
    expected = ((witness.voxel[2] + 0.5) / 256, (witness.voxel[1] + 0.5) / 256)
    assert middle_of(well, "circle.lv-far") == pytest.approx(expected, abs=0.005)

    # The button on the picture goes to the other end, also where the zoom had hidden it.
    other = witness.nearest_voxel[0]
    assert other != witness.voxel[0]
    expect(well.locator("svg.lv-witness text")).to_contain_text(f"on slice {other + 1}")
    for _ in range(9):
        viewer.locator(".lv-grid").press("+")
    well.get_by_role("button", name=f"HD {words} slice {other + 1}, tumour").click()
    expect(viewer).to_have_attribute("data-slice", str(other))
    across, down = middle_of(well, "circle.lv-near")
    assert 0 <= across <= 1
    assert 0 <= down <= 1

    # Labels and the toggle decide what is drawn.
    viewer.locator(".lv-grid").press("t")
    expect(well.locator("svg.lv-witness text", has_text="tumour")).to_have_count(0)
    viewer.locator(".lv-grid").press("t")
    expect(well.locator("svg.lv-witness text", has_text="tumour")).to_have_count(1)
    viewer.locator(".lv-grid").press("d")
    expect(well.locator("svg.lv-witness > *")).to_have_count(0)
    expect(well.locator(".lv-jump:visible")).to_have_count(0)
    page.wait_for_timeout(500)  # longer than the viewer waits before it would tell the server
    assert asked == []


def test_curves_are_of_the_kept_probabilities(wall: Callable[..., Page], case: Case, result: Result) -> None:
    assert result.prediction.quantised is not None
    assert case.reference is not None
    liver, tumour = curves_of(result.prediction.quantised, case.reference)
    page = wall()
    unfold(page, "#curves")
    table = page.locator("#curves-table")
    expect(table).to_contain_text(f"{tumour.area:.3f}")
    expect(table).to_contain_text("average precision")
    names = [trace["name"] for trace in plotted(page, "#curves")]
    assert names[0] == f"Greys, area {tumour.area:.3f}"
    page.locator("#curves-label").get_by_text("Liver").click()
    expect(table).to_contain_text(f"{liver.area:.3f}")
    expect(page.locator("#curves .legendtext").first).to_have_text(f"Greys, area {liver.area:.3f}")
    line, dot, *_ = plotted(page, "#curves")
    assert line["mode"] == "lines"
    assert len(line["x"]) > 20
    assert (dot["x"][0], dot["y"][0]) == pytest.approx(
        (result.metrics[0].sensitivity, result.metrics[0].precision), abs=1e-3
    )

    # Another rule moves the mask and not the curve.
    unfold(page, "#rule")
    page.locator("#rule").get_by_text("no", exact=True).click()
    expect(table).to_contain_text("re-scored")
    expect(table).to_contain_text(f"{liver.area:.3f}")


def test_surfaces_turn_and_are_coloured_by_distance(wall: Callable[..., Page], result: Result) -> None:
    page = wall()
    unfold(page, "#solid")
    names = {trace["name"] for trace in plotted(page, "#solid")}
    assert names == {"liver, Greys", "tumours, Greys", "liver, reference", "tumours, reference"}

    # Another rule draws it anew, and says so.
    unfold(page, "#rule")
    page.locator("#rule").get_by_text("no", exact=True).click()
    expect(page.locator("#solid .gtitle")).to_have_text("Greys (re-scored)")
    page.get_by_role("button", name="Reset the rule").click()
    expect(page.locator("#solid .gtitle")).to_have_text("Greys")

    page.locator("#solid-way").get_by_text("Liver by distance").click()
    expect(page.locator("#solid .legendtext")).to_have_count(2)
    shadow, coloured = plotted(page, "#solid")
    assert (shadow["name"], coloured["name"], coloured["colorbar"]) == ("liver, reference", "liver, Greys", "mm away")
    assert 1 <= coloured["cmax"] <= result.metrics[0].hd_mm + 5
    # Near the reference: the dark blue of the colour bar. plotly tells nobody when its WebGL is done.
    ends = time.monotonic() + PATIENCE_MS / 1000
    while (blue := blue_pixels(page.locator("#solid-plot"))) <= 2000 and time.monotonic() < ends:
        page.wait_for_timeout(500)
    assert blue > 2000


def test_the_bench_feeds_other_greys(wall: Callable[..., Page], case: Case) -> None:
    page = wall()
    unfold(page, "#bench")
    type_number(page, "Level in HU", "-150")
    page.locator("#bench-feed").click()
    result = page.locator("#bench-result")
    expect(result.locator("figure")).to_have_count(4)
    expect(page.locator("#bench-status")).to_contain_text("by itself")
    own, other = result.locator("section").first.locator("figure").all()
    expect(own).to_contain_text("as trained: window 250/50")
    expect(other).to_contain_text("not as trained: window 400/-150")
    checkpoint = ready_to_run("greys")[0]
    k = int(str(page.locator(VIEWER).get_attribute("data-slice")))
    fed_otherwise = mismatch(checkpoint, Window(-150, 400), "none")
    for figure, preprocessing in ((own, checkpoint.preprocessing), (other, fed_otherwise)):
        dice = feed(case, checkpoint, k, preprocessing).dice["liver"]
        expect(figure.locator("b.liver")).to_contain_text(f"liver {dice:.2f}")
    sources = [one.locator("img").get_attribute("src") for one in (own, other)]
    assert sources[0] != sources[1]
    assert all(source and source.startswith("data:image/png;base64,") for source in sources)


def test_a_sweep_can_be_cancelled(wall: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends between two windows; the buttons are free again, and a run after it is not disturbed."""
    fed, gate = [], threading.Event()

    def gated(*given: Any, **named: Any) -> Iterator[Fed]:
        for one in sweep(*given, **named):
            fed.append(one)
            yield one
            assert gate.wait(timeout=PATIENCE_MS / 1000)

    monkeypatch.setattr(place, "sweep", gated)
    page = wall()
    unfold(page, "#bench")
    expect(page.locator("#bench-cancel")).to_be_disabled()
    page.locator("#bench-sweep").click()
    expect(page.locator("#bench-status")).to_contain_text("window 1 of")
    for button in ("#bench-feed", "#bench-sweep"):
        expect(page.locator(button)).to_be_disabled()
    page.locator("#bench-cancel").click()
    expect(page.locator("#bench-status")).to_have_text("Cancelled. What was done stays.")
    gate.set()
    page.locator("#bench-feed").click()
    expect(page.locator("#bench-status")).to_contain_text("by itself")
    expect(page.locator("#bench-cancel")).to_be_disabled()
    assert len(fed) <= 2, "the sweep went on behind the visitor's back"


def test_maps_of_what_a_model_looked_at(wall: Callable[..., Page]) -> None:
    page = wall()
    unfold(page, "#untrained")
    page.locator("#untrained").get_by_text("Attention U-Net", exact=True).check()
    unfold(page, "#look-at")
    expect(page.get_by_role("listbox", name="Model").or_(page.locator("#look-model input")).first).to_have_value(
        "Attention U-Net · untrained"
    )
    k = int(str(page.locator(VIEWER).get_attribute("data-slice")))
    page.locator("#look-run").click()
    expect(page.locator("#look-status")).to_contain_text(f"slice {k + 1}. Untrained")
    meanings = explains_of("aunet")
    sections = page.locator("#look-result section")
    expect(sections).to_have_count(len(meanings))
    for meaning in meanings.values():
        expect(page.locator("#look-result")).to_contain_text(meaning)
    widths = page.locator("#look-result img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert min(widths) > 16


@pytest.mark.parametrize(("viewport", "most"), [(DESKTOP, 330), (PHONE, 560)])
def test_the_pictures_stand_high(wall: Callable[..., Page], viewport: dict[str, int], most: int) -> None:
    page = wall(viewport=viewport)
    well = page.locator(f"{VIEWER} .lv-well:visible").first
    assert well.evaluate("well => well.getBoundingClientRect().top + scrollY") < most


def test_at_200_per_cent_everything_is_within_reach(wall: Callable[..., Page]) -> None:
    page = wall(viewport=TWICE, device_scale_factor=2)
    unfold(page, "#wall-choose")
    unfold(page, "#upload")
    for tab in ("Compare", "Learn"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        # What scrolls sideways on its own, as a wide table does, is within reach too.
        beyond = page.locator("button:visible, input:visible, [role=tab]:visible").evaluate_all(
            """all => all.filter(one => {
              const { left, right } = one.getBoundingClientRect();
              const elsewhere = one.closest(".wide, .lv-tabs") || one.tabIndex < 0;  // gradio's copies of tabs
              return !elsewhere && (left < -1 || right > innerWidth + 1);
            }).map(one => one.outerHTML.slice(0, 120))"""
        )
        assert beyond == []
    page.locator("#steps .overflow-menu > button").click()  # the steps that do not fit in one line
    page.locator("#steps .overflow-dropdown").get_by_text("5 Score").click()
    expect(page.locator("#cards")).to_be_visible()
