"""The pictures of the page: slices of the CT as lossless PNG, each stored once, with masks drawn over them as SVG.

    album = draw_album(comparison)
    album.common, album.of_model[k]     # figures: the slice that all models share, and the k-th model's own
    album.definitions                   # what they refer to; belongs into the page once

Contours run along the edges of pixels, so that they stay sharp in print. Colours are overlay's; hatching and dots
say the same without colour.
"""

import base64
import html
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from livdemo import overlay
from livdemo.cases import Case
from livdemo.comparison import Comparison, Result
from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.metrics import Witness
from livdemo.volume import Volume

from .figures import significant
from .key_slices import Shot, common_shot, for_model, frame_of, own_shots
from .outline import outline
from .provenance import is_trained

PICTURE_BYTES = 2_200_000  # of the page's 3 MB; what is drawn after that is left out and named
RAGGED_EDGES = 30_000  # pixel edges of a mask in a slice; a mask of random weights can be dust, and its path is huge

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Figure:
    """One slice of one model, drawn. Empty pictures: there was no room for it."""

    shot: Shot
    pictures: tuple[str, ...]  # SVG


@dataclass
class Album:
    """All figures of a page, and what several of them refer to."""

    window: str
    width: float  # of a picture in its own units
    common: list[Figure]  # per model, all of one slice
    of_model: list[list[Figure]]
    plain: str  # the common slice with nothing drawn, and with the reference alone
    definitions: str


def draw_album(comparison: Comparison) -> Album:
    """Choose the slices of every model and draw them, the shared one first, as long as there is room."""
    case, results = comparison.case, comparison.results
    common = common_shot(comparison)
    shots = [own_shots(result) for result in results]
    indices = {common.index, *(shot.index for own in shots for shot in own)}
    liver = results[0].prediction.label_map if case.reference is None else case.reference
    window, words = display_window(case.volume, liver == 1)
    sheet = Sheet(case, frame_of(comparison, sorted(indices)), window)
    plain = sheet.draw_plain(common)
    shared = [sheet.draw(for_model(common, result), result) for result in results]
    drawn: list[list[Figure]] = [[] for _ in results]
    for rank in range(max(map(len, shots), default=0)):  # every model's first before any model's second
        for own, figures, result in zip(shots, drawn, results, strict=True):
            if rank < len(own):
                figures.append(sheet.draw(own[rank], result))
    return Album(words, sheet.width, shared, drawn, plain, sheet.definitions())


def display_window(volume: Volume, liver: np.ndarray) -> tuple[Window, str]:
    """The window of the pictures and a sentence about it. liver: bool (Z, Y, X), empty where nobody knows.

    The liver window; moved to the liver's own median where contrast medium would show it white. An MR has no HU: it
    is shown from dark to bright.
    """
    if volume.modality == "MR":
        low, high = np.percentile(volume.hu[:: max(1, len(volume.hu) // 16)], (1, 99))
        window = Window((low + high) / 2, max(high - low, 1.0))
        return window, "The grey runs from the 1st to the 99th percentile of the scan"
    window = NAMED_WINDOWS["liver"]
    median = float(np.median(volume.hu[liver])) if liver.any() else window.center
    if abs(median - window.center) <= window.width / 4:
        return window, f"Liver window: {window.width:g} HU wide around {window.center:g} HU"
    window = Window(round(median, -1), window.width)
    words = f"Liver window, {window.width:g} HU wide, moved to {window.center:g} HU, where half of this liver is darker"
    return window, words


@dataclass
class Sheet:
    """The slices of one case on one frame. Each CT slice and its reference contours are stored once."""

    case: Case
    frame: tuple[slice, slice]
    window: Window
    bytes: int = 0
    stored: dict[int, str] = field(default_factory=dict)  # by slice: the symbols that pictures refer to

    def __post_init__(self) -> None:
        rows, columns = self.frame
        self.spacing = self.case.volume.spacing_mm[1:]  # (y, x)
        self.size = (columns.stop - columns.start, rows.stop - rows.start)  # width, height in pixels
        self.width, self.height = self.size[0] * self.spacing[1], self.size[1] * self.spacing[0]

    def draw(self, shot: Shot, result: Result) -> Figure:
        """Contours and, with a reference, errors of one slice; no picture where that would make the page too large."""
        prediction = result.prediction.label_map[shot.index]
        if sum(np.count_nonzero(np.diff(prediction[self.frame], axis=axis)) for axis in (0, 1)) > RAGGED_EDGES:
            return Figure(shot, ())
        layers = [self._contours(prediction)]
        if self.case.reference is not None:
            layers.append(self._errors(prediction, shot))
        stamp = "" if is_trained(result.prediction) else self._text(0.98, 0.07, "UNTRAINED", "end")
        line = self._witness(shot.witness) if shot.witness else ""
        words = (f"{result.prediction.checkpoint.title}, slice {shot.index + 1}: ", ("contours", "errors"))
        pictures = tuple(
            self._picture(shot.index, layer, line + stamp, words[0] + kind)
            for layer, kind in zip(layers, words[1], strict=False)
        )
        new = {} if shot.index in self.stored else {shot.index: self._store(shot.index)}
        cost = sum(map(len, (*pictures, *new.values())))
        if self.bytes + cost > PICTURE_BYTES:
            return Figure(shot, ())
        self.bytes += cost
        self.stored |= new
        return Figure(shot, pictures)

    def draw_plain(self, shot: Shot) -> str:
        """The slice with nothing drawn and, if there is one, with its reference."""
        self.stored[shot.index] = self._store(shot.index)
        self.bytes += len(self.stored[shot.index])
        name = f"Slice {shot.index + 1}"
        plain = self._picture(shot.index, "", "", f"{name}, nothing drawn", reference=False)
        if self.case.reference is None:
            return plain
        return plain + self._picture(shot.index, "", "", f"{name}, reference")

    def definitions(self) -> str:
        """Slices and patterns; in the page, but of no size."""
        period = self.width / 70
        hatch, dots = _hex(overlay.FALSE_POSITIVE), _hex(overlay.FALSE_NEGATIVE)
        box = f"width='{period:.2f}' height='{period:.2f}' patternUnits='userSpaceOnUse'"
        return (
            "<svg class=defs width=0 height=0 aria-hidden=true>"
            f"<pattern id=hatch {box} patternTransform='rotate(45)'><rect width='{period:.2f}' height='{period:.2f}' "
            f"fill='{hatch}' opacity='{overlay.FILL_OPACITY}'/><rect width='{period * 0.4:.2f}' "
            f"height='{period:.2f}' fill='{hatch}'/></pattern>"
            f"<pattern id=dots {box}><rect width='{period:.2f}' height='{period:.2f}' fill='{dots}' "
            f"opacity='{overlay.FILL_OPACITY}'/><circle cx='{period / 2:.2f}' cy='{period / 2:.2f}' "
            f"r='{period * 0.27:.2f}' fill='{dots}'/></pattern>{''.join(self.stored.values())}</svg>"
        )

    def _store(self, k: int) -> str:
        """The slice as grey PNG and its reference contours, in pixels of the frame."""
        grey = np.rint(self.window(self.case.volume.hu[k][self.frame]) * 255).astype(np.uint8)
        png = cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        width, height = self.size
        image = (
            f"<image id=ct{k} width={width} height={height} preserveAspectRatio=none "
            f"href='data:image/png;base64,{base64.b64encode(png).decode()}'/>"
        )
        if self.case.reference is None:
            return image
        paths = "".join(f"<path d='{outline(mask)}'/>" for _, mask in self._masks(self.case.reference[k]))
        uses = f"<use href='#rim{k}' class=halo /><use href='#rim{k}' class=truth />"
        return f"{image}<g id=rim{k}>{paths}</g><g id=truth{k}>{uses}</g>"

    def _masks(self, labels: np.ndarray) -> Iterator[tuple[str, BoolArray]]:
        """Liver (tumour included) and tumour of one slice, cut to the frame."""
        cut = labels[self.frame]
        yield "liver", cut >= 1
        yield "tumour", cut == 2

    def _contours(self, prediction: np.ndarray) -> str:
        paths = (f"<path class=halo d='{d}'/><path class={name} d='{d}'/>" for name, d in self._outlines(prediction))
        return "".join(paths)

    def _outlines(self, prediction: np.ndarray) -> Iterator[tuple[str, str]]:
        for name, mask in self._masks(prediction):
            if mask.any():
                yield name, outline(mask)

    def _errors(self, prediction: np.ndarray, shot: Shot) -> str:
        assert self.case.reference is not None
        found = dict(self._masks(prediction))[shot.label]
        true = dict(self._masks(self.case.reference[shot.index]))[shot.label]
        parts = (("right", found & true), ("extra", found & ~true), ("missed", ~found & true))
        return "".join(f"<path class={name} d='{outline(mask)}'/>" for name, mask in parts if mask.any())

    def _picture(self, k: int, layer: str, above: str, words: str, reference: bool = True) -> str:
        """The slice, the reference, one layer in pixels, and what is measured in mm above them."""
        truth = f"<use href='#truth{k}'/>" if reference and self.case.reference is not None else ""
        scale = f"{self.spacing[1]:.5g} {self.spacing[0]:.5g}"
        return (
            f"<svg class=slice viewBox='0 0 {self.width:.5g} {self.height:.5g}' role=img aria-label='{_e(words)}'>"
            f"<g transform='scale({scale})'><use href='#ct{k}'/>{layer}{truth}</g>{above}{self._scale_bar()}</svg>"
        )

    def _scale_bar(self) -> str:
        """5 cm, or nothing where the spacing is not known."""
        if not self.case.volume.spacing_known or self.width < 80:
            return ""
        x, y = self.width * 0.03, self.height - self.width * 0.03
        return f"<path class=bar d='M{x:.4g} {y:.4g}h50'/>" + self._text(
            0.03, 1 - 0.045 * self.width / self.height, "5 cm"
        )

    def _witness(self, witness: Witness) -> str:
        """A line between the two voxels, seen from below; it has its whole length only within one slice."""
        rows, columns = self.frame
        ends = [
            ((x - columns.start + 0.5) * self.spacing[1], (y - rows.start + 0.5) * self.spacing[0])
            for _, y, x in (witness.voxel, witness.nearest_voxel)
        ]
        (x0, y0), (x1, y1) = ends
        unit = "mm" if self.case.volume.spacing_known else "voxels"
        beyond = " beyond" if witness.voxel[0] != witness.nearest_voxel[0] else ""
        d = f"M{x0:.5g} {y0:.5g}L{x1:.5g} {y1:.5g}"
        words = f"{significant(witness.distance_mm)} {unit}"
        right = (x0 + x1) / 2 < self.width * 0.75
        across = ((x0 + x1) / 2 + (0.02 if right else -0.02) * self.width) / self.width
        down = min(max((y0 + y1) / 2 / self.height, 0.1), 0.98)
        return (
            f"<path class=halo d='{d}'/><path class='witness{beyond}' d='{d}'/>"
            f"<circle class=lonely cx='{x0:.5g}' cy='{y0:.5g}' r='{self.width / 90:.3g}'/>"
            + self._text(across, down, words, "start" if right else "end")
        )

    def _text(self, across: float, down: float, words: str, anchor: str = "start") -> str:
        """Words at a share of width and height."""
        return (
            f"<text x='{across * self.width:.4g}' y='{down * self.height:.4g}' font-size='{self.width / 24:.3g}' "
            f"text-anchor={anchor}>{_e(words)}</text>"
        )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)
