"""25 visitors step through slices of the wall: how many requests the server gets for it, and how long a step takes.

    python -m benchmarks.wall_visitors [--visitors 25] [--steps 40] [--minutes 8]

Starts the app on loopback and runs every trained model on the phantom once, so that all visitors find a full wall.
Each visitor is a browser context of its own, all open at the same time. They step one after the other, which is what
a class does on laptops of its own, and then all at once, which is what this one machine does for all of them.
A step is timed from the key to the frame in which its slice is drawn. A request is anything that a page sends from
the first step until half a second after the last. Needs chromium and requirements-dev.txt.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.viewer_scrub import BROWSER, SCRUB
from livdemo.checkpoints import read_manifest
from livdemo.ui import built_in
from livdemo.ui.app import build_app, launch_options
from livdemo.ui.compare import run_one

MOST_VISITORS, MOST_STEPS, MOST_MINUTES = 40, 200, 20
VIEWPORT: ViewportSize = {"width": 800, "height": 600}
VIEWER = "#wall-viewer .lv"
READY = f'{VIEWER}[data-ready="1"]'
QUIET_MS = 500  # more than the viewer waits before it would tell the server of a slice
PATIENCE_MS = 120_000
# Begins the steps and does not wait for their end, so that all visitors step at once; it leaves each step's
# milliseconds in window.stepTimes.
START = f"""(asked) => {{
  window.stepTimes = null;
  ({SCRUB})(asked).then((times) => {{ window.stepTimes = times; }});
}}"""


@dataclass(frozen=True)
class Scrubbed:
    """What some visitors' steps cost."""

    step_ms: list[float]
    requests: list[str]  # addresses

    def line(self, name: str) -> str:
        """The figures in words."""
        ordered = sorted(self.step_ms)
        worst = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
        return (
            f"{name}: {len(self.requests)} requests in {len(ordered)} steps; "
            f"a step {statistics.median(ordered):.1f} ms (median), {worst:.1f} ms (95 %)"
        )


def scrub(pages: Sequence[Page], steps: int) -> Scrubbed:
    """All pages step at the same time."""
    requests: list[str] = []

    def note(request: object) -> None:
        requests.append(str(getattr(request, "url", request)))

    for page in pages:
        page.on("request", note)
    for page in pages:
        page.evaluate(START, [VIEWER, steps])
    for page in pages:
        page.wait_for_function("window.stepTimes !== null", timeout=PATIENCE_MS)
    pages[0].wait_for_timeout(QUIET_MS)
    times = [time_ms for page in pages for time_ms in page.evaluate("window.stepTimes")]
    for page in pages:
        page.remove_listener("request", note)
    return Scrubbed(times, requests)


def open_visitor(browser: Browser, address: str) -> Page:
    """A new visitor in front of the full wall."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}?place=compare")
    page.locator(READY).wait_for()
    page.locator('#strip .ls[data-ready="1"]').wait_for()
    return page


@contextmanager
def served() -> Iterator[str]:
    """The app on loopback with a full wall on the phantom; its address."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIVDEMO_CACHE"] = folder
        for checkpoint in read_manifest():
            for _ in run_one(built_in.open_case("phantom"), checkpoint.model, True):
                pass
        app = build_app().queue()
        app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
        try:
            yield str(app.local_url)
        finally:
            app.close(verbose=False)


def open_class(browser: Browser, address: str, visitors: int, minutes: float) -> list[Page]:
    """As many visitors as come in within two thirds of the time."""
    began = time.monotonic()
    pages: list[Page] = []
    while len(pages) < visitors and time.monotonic() - began < minutes * 40:
        pages.append(open_visitor(browser, address))
    seconds = (time.monotonic() - began) / len(pages)
    print(f"{len(pages)} visitors of {visitors} are there, {seconds:.1f} s each, one after the other")
    return pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=25)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=8)
    asked = parser.parse_args()
    visitors, steps = min(max(asked.visitors, 1), MOST_VISITORS), min(max(asked.steps, 1), MOST_STEPS)
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=BROWSER)
        pages = open_class(browser, address, visitors, min(asked.minutes, MOST_MINUTES))
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        print(f"load before the first step: {load:.1f} per core of {os.cpu_count()}")
        turns = [scrub([page], steps) for page in pages]
        alone = Scrubbed(
            [ms for turn in turns for ms in turn.step_ms], [url for turn in turns for url in turn.requests]
        )
        print(alone.line("one after the other"))
        together = scrub(pages, steps)
        print(together.line("all at once"))
        browser.close()
    if alone.requests or together.requests:
        raise SystemExit(f"a step asked the server: {(alone.requests + together.requests)[0]}")


if __name__ == "__main__":
    main()
