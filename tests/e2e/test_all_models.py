"""Every trained model on one wall, with the weights that ship, from the first press to the files; in a real browser.

What each part does in detail is tested with two quick networks (test_wall.py, test_wall_panels.py and others). Here
all of it stands together: as many panes, lines and rows as there are models, and two visitors at once.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import pytest
from playwright.sync_api import Page, expect

from livdemo.agreement import per_slice
from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint, read_manifest
from livdemo.models import list_models
from livdemo.run_cache import read_run
from livdemo.ui import built_in
from livdemo.ui.app import build_app, launch_options
from livdemo.ui.choices import explains_of
from livdemo.ui.wall import EXTRAS
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import open_file, small_ct, type_number, unfold
from tests.phantom_pair import forget, shrink_phantom

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
RUN_MS, ALL_MS = 600_000, 180_000
DESKTOP = {"width": 1440, "height": 900}
VIEWER, STRIP = "#wall-viewer .lv", "#strip .ls"
LISTED = [spec.name for spec in list_models()]


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole page with the weights of the repository, a small phantom, and no run that was kept before."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("LIVDEMO_CACHE", str(tmp_path_factory.mktemp("all")))
        shrink_phantom(changed)
        forget()
        yield serve(build_app().queue(), **launch_options())
        forget()


@pytest.fixture(scope="module")
def case(address: str) -> Case:
    return built_in.open_case("phantom")


@pytest.fixture(scope="module")
def trained() -> list[Checkpoint]:
    """In the order of the list, which is that of the wall."""
    return sorted(read_manifest(), key=lambda one: LISTED.index(one.model))


def _enter(page: Page) -> None:
    page.locator(f'{VIEWER}[data-ready="1"]').wait_for()


def _panes(page: Page) -> list[str]:
    return str(page.locator(VIEWER).get_attribute("data-panes")).split()


def test_all_models_from_the_first_press_to_the_files(
    address: str, open_page: Callable[..., Page], case: Case, trained: list[Checkpoint], tmp_path: Path
) -> None:
    assert case.reference is not None
    every = [checkpoint.model for checkpoint in trained]
    page = open_page(f"{address}?case=phantom&place=compare", viewport=DESKTOP, accept_downloads=True)
    other = open_page(f"{address}?case=phantom&models=unet64&place=compare", viewport=DESKTOP)
    _enter(page)
    _enter(other)
    unfold(page, "#wall-choose")
    page.locator("#wall-all").click()
    expect(page.locator("#wall-choose > button")).to_contain_text(f"Models: {len(every)} of {len(every)} ")
    page.locator("#wall-run").click()
    expect(page.locator("#wall-status")).to_contain_text(f"1 of {len(every)}: ")

    # The second visitor brings a CT and waits for the turn of one network, not of all.
    open_file(other, small_ct(tmp_path))
    expect(other.locator(f"{VIEWER} .lv-position")).to_contain_text("/ 40")
    other.locator("#wall-run").click()

    expect(page.locator("#wall-status")).to_contain_text(
        f"Done: {len(every)} models, {case.volume.shape[0]} slices each", timeout=RUN_MS
    )
    expect(other.locator("#wall-status")).to_contain_text("Done: 1 model, 40 slices each", timeout=RUN_MS)
    assert _panes(other) == ["reference", "unet64"]
    assert "patient-4711" not in page.content()
    assert "sfan" not in other.locator("#wall-scores").inner_html()

    # Everybody has a pane, a line and a row, and each row says what the kept mask scores.
    panes = _panes(page)
    assert panes[0] == "reference"
    assert set(every) <= set(panes)
    page.locator(f'{STRIP}[data-ready="1"]').wait_for()
    rows = str(page.locator(STRIP).get_attribute("data-rows")).split()
    assert set(rows) == {*every, "majority"}
    expect(page.locator("#wall-scores tr[data-entry]")).to_have_count(len(every) + 1)
    for checkpoint in trained:
        kept = read_run(case, checkpoint)
        assert kept is not None
        row = page.locator(f"#wall-scores tr[data-entry={checkpoint.model}]").inner_text()
        for profile in per_slice(kept.label_map, case.reference, case.volume.spacing_mm)[: len(checkpoint.labels) - 1]:
            assert math.isnan(profile.pooled_dice) or f"{profile.pooled_dice:.3f}" in row

    # Twenty panes step and jump without the server; one can be enlarged; errors have their legend.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    grid = page.locator(f"{VIEWER} .lv-grid")
    grid.focus()
    seen = set()
    for key in ("ArrowUp", "PageDown", "w", "n", "j", "End", "Home"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)  # a few drawn frames
        seen.add(page.locator(VIEWER).get_attribute("data-slice"))
    assert len(seen) >= 4
    assert {"0", str(case.volume.shape[0] - 1)} <= seen  # Home and End
    assert page.locator(STRIP).get_attribute("data-slice") == page.locator(VIEWER).get_attribute("data-slice")
    page.locator(f"{VIEWER}").get_by_role("button", name="Errors").click()
    expect(page.locator(VIEWER)).to_have_attribute("data-overlay", "errors")
    expect(page.locator(VIEWER).get_by_text("false negative: missed")).to_be_visible()
    page.locator(f'{VIEWER} .lv-well[data-pane="sfan"]').dblclick()
    expect(page.locator(VIEWER)).to_have_attribute("data-enlarged", "sfan")
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)  # longer than the viewer waits before it would tell the server
    assert asked == []

    # All that the models say together, STAPLE among it, is scored like a model where it is a mask.
    for box in page.locator("#wall-extras input[type=checkbox]").all():
        box.check()
    expect(page.locator("#wall-choose > button")).to_contain_text(f"together: {len(EXTRAS)} of {len(EXTRAS)}")
    expect(page.locator("#wall-scores tr[data-entry=staple]")).to_be_visible(timeout=ALL_MS)
    expect(page.locator(VIEWER)).to_have_attribute("data-panes", " ".join([*panes[: panes.index("majority")], *EXTRAS]))
    expect(page.locator("#wall-scores tr[data-entry]")).to_have_count(len(every) + 2)

    # Files for all: a mask each, on the CT's grid, and a report that opens without any server.
    page.get_by_role("button", name="Take home").click()
    page.locator("#wall-write").click()
    names = set(page.locator("#wall-files a[download]").first.evaluate(
        "first => [...first.closest('#wall-files').querySelectorAll('a[download]')].map(one => one.download)"
    ))  # fmt: skip
    assert {f"{name}.nii.gz" for name in every} <= names
    for name in ("sfan.nii.gz", "comparison.json", "report.html"):
        with page.expect_download() as download:
            page.locator(f'#wall-files a[download="{name}"]').click()
        download.value.save_as(tmp_path / name)
    mask = nibabel.load(tmp_path / "sfan.nii.gz")
    assert sorted(mask.shape) == sorted(case.volume.shape)
    told = json.loads((tmp_path / "comparison.json").read_text())
    assert {one["model"] for one in told["provenance"]["models"]} == set(every)
    offline = open_page("about:blank", viewport=DESKTOP, offline=True)
    offline.goto((tmp_path / "report.html").as_uri())
    for checkpoint in trained:
        expect(offline.locator("body")).to_contain_text(checkpoint.title)
    assert offline.locator("svg.slice[role=img]").count() >= len(every)


def test_the_next_visitor_unfolds_all_of_it(
    address: str, open_page: Callable[..., Page], trained: list[Checkpoint]
) -> None:
    """From a link: what was run stands there at once, and every panel knows every model."""
    names = [checkpoint.model for checkpoint in trained]
    page = open_page(f"{address}?case=phantom&models={','.join(names)}&place=compare", viewport=DESKTOP)
    _enter(page)
    page.locator(f'{STRIP}[data-ready="1"]').wait_for()
    assert set(names) <= set(_panes(page))
    with_tumour = [one.model for one in trained if "tumour" in one.labels]

    unfold(page, "#curves")
    lines = page.locator("#curves .legendtext")
    expect(lines.first).to_be_visible()
    assert lines.count() == len(with_tumour)
    unfold(page, "#speed")
    expect(page.locator("#wall-plot .textpoint").first).to_be_visible()
    assert page.locator("#wall-plot .textpoint").count() == len(names) + len(with_tumour)
    unfold(page, "#solid")
    expect(page.locator("#solid .legendtext").first).to_be_visible()

    # Another rule moves all figures, and the way back restores them.
    scores = page.locator("#wall-scores")
    before = scores.inner_text()
    unfold(page, "#rule")
    page.get_by_label("Fill holes in each slice").check()
    expect(scores).to_contain_text("re-scored")
    page.get_by_role("button", name="Reset the rule").click()
    expect(scores).not_to_contain_text("re-scored")
    assert scores.inner_text() == before

    # The same slice with other greys, for everybody; and what one of them looked at.
    unfold(page, "#bench")
    type_number(page, "Level in HU", "-150")
    page.locator("#bench-feed").click()
    expect(page.locator("#bench-result section")).to_have_count(len(names), timeout=ALL_MS)
    expect(page.locator("#bench-result figure")).to_have_count(2 * len(names))
    unfold(page, "#look-at")
    able = next(name for name in names if explains_of(name))
    page.locator("#look-run").click()
    expect(page.locator("#look-result section")).to_have_count(len(explains_of(able)))
