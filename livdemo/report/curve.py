"""Dice slice by slice as a small SVG: liver, tumour, and behind them how much tumour the reference has."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from livdemo.agreement import SliceProfile

WIDTH, HEIGHT = 420, 130
LEFT, RIGHT, TOP, BOTTOM = 26, 8, 8, 32


def dice_curve(profiles: Sequence[SliceProfile], marked: Sequence[int], words: str) -> str:
    """The profiles of one model (liver, tumour). A gap: neither has a pixel there. marked: slices shown as pictures."""
    count = len(profiles[0].dice)
    parts = [_grid(count), *(_area(profile) for profile in profiles if profile.label == "tumour")]
    parts += _marks(sorted(set(marked)), count)
    parts += [f"<path class='line {profile.label}' d='{_line(profile.dice)}'/>" for profile in profiles]
    return f"<svg class=curve viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{words}'>{''.join(parts)}</svg>"


def _x(k: float, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (k / (count - 1) if count > 1 else 0.5)


def _y(value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value)


def _grid(count: int) -> str:
    lines = "".join(
        f"<path class=grid d='M{LEFT} {_y(value):.4g}H{WIDTH - RIGHT}'/>"
        f"<text x={LEFT - 6} y={_y(value) + 4:.4g} text-anchor=end>{value:g}</text>"
        for value in (0, 0.5, 1)
    )
    ends = f"<text x={LEFT} y={HEIGHT - 4}>1 (feet)</text>"
    ends += f"<text x={WIDTH - RIGHT} y={HEIGHT - 4} text-anchor=end>slice {count} (head)</text>"
    return lines + ends


def _area(profile: SliceProfile) -> str:
    """The reference's area of every slice, the largest as high as the curve."""
    most = float(profile.reference_mm2.max())
    if not most:
        return ""
    count = len(profile.reference_mm2)
    tops = " ".join(f"{_x(k, count):.1f} {_y(area / most):.1f}" for k, area in enumerate(profile.reference_mm2))
    return f"<path class=area d='M{_x(0, count):.1f} {_y(0):.1f}L{tops}L{_x(count - 1, count):.1f} {_y(0):.1f}z'/>"


def _marks(marked: Sequence[int], count: int) -> Iterator[str]:
    """A dotted line at each slice, with its number where that does not run into the one before."""
    free = 0.0
    for k in marked:
        x = _x(k, count)
        yield f"<path class=mark d='M{x:.1f} {TOP}V{HEIGHT - BOTTOM + 4}'/>"
        if x >= free:
            yield f"<text class=mark x={x:.1f} y={HEIGHT - BOTTOM + 14} text-anchor=middle>{k + 1}</text>"
            free = x + 22


def _line(dice: np.ndarray) -> str:
    """Broken where there is no Dice; a slice without neighbours becomes a dot (round line ends)."""
    return "".join(_steps(dice.tolist()))


def _steps(dice: Sequence[float]) -> Iterator[str]:
    count, drawing = len(dice), False
    for k, value in enumerate(dice):
        if not math.isnan(value):
            alone = not drawing and (k + 1 == count or math.isnan(dice[k + 1]))
            yield f"{'L' if drawing else 'M'}{_x(k, count):.1f} {_y(value):.1f}{'h0' if alone else ''}"
        drawing = not math.isnan(value)
