"""What one step through the slices costs in the viewer, with 1, 2 and 6 panes of 512×512, without a GPU.

    python -m benchmarks.viewer_scrub [--steps 120] [--mode fill]

All figures are milliseconds a step. `script` and `main` are processor time of the page's main thread: JavaScript
(greys, scaling, overlays, histogram), and everything (with style, layout and painting). `frame` is what passes
until the step is on the screen, rasterised, with the browser's frame limit off; it also counts whatever else
the machine does. A screen of 60 Hz leaves 16.7 ms. Needs chromium and requirements-dev.txt.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Literal, get_args

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import numpy as np
from playwright.sync_api import CDPSession, Page, sync_playwright

from livdemo.intensity import Window
from livdemo.ui.viewer import REFERENCE, Overlay, Pane, ct_viewer, viewer_value
from livdemo.volume import Volume, volume_from_hu

Mode = Literal["contour", "fill", "errors"]
SHAPE = (40, 512, 512)
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
BROWSER += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
NO_FRAME_LIMIT = ["--disable-frame-rate-limit", "--disable-gpu-vsync"]

# Steps a viewer to the next slice, up and down again, one a drawn frame; returns the milliseconds of each.
SCRUB = """async ([selector, steps]) => {
  const viewer = document.querySelector(selector), grid = viewer.querySelector(".lv-grid");
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  let key = "ArrowUp";
  await frame();
  for (let i = 0; i < steps; i++) {
    const began = performance.now(), before = viewer.dataset.slice;
    grid.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await frame();
    times.push(performance.now() - began);
    if (viewer.dataset.slice === before) key = key === "ArrowUp" ? "ArrowDown" : "ArrowUp";
  }
  return times;
}"""


def body(panes: int) -> tuple[Volume, list[Pane]]:
    """A noisy ellipse with a liver-sized and a tumour-sized blob; each pane's outline a little elsewhere."""
    z, y, x = np.indices(SHAPE, sparse=True)
    noise = np.random.default_rng(0).normal(0, 20, SHAPE[1:])
    inside = ((y - 256) / 170) ** 2 + ((x - 256) / 230) ** 2 < 1
    hu = (np.where(inside, 60, -1000) + noise + z).astype(np.int16)
    wobble = 6 * np.sin(np.arctan2(y - 250, x - 180) * 25)
    labels = []
    for i in range(panes):
        distance = np.hypot(y - 250 - 3 * i, x - 180 - 2 * i) + wobble + 0 * z
        labels.append(((distance < 110).astype(np.uint8) + (distance < 25)).astype(np.uint8))
    volume = volume_from_hu(hu, (2.0, 0.7, 0.7))
    names = [REFERENCE, *(f"model {i}" for i in range(1, panes))]
    return volume, [Pane(name, name, label_map=one) for name, one in zip(names, labels, strict=True)]


def processor_ms(session: CDPSession) -> dict[str, float]:
    """Processor time of the page's main thread so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return {"script": 1000 * metrics["ScriptDuration"], "main": 1000 * metrics["TaskDuration"]}


def measure(page: Page, panes: int, mode: Mode, steps: int, folder: Path) -> dict[str, float]:
    """Milliseconds a step: script, main and frame."""
    volume, shown = body(panes)
    value = viewer_value(volume, shown, folder, 0, Window(40, 400), Overlay(mode))
    with gr.Blocks(analytics_enabled=False) as app:
        ct_viewer(value)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
    page.goto(url)
    page.wait_for_selector('.lv[data-ready="1"]')
    # Every pane exactly 512 pixels wide, three in a row: the layout is not what is measured.
    page.add_style_tag(
        content=f"""
        .lv-well {{ width: 512px !important; height: 512px !important; max-height: none !important; }}
        .lv-grid {{ grid-template-columns: repeat({min(panes, 3)}, 512px) !important; }}"""
    )
    page.wait_for_function("document.querySelector('.lv-canvas').width === 512")
    page.evaluate(SCRUB, [".lv", 30])  # compile, fault in
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = processor_ms(session)
    times = page.evaluate(SCRUB, [".lv", steps])
    after = processor_ms(session)
    app.close(verbose=False)
    return {name: (after[name] - before[name]) / steps for name in after} | {"frame": statistics.median(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--mode", choices=get_args(Mode), default="fill")
    arguments = parser.parse_args()
    print(f"{'panes':>5} {'script':>8} {'main':>8} {'frame':>8}   (ms a step, {arguments.mode})")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*BROWSER, *NO_FRAME_LIMIT])
        for panes in (1, 2, 6):
            page = browser.new_page(viewport={"width": 1700, "height": 1300})
            result = measure(page, panes, arguments.mode, arguments.steps, Path(folder))
            print(f"{panes:>5} {result['script']:>8.1f} {result['main']:>8.1f} {result['frame']:>8.1f}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
