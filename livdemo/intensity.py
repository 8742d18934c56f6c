"""From Hounsfield units to what a network is given: window, equalisation, normalisation, size.

`Preprocessing` is one object for training and app, so that a model is always fed as it was trained.
The visitor's own window only changes the picture, never the network's input (ARCHITECTURE.md).
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

HU_AIR = -1000
HU_NOT_AIR = -500  # voxels above this count as body in zscore_of()

Equalisation = Literal["none", "he", "clahe"]
Normalisation = Literal["unit", "zscore"]
ZscoreOver = Literal["volume", "body"]


@dataclass(frozen=True)
class Window:
    """A range of HU spread over the grey scale: `center` ± `width`/2, both in HU."""

    center: float
    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"a window must be wider than 0 HU, not {self.width}")

    @property
    def low(self) -> float:
        """The HU that becomes black."""
        return self.center - self.width / 2

    @property
    def high(self) -> float:
        """The HU that becomes white."""
        return self.center + self.width / 2

    def __call__(self, hu: np.ndarray) -> np.ndarray:
        """HU of any shape -> float32 in [0, 1]: clip((hu − low) / width, 0, 1)."""
        image = hu.astype(np.float32)
        image -= self.low
        image /= self.width
        return np.clip(image, 0.0, 1.0, out=image)


# What each is for is said where the visitor picks it. Sources: abdomen, lung and bone are the usual
# console presets; "liver" is fastai's preset; S3 and S4 are windows of the papers (PAPERS.md section 2).
NAMED_WINDOWS: dict[str, Window] = {
    "abdomen": Window(40, 400),
    "liver": Window(30, 150),
    "paper S4": Window(0, 250),
    "paper S3": Window(50, 250),
    "lung": Window(-600, 1500),
    "bone": Window(400, 1800),
}


def histogram_equalize(image: np.ndarray) -> np.ndarray:
    """Give every grey level the same share of the picture: map by the cumulative histogram.

    image: float32 in [0, 1], (H, W). Returns float32 in [0, 1], (H, W). 256 bins, OpenCV's mapping
    round(255·(cdf − cdf_min)/(n − cdf_min)): the darkest grey present stays black. The mapping depends
    on the whole slice, so the same HU gets another grey in another slice.
    """
    return cv2.equalizeHist(_to_uint8(image)).astype(np.float32) / 255.0


def clahe(image: np.ndarray, clip_limit: float = 2.0, tiles: int = 8) -> np.ndarray:
    """Contrast-limited adaptive equalisation: as above, but tile by tile and with a limit on the slope.

    image: float32 in [0, 1], (H, W). Returns float32 in [0, 1]. Zuiderveld 1994, OpenCV's implementation.
    """
    equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    return equaliser.apply(_to_uint8(image)).astype(np.float32) / 255.0


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255.0).astype(np.uint8)


@dataclass(frozen=True)
class Zscore:
    """Mean and standard deviation of a windowed volume, or of its body voxels alone."""

    mean: float
    std: float

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return ((image - self.mean) / self.std).astype(np.float32)

    def among_black(self, share: float) -> "Zscore":
        """That of a larger volume of which this one is `share`, 0 to 1, and the rest is black."""
        if share == 1:
            return self  # to the last bit
        mean, square = share * self.mean, share * (self.std**2 + self.mean**2)
        return Zscore(mean, math.sqrt(square - mean**2))


def zscore_of(hu: np.ndarray, window: Window, over: ZscoreOver = "volume") -> Zscore:
    """The z-score of a volume: statistics of window(hu).

    hu: (Z, Y, X). over: all voxels, air as the window's black, or those above −500 HU alone ("body", PAPERS.md section
    2). Slices that are kept with 8 bits have air at the lower end of their own window, −160 HU or so, where nothing
    tells it from body: a network that learned from them can only be given the whole.

    A volume without any such voxel, or a constant one, gets mean 0 and deviation 1.
    """
    greys = window(hu if over == "volume" else hu[hu > HU_NOT_AIR])
    std = float(greys.std()) if greys.size else 0.0
    return Zscore(float(greys.mean()), std) if std > 0 else Zscore(0.0, 1.0)


@dataclass(frozen=True)
class Step:
    """One stage of the preprocessing of one slice, ready to be drawn."""

    name: str  # original | windowed | equalised | resized | normalised
    title: str
    image: np.ndarray  # float32, (H, W); HU for `original`, else grey in `unit`
    unit: str

    def histogram(self, bins: int = 128) -> tuple[np.ndarray, np.ndarray]:
        """Counts (bins,) and bin edges (bins + 1,) of this image."""
        return np.histogram(self.image, bins=bins)


Box = tuple[int, int, int, int]  # first row, end of rows, first column, end of columns


@dataclass(frozen=True)
class Preprocessing:
    """HU slice -> network input, in this order: window, equalise, pad to a square, resize, normalise.

    Before all that, a slice is cut down to `box`, if there is one.

    size is the side of the network's square input in pixels. The square keeps the proportions of the
    body: pixels that are not square are made so, the shorter side is padded with air, and `restore` undoes both.
    """

    window: Window
    equalisation: Equalisation = "none"
    normalisation: Normalisation = "unit"
    size: int = 256
    zscore_over: ZscoreOver = "volume"
    kept: float = 1.0  # share of the volume that a z-score is over: what was cut off counts as air (framing.py)
    box: Box | None = None  # what of a slice is looked at, where the body is small in it (framing.py); None: all
    aspect: float = 1.0  # a pixel's height over its width, in mm each (framing.py)

    @property
    def counts_air(self) -> bool:
        """Whether how much air is around the body decides what the network is given."""
        return self.normalisation == "zscore" and self.zscore_over == "volume"

    def zscore(self, hu: np.ndarray) -> Zscore | None:
        """What the normalisation has to know of the whole volume, hu (Z, Y, X); None where it is not a z-score."""
        if self.normalisation != "zscore":
            return None
        hu = self._cut(hu)
        found = zscore_of(hu, self.window, self.zscore_over)
        if not self.counts_air:
            return found
        height, width = shape_in_square_pixels(hu.shape[1:], self.aspect)
        filled = height * width / max(height, width) ** 2  # of the square: the rest will be padded with air
        return found.among_black(self.kept * filled)

    def __call__(self, hu: np.ndarray, zscore: Zscore | None = None) -> np.ndarray:
        """hu: (N, Y, X) -> float32 (N, size, size).

        With normalisation "zscore" the statistics of the whole volume are needed: zscore(volume).
        """
        if hu.ndim != 3:
            raise ValueError(f"expected slices (N, Y, X), not an array of shape {hu.shape}")
        return np.stack([self.steps(one, zscore)[-1].image for one in hu])

    def steps(self, hu: np.ndarray, zscore: Zscore | None = None) -> list[Step]:
        """Every stage that one slice (Y, X) goes through, first the original, last the network's input."""
        hu = self._cut(hu)
        image = self.window(hu)
        grey = "grey, 0 to 1"
        steps = [
            Step("original", "As measured", hu.astype(np.float32), "HU"),
            Step("windowed", f"Window {self.window.width:g} / {self.window.center:g}", image, grey),
        ]
        if self.equalisation != "none":
            image = histogram_equalize(image) if self.equalisation == "he" else clahe(image)
            title = "Histogram equalised" if self.equalisation == "he" else "CLAHE"
            steps.append(Step("equalised", title, image, grey))
        image = resize(pad_to_square(with_square_pixels(image, self.aspect)), self.size)
        steps.append(Step("resized", f"Resized to {self.size}×{self.size}", image, grey))
        if self.normalisation == "zscore":
            if zscore is None:
                raise ValueError("this preprocessing needs the volume's z-score: pass zscore(volume)")
            steps.append(Step("normalised", "Z-score", zscore(image), "standard deviations"))
        return steps

    def restore(self, maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Maps on the network's grid (C, size, size), float32 -> (C, Y, X) of the slice: the way back.

        Outside of the box all is background, the first map.
        """
        if self.box is not None:
            top, bottom, left, right = self.box
            whole = np.zeros((len(maps), *shape), np.float32)
            whole[0] = 1
            whole[:, top:bottom, left:right] = replace(self, box=None).restore(maps, (bottom - top, right - left))
            return whole
        height, width = shape_in_square_pixels(shape, self.aspect)
        side = max(height, width)
        top, left = _offset(height, side), _offset(width, side)
        wide = cv2.resize(maps.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_LINEAR)
        wide = wide.reshape(side, side, -1)[top : top + height, left : left + width]  # OpenCV drops a lone channel
        if (height, width) != shape:
            wide = cv2.resize(wide, shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*shape, -1)
        return wide.transpose(2, 0, 1)

    def _cut(self, hu: np.ndarray) -> np.ndarray:
        """Slices (..., Y, X) cut down to the box."""
        if self.box is None:
            return hu
        top, bottom, left, right = self.box
        return hu[..., top:bottom, left:right]

    def describe(self) -> str:
        """One line for cards, badges and exports."""
        names = {"none": "no equalisation", "he": "histogram equalisation", "clahe": "CLAHE"}
        zscore = "z-score" if self.zscore_over == "volume" else "z-score of the body"
        return (
            f"window {self.window.width:g}/{self.window.center:g} HU, {names[self.equalisation]}, "
            f"{'0 to 1' if self.normalisation == 'unit' else zscore}, {self.size}×{self.size}"
            f"{', air around the body cut off' if self.box else ''}"
            f"{', pixels made square' if self.aspect != 1 else ''}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest; the last four fields where they are other than usual, so that rows from
        before them stay the same."""
        values = asdict(self)
        if self.zscore_over == "volume":
            del values["zscore_over"]
        if self.kept == 1:
            del values["kept"]
        if self.box is None:
            del values["box"]
        if self.aspect == 1:
            del values["aspect"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """The reverse of to_dict; a wrong field or value raises TypeError or ValueError."""
        values = dict(values)
        if values.get("box") is not None:
            values["box"] = tuple(values["box"])
        made = cls(window=Window(**values.pop("window")), **values)
        known = made.normalisation in ("unit", "zscore") and made.zscore_over in ("volume", "body")
        if made.equalisation not in ("none", "he", "clahe") or not known:
            raise ValueError(
                f"unknown preprocessing {made.equalisation!r}, {made.normalisation!r}, {made.zscore_over!r}"
            )
        return made


def shape_in_square_pixels(shape: tuple[int, ...], aspect: float) -> tuple[int, int]:
    """Rows and columns of a slice (Y, X) once its pixels, `aspect` times as high as wide, are square.

    The longer side of the body's picture gets as many as the longer of the two had: never more memory than that.
    """
    if aspect == 1:
        return shape[0], shape[1]
    height, width = shape[0] * aspect, float(shape[1])
    scale = max(shape) / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def with_square_pixels(image: np.ndarray, aspect: float) -> np.ndarray:
    """(Y, X) with pixels `aspect` times as high as wide -> shape_in_square_pixels; as it is where aspect is 1."""
    height, width = shape_in_square_pixels(image.shape, aspect)
    if image.shape == (height, width):
        return image
    # One direction may grow while the other shrinks; each is interpolated or averaged by itself.
    return _scaled(_scaled(image, height, image.shape[1]), height, width)


def pad_to_square(image: np.ndarray) -> np.ndarray:
    """(Y, X) -> (S, S) with S = max(Y, X): zeros (air) around, the slice in the middle."""
    side = max(image.shape)
    if image.shape == (side, side):
        return image
    square = np.zeros((side, side), image.dtype)
    top, left = _offset(image.shape[0], side), _offset(image.shape[1], side)
    square[top : top + image.shape[0], left : left + image.shape[1]] = image
    return square


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """(S, S) -> (size, size); pixels are averaged when it shrinks and interpolated when it grows."""
    if image.shape == (size, size):
        return image
    return _scaled(image, size, size)


def _scaled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(Y, X) -> (height, width), pixels averaged where it shrinks."""
    shrinks = height < image.shape[0] or width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _offset(length: int, side: int) -> int:
    return (side - length) // 2
