"""A picture of means: a line per model with its patients as dots, the mean as a stroke, its interval as a band.

Plain HTML that is laid out in per cent (places.css), so it fits a phone, follows light and dark, and needs no script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from livdemo.metrics import LABELS
from livdemo.results import Figures, figure
from livdemo.ui.markup import escape

LEGEND = (
    "<ul class='dots-legend' aria-hidden='true'><li><i class='mean'></i>mean over patients</li>"
    "<li><i class='band'></i>95 % interval</li><li><i class='spot'></i>one patient</li>"
    "<li><i class='spot miss'></i>a patient with a volume of whose tumours not one voxel is right</li></ul>"
)


@dataclass(frozen=True)
class Scale:
    """From `low` to 1, with a line every `step`."""

    low: float
    step: float

    def at(self, value: float) -> float:
        """Place of a value in per cent of the width."""
        return round(100 * (min(max(value, self.low), 1.0) - self.low) / (1 - self.low), 2)

    @property
    def ticks(self) -> list[float]:
        """The values that have a line."""
        return [self.low + k * self.step for k in range(round((1 - self.low) / self.step) + 1)]


@dataclass(frozen=True)
class Line:
    """One line of the picture; name is HTML, title the same in plain words."""

    name: str
    title: str
    model: Figures


def scale_of(models: Sequence[Figures], label: str) -> Scale:
    """A scale that holds every patient and interval; tumours always start at 0."""
    if label == "tumour":
        return Scale(0.0, 0.25)
    values = [p[f"{label}_dice"] for m in models for p in m["patients"]] + [m[f"{label}_dice"]["low"] for m in models]
    low = math.floor(10 * min([0.8, *(v for v in values if v is not None)])) / 10
    return Scale(low, 0.1 if low >= 0.5 else (1 - low) / 4)


def dot_chart(lines: Sequence[Line], name: str) -> str:
    """The picture of Dice of liver and tumour; "" without a line that was scored on a patient. name says of whom."""
    lines = [line for line in lines if line.model["patients"]]
    if not lines:
        return ""
    scales = {label: scale_of([line.model for line in lines], label) for label in LABELS}
    axes = "".join(_axis(label, scale) for label, scale in scales.items())
    rows = "".join(
        f"<div class='dots-row'><div class='dots-name'>{line.name}</div>"
        f"{''.join(_track(line, label, scale) for label, scale in scales.items())}</div>"
        for line in lines
    )
    return (
        f"<div class='dots' role='group' aria-label='{escape(name)}'>{LEGEND}"
        f"<div class='dots-row dots-head' aria-hidden='true'><div></div>{axes}</div>{rows}</div>"
    )


def _axis(label: str, scale: Scale) -> str:
    ticks = "".join(f"<i style='left:{scale.at(value)}%'>{value:.2g}</i>" for value in scale.ticks)
    cut = f", scale from {scale.low:.1f}" if scale.low else ""
    title = f"{label.capitalize()} Dice{cut}"
    return f"<div class='dots-cell {label}'><span>{title}</span><div class='axis'>{ticks}</div></div>"


def _track(line: Line, label: str, scale: Scale) -> str:
    found = line.model[f"{label}_dice"]
    tag = f"<span class='dots-tag'>{label.capitalize()}</span>"
    if not found["n"]:
        return f"<div class='dots-cell {label}'>{tag}<p class='none'>not scored</p></div>"
    patients = [p for p in line.model["patients"] if p.get(f"{label}_dice") is not None]
    marks = "".join(_spot(patient, label, scale) for patient in patients)
    if found["low"] is not None:
        left, right = scale.at(found["low"]), scale.at(found["high"])
        marks = f"<i class='band' style='left:{left}%;width:{max(right - left, 0):.2f}%'></i>{marks}"
    marks += f"<i class='mean' style='left:{scale.at(found['mean'])}%'></i>"
    spoken = f"{label} Dice of {line.title}: mean {figure(found['mean'])}"
    if found["low"] is not None:
        spoken += f", 95 % interval {figure(found['low'])} to {figure(found['high'])}"
    spoken += "; patients " + ", ".join(_said(patient, label) for patient in patients)
    return (
        f"<div class='dots-cell {label}' role='img' aria-label='{escape(spoken)}'>{tag}"
        f"<div class='track' style='--step:{100 * scale.step / (1 - scale.low):.3f}%'>{marks}</div>"
        f"<b>{figure(found['mean'])}</b></div>"
    )


def _spot(patient: Figures, label: str, scale: Scale) -> str:
    kind = "spot miss" if _missed(patient, label) else "spot"
    place = scale.at(patient[f"{label}_dice"])
    return f"<i class='{kind}' style='left:{place}%' title='{escape(_said(patient, label))}'></i>"


def _said(patient: Figures, label: str) -> str:
    miss = (
        f" (no voxel right in {patient['missed']} of {patient['volumes']} volumes)" if _missed(patient, label) else ""
    )
    return f"{patient['patient']} {figure(patient[f'{label}_dice'])}{miss}"


def _missed(patient: Figures, label: str) -> bool:
    return label == "tumour" and bool(patient.get("missed"))
