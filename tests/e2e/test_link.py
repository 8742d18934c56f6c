"""Deep links in a real browser: what is on the screen comes back from its address; what is untrue in one is said."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import open_file, small_ct

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
DESKTOP = {"width": 1440, "height": 900}
LEARN, WALL = "#viewer .lv", "#wall-viewer .lv"


def _ready(page: Page, viewer: str) -> None:
    page.locator(f'{viewer}[data-ready="1"]').wait_for()


def _ticked(page: Page) -> list[str]:
    group = page.locator("#wall-models")
    if not group.is_visible():
        page.locator("#wall-choose > button").click()
        group.wait_for()
    return [name for name in ("Greys", "Tumourless") if group.get_by_role("checkbox", name=name).is_checked()]


def test_a_link_opens_case_slice_window_models_and_place(two_models: str, open_page: Callable[..., Page]) -> None:
    query = "?case=phantom&slice=31&window=liver&models=tumourless&place=compare"
    page = open_page(f"{two_models}{query}", viewport=DESKTOP)
    _ready(page, WALL)
    expect(page.locator("#compare")).to_be_visible()
    expect(page.locator(WALL)).to_have_attribute("data-slice", "30")
    expect(page.locator(WALL)).to_have_attribute("data-window", "150/30")
    expect(page.locator(WALL)).to_have_attribute("data-panes", "reference tumourless")
    assert _ticked(page) == ["Tumourless"]
    page.get_by_role("tab", name="Learn").click()
    _ready(page, LEARN)
    expect(page.locator(LEARN)).to_have_attribute("data-slice", "30")
    expect(page.locator(LEARN)).to_have_attribute("data-window", "150/30")
    assert page.get_by_role("alert").count() == 0


def test_copy_link_says_what_is_on_the_screen_without_a_request(
    two_models: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(two_models, viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    _ready(page, LEARN)
    page.get_by_role("tab", name="Compare").click()
    _ready(page, WALL)
    page.locator("#wall-choose > button").click()
    page.get_by_role("checkbox", name="Greys").uncheck()
    expect(page.locator(WALL)).to_have_attribute("data-panes", "reference tumourless")
    page.locator(f"{WALL} .lv-grid").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    page.get_by_role("button", name="lung").last.click()
    expect(page.locator(WALL)).to_have_attribute("data-window", "1500/-600")
    page.wait_for_timeout(500)  # the viewer's own report of its slice
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#copy-link button").click()
    expect(page.locator("#copy-link")).to_contain_text("Link copied.")
    address = page.get_by_label("Address of what is on the screen").first.input_value()
    assert address == f"{two_models}?case=phantom&slice=2&window=lung&models=tumourless&place=compare"
    assert page.evaluate("navigator.clipboard.readText()") == address
    assert asked == []

    # A window without a name goes as numbers, and the visitor who follows the link sees the same.
    page.get_by_role("tab", name="Learn").click()
    page.get_by_label("Window width in HU").first.fill("333")
    page.get_by_label("Window width in HU").first.press("Enter")
    expect(page.locator(LEARN)).to_have_attribute("data-window", "333/-600")
    page.locator("#copy-link button").click()
    field = page.get_by_label("Address of what is on the screen").first
    expect(field).to_have_value(f"{two_models}?case=phantom&slice=2&window=333/-600&models=tumourless&place=learn")
    other = open_page(field.input_value(), viewport=DESKTOP)
    _ready(other, LEARN)
    expect(other.locator(LEARN)).to_have_attribute("data-slice", "1")
    expect(other.locator(LEARN)).to_have_attribute("data-window", "333/-600")
    other.get_by_role("tab", name="Compare").click()
    _ready(other, WALL)
    expect(other.locator(WALL)).to_have_attribute("data-slice", "1")
    assert _ticked(other) == ["Tumourless"]


@pytest.mark.parametrize("place", ["models", "results"])
def test_a_link_to_the_other_places(two_models: str, open_page: Callable[..., Page], place: str) -> None:
    """Slice and window go along, although no viewer is to be seen there."""
    page = open_page(f"{two_models}?slice=12&place={place}", viewport=DESKTOP)
    page.locator(f".{place}").wait_for()
    page.locator(f"{LEARN}[data-panes]").wait_for(state="attached")  # loaded, if not drawn
    page.locator("#copy-link button").click()
    address = f"{two_models}?case=phantom&slice=12&window=abdomen&models=greys,tumourless&place={place}"
    expect(page.get_by_label("Address of what is on the screen").first).to_have_value(address)


def test_what_is_not_here_is_said_and_the_phantom_opens(two_models: str, open_page: Callable[..., Page]) -> None:
    query = "?case=%3Cimg%20src=x%3E&slice=5&models=unet99,greys&window=%22&place=../etc"
    page = open_page(f"{two_models}{query}", viewport=DESKTOP)
    _ready(page, LEARN)
    alert = page.get_by_role("alert")
    expect(alert).to_have_count(1)
    expect(alert).to_contain_text("the case “<img src=x>”")
    expect(alert).to_contain_text("the model “unet99”")
    expect(page.locator(f"{LEARN} .lv-position")).to_contain_text("/ 64")
    expect(page.get_by_label("Case", exact=True)).to_have_value("Phantom: an invented abdomen with exact truth")
    page.get_by_role("tab", name="Compare").click()
    assert _ticked(page) == ["Greys"]


def test_an_uploaded_ct_has_no_link(two_models: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(two_models)
    _ready(page, LEARN)
    open_file(page, small_ct(tmp_path, 5))
    expect(page.locator(".facts").first).to_contain_text("48 × 48 × 5 voxels")
    button = page.locator("#copy-link button")
    expect(button).to_have_attribute(
        "title",
        "An address that opens this case, slice, window and models again. "
        "A CT of your own has none: it is yours alone.",
    )
    button.click()
    expect(page.locator("#copy-link")).to_contain_text("A CT of your own has no link")
    expect(page.locator("#copy-link input")).to_be_hidden()
