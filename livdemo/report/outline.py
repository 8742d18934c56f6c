"""The outline of a mask along the edges of its pixels, as an SVG path: sharp at every size, on paper too."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]

# Right, down, left, up: where an edge starts, seen from its pixel's corner, and which neighbour must be outside.
_EDGES = (((0, 0), (-1, 0)), ((1, 0), (0, 1)), ((1, 1), (1, 0)), ((0, 1), (0, -1)))
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outline(mask: BoolArray) -> str:
    """The edges of a mask (Y, X) along its pixels as an SVG path, one closed part per rim, holes too."""
    padded = np.pad(mask, 1)
    leaving: dict[tuple[int, int], list[int]] = {}
    for direction, ((right, below), (dy, dx)) in enumerate(_EDGES):
        outside = ~padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx]
        ys, xs = np.nonzero(mask & outside)
        for start in zip((xs + right).tolist(), (ys + below).tolist(), strict=True):
            leaving.setdefault(start, []).append(direction)
    return "".join(_rims(leaving))


def _rims(leaving: dict[tuple[int, int], list[int]]) -> Iterator[str]:
    """Follow the edges that leave each corner until none is left. Empties `leaving`."""
    while leaving:
        x, y = next(iter(leaving))
        yield f"M{x} {y}"
        runs: list[list[int]] = []
        while (x, y) in leaving:
            ways = leaving[x, y]
            direction = ways.pop()
            if not ways:
                del leaving[x, y]
            x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
            if runs and runs[-1][0] == direction:
                runs[-1][1] += 1
            else:
                runs.append([direction, 1])
        yield "".join(f"{'hv'[direction % 2]}{sum(_STEPS[direction]) * length}" for direction, length in runs)
        yield "z"
