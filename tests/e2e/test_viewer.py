"""The slice viewer in a real browser: what is on the screen, and what every key, drag and swipe does."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect
from scipy import ndimage

from livdemo import overlay
from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.ui.viewer import Overlay, Pane, ct_viewer, parse_slice, parse_window, viewer_value
from tests.e2e.conftest import PATIENCE_MS
from tests.made_up import make_volume

pytestmark = pytest.mark.e2e
expect.set_options(timeout=PATIENCE_MS)

DEPTH, ROWS, COLUMNS = 10, 96, 128
SPACING_MM = (4.0, 1.0, 1.0)
ABDOMEN = NAMED_WINDOWS["abdomen"]
WIDE = {"width": 1000, "height": 800}
OPENED = 5  # the slice with the largest reference

BRIGHT, DARK, COUNTING = (8, 8), (8, 110), (84, 110)  # (row, column) inside blocks of known HU


def make_hu() -> np.ndarray:
    """40 HU everywhere but in three blocks: 100 HU, −100 HU, and twenty times the slice's number."""
    hu = np.full((DEPTH, ROWS, COLUMNS), 40, np.int16)
    hu[:, 2:16, 2:16] = 100
    hu[:, 2:16, 104:118] = -100
    hu[:, 78:92, 104:118] = 20 * np.arange(DEPTH)[:, None, None]
    return hu


def make_labels(left: int, tumour_top: int) -> np.ndarray:
    """A liver of 50×60 voxels with a tumour of 16×16 in slices 2 to 8; one voxel more in slice 5."""
    label_map = np.zeros((DEPTH, ROWS, COLUMNS), np.uint8)
    label_map[2:9, 30:80, left : left + 60] = 1
    label_map[2:9, tumour_top : tumour_top + 16, 50:66] = 2
    label_map[OPENED, 80, left] = 1
    return label_map


REFERENCE = make_labels(left=30, tumour_top=40)
PREDICTION = make_labels(left=40, tumour_top=46)


def values(folder: Path) -> dict[str, dict[str, Any]]:
    """Everything that the tests show, by the name used in the page's address."""
    volume = make_volume(make_hu(), SPACING_MM)
    reference = Pane("reference", "Reference", label_map=REFERENCE)
    unet = Pane("unet", "U-Net", "0.90", PREDICTION)
    finished = np.arange(DEPTH) < OPENED
    third = Pane("sfan", "SFAN", label_map=make_labels(left=35, tumour_top=40))

    def value(*panes: Pane, of: Any = volume, **options: Any) -> dict[str, Any]:
        return viewer_value(of, panes, folder, **options)

    return {
        "pair": value(reference, unet),
        "three": value(reference, unet, third),
        "changed": value(reference, Pane("unet", "U-Net", "0.80", make_labels(left=44, tumour_top=46))),
        "running": value(reference, Pane("unet", "U-Net", label_map=PREDICTION, finished=finished)),
        "unlabelled": value(Pane("reference", "Reference", empty_text="no reference for this case")),
        "other": value(
            Pane("reference", "Reference"),
            of=make_volume(np.full((3, 16, 16), 60), (1.0, 2.0, 1.0)),
            slice_index=2,
            window=Window(30, 150),
        ),
        "unknown": value(Pane("ct", "CT"), of=make_volume(make_hu()[:, :, :125], known=False)),
        "fill": value(reference, unet, overlay=Overlay("fill", 0.5)),
    }


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page that shows the value named by ?show= and, when the button is pressed, the one named by ?then=."""
    shown = values(tmp_path_factory.mktemp("viewer"))

    def show(request: gr.Request) -> dict[str, Any] | None:
        return shown.get(request.query_params.get("show", ""))

    def then(request: gr.Request) -> dict[str, Any] | None:
        return shown.get(request.query_params.get("then", ""))

    with gr.Blocks(analytics_enabled=False) as app:
        viewer = ct_viewer()
        gr.Button("Next").click(then, None, viewer, show_progress="hidden")
        app.load(show, None, viewer, show_progress="hidden")
    return serve(app)


@pytest.fixture
def show(open_page: Callable[..., Page], address: str) -> Callable[..., Page]:
    """show(name, then="") -> the page once it is drawn; data-ready and not a delay says so."""

    def visit(name: str, then: str = "", viewport: dict[str, int] = WIDE, **options: Any) -> Page:
        page = open_page(f"{address}?show={name}&then={then}", viewport=viewport, **options)
        page.wait_for_selector('.lv[data-ready="1"]')
        return page

    return visit


def viewer_of(page: Page) -> Locator:
    return page.locator(".lv")


def well_of(page: Page, pane: str = "reference") -> Locator:
    return page.locator(f'.lv-well[data-pane="{pane}"]')


def draw(page: Page) -> None:
    """Until the next animation frame is over."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels_of(page: Page, pane: str = "reference") -> np.ndarray:
    """What a pane's canvas holds: uint8 (height, width, 3)."""
    draw(page)
    data, height, width = (
        well_of(page, pane)
        .locator("canvas")
        .evaluate(
            """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let text = "";
          for (let i = 0; i < data.length; i += 30000) text += String.fromCharCode(...data.subarray(i, i + 30000));
          return [btoa(text), canvas.height, canvas.width];
        }"""
        )
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]


def voxel_indices(picture: np.ndarray, rows: int = ROWS, columns: int = COLUMNS, aspect: float = 1.0) -> Any:
    """Row and column of the voxel under every pixel of an unzoomed picture; −1 beside the slice.

    aspect: height of a voxel over its width.
    """
    height, width = picture.shape[:2]
    scale = min(width / columns, height / (rows * aspect))
    found = []
    for size, count, step in ((height, rows, scale * aspect), (width, columns, scale)):
        start = np.floor(size / 2 - count * step / 2 + 0.5)
        borders = np.ceil(start + np.arange(count + 1) * step - 0.5)
        index = np.searchsorted(borders, np.arange(size), side="right") - 1
        found.append(np.where(index < count, index, -1))
    return found


def label_picture(label_map: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The label of one slice (Y, X) under every pixel of the picture."""
    rows, columns = voxel_indices(picture)
    labels = label_map[np.ix_(rows, columns)]
    labels[(rows < 0), :] = 0
    labels[:, (columns < 0)] = 0
    return labels


def grey_at(picture: np.ndarray, voxel: tuple[int, int]) -> int:
    """The grey in the middle of a voxel of an unzoomed picture."""
    rows, columns = voxel_indices(picture)
    row, column = (
        int(np.median(np.flatnonzero(found == at))) for found, at in zip((rows, columns), voxel, strict=True)
    )
    assert len(set(picture[row, column].tolist())) == 1
    return int(picture[row, column, 0])


def expected_grey(hu: float, window: Window) -> int:
    return int(np.floor(np.clip((hu - window.low) / window.width, 0, 1) * 255 + 0.5))


def is_grey(picture: np.ndarray) -> np.ndarray:
    return (picture == picture[..., :1]).all(axis=2)


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == np.array(colour)).all(axis=2)


def mixed(grey: np.ndarray, colour: tuple[int, int, int], opacity: float) -> np.ndarray:
    return np.floor(grey * (1 - opacity) + np.array(colour) * opacity + 0.5).astype(np.uint8)


# ----------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("width", [1000, 620])  # single voxels as squares; smoothed in between
def test_greys_are_what_the_window_says(show: Callable[..., Page], width: int) -> None:
    page = show("pair", viewport={"width": width, "height": 800})
    for key, name in (("1", "abdomen"), ("5", "lung"), ("2", "liver")):
        page.keyboard.press(key) if key == "1" else page.locator(".lv-grid").press(key)
        window = NAMED_WINDOWS[name]
        expect(viewer_of(page)).to_have_attribute("data-window", f"{window.width:g}/{window.center:g}")
        picture = pixels_of(page)
        for voxel, hu in ((BRIGHT, 100), (DARK, -100), (COUNTING, 20 * OPENED)):
            assert grey_at(picture, voxel) == expected_grey(hu, window), (name, hu)


def test_outlines_are_one_pixel_wide_and_of_two_colours_only(show: Callable[..., Page]) -> None:
    page = show("pair")
    for pane, label_map in (("reference", REFERENCE), ("unet", PREDICTION)):
        picture = pixels_of(page, pane)
        labels = label_picture(label_map[OPENED], picture)
        tumour = (labels == 2) & ~ndimage.binary_erosion(labels == 2)
        liver = (labels >= 1) & ~ndimage.binary_erosion(labels >= 1) & ~tumour
        assert np.array_equal(has_colour(picture, overlay.LIVER), liver)
        assert np.array_equal(has_colour(picture, overlay.TUMOUR), tumour)
        assert np.array_equal(is_grey(picture), ~liver & ~tumour)


def test_fill_lets_the_picture_through(show: Callable[..., Page]) -> None:
    page = show("fill")
    picture = pixels_of(page)
    labels = label_picture(REFERENCE[OPENED], picture)
    grey = np.array(expected_grey(40, ABDOMEN))
    for label, colour in ((1, overlay.LIVER), (2, overlay.TUMOUR)):
        inside = ndimage.binary_erosion(labels == label, iterations=2)  # without the outlines
        assert (picture[inside] == mixed(grey, colour, 0.5)).all()


def test_errors_are_told_by_colour_and_by_pattern(show: Callable[..., Page]) -> None:
    page = show("pair")
    page.get_by_role("button", name="Errors").click()
    expect(page.get_by_text("false positive: too much")).to_be_visible()
    picture = pixels_of(page, "unet")
    reference, prediction = (label_picture(labels[OPENED], picture) for labels in (REFERENCE, PREDICTION))
    grey = np.array(expected_grey(40, ABDOMEN))
    agree = (prediction == reference) & (prediction > 0)
    for where, colour, pattern in (
        (agree, overlay.TRUE_POSITIVE, None),
        (prediction > reference, overlay.FALSE_POSITIVE, (0.25, 0.45)),  # a third of the area: hatching
        (prediction < reference, overlay.FALSE_NEGATIVE, (0.10, 0.25)),  # 4 of 25 pixels: dots
    ):
        tinted = (picture[where] == mixed(grey, colour, 0.35)).all(axis=1)
        solid = (picture[where] == np.array(colour)).all(axis=1)
        assert (tinted | solid).all()
        low, high = pattern or (0, 0)
        assert low <= solid.mean() <= high
    assert is_grey(picture)[(prediction == 0) & (reference == 0)].all()
    assert has_colour(pixels_of(page, "reference"), overlay.LIVER).any()  # the reference keeps its outlines


def test_each_label_can_be_switched_off(show: Callable[..., Page]) -> None:
    page = show("pair")
    page.get_by_role("button", name="Tumour").click()
    expect(viewer_of(page)).to_have_attribute("data-labels", "liver")
    picture = pixels_of(page)
    assert has_colour(picture, overlay.LIVER).any()
    assert not has_colour(picture, overlay.TUMOUR).any()
    page.locator(".lv-grid").press("l")
    assert is_grey(pixels_of(page)).all()
    page.locator(".lv-grid").press("t")
    picture = pixels_of(page)
    assert has_colour(picture, overlay.TUMOUR).any()
    assert not has_colour(picture, overlay.LIVER).any()


def test_voxels_keep_their_proportions(show: Callable[..., Page]) -> None:
    """16×16 voxels, 2 mm high and 1 mm wide: a picture twice as high as wide, with black beside it."""
    page = show("other")
    picture = pixels_of(page)
    rows, columns = voxel_indices(picture, 16, 16, aspect=2.0)
    assert ((rows >= 0).sum() - 2 * (columns >= 0).sum()) in (-1, 0, 1)
    lit = picture[..., 0] > 0
    assert np.array_equal(lit, np.logical_and.outer(rows >= 0, columns >= 0))
    assert is_grey(picture).all()


def test_without_spacing_there_is_no_scale_bar(show: Callable[..., Page]) -> None:
    page = show("unknown", then="pair")
    expect(page.locator(".lv-position")).to_have_text("slice 6 / 10")
    expect(page.locator(".lv-scale")).to_be_hidden()
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.locator(".lv-position")).to_contain_text("20.0 mm")
    expect(page.locator(".lv-scale").first).to_have_text("20 mm")


def test_a_running_model_shows_what_is_done(show: Callable[..., Page]) -> None:
    page = show("running")
    waiting = well_of(page, "unet").get_by_text("not done yet")
    expect(waiting).to_be_visible()
    expect(page.locator('.lv-pane:has([data-pane="unet"]) .lv-note')).to_have_text("5 of 10 slices")
    assert not has_colour(pixels_of(page, "unet"), overlay.LIVER).any()
    page.locator(".lv-grid").press("ArrowDown")
    expect(waiting).to_be_hidden()
    assert has_colour(pixels_of(page, "unet"), overlay.LIVER).any()


def test_an_empty_pane_says_what_is_missing(show: Callable[..., Page]) -> None:
    page = show("unlabelled")
    expect(page.get_by_text("no reference for this case")).to_be_visible()
    expect(page.get_by_role("button", name="Errors")).to_be_disabled()
    assert is_grey(pixels_of(page)).all()


# -------------------------------------------------------------------------------------------------- input


def test_every_way_through_the_slices(show: Callable[..., Page]) -> None:
    page = show("pair")
    viewer = viewer_of(page)
    expect(viewer).to_have_attribute("data-slice", str(OPENED))
    well_of(page).hover()
    page.mouse.wheel(0, -100)  # up the body
    expect(viewer).to_have_attribute("data-slice", "6")
    assert grey_at(pixels_of(page, "unet"), COUNTING) == expected_grey(120, ABDOMEN)
    page.mouse.wheel(0, 100)
    expect(viewer).to_have_attribute("data-slice", "5")
    for key, slice_index in (
        ("ArrowUp", 6), ("ArrowRight", 7), ("ArrowDown", 6), ("ArrowLeft", 5), ("End", 9), ("ArrowUp", 9),
        ("Home", 0), ("ArrowDown", 0), ("PageUp", 9), ("PageDown", 0),
    ):  # fmt: skip
        page.locator(".lv-grid").press(key)
        expect(viewer).to_have_attribute("data-slice", str(slice_index))
    page.get_by_label("Slice", exact=True).fill("7")
    expect(viewer).to_have_attribute("data-slice", "7")
    expect(page.locator(".lv-position")).to_have_text("slice 8 / 10  ·  28.0 mm")
    expect(page.locator(".lv-live")).to_have_text("Slice 8 of 10, 28.0 mm")


def test_every_way_to_set_the_window(show: Callable[..., Page]) -> None:
    page = show("pair")
    viewer = viewer_of(page)
    drag_from(page, well_of(page), 50, -20)
    expect(viewer).to_have_attribute("data-window", "480/72")  # 400/250 HU a pixel
    page.get_by_role("button", name="bone").click()
    expect(viewer).to_have_attribute("data-window", "1800/400")
    page.get_by_label("Window width in HU").fill("100")
    page.get_by_label("Window level in HU").fill("60")
    page.get_by_label("Window level in HU").press("Enter")
    expect(viewer).to_have_attribute("data-window", "100/60")
    page.get_by_label("Window width in HU").fill("")  # half typed: nothing happens
    page.get_by_label("Window width in HU").press("Tab")
    expect(viewer).to_have_attribute("data-window", "100/60")
    assert grey_at(pixels_of(page), BRIGHT) == expected_grey(100, Window(60, 100))


def drag_from(page: Page, target: Locator, dx: float, dy: float, at: float = 0.5, **press: Any) -> None:
    """Drag from a point of the target, given as the share of its width, half way down."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box is not None
    x, y = box["x"] + at * box["width"], box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(**press)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up(**press)


def test_the_band_on_the_histogram_sets_the_window(show: Callable[..., Page]) -> None:
    page = show("pair")
    viewer, plot = viewer_of(page), page.locator(".lv-plot canvas")
    box = plot.bounding_box()
    assert box is not None
    hu_per_pixel = 600 / box["width"]  # the axis runs from −220 to 380 HU
    drag_from(page, plot, 30, 0, at=(40 + 220) / 600)
    level = 40 + 30 * hu_per_pixel
    expect(viewer).to_have_attribute("data-window", f"400/{level:.0f}")
    drag_from(page, plot, -20, 0, at=(level + 200 + 220) / 600)
    width = 2 * (200 - 20 * hu_per_pixel)
    shown = viewer.get_attribute("data-window")
    assert shown is not None
    assert abs(int(shown.split("/")[0]) - width) <= 4 * hu_per_pixel  # the edge is gripped to a pixel or so
    assert shown.endswith(f"/{level:.0f}")
    page.get_by_role("button", name="Histogram of this slice").click()
    expect(plot).to_be_hidden()


def test_zoom_stays_at_the_cursor_and_in_all_panes(show: Callable[..., Page]) -> None:
    page = show("pair")
    for label in ("Liver", "Tumour"):
        page.get_by_role("button", name=label, exact=True).click()
    box = well_of(page, "unet").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    under = page.locator(".lv-cursor").inner_text()
    before = pixels_of(page)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    expect(viewer_of(page)).not_to_have_attribute("data-zoom", "1.00")
    expect(viewer_of(page)).to_have_attribute("data-slice", str(OPENED))
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    expect(page.locator(".lv-cursor")).to_have_text(under)
    zoomed = pixels_of(page)
    assert not np.array_equal(zoomed, before)
    assert np.array_equal(zoomed, pixels_of(page, "unet"))
    drag_from(page, well_of(page), 40, 25, button="right")
    moved = pixels_of(page)
    assert np.array_equal(moved[25:, 40:], zoomed[:-25, :-40])
    expect(viewer_of(page)).to_have_attribute("data-window", "400/40")
    page.locator(".lv-grid").press("0")
    assert np.array_equal(pixels_of(page), before)


def test_one_pane_can_be_enlarged(show: Callable[..., Page]) -> None:
    page = show("three")
    expect(page.locator(".lv-pane:visible")).to_have_count(3)
    small = pixels_of(page, "sfan").shape
    well_of(page, "sfan").dblclick()
    expect(page.locator(".lv-pane:visible")).to_have_count(1)
    assert pixels_of(page, "sfan").shape > small
    page.keyboard.press("Escape")
    expect(page.locator(".lv-pane:visible")).to_have_count(3)
    page.get_by_role("button", name="Enlarge U-Net").click()
    expect(viewer_of(page)).to_have_attribute("data-enlarged", "unet")


def test_value_place_and_labels_under_the_cursor(show: Callable[..., Page]) -> None:
    page = show("pair")
    cursor = page.locator(".lv-cursor")

    def point_at(pane: str, row: int, column: int) -> None:
        box = well_of(page, pane).bounding_box()
        assert box is not None
        scale = min(box["width"] / COLUMNS, box["height"] / ROWS)
        page.mouse.move(
            box["x"] + box["width"] / 2 + (column + 0.5 - COLUMNS / 2) * scale,
            box["y"] + box["height"] / 2 + (row + 0.5 - ROWS / 2) * scale,
        )

    point_at("unet", *BRIGHT)
    where = "x 8.0  y 8.0  z 20.0 mm"
    expect(cursor).to_have_text(f"100 HU  ·  {where}  ·  Reference: background  ·  U-Net: background")
    expect(well_of(page, "reference").locator(".lv-mark")).to_be_visible()
    expect(well_of(page, "unet").locator(".lv-mark")).to_be_hidden()
    point_at("reference", 42, 55)
    expect(cursor).to_contain_text("Reference: tumour  ·  U-Net: liver")
    point_at("reference", *COUNTING)
    page.mouse.wheel(0, -100)  # another slice under a resting pointer
    expect(cursor).to_contain_text("120 HU")
    page.mouse.move(5, 5)
    expect(cursor).not_to_contain_text("HU")


def test_all_of_it_by_keyboard(show: Callable[..., Page]) -> None:
    page = show("pair")
    viewer = viewer_of(page)
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('lv-grid')"):
            break
    grid = page.locator(".lv-grid")
    expect(grid).to_be_focused()
    assert grid.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    for key, attribute, value in (
        ("ArrowUp", "data-slice", "6"), ("3", "data-window", "250/0"), ("c", "data-overlay", "fill"),
        ("c", "data-overlay", "errors"), ("c", "data-overlay", "contour"), ("l", "data-labels", "tumour"),
        ("+", "data-zoom", "1.25"), ("-", "data-zoom", "1.00"),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(viewer).to_have_attribute(attribute, value)
    page.keyboard.press("h")
    expect(page.get_by_role("dialog", name="Keys and gestures")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys and gestures")).to_be_hidden()
    expect(grid).to_be_focused()
    nameless = viewer.evaluate(
        """root => [...root.querySelectorAll("button, input, [tabindex]")]
          .filter(node => !(node.getAttribute("aria-label") || node.innerText || node.textContent).trim())
          .map(node => node.outerHTML)"""
    )
    assert nameless == []


# ----------------------------------------------------------------------------------------- server and files


def test_looking_around_asks_the_server_nothing(show: Callable[..., Page]) -> None:
    page = show("pair")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    grid = page.locator(".lv-grid")
    for key in ["Home", *["ArrowUp"] * (DEPTH - 1), "2", "c", "c", "l", "+", "0"]:
        grid.press(key)
    drag_from(page, well_of(page), 30, 30)
    expect(viewer_of(page)).to_have_attribute("data-slice", str(DEPTH - 1))
    page.wait_for_timeout(400)  # past the time after which a listener would hear
    assert requests == []


def test_new_panes_do_not_bring_the_volume_again(show: Callable[..., Page]) -> None:
    page = show("pair", then="changed")
    grid, viewer = page.locator(".lv-grid"), viewer_of(page)
    for key in ("ArrowUp", "2", "+"):
        grid.press(key)
    expect(viewer).to_have_attribute("data-zoom", "1.25")
    fetched: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith(".gz"):
            fetched.append(request.url.rsplit("/", 1)[1])

    page.on("request", note)
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("0.80")).to_be_visible()
    expect(viewer).to_have_attribute("data-ready", "1")
    assert [name.split("-")[0] for name in fetched] == ["labels"]
    expect(viewer).to_have_attribute("data-slice", "6")
    expect(viewer).to_have_attribute("data-window", "150/30")
    expect(viewer).to_have_attribute("data-zoom", "1.25")


def test_another_case_starts_afresh(show: Callable[..., Page]) -> None:
    page = show("pair", then="other")
    page.locator(".lv-grid").press("+")
    page.get_by_role("button", name="Next", exact=True).click()
    viewer = viewer_of(page)
    expect(viewer).to_have_attribute("data-slice", "2")
    expect(viewer).to_have_attribute("data-window", "150/30")
    expect(viewer).to_have_attribute("data-zoom", "1.00")
    expect(page.locator(".lv-pane")).to_have_count(1)


def test_a_file_that_does_not_come_is_named_and_can_be_asked_for_again(
    open_page: Callable[..., Page], address: str
) -> None:
    page = open_page(f"{address}?then=pair", viewport=WIDE)
    expect(page.get_by_text("No case is open yet.")).to_be_visible()
    height = viewer_of(page).bounding_box()

    def refuse(route: Route) -> None:
        route.fulfill(status=503)

    page.route("**/volume-*", refuse)
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("The CT could not be loaded: the server answered 503.")).to_be_visible()
    page.unroute("**/volume-*")
    page.get_by_role("button", name="Try again").click()
    expect(viewer_of(page)).to_have_attribute("data-ready", "1")
    assert has_colour(pixels_of(page), overlay.LIVER).any()
    loaded = viewer_of(page).bounding_box()
    assert height is not None
    assert loaded is not None
    assert abs(loaded["height"] - height["height"]) < 40  # no jump when data arrive


def test_the_server_hears_the_last_of_many_steps(
    serve: Callable[..., str], open_page: Callable[..., Page], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two viewers: each has its own slice, and each tells Python once things are quiet."""
    value = values(tmp_path_factory.mktemp("heard"))["pair"]
    heard: list[str] = []

    def on_slice(event: gr.EventData) -> str:
        heard.append(f"slice {parse_slice(event, DEPTH)}")
        return heard[-1]

    def on_window(event: gr.EventData) -> str:
        heard.append(f"window {parse_window(event)}")
        return heard[-1]

    with gr.Blocks(analytics_enabled=False) as app:
        first = ct_viewer(value, elem_id="first")
        ct_viewer(value, elem_id="second")
        # One place each: the two are heard side by side, and their answers may come back in either order.
        slice_told, window_told = gr.HTML(elem_id="slice-told"), gr.HTML(elem_id="window-told")
        first.slice(on_slice, None, slice_told, show_progress="hidden", trigger_mode="always_last")
        first.window(on_window, None, window_told, show_progress="hidden", trigger_mode="always_last")
        shown = gr.Checkbox(True, label="shown")
        shown.input(lambda on: gr.HTML(visible=on), shown, first, show_progress="hidden")
    page = open_page(serve(app), viewport=WIDE)
    expect(page.locator('.lv[data-ready="1"]')).to_have_count(2)  # all() would not wait for them to be there
    page.locator("#first .lv-grid").evaluate(
        """grid => ["ArrowUp", "ArrowUp", "ArrowUp", "2"].forEach(key =>
          grid.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))"""
    )
    expect(page.locator("#window-told")).to_contain_text("window")
    expect(page.locator("#slice-told")).to_contain_text("slice")
    assert sorted(heard) == ["slice 8", f"window {NAMED_WINDOWS['liver']}"]
    expect(page.locator("#second .lv")).to_have_attribute("data-slice", str(OPENED))
    page.get_by_label("shown").uncheck()
    expect(page.locator("#first .lv")).to_have_count(0)
    page.get_by_label("shown").check()
    expect(page.locator("#first .lv")).to_have_attribute("data-ready", "1")


# -------------------------------------------------------------------------------------------------- screens

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def test_a_phone_sees_one_picture_at_a_time(show: Callable[..., Page]) -> None:
    page = show("three", **PHONE)
    viewer = viewer_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    outside = viewer.evaluate(
        """root => [...root.querySelectorAll("button, input, canvas")].filter(node => {
          const box = node.getBoundingClientRect();
          return box.width && !node.closest(".lv-tabs") && (box.left < 0 || box.right > innerWidth);
        }).map(node => node.outerHTML)"""
    )
    assert outside == []
    expect(page.locator(".lv-pane:visible")).to_have_count(1)
    page.get_by_role("button", name="SFAN", exact=True).tap()
    expect(viewer).to_have_attribute("data-enlarged", "sfan")
    page.get_by_role("button", name="All", exact=True).tap()
    expect(page.locator(".lv-pane:visible")).to_have_count(3)


def test_a_finger_goes_through_the_slices_and_can_still_scroll(show: Callable[..., Page]) -> None:
    page = show("pair", **PHONE)
    viewer, well = viewer_of(page), well_of(page)
    assert well.evaluate("node => getComputedStyle(node).touchAction") == "pan-y"
    x, y = middle_of(well)
    swipe(page, [(x, y)], [(x + 40, y)])
    expect(viewer).not_to_have_attribute("data-slice", str(OPENED))
    assert int(viewer.get_attribute("data-slice") or 0) > OPENED
    expect(page.locator(".lv-cursor")).to_contain_text("HU")


def test_a_finger_can_set_the_window_and_two_can_zoom(show: Callable[..., Page]) -> None:
    page = show("pair", **PHONE)
    viewer, well = viewer_of(page), well_of(page)
    toggle = page.get_by_role("button", name="Drag sets window")
    toggle.tap()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    assert well.evaluate("node => getComputedStyle(node).touchAction") == "none"
    x, y = middle_of(well)
    swipe(page, [(x, y)], [(x + 20, y - 10)])
    expect(viewer).not_to_have_attribute("data-window", "400/40")
    swipe(page, [(x - 20, y), (x + 20, y)], [(x - 40, y), (x + 40, y)])
    expect(viewer).to_have_attribute("data-zoom", "2.00")
    expect(viewer).to_have_attribute("data-slice", str(OPENED))


def middle_of(target: Locator) -> tuple[float, float]:
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def swipe(page: Page, begin: list[tuple[float, float]], end: list[tuple[float, float]]) -> None:
    """Move one or two fingers from where they begin to where they end, in four steps."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, points: list[tuple[float, float]]) -> None:
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    send("touchStart", begin)
    for step in (0.25, 0.5, 0.75, 1.0):
        pairs = zip(begin, end, strict=True)
        send("touchMove", [(a[0] + step * (b[0] - a[0]), a[1] + step * (b[1] - a[1])) for a, b in pairs])
    send("touchEnd", [])


def test_light_and_dark_pages_have_their_own_controls(show: Callable[..., Page]) -> None:
    surfaces = set()
    for scheme in ("light", "dark"):
        page = show("pair", color_scheme=scheme)
        surfaces.add(viewer_of(page).evaluate("node => getComputedStyle(node).backgroundColor"))
        assert well_of(page).evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(0, 0, 0)"
    assert surfaces == {"rgb(255, 255, 255)", "rgb(18, 26, 37)"}
