"""Models and Results in a real browser: they open, a row leads to its card and back, a phone needs no scrolling."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from livdemo.models import list_models
from livdemo.ui.app import build_app, launch_options
from tests.e2e.conftest import PATIENCE_MS
from tests.test_results_place import rows
from train.results import tables

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
PHONE = {"width": 390, "height": 844}

# Everything that can be reached by key in a place, and has no name that a screen reader could say.
NAMELESS = """root => [...root.querySelectorAll("button, a, summary, [tabindex], [role=img], [role=group]")]
    .filter(node => !(node.getAttribute("aria-label") || node.textContent).trim()).map(node => node.outerHTML)"""


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole page with figures of made-up runs."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "results.json").write_text(json.dumps(tables(rows())))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LIVDEMO_RESULTS", str(folder))
        yield serve(build_app().queue(), **launch_options())


def _enter(page: Page, place: str) -> None:
    page.get_by_role("tab", name=place, exact=True).click()
    page.locator(f".{place.lower()}").wait_for()


def test_a_row_leads_to_its_card_and_back(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address, viewport={"width": 1440, "height": 900})
    _enter(page, "Results")
    expect(page.locator(".results")).to_contain_text("Six patients.")
    table = page.locator("#results-page table").first
    expect(table.locator("tbody tr")).to_have_count(17)
    assert page.locator("#results-page .dots").first.locator(".dots-row").count() == 1 + 3  # a head and who has run

    table.locator("[data-card=sfan]").click()
    card = page.locator("#model-sfan")
    expect(card).to_have_attribute("open", "")
    expect(card.locator("summary").first).to_be_focused()
    expect(card).to_contain_text("71.0")
    expect(card).to_contain_text("V_l = σ(W₂ ReLU(W₁ GAP(H_(l+1))))")

    # A filter hides the others; a row of another paper takes it away again.
    page.get_by_role("button", name="S3 SFAN").click()
    expect(page.locator("details.model:visible")).to_have_count(4)
    expect(page.locator(".models .count")).to_have_text("4 models")
    card.get_by_role("link", name="Its line in Results").click()
    expect(table.locator("[data-card=sfan]")).to_be_focused()
    table.locator("[data-card=dtan]").click()
    expect(page.locator("#model-dtan")).to_have_attribute("open", "")
    expect(page.locator("details.model:visible")).to_have_count(17)


def test_cards_open_by_key_and_stay_open(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address)
    _enter(page, "Models")
    for spec in list_models():
        expect(page.locator(f"#model-{spec.name}")).to_contain_text(spec.title)
    page.locator("#model-unet64 summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#model-unet64")).to_have_attribute("open", "")
    _enter(page, "Results")
    _enter(page, "Models")
    expect(page.locator("#model-unet64")).to_have_attribute("open", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(
    address: str, open_page: Callable[..., Page], scheme: str
) -> None:
    page = open_page(address, viewport=PHONE, color_scheme=scheme, has_touch=True)
    tabs = page.locator("#places > .tab-wrapper button[role=tab]:visible")
    expect(tabs).to_have_text(["Learn", "Compare", "Models", "Results"])
    for place in ("Models", "Results"):
        _enter(page, place)
        page.evaluate("for (const one of document.querySelectorAll('article details')) one.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.locator(f"#{place.lower()}-page").evaluate(NAMELESS) == []


def test_missing_figures_are_one_sentence(
    serve: Callable[..., str], open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("LIVDEMO_RESULTS", str(tmp_path))
    page = open_page(serve(build_app().queue(), **launch_options()))
    page.get_by_role("tab", name="Results", exact=True).click()
    alert = page.locator("#results-page [role=alert]")
    expect(alert).to_contain_text("is missing; make it with `python -m train.results`")
