"""The page in German in a real browser: who speaks it finds it so, can go back, and little English is left over."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from livdemo.ui.language import catalogue_path
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.steps import QUIET
from tests.test_language import PLACEHOLDER

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)
RUN_MS = 180_000
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

# What can be seen, word for word, as far as it is not marked as English or as a name.
TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = new Set();
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (parent.closest("script, style, code, pre, kbd, [lang]:not(html), [translate=no]")) continue;
    if (!parent.getClientRects().length) continue;
    texts.add(walker.currentNode.data.replace(/\\s+/g, " ").trim());
  }
  return [...texts].filter((text) => /\\p{L}{2}/u.test(text));
}"""

# English, or the same in both languages, and why it may be.
ALLOWED = {
    "a name": r"livdemo|.*U-?Net(\b|_).*|(SFAN|DTAN|C-LSTM|LT-Net)\b.*|DPC-Net|DeepLabv3|S\d( .*)?|STAPLE|CLAHE",
    "a data set, and figures of it": r"(chaos|lowres|ircad\w*|lits\w*|msd\w*|P\d+|phantom \d+)\b.*",
    "a unit": r"[\d.,+−/ ×]*(HU|mm|mL|KB|MB|GB|W|L|CPU|bit)( .*)?",
    "a metric that has no other name": r"(Dice|IoU|HD|HD95|ASSD|NSD)( mm| \d.*)?( ↑| ↓)?",
    "the patient's sides": r"[RLAP]",
    "a key": r"Esc|H / Esc",
    "words of an upload or of the manifest": r"3D \d.*|(Teaching|Lizenz).*",
    "a state of the results": r"ok",
    "a file's name and ending": r"metrics|lesions|comparison|report|greys\.nii|\.(csv|json|gz|html)",
    "the two networks of this test, and what they say of themselves": r"Greys|Tumourless|Nothing: written by hand\.|"
    r"It only looks at the grey\.",
    "gradio's own sign of waiting, for a moment": r"(processing|queue)\b.*",
    "a machine": r"cpu, \d threads(; cpu, \d threads)*",
    "of the training log": r"(Plan|\d+ Läufe).*",
}


@pytest.fixture(scope="module")
def address(two_models: str) -> str:
    return two_models


def _german(page: Page) -> None:
    page.locator('#viewer .lv[data-ready="1"]').wait_for()
    expect(page.locator("html")).to_have_attribute("lang", "de")


def _left_over(page: Page, place: str) -> list[str]:
    """Texts in view that the catalogue did not make, and that are not allowed to stay."""
    made = [_expression(text) for text in json.loads(catalogue_path("de").read_text("utf-8")).values()]
    known = [re.compile(one) for one in (*ALLOWED.values(), *made)]
    return [f"{place}: {text}" for text in page.evaluate(TEXTS) if not _is_known(text, known)]


def _expression(translation: str) -> str:
    return ".+".join(re.escape(part) for part in PLACEHOLDER.split(translation))


def _is_known(text: str, known: list[re.Pattern[str]]) -> bool:
    """As a whole, or sentence by sentence and part by part, as language.js puts them together."""
    if any(one.fullmatch(text) for one in known):
        return True
    parts = re.split(r" · |(?<=[.?)]) (?=[A-ZÄÖÜ★(])", text)
    return len(parts) > 1 and all(not re.search(r"\w{2}", part) or _is_known(part, known) for part in parts)


def test_who_speaks_german_finds_the_page_german(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address, viewport=DESKTOP, locale="de-DE")
    _german(page)
    expect(page.locator("#language")).to_have_value("de")
    for name in ("Lernen", "Vergleich", "Modelle", "Ergebnisse"):
        expect(page.get_by_role("tab", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("combobox", name="Fall")).to_have_value(re.compile("^Phantom: ein erfundener Bauch"))
    page.get_by_role("tab", name="4 Netz").click()
    expect(page.locator("#run")).to_have_text("Starten")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(
        re.compile(r"Fertig: 64 Schichten in [\d.]+ s auf CPU"), timeout=RUN_MS
    )
    page.get_by_role("tab", name="5 Werte").click()
    expect(page.locator(".card[data-label=liver]")).to_contain_text("Leber")
    page.get_by_role("button", name="Alle Werte und was sie bedeuten").click()
    expect(page.locator("table.scores th").first).to_have_text("Ganzes Volumen")

    # What changes with every slice is followed, and a step asks the server for nothing but its figures.
    viewer = page.locator("#viewer .lv")
    k = int(str(viewer.get_attribute("data-slice")))
    page.locator("#viewer .lv-grid").focus()
    page.keyboard.press("ArrowUp")  # towards the head; the words count from 1
    expect(page.locator("#viewer .lv-position")).to_contain_text(f"Schicht {k + 2} / 64")

    left = _left_over(page, "Lernen")
    for name in ("Ergebnisse", "Modelle"):
        page.get_by_role("tab", name=name, exact=True).click()
        page.locator(".results" if name == "Ergebnisse" else ".models").wait_for()
        left += _left_over(page, name)
    page.get_by_role("tab", name="Vergleich", exact=True).click()
    page.locator("#wall-run").click()  # one of the two models ran on Learn
    expect(page.locator("#wall-status")).to_contain_text("Fertig: 1 Modell, 64 Schichten", timeout=RUN_MS)
    page.locator('#strip .ls[data-ready="1"]').wait_for()
    heads = page.locator("#wall-scores thead")
    expect(heads).to_contain_text("Leber, mit Tumoren")
    expect(heads.locator("button").first).to_have_attribute(
        "title", re.compile("^Zweimal das gemeinsame Volumen.*Sortieren")
    )
    left += _left_over(page, "Vergleich")
    assert not left, "\n".join(left)


def test_the_list_goes_back_and_forth_without_the_server(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address, viewport=DESKTOP, locale="de-DE")
    _german(page)
    title, case = page.locator("#viewer .lv-gap"), page.locator("#case input")
    page.get_by_role("tab", name="3 Ausgleich").click()
    window = page.get_by_role("combobox", name="Fenster (Breite / Lage in HU)")
    window.click()
    page.get_by_role("option", name="Leber 150 / 30").click()
    expect(window).to_have_value("Leber 150 / 30")
    expect(
        page.locator("figure.step", has_text="Fenster 150 / 30")
    ).to_be_visible()  # after all that the start asks for
    page.wait_for_function(QUIET)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    picker = page.get_by_role("combobox", name="Sprache")
    picker.focus()
    expect(picker).to_be_focused()
    picker.select_option("English")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_be_visible()
    expect(title).to_have_attribute("title", re.compile("^The Hausdorff distance"))
    expect(case).to_have_value(re.compile("^Phantom: an invented abdomen"))
    expect(page.get_by_role("combobox", name="Window (width / level in HU)")).to_have_value("liver 150 / 30")
    assert page.evaluate(TEXTS).count("Lernen") == 0
    page.get_by_role("combobox", name="Language").select_option("Deutsch")
    expect(page.get_by_role("tab", name="Vergleich", exact=True)).to_be_visible()
    expect(title).to_have_attribute("title", re.compile("^Die Hausdorff-Distanz"))
    assert asked == []

    # The choice is kept for the next visit; the address comes first.
    page.get_by_role("combobox", name="Sprache").select_option("English")
    expect(page.locator("html")).to_have_attribute("lang", "en")  # or the next tab may open before it is kept
    again = page.context.new_page()
    again.goto(address)
    expect(again.locator("html")).to_have_attribute("lang", "en")
    expect(again.get_by_role("tab", name="Compare", exact=True)).to_be_visible()
    linked = page.context.new_page()
    linked.goto(f"{address}?lang=de")
    _german(linked)


def test_the_page_names_its_language_whatever_gradio_says(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{address}?lang=en", viewport=DESKTOP, locale="de-DE")
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_be_visible()
    page.wait_for_function(QUIET)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.evaluate("document.documentElement.lang = 'de'")  # as gradio does, early or late
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_english_visitors_fetch_no_catalogue(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address, viewport=DESKTOP)
    page.locator('#viewer .lv[data-ready="1"]').wait_for()
    fetched = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert fetched
    assert not [url for url in fetched if "languages" in url]
    expect(page.get_by_role("tab", name="Learn", exact=True)).to_be_visible()


def test_a_phone_needs_no_scrolling_sideways_in_german(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{address}?lang=de", viewport=PHONE)
    _german(page)
    for name in ("Lernen", "Vergleich", "Modelle", "Ergebnisse"):
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
