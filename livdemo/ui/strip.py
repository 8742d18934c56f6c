"""The slice strip: one line per model over the slices, drawn and dragged in the browser.

    strip = slice_strip()
    handler(...) -> strip_value(case, entries, volume_key)

It shares the slice with the viewer of the same volume (link.js), both ways, and asks the server nothing.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from livdemo.agreement import SliceProfile, error_peaks, profile_of, worst_slice
from livdemo.cases import Case
from livdemo.metrics.lesions import Lesion, label_lesions
from livdemo.ui.wall import Entry

_HERE = Path(__file__).parent


def slice_strip(**kwargs: Any) -> gr.HTML:
    """The strip as a gradio component; kwargs go to gr.HTML. A factory for the reason of ct_viewer()."""
    script = "\n".join((_HERE / name).read_text("utf-8") for name in ("link.js", "strip_draw.js", "strip.js"))
    return gr.HTML(
        None,
        html_template=(_HERE / "strip.html").read_text("utf-8"),
        css_template=(_HERE / "strip.css").read_text("utf-8"),
        js_on_load=script,
        apply_default_css=False,
        **kwargs,
    )


def strip_value(case: Case, entries: Sequence[Entry], volume_key: str) -> dict[str, Any]:
    """Everything that the strip draws. Without a reference there are no lines, and the strip says so.

    Returns: key; depth; unit of areas; labels; label (the one shown first); reference {label: areas};
    rows [{id, title, kind, profiles {label: profile}}]; lesions [{number, slice, x, y, text}].
    """
    reference = case.reference
    known = case.volume.spacing_known
    value: dict[str, Any] = {
        "key": volume_key,
        "depth": len(case.volume.hu),
        "spacing_mm": case.volume.spacing_mm[0] if known else None,
        "unit": "mm²" if known else "pixels",
        "has_reference": reference is not None,
        "label": "tumour" if reference is not None and bool((reference == 2).any()) else "liver",
        "reference": {},
        "rows": [],
        "lesions": [],
    }
    if reference is None:
        return value
    pixel = case.volume.spacing_mm[1] * case.volume.spacing_mm[2]
    value["reference"] = {
        "liver": _rounded(np.count_nonzero(reference >= 1, axis=(1, 2)) * pixel),
        "tumour": _rounded(np.count_nonzero(reference == 2, axis=(1, 2)) * pixel),
    }
    value["rows"] = [_row(entry, case.volume.spacing_mm) for entry in entries if entry.scores is not None]
    lesions = _lesions(case, entries)
    value["lesions"] = [_lesion(lesion, known) for lesion in lesions]
    return value


def _row(entry: Entry, spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    assert entry.scores is not None
    profiles = [profile_of(slices, spacing_mm) for slices in entry.scores.slices]
    return {
        "id": entry.key,
        "title": entry.title,
        "kind": entry.kind,
        "profiles": {profile.label: _profile(profile) for profile in profiles},
    }


def _profile(profile: SliceProfile) -> dict[str, Any]:
    return {
        "dice": [None if math.isnan(v) else round(float(v), 4) for v in profile.dice],
        "area": _rounded(profile.prediction_mm2),
        "wrong": _rounded(profile.wrong_mm2),
        "alarm": _rounded(profile.false_alarm_mm2),
        "worst": worst_slice(profile),
        "errors": error_peaks(profile).tolist(),
        "pooled": None if math.isnan(profile.pooled_dice) else round(profile.pooled_dice, 4),
        "mean": None if math.isnan(profile.mean_dice) else round(profile.mean_dice, 4),
        "gap": profile.gap,
    }


def _lesions(case: Case, entries: Sequence[Entry]) -> Sequence[Lesion]:
    """The reference's lesions: some model's report has them already."""
    for entry in entries:
        if entry.scores is not None and entry.scores.lesions is not None:
            return entry.scores.lesions.reference
    assert case.reference is not None
    return label_lesions(case.reference, case.volume.spacing_mm, case.volume.hu).lesions


def _lesion(lesion: Lesion, known: bool) -> dict[str, Any]:
    z, y, x = lesion.centre
    size = f"{lesion.diameter_mm:.0f} mm, {lesion.volume_ml:.1f} mL" if known else f"{lesion.voxels} voxels"
    return {"number": lesion.number, "slice": z, "x": x, "y": y, "text": f"lesion {lesion.number}: {size}"}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 1) for value in values]
