"""The viewer's Python side: what is sent, what is written, which events are believed."""

import gzip
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradio import EventData

from livdemo import overlay
from livdemo.errors import InputError
from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.ui import viewer
from livdemo.ui.viewer import (
    Level,
    Overlay,
    Pane,
    PaneDice,
    PaneWitness,
    ct_viewer,
    pack_labels,
    pack_volume,
    parse_slice,
    parse_window,
    viewer_value,
)
from livdemo.volume import Volume
from tests.made_up import make_volume

SHAPE = (5, 4, 6)


@pytest.fixture
def volume() -> Volume:
    return make_volume(np.arange(120).reshape(SHAPE), (5.0, 0.8, 0.7))


def labels_with(areas: list[int]) -> np.ndarray:
    """A label map (5, 4, 6) with so many liver voxels in each slice."""
    label_map = np.zeros(SHAPE, np.uint8)
    for z, area in enumerate(areas):
        label_map[z].flat[:area] = 1
    return label_map


def unpack_volume(packed: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """What viewer_load.js does, here in numpy."""
    planes = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(shape[0], 2, *shape[1:]).astype(np.int32)
    zigzag = planes[:, 0] | planes[:, 1] << 8
    return np.cumsum((zigzag >> 1) ^ -(zigzag & 1), axis=2)


# ------------------------------------------------------------------------------------------------- files


def test_a_volume_comes_back_as_it_was() -> None:
    hu = np.random.default_rng(1).integers(-1024, 3072, (3, 7, 5), np.int16)
    hu[1, 2] = [-1024, 3071, -1024, 3071, 0]  # the largest steps there are
    assert np.array_equal(unpack_volume(b"".join(pack_volume(hu)), hu.shape), hu)


def test_values_beyond_a_ct_are_clamped_and_nothing_else() -> None:
    hu = np.array([[[-32768, -1025, -1024, 3071, 3072, 32767]]], np.int16)
    shown = unpack_volume(b"".join(pack_volume(hu)), hu.shape)
    assert shown.tolist() == [[[-1024, -1024, -1024, 3071, 3071, 3071]]]


def test_labels_are_sent_as_they_are() -> None:
    label_map = np.random.default_rng(2).integers(0, 3, SHAPE).astype(np.uint8)[:, ::-1]  # not C-contiguous
    assert gzip.decompress(b"".join(pack_labels(label_map))) == label_map.tobytes()


def test_files_are_named_by_content_and_written_once(volume: Volume, tmp_path: Path) -> None:
    first = viewer_value(volume, [Pane("a", "A", label_map=labels_with([0, 1, 0, 0, 0]))], tmp_path)
    path = Path(first["volume"]["file"]["path"])
    os.utime(path, (1, 1))
    again = viewer_value(volume, [Pane("a", "A", label_map=labels_with([0, 2, 0, 0, 0]))], tmp_path)
    assert again["volume"] == first["volume"]
    assert path.stat().st_mtime == 1
    assert again["panes"][0]["labels"]["key"] != first["panes"][0]["labels"]["key"]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".gz"] * 3


def test_a_file_that_could_not_be_written_leaves_nothing(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(beside: str, path: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(viewer.os, "replace", disk_full)
    with pytest.raises(OSError, match="No space"):
        viewer_value(volume, [], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_same_bytes_of_another_shape_are_another_file(tmp_path: Path) -> None:
    one = viewer_value(make_volume(np.zeros((2, 3, 4))), [], tmp_path)
    other = viewer_value(make_volume(np.zeros((2, 4, 3))), [], tmp_path)
    assert one["volume"]["key"] != other["volume"]["key"]


# ------------------------------------------------------------------------------------------------- value


def test_the_value_says_everything_and_is_json(volume: Volume, tmp_path: Path) -> None:
    finished = np.array([True, True, False, False, False])
    panes = [
        Pane("reference", "Reference", label_map=labels_with([0, 1, 3, 0, 0])),
        Pane("unet", "U-Net", "0.95", labels_with([0, 9, 0, 0, 0]), finished, "nothing yet"),
    ]
    value = json.loads(json.dumps(viewer_value(volume, panes, tmp_path, window=Window(30, 150))))
    assert value["shape"] == [5, 4, 6]
    assert value["spacing_mm"] == [5.0, 0.8, 0.7]
    assert (value["slice"], value["reference"], value["unit"]) == (2, "reference", "HU")
    assert value["window"] == {"center": 30.0, "width": 150.0}
    assert value["overlay"] == {"mode": "contour", "opacity": 0.35, "liver": True, "tumour": True}
    assert value["panes"][1]["finished"] == "11000"
    assert value["panes"][1]["empty_text"] == "nothing yet"
    file = value["panes"][1]["labels"]
    assert Path(file["file"]["path"]).stat().st_size == file["bytes"]
    assert file["file"]["meta"] == {"_type": "gradio.FileData"}


def test_without_a_known_spacing_there_are_no_millimetres(tmp_path: Path) -> None:
    unknown = make_volume(np.zeros(SHAPE), known=False)
    assert viewer_value(unknown, [], tmp_path)["spacing_mm"] is None


@pytest.mark.parametrize(
    ("given", "reference", "prediction", "opened"),
    [
        (1, [0, 0, 0, 5, 0], None, 1),
        (99, None, None, 4),
        (-3, None, None, 0),
        (None, [0, 0, 0, 5, 0], [9, 0, 0, 0, 0], 3),  # the reference comes first
        (None, [0, 0, 0, 0, 0], [9, 0, 0, 0, 0], 0),  # an empty one does not count
        (None, None, [0, 4, 0, 0, 0], 1),
        (None, None, None, 2),  # the middle
    ],
)
def test_the_slice_that_is_opened(
    given: int | None,
    reference: list[int] | None,
    prediction: list[int] | None,
    opened: int,
    volume: Volume,
    tmp_path: Path,
) -> None:
    maps = {name: None if areas is None else labels_with(areas) for name, areas in
            (("prediction", prediction), ("reference", reference))}  # fmt: skip
    panes = [Pane(name, name, label_map=label_map) for name, label_map in maps.items()]
    assert viewer_value(volume, panes, tmp_path, given)["slice"] == opened


def test_no_reference_no_errors_to_show(volume: Volume, tmp_path: Path) -> None:
    assert viewer_value(volume, [Pane("reference", "Reference")], tmp_path)["reference"] is None
    assert viewer_value(volume, [Pane("a", "A", label_map=labels_with([1] * 5))], tmp_path)["reference"] is None


def test_arrays_that_do_not_fit_are_refused(volume: Volume, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(5, 4, 7\) on a volume \(5, 4, 6\)"):
        viewer_value(volume, [Pane("a", "A", label_map=np.zeros((5, 4, 7), np.uint8))], tmp_path)
    with pytest.raises(ValueError, match=r"\(4,\) for a volume \(5, 4, 6\)"):
        viewer_value(volume, [Pane("a", "A", finished=np.zeros(4, bool))], tmp_path)
    with pytest.raises(ValueError, match="different ids"):
        viewer_value(volume, [Pane("a", "A"), Pane("a", "B")], tmp_path)


def test_the_overlay_a_case_opens_with(volume: Volume, tmp_path: Path) -> None:
    value = viewer_value(volume, [], tmp_path, overlay=Overlay("fill", 0.5, tumour=False))
    assert value["overlay"] == {"mode": "fill", "opacity": 0.5, "liver": True, "tumour": False}


# ------------------------------------------------------------------------------------------------ events


@pytest.mark.parametrize(("sent", "slice_index"), [(0, 0), (3, 3), (2.9, 2), (-1, 0), (5, 4), (1e300, 4)])
def test_a_slice_is_clamped(sent: float, slice_index: int) -> None:
    assert parse_slice(EventData(None, {"k": sent}), 5) == slice_index


@pytest.mark.parametrize(
    "sent", [{}, {"k": None}, {"k": "3"}, {"k": True}, {"k": [3]}, {"k": float("nan")}, {"k": float("inf")}, None, [3]]
)
def test_a_slice_that_is_no_number_is_refused(sent: object) -> None:
    with pytest.raises(InputError, match="reload the page"):
        parse_slice(EventData(None, sent), 5)


def test_a_window_is_clamped() -> None:
    assert parse_window(EventData(None, {"center": 40, "width": 400})) == Window(40, 400)
    assert parse_window(EventData(None, {"center": 1e9, "width": -5})) == Window(3071, 1)
    with pytest.raises(InputError, match="reload the page"):
        parse_window(EventData(None, {"center": 40}))


def test_the_component_has_both_events() -> None:
    component = ct_viewer(elem_id="viewer")
    assert callable(component.slice)
    assert callable(component.window)


# ------------------------------------------------------------------------------------- html, css and script


def test_gradio_can_evaluate_html_and_css() -> None:
    """Both go through Handlebars and then a JavaScript template string."""
    component = ct_viewer()
    for text in (component.html_template, component.css_template):
        assert not re.search(r"\{\{|\$\{|`|\\", text)
    assert "@keyframes" not in component.css_template  # cannot be nested, and gradio nests everything


def test_every_named_window_has_a_button() -> None:
    html = ct_viewer().html_template
    for name, window in NAMED_WINDOWS.items():
        assert f"data-center='{window.center:g}' data-width='{window.width:g}'" in html
        assert f">{name}</button>" in html


def test_every_script_is_part_of_the_viewer() -> None:
    folder = Path(viewer.__file__).parent
    script = ct_viewer().js_on_load
    for path in folder.glob("viewer*.js"):
        assert path.read_text("utf-8") in script


def css_colours(theme: str) -> dict[str, tuple[int, int, int]]:
    """The viewer's colours by name: theme "light", or "dark" with what it changes."""
    css = (Path(viewer.__file__).parent / "viewer.css").read_text("utf-8")
    parts = [css.split(".dark & .lv")[0]] + ([css.split(".dark & .lv")[1].split("}")[0]] if theme == "dark" else [])
    found = [match for part in parts for match in re.findall(r"--lv-(\w[\w-]*): #([0-9a-fA-F]{6});", part)]
    return {name: (int(hex_[:2], 16), int(hex_[2:4], 16), int(hex_[4:], 16)) for name, hex_ in found}


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """WCAG 2's contrast ratio."""

    def luminance(rgb: tuple[int, int, int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(theme: str) -> None:
    colours = css_colours(theme)
    pairs = [("text", "surface"), ("muted", "surface"), ("text", "chip"), ("muted", "chip"), ("accent", "surface")]
    pairs += [("on-accent", "accent"), ("bright", "stage"), ("dim", "stage"), ("glow", "stage")]
    low = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: round(ratio, 1) for pair, ratio in low.items() if ratio < 4.5} == {}


def test_labels_have_the_colours_that_they_have_everywhere() -> None:
    colours = css_colours("light")
    named = {"liver": overlay.LIVER, "tumour": overlay.TUMOUR, "tp": overlay.TRUE_POSITIVE}
    named |= {"fp": overlay.FALSE_POSITIVE, "fn": overlay.FALSE_NEGATIVE}
    assert {name: colours[name] for name in named} == named


def test_maps_and_dice_have_to_fit(tmp_path: Path) -> None:
    volume = make_volume(np.zeros((5, 4, 6)))
    two = (Level("none", "#000000"), Level("one", "#ffffff"))
    fits = Pane("votes", "Votes", label_map=labels_with([0, 1, 0, 0, 0]), levels=two)
    value = viewer_value(volume, [fits], tmp_path, linked=True)
    assert value["panes"][0]["levels"][1] == {"name": "one", "colour": "#ffffff"}
    assert value["slice"] == 2  # a map of votes is no reason to open a slice
    with pytest.raises(ValueError, match="level 2 of 2"):
        viewer_value(volume, [replace(fits, label_map=labels_with([0, 1, 0, 0, 0]) * 2)], tmp_path)
    with pytest.raises(ValueError, match="at most 64"):
        viewer_value(volume, [replace(fits, levels=two * 40)], tmp_path)
    with pytest.raises(ValueError, match="another number of slices"):
        viewer_value(volume, [Pane("a", "A", dice=(PaneDice("liver", np.zeros(4), 0.5),))], tmp_path)
    beside = PaneWitness("liver", ((0, 0, 0), (0, 4, 0)), "reference", "4 mm")
    with pytest.raises(ValueError, match="witness outside"):
        viewer_value(volume, [Pane("a", "A", witnesses=(beside,))], tmp_path)


def test_dice_that_is_nan_is_null(tmp_path: Path) -> None:
    volume = make_volume(np.zeros((2, 4, 6)))
    dice = PaneDice("tumour", np.array([np.nan, 0.25]), float("nan"))
    value = viewer_value(volume, [Pane("a", "A", dice=(dice,))], tmp_path)
    assert value["panes"][0]["dice"] == [{"label": "tumour", "slices": [None, 0.25], "volume": None}]
