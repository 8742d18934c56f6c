"""python -m tests.e2e.screenshots: the README's pictures, taken from the running app, into docs/."""

import re
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from livdemo.ui.app import build_app, launch_options
from tests.e2e.conftest import CHROMIUM, PATIENCE_MS

DOCS = Path(__file__).parent.parent.parent / "docs"
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def main() -> None:
    """Phantom on a desktop (light and dark) and on a phone, before and after a run."""
    app = build_app().queue()
    app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    DOCS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        for name, viewport, scheme in (
            ("desktop", DESKTOP, "light"),
            ("dark", DESKTOP, "dark"),
            ("phone", PHONE, "light"),
        ):
            page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(str(app.local_url))
            _tour(page, name)
            page.context.close()
        browser.close()
    app.close(verbose=False)


def _tour(page: Page, name: str) -> None:
    page.locator('#viewer .lv[data-ready="1"]').wait_for()
    _shot(page, f"look-{name}")
    if name == "desktop":
        _step(page, "Equalise")
        page.locator("figure.step").nth(3).wait_for()
        _shot(page, f"equalise-{name}")
    _step(page, "Segment")
    page.locator("#run").click()
    if name == "desktop":
        page.wait_for_timeout(3000)
        _shot(page, f"segment-{name}")
    page.get_by_text("Done: 64 slices").wait_for(timeout=5 * PATIENCE_MS)
    page.get_by_role("group", name="Overlay").get_by_role("button", name="Errors").click()
    _step(page, "Score")
    page.locator(".card[data-label=liver]").wait_for()
    if name == "phone":
        page.locator("#steps").scroll_into_view_if_needed()
    _shot(page, f"score-{name}")
    _compare(page, name)


def _compare(page: Page, name: str) -> None:
    """The wall with every trained model."""
    page.get_by_role("tab", name="Compare").click()
    page.locator('#wall-viewer .lv[data-ready="1"]').wait_for()
    page.locator("#wall-run").click()
    page.get_by_text(re.compile("Done: |has run on this case")).last.wait_for(timeout=30 * PATIENCE_MS)
    page.locator('#strip .ls[data-ready="1"]').wait_for()
    page.locator("#wall-viewer").scroll_into_view_if_needed()
    _shot(page, f"wall-{name}")
    for place in ("Models", "Results") if name == "desktop" else ():
        page.get_by_role("tab", name=place, exact=True).click()
        page.locator(f".{place.lower()}").wait_for()
        page.locator("#places").scroll_into_view_if_needed()
        _shot(page, f"{place.lower()}-{name}")


def _step(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def _shot(page: Page, name: str) -> None:
    page.wait_for_timeout(800)  # the plot's and the tabs' own animations
    page.screenshot(path=DOCS / f"{name}.png")


if __name__ == "__main__":
    main()
