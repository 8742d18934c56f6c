"""The stages of the preprocessing of one slice, each as its picture and its histogram."""

import base64
import html

import cv2
import numpy as np

from livdemo.intensity import Preprocessing, Step, Window

WIDTH, HEIGHT = 240, 72  # of the histogram's drawing, in its own units
HU_SHOWN = (-200, 400)  # of the first histogram: air would dwarf everything

EXPLAINED = {
    "original": "Hounsfield units as the scanner measured them, drawn over the widest useful range.",
    "windowed": "Everything below the window is black, everything above it white; the greys in between "
    "are spread over what matters.",
    "equalised": "Grey levels that many pixels share are pulled apart. The mapping depends on the whole "
    "slice: the same tissue can get another grey in the next one.",
    "resized": "Padded with black to a square and resized to what the network takes.",
}


def steps_html(hu: np.ndarray, preprocessing: Preprocessing, spacing_yx: tuple[float, float]) -> str:
    """Figures for one slice (Y, X): original, windowed, equalised if it is, and the network's input."""
    aspect = (hu.shape[1] * spacing_yx[1]) / (hu.shape[0] * spacing_yx[0])
    figures = [_figure(step, preprocessing.window, aspect) for step in preprocessing.steps(hu)]
    return f"<div class='steps'>{''.join(figures)}</div>"


def _figure(step: Step, window: Window, aspect: float) -> str:
    picture = Window(100, 1000)(step.image) if step.name == "original" else np.clip(step.image, 0, 1)
    shape = 1.0 if step.name == "resized" else aspect
    return (
        f"<figure class='step' data-step='{step.name}'><img alt='{html.escape(step.title)}' "
        f"style='aspect-ratio:{shape:.4f}' src='data:image/png;base64,{_png(picture)}'>"
        f"<figcaption><b>{html.escape(step.title)}</b>{_histogram(step, window)}"
        f"<span>{EXPLAINED[step.name]}</span></figcaption></figure>"
    )


def _png(image: np.ndarray) -> str:
    """Lossless: here pixels carry meaning."""
    grey = np.rint(image * 255).astype(np.uint8)
    return base64.b64encode(cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()).decode()


def _histogram(step: Step, window: Window) -> str:
    """Bars of the image's values; air and the darkest grey are left out of the scale, not of the count."""
    in_hu = step.name == "original"
    low, high = HU_SHOWN if in_hu else (0.0, 1.0)
    counts, _ = np.histogram(step.image, bins=60, range=(low, high))
    top = max(int(np.sort(counts[1:])[-1]), 1)  # the first bin holds what the window made black
    bar = WIDTH / len(counts)
    bars = "".join(
        f"<rect x='{i * bar:.1f}' width='{bar:.1f}' y='{HEIGHT - h:.1f}' height='{h:.1f}'/>"
        for i, h in enumerate(np.minimum(counts / top, 1) * HEIGHT)
    )
    band = ""
    if in_hu:
        left, right = (np.clip((x - low) / (high - low), 0, 1) * WIDTH for x in (window.low, window.high))
        band = f"<rect class='band' x='{left:.1f}' width='{right - left:.1f}' y='0' height='{HEIGHT}'/>"
    ends = f"{low:g}", f"{high:g}"
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT + 14}' role='img' aria-label='histogram of {html.escape(step.unit)}'>"
        f"{band}<g class='bars'>{bars}</g><text x='0' y='{HEIGHT + 11}'>{ends[0]}</text>"
        f"<text x='{WIDTH / 2}' y='{HEIGHT + 11}' text-anchor='middle'>{html.escape(step.unit)}</text>"
        f"<text x='{WIDTH}' y='{HEIGHT + 11}' text-anchor='end'>{ends[1]}</text></svg>"
    )
