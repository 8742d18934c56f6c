"""The slice viewer: the volume goes to the browser once, every step through it happens there.

    viewer = ct_viewer()
    handler(...) -> viewer_value(volume, [Pane("reference", "Reference", label_map=...), ...], folder)
    viewer.slice(on_slice, ...)     # on_slice(event: gr.EventData): parse_slice(event, depth)
    viewer.window(on_window, ...)   # on_window(event: gr.EventData): parse_window(event)

The events come 150 ms after the last change. Listen with trigger_mode="always_last": gradio's default drops
what comes while the handler is busy, and Python would be left with an older slice than the one on the screen.
The content of an event is whatever anybody sends, hence the parsers.
"""

import hashlib
import math
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np

from livdemo.errors import InputError
from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.overlay import FILL_OPACITY
from livdemo.volume import Volume

HU_MIN, HU_MAX = -1024, 3071  # what is sent: the 12 bits of a CT; beyond them the cursor says ≤ or ≥
REFERENCE = "reference"  # the pane of this id is what the others are compared with

_HERE = Path(__file__).parent
_SCRIPTS = ("load", "labels", "draw", "witness", "histogram", "input", "panes")  # viewer_NAME.js; viewer.js comes last
MAX_LEVELS = 64  # of a map: each has a colour of its own


@dataclass(frozen=True)
class Level:
    """One step of a map that is no label map, such as "3 of 5 models"."""

    name: str
    colour: str  # "#rrggbb"


@dataclass(frozen=True, eq=False)
class PaneDice:
    """Dice of one label: of every slice, so that the browser need not ask, and of the volume. NaN is n/a."""

    label: str
    slices: np.ndarray  # float (Z,)
    volume: float


@dataclass(frozen=True)
class PaneWitness:
    """The two voxels between which one label's Hausdorff distance is measured."""

    label: str
    ends: tuple[tuple[int, int, int], tuple[int, int, int]]  # (z, y, x): the lonely voxel, and the nearest to it
    whose: str  # the lonely voxel's mask: prediction | reference
    words: str  # "41.0 mm", as in the tables


@dataclass(frozen=True, eq=False)
class Pane:
    """One picture of the viewer. All panes show the same slice, window and zoom."""

    id: str  # keeps its place and zoom while the id stays; REFERENCE is the one to compare with
    title: str
    note: str = ""  # small, beside the title
    label_map: np.ndarray | None = None  # uint8 (Z, Y, X): 0 background, 1 liver, 2 tumour
    finished: np.ndarray | None = None  # bool (Z,): slices that a running model has done
    empty_text: str = ""  # said on the picture while there is no label map
    hint: str = ""  # where it comes from, on hover
    kind: str = "model"  # for the look: model | consensus | map | reference
    dice: tuple[PaneDice, ...] = ()
    witnesses: tuple[PaneWitness, ...] = ()
    levels: tuple[Level, ...] = ()  # then label_map holds numbers of these levels; level 0 is not painted


@dataclass(frozen=True)
class Overlay:
    """How label maps are drawn when a case is opened; afterwards it is the visitor's choice."""

    mode: Literal["contour", "fill", "errors"] = "contour"
    opacity: float = FILL_OPACITY
    liver: bool = True
    tumour: bool = True


def ct_viewer(value: dict[str, Any] | None = None, histogram: bool = True, **kwargs: Any) -> gr.HTML:
    """The viewer as a gradio component; kwargs go to gr.HTML (elem_id, visible, ...).

    histogram: whether the slice's histogram is open at first; the visitor folds it in and out.
    A factory and not a subclass: gradio writes a .pyi beside the source of a subclass.
    """
    return gr.HTML(
        value,
        html_template=_template(histogram),
        css_template=(_HERE / "viewer.css").read_text("utf-8"),
        js_on_load=_script(),
        apply_default_css=False,
        **kwargs,
    )


def _template(histogram: bool) -> str:
    presets = "".join(
        f"<button type='button' aria-pressed='false' data-center='{window.center:g}' data-width='{window.width:g}' "
        f"title='{window.width:g} HU wide around {window.center:g} (key {key})'>{name}</button>"
        for key, (name, window) in enumerate(NAMED_WINDOWS.items(), start=1)
    )
    template = (_HERE / "viewer.html").read_text("utf-8").replace("<!--presets-->", presets)
    if histogram:
        return template
    template = template.replace(
        'class="lv-icon lv-fold" aria-expanded="true"', 'class="lv-icon lv-fold" aria-expanded="false"'
    )
    return template.replace('<div class="lv-histogram">', '<div class="lv-histogram" hidden>')


def _script() -> str:
    """All parts as one function body, since gradio evaluates them as one and they share no globals."""
    files = ["link.js", *(f"viewer_{name}.js" for name in _SCRIPTS), "viewer.js"]
    return "\n".join((_HERE / name).read_text("utf-8") for name in files)


def viewer_value(
    volume: Volume,
    panes: Sequence[Pane],
    folder: Path,
    slice_index: int | None = None,
    window: Window = NAMED_WINDOWS["abdomen"],
    overlay: Overlay = Overlay(),
    linked: bool = False,
) -> dict[str, Any]:
    """What the viewer shows, as the component's value; the arrays are written to `folder` and named there.

    slice_index, window and overlay count when the volume is another one than before; as long as it stays,
    the visitor's slice, window, zoom and overlay stay. Without a slice_index the viewer opens the slice with the
    largest reference, else the largest labelled area of any pane, else the middle; from there it goes to the largest
    labelled area when there is one, unless the visitor has chosen a slice. Files are named by their content, so the
    browser fetches only what has changed. HU are clamped to −1024 … 3071.

    linked: slice and window are shared with whatever else on the page is linked and shows this volume (link.js).
    folder: the visitor's own; it has to lie in the temporary or working directory, or gradio refuses it.
    Returns: volume and panes[].labels as {key, bytes, file: gradio's FileData}; shape (Z, Y, X); spacing_mm
    (z, y, x) or None when it is not known; unit; slice; window; overlay; reference (a pane's id, or None);
    panes[].finished as a string of 0 and 1, one per slice. Raises ValueError when a pane's arrays do not fit.
    """
    _check(volume, panes)
    folder.mkdir(parents=True, exist_ok=True)
    depth = len(volume.hu)
    with_reference = any(pane.id == REFERENCE and pane.label_map is not None for pane in panes)
    chosen = _largest_slice(panes, depth) if slice_index is None else _clamp(slice_index, 0, depth - 1)
    return {
        "volume": _file(folder, "volume", volume.hu, pack_volume),
        "shape": list(volume.hu.shape),
        "spacing_mm": [float(step) for step in volume.spacing_mm] if volume.spacing_known else None,
        "unit": "(no unit)" if volume.modality == "MR" else "HU",
        "slice": chosen,
        "window": {"center": float(window.center), "width": float(window.width)},
        "overlay": asdict(overlay),
        "linked": linked,
        "reference": REFERENCE if with_reference else None,
        "panes": [pane_value(pane, folder) for pane in panes],
    }


def _check(volume: Volume, panes: Sequence[Pane]) -> None:
    shape = volume.hu.shape
    if len({pane.id for pane in panes}) != len(panes):
        raise ValueError(f"panes need different ids, not {[pane.id for pane in panes]}")
    for pane in panes:
        if pane.label_map is not None and pane.label_map.shape != shape:
            raise ValueError(f"pane {pane.id!r}: labels {pane.label_map.shape} on a volume {shape}")
        if len(pane.levels) > MAX_LEVELS:
            raise ValueError(f"pane {pane.id!r}: {len(pane.levels)} levels, at most {MAX_LEVELS}")
        if pane.levels and pane.label_map is not None and pane.label_map.max(initial=0) >= len(pane.levels):
            raise ValueError(f"pane {pane.id!r}: level {pane.label_map.max()} of {len(pane.levels)}")
        ends = [end for one in pane.witnesses for end in one.ends]
        if any(not 0 <= at < count for end in ends for at, count in zip(end, shape, strict=True)):
            raise ValueError(f"pane {pane.id!r}: a witness outside of the volume {shape}")
        if any(len(one.slices) != shape[0] for one in pane.dice):
            raise ValueError(f"pane {pane.id!r}: Dice of another number of slices than {shape[0]}")
        if pane.finished is not None and pane.finished.shape != shape[:1]:
            raise ValueError(f"pane {pane.id!r}: finished {pane.finished.shape} for a volume {shape}")


def pane_value(pane: Pane, folder: Path) -> dict[str, Any]:
    """One entry of viewer_value()["panes"], to be put in place of another while a model runs."""
    labels = None if pane.label_map is None else _file(folder, "labels", pane.label_map, pack_labels)
    finished = None if pane.finished is None else "".join("1" if done else "0" for done in pane.finished)
    return {
        "id": pane.id,
        "title": pane.title,
        "note": pane.note,
        "labels": labels,
        "finished": finished,
        "empty_text": pane.empty_text,
        "hint": pane.hint,
        "kind": pane.kind,
        "dice": [
            {
                "label": one.label,
                "slices": [None if math.isnan(v) else round(float(v), 4) for v in one.slices],
                "volume": None if math.isnan(one.volume) else round(one.volume, 4),
            }
            for one in pane.dice
        ],
        "witnesses": [asdict(one) for one in pane.witnesses],
        "levels": [asdict(level) for level in pane.levels],
    }


def _largest_slice(panes: Sequence[Pane], depth: int) -> int:
    first_reference = sorted(panes, key=lambda pane: pane.id != REFERENCE)
    for pane in first_reference:
        if pane.label_map is None or pane.levels:
            continue
        areas = np.count_nonzero(pane.label_map, axis=(1, 2))
        if areas.any():
            return int(areas.argmax())
    return depth // 2


# ------------------------------------------------------------------------------------------------- files


def pack_volume(hu: np.ndarray) -> Iterator[bytes]:
    """int16 (Z, Y, X) -> gzip, in pieces. Lossless but for the clamp to HU_MIN … HU_MAX.

    Of every voxel the difference to its left neighbour (the first of a row: to 0) is taken, zig-zagged
    (0, −1, 1, −2 … -> 0, 1, 2, 3 …), and per slice all low bytes are written before all high bytes. On a
    512×512×78 CT: 12.4 MB in 0.46 s, plain int16 with gzip's quickest level 17.8 MB in 0.79 s.
    """
    gzip = _gzip()
    for plane in hu:
        clamped = np.clip(plane, HU_MIN, HU_MAX).astype(np.int16)
        difference = clamped.copy()
        difference[:, 1:] -= clamped[:, :-1]
        zigzag = ((difference << 1) ^ (difference >> 15)).astype("<u2")
        two_bytes = zigzag.view(np.uint8).reshape(-1, 2)
        yield gzip.compress(two_bytes[:, 0].tobytes())
        yield gzip.compress(two_bytes[:, 1].tobytes())
    yield gzip.flush()


def pack_labels(label_map: np.ndarray) -> Iterator[bytes]:
    """uint8 (Z, Y, X) -> gzip, in pieces."""
    gzip = _gzip()
    for plane in label_map:
        yield gzip.compress(np.ascontiguousarray(plane, np.uint8).tobytes())
    yield gzip.flush()


def _gzip() -> Any:
    # Run lengths and Huffman codes only: here quicker than deflate's search for repeats, and smaller.
    return zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_RLE)


def _file(folder: Path, kind: str, array: np.ndarray, pack: Any) -> dict[str, Any]:
    """Write an array unless its file is there, and describe the file as gradio and viewer.js expect it."""
    digest = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16)
    digest.update(repr(array.shape).encode())
    key = f"{kind}-{digest.hexdigest()}"
    path = folder / f"{key}.gz"
    if not path.exists():
        _write_whole(path, pack(array))
    file = {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}
    return {"key": key, "bytes": path.stat().st_size, "file": file}


def _write_whole(path: Path, pieces: Iterator[bytes]) -> None:
    """Under another name first: whoever sees the file sees all of it."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


# ------------------------------------------------------------------------------------------------ events


def parse_slice(event: gr.EventData, volume_depth: int) -> int:
    """The slice of a 'slice' event, clamped to the volume. Raises InputError when it is no number."""
    return _clamp(_number(event, "k"), 0, volume_depth - 1)


def parse_window(event: gr.EventData) -> Window:
    """The window of a 'window' event, clamped to what can be shown. Raises InputError when it is none."""
    center, width = _number(event, "center"), _number(event, "width")
    return Window(_clamp(center, HU_MIN, HU_MAX), _clamp(width, 1, HU_MAX - HU_MIN + 1))


def _number(event: gr.EventData, name: str) -> float:
    sent = event._data.get(name) if isinstance(event._data, dict) else None
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not math.isfinite(sent):
        raise InputError("The viewer and the server do not understand each other: reload the page.")
    return sent


def _clamp(value: float, low: int, high: int) -> int:
    return int(min(max(value, low), high))
