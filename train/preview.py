"""An augmentation as a picture: a slice and seven random views of it, with the outline of its mask.

    python -m train.preview --out DIR                                 every augmentation, on the phantom
    python -m train.preview --augmentation s4 --data DIR --out DIR    one of them, on a scan of one's own
    sheet = preview(AUGMENTATIONS["s4"])                              the picture itself, for a lesson

The mask has gone the same way as the image: where the outline leaves the organ, the geometry is wrong.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from livdemo.errors import InputError
from livdemo.intensity import HU_AIR, NAMED_WINDOWS, Window, resize
from livdemo.overlay import LIVER, TUMOUR, draw_labels, to_rgb
from train.augment import AUGMENTATIONS, Augmentation, augment
from train.scans import Modality, Scan
from train.sources import find_scans, phantom_scans

VIEWS = 7
COLUMNS = 4
SIDE = 256  # of a view, in pixels
PHANTOM = (24, SIDE, SIDE)  # slices of 11 mm: one is shown, so few are drawn
GAP = 14
LINE = 22  # height of a line of text
INK, MUTED = (0x1F, 0x29, 0x33), (0x52, 0x60, 0x71)


@dataclass(frozen=True, eq=False)
class Example:
    """One slice to show. image: float32 (C, SIDE, SIDE), HU or RGB from 0 to 255; mask: uint8 (SIDE, SIDE)."""

    name: str
    modality: Modality
    image: np.ndarray
    mask: np.ndarray
    labels: tuple[str, ...]  # of the outlines


def preview(how: Augmentation, example: Example | None = None, seed: int = 0) -> np.ndarray:
    """Contact sheet uint8 (H, W, 3): the slice and seven views drawn by `seed`, above them the ranges.

    Without an example it shows the phantom of that seed. InputError for colour changes of a slice without colours.
    """
    example = example or example_of(phantom_scans([seed], PHANTOM), how)
    if how.recolours and example.modality != "RGB":
        raise InputError(f"{how.name} changes colours, and {example.name} has none: give it a colour picture.")
    views, masks = augment(
        torch.from_numpy(example.image).repeat(VIEWS, 1, 1, 1),
        torch.from_numpy(example.mask).repeat(VIEWS, 1, 1, 1),
        replace(how, outside=_outside(example.modality)),
        torch.Generator().manual_seed(seed),
    )
    grey = _grey_scale(example)
    shown = [(example.image, example.mask), *zip(views.numpy(), masks[:, 0].numpy(), strict=True)]
    pictures = [draw_labels(_rgb(image, grey), mask) for image, mask in shown]
    return _sheet(how, example, pictures)


def ranges(how: Augmentation) -> list[str]:
    """What is drawn, one phrase each, in the order in which it is applied; ["no change"] for none."""
    return list(_geometry(how)) + list(_greys(how)) or ["no change"]


def example_of(scans: Sequence[Scan], how: Augmentation) -> Example:
    """The slice with the most tumour (or else of the object) of the first scan that suits and shows any.

    Colour changes suit RGB pictures, everything else CT and, for want of one, MR. InputError when no scan does.
    """
    suiting = [scan for scan in scans if (scan.modality == "RGB") == how.recolours]
    for scan in sorted(suiting, key=lambda scan: scan.modality == "MR"):
        image, mask, position = scan.load()
        if mask.any():
            area = (mask == mask.max()).sum((1, 2))
            k = int(area.argmax())
            labels = ("object",) if scan.labels == "binary" else ("liver", "tumour") if mask.max() == 2 else ("liver",)
            square = [_square(channel, _outside(scan.modality)) for channel in image[k]]
            return Example(
                name=scan.name if scan.modality == "RGB" else f"{scan.name}, slice {position[k]}",
                modality=scan.modality,
                image=np.stack([resize(channel.astype(np.float32), SIDE) for channel in square]),
                mask=cv2.resize(_square(mask[k], 0), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST),
                labels=labels,
            )
    wanted = "colour picture" if how.recolours else "CT or MR scan"
    raise InputError(f"{how.name} is for a {wanted}, and there is none here with anything drawn on it.")


def _outside(modality: Modality) -> float:
    """Air in HU, black in what has no unit."""
    return HU_AIR if modality == "CT" else 0


def _square(image: np.ndarray, outside: float) -> np.ndarray:
    """(H, W) -> (S, S) with the slice in the middle."""
    spare = [max(image.shape) - length for length in image.shape]
    return np.pad(image, [(n // 2, n - n // 2) for n in spare], constant_values=int(outside))


def _grey_scale(example: Example) -> Window | None:
    """The abdomen's for CT; for MR, which has no unit, what the slice itself spans; none for colours."""
    if example.modality == "RGB":
        return None
    if example.modality == "CT":
        return NAMED_WINDOWS["abdomen"]
    low, high = np.percentile(example.image, (1, 99.5))
    return Window((low + high) / 2, max(high - low, 1))


def _rgb(image: np.ndarray, grey: Window | None) -> np.ndarray:
    """(C, S, S) -> uint8 (S, S, 3). Of contrast phases the first is shown."""
    if grey is None:
        return np.rint(image.clip(0, 255)).astype(np.uint8).transpose(1, 2, 0)
    return to_rgb(grey(image[0]))


def _geometry(how: Augmentation) -> Iterator[str]:
    if how.left_right_share:
        yield f"left–right flip in {how.left_right_share:.0%}"
    if how.up_down_share:
        yield f"up–down flip in {how.up_down_share:.0%}"
    if how.zoom != (1, 1):
        yield f"zoom {how.zoom[0]:g} to {how.zoom[1]:g}"
    if how.rotation_degrees:
        yield f"rotation ±{how.rotation_degrees:g}°"
    if how.shear_degrees:
        yield f"shear ±{how.shear_degrees:g}°"
    if how.shift is None:
        yield "any place that shows body"
    elif how.shift:
        yield f"shift ±{how.shift:.0%}"


def _greys(how: Augmentation) -> Iterator[str]:
    if how.gain != (1, 1):
        factors = f"× {how.gain[0]:g} to {how.gain[1]:g}"
        yield f"brightness {factors}" if how.recolours else f"{factors} above 0 HU"
    if how.offset != (0, 0):
        yield f"shift by {how.offset[0]:+g} to {how.offset[1]:+g} HU".replace("-", "−")
    if how.contrast != (1, 1):
        centre = f"{how.contrast_centre:g}".replace("-", "−") + ("" if how.recolours else " HU")
        yield f"contrast × {how.contrast[0]:g} to {how.contrast[1]:g} about {centre}"
    if how.coarse_share:
        yield f"half the resolution in {how.coarse_share:.0%}"
    if how.blur_share:
        yield f"Gaussian blur up to {how.blur_pixels[1]:g} pixels in {how.blur_share:.0%}"
    if how.narrow_share:
        yield f"nothing below 0 HU in {how.narrow_share:.0%}"
    if how.noise:
        yield f"noise up to {how.noise:g} HU"
    if how.saturation != (1, 1):
        yield f"saturation × {how.saturation[0]:g} to {how.saturation[1]:g}"
    if how.hue_degrees:
        yield f"hue ±{how.hue_degrees:g}°"


def _sheet(how: Augmentation, example: Example, pictures: list[np.ndarray]) -> np.ndarray:
    """Title, ranges and legend above the pictures, in rows of COLUMNS."""
    lines = textwrap.wrap(", ".join(ranges(how)), 130)
    head = GAP + 34 + LINE * (len(lines) + 1) + GAP
    rows = -(-len(pictures) // COLUMNS)
    height, width = head + rows * (SIDE + LINE + GAP), COLUMNS * (SIDE + GAP) + GAP
    sheet = np.full((height, width, 3), 255, np.uint8)
    _write(sheet, f"Augmentation {how.name}", GAP, GAP + 24, size=24, weight=600)
    for i, line in enumerate(lines):
        _write(sheet, line, GAP, GAP + 34 + LINE * (i + 1) - 4)
    _legend(sheet, example, GAP + 34 + LINE * (len(lines) + 1) - 4)
    for i, picture in enumerate(pictures):
        top, left = head + (i // COLUMNS) * (SIDE + LINE + GAP), GAP + (i % COLUMNS) * (SIDE + GAP)
        sheet[top : top + SIDE, left : left + SIDE] = picture
        _write(sheet, f"view {i}" if i else "original", left, top + SIDE + LINE - 5, size=14, ink=MUTED)
    return sheet


def _legend(sheet: np.ndarray, example: Example, baseline: int) -> None:
    left = GAP
    for label, colour in zip(example.labels, (LIVER, TUMOUR), strict=False):
        sheet[baseline - 6 : baseline - 3, left : left + 22] = colour
        left = _write(sheet, label, left + 28, baseline, size=14, ink=MUTED) + GAP
    _write(sheet, example.name, left, baseline, size=14, ink=MUTED)


def _write(
    sheet: np.ndarray,
    text: str,
    left: int,
    baseline: int,
    size: int = 16,
    weight: int = 400,
    ink: tuple[int, int, int] = INK,
) -> int:
    """Draw text into the sheet and return where it ends, in pixels."""
    (right, _), _ = cv2.putText(sheet, text, (left, baseline), ink, cv2.FontFace("sans"), size, weight)
    return right


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m train.preview", description=__doc__.partition("\n")[0])
    parser.add_argument("--augmentation", choices=sorted(AUGMENTATIONS), help="default: all that suit the data")
    parser.add_argument("--data", type=Path, help="folder of data sets; default: the phantom")
    parser.add_argument("--seed", type=int, default=0, help="of the views, and of the scan that is shown")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    asked = parser.parse_args(arguments)
    try:
        _write_sheets(asked)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _write_sheets(asked: argparse.Namespace) -> None:
    scans = phantom_scans([asked.seed], PHANTOM) if asked.data is None else find_scans(asked.data)
    mixed = [scans[i] for i in np.random.default_rng(asked.seed).permutation(len(scans))]
    kinds = {scan.modality == "RGB" for scan in scans}
    suiting = [how for how in AUGMENTATIONS.values() if how.recolours in kinds]
    chosen = [AUGMENTATIONS[asked.augmentation]] if asked.augmentation else suiting
    examples = {how.recolours: example_of(mixed, how) for how in {h.recolours: h for h in chosen}.values()}
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        for how in chosen:
            sheet = preview(how, examples[how.recolours], asked.seed)
            path = asked.out / f"{how.name}.png"
            path.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
            print(path)
    except OSError as error:
        raise InputError(
            f"{asked.out} cannot be written ({error.strerror}): name another folder with --out."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
