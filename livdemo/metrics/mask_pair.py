"""Two label maps, checked and cut to the box that holds both: what every metric starts from.

A CT of the abdomen is mostly not liver. Every figure of this package depends only on the voxels of the joint
bounding box and on the size of the image, so the box is cut once and the rest is never looked at again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

State = Literal["ok", "both empty", "reference empty", "prediction empty"]

BACKGROUND, LIVER, TUMOUR = 0, 1, 2
LABELS = ("liver", "tumour")


@dataclass(frozen=True, eq=False)
class CroppedPair:
    """Prediction and reference inside their joint box, with what is needed to speak about the whole image."""

    prediction: NDArray[Any]  # (Z, Y, X) or (Y, X), label map or mask, cut to the box
    reference: NDArray[Any]  # same shape
    spacing_mm: tuple[float, ...]  # one per axis
    origin: tuple[int, ...]  # index of the box's first voxel in the image
    image_shape: tuple[int, ...]

    def masks_of(self, label: str) -> tuple[BoolArray, BoolArray]:
        """Prediction and reference masks of "liver" (labels 1 and 2 together) or "tumour" (label 2)."""
        if label == "liver":
            return self.prediction >= LIVER, self.reference >= LIVER
        if label == "tumour":
            return self.prediction == TUMOUR, self.reference == TUMOUR
        raise ValueError(f"label must be one of {LABELS}, not {label!r}")


def state_of(prediction_voxels: int, reference_voxels: int) -> State:
    """Which of the two masks is empty, in the words of every table of livdemo."""
    if prediction_voxels == 0:
        return "both empty" if reference_voxels == 0 else "prediction empty"
    return "reference empty" if reference_voxels == 0 else "ok"


def check_same_grid(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """ValueError unless both are integer or bool arrays of one shape, with 2 or 3 axes."""
    for name, array in (("prediction", prediction), ("reference", reference)):
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} must be a numpy array, not {type(array).__name__}")
        if array.dtype.kind not in "biu":
            raise ValueError(f"{name} must hold integer labels or a bool mask, not {array.dtype}")
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, reference has {reference.shape}")
    if prediction.ndim not in (2, 3) or prediction.size == 0:
        raise ValueError(
            "label maps need 2 or 3 axes and at least one voxel, "
            f"not prediction {prediction.shape} and reference {reference.shape}"
        )


def check_masks(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """ValueError unless both are bool masks (or integers 0 and 1 alone) of one shape, with 2 or 3 axes."""
    check_same_grid(prediction, reference)
    _check_range(prediction, reference, highest=1, meaning="0 and 1 (or bool)")


def check_label_maps(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """ValueError unless both are label maps (0 background, 1 liver, 2 tumour) of one shape."""
    check_same_grid(prediction, reference)
    _check_range(prediction, reference, highest=TUMOUR, meaning="0 (background), 1 (liver) and 2 (tumour)")


def _check_range(prediction: NDArray[Any], reference: NDArray[Any], highest: int, meaning: str) -> None:
    for name, array in (("prediction", prediction), ("reference", reference)):
        if array.dtype == np.bool_:
            continue
        # Unsigned labels cannot be negative: one pass over a whole CT saved.
        if array.max() > highest or (array.dtype.kind == "i" and array.min() < 0):
            values = f"from {array.min()} to {array.max()}"
            raise ValueError(f"{name} must hold {meaning}, but its values run {values}")


def check_spacing(spacing_mm: Sequence[float], ndim: int) -> tuple[float, ...]:
    """The spacing as a tuple of floats. ValueError unless there is one positive finite number per axis."""
    spacing = tuple(float(step) for step in spacing_mm)
    if len(spacing) != ndim:
        raise ValueError(f"spacing_mm has {len(spacing)} numbers {spacing}, the label maps have {ndim} axes")
    if not all(np.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"spacing_mm must be positive and finite, not {spacing}")
    return spacing


def check_tolerance(tolerance_mm: float) -> float:
    """The tolerance as a float. ValueError unless it is a finite number of mm, 0 or more."""
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise ValueError(f"the NSD tolerance must be a finite number of mm, 0 or more, not {tolerance_mm}")
    return float(tolerance_mm)


def joint_box(prediction: NDArray[Any], reference: NDArray[Any]) -> tuple[slice, ...]:
    """Smallest box holding every non-zero voxel of both arrays; an empty slice per axis if there is none."""
    # uint8 maxima are vectorised, bool ones are not; both arrays hold nothing negative.
    arrays = [a.view(np.uint8) if a.dtype == np.bool_ else a for a in (prediction, reference)]
    # Projecting along the first axis reads whole planes in order, and the box it gives cuts the second pass.
    shadow = np.maximum(*(a.max(axis=0, initial=0) for a in arrays))
    others = [tuple(k for k in range(shadow.ndim) if k != axis) for axis in range(shadow.ndim)]
    across = [_extent(shadow.any(axis=axes)) for axes in others]
    if any(box.stop == 0 for box in across):
        return (slice(0, 0),) * prediction.ndim
    inner = tuple(range(1, prediction.ndim))
    depth = np.maximum(*(a[(slice(None), *across)].max(axis=inner, initial=0) for a in arrays))
    return (_extent(depth > 0), *across)


def _extent(occupied: BoolArray) -> slice:
    places = np.flatnonzero(occupied)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


def crop_pair(prediction: NDArray[Any], reference: NDArray[Any], spacing_mm: Sequence[float]) -> CroppedPair:
    """Cut two arrays of one shape, already checked, to their joint box (views, nothing is copied)."""
    spacing = check_spacing(spacing_mm, prediction.ndim)
    box = joint_box(prediction, reference)
    return CroppedPair(
        prediction=prediction[box],
        reference=reference[box],
        spacing_mm=spacing,
        origin=tuple(part.start for part in box),
        image_shape=prediction.shape,
    )
