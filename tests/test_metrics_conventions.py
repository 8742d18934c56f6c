"""Our figures beside those of the libraries people trust: where they agree, and by how much they do not.

Tests marked `oracle` run the library itself and are skipped where it is not installed. They hold
`conventions`, which shows the libraries' definitions without them, to what the libraries really do.
MetricsReloaded is on no package index; its definitions are written out below, and its figures are those of
the survey in PEERS.md D1.
"""

import importlib
import math
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage

from livdemo.metrics import score_case, score_mask
from livdemo.metrics.conventions import (
    CONVENTIONS,
    ConventionScores,
    _element_sizes,
    score_under_conventions,
    surface_elements,
)

TOLERANCE_MM = 2.0
SPACINGS = {3: (2.5, 0.7, 0.9), 2: (0.7, 1.3)}


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius_mm: float, spacing: tuple[float, ...]):
    grid = np.indices(shape).reshape(len(shape), -1).T
    return (np.linalg.norm((grid - centre) * spacing, axis=1) <= radius_mm).reshape(shape)


def awkward_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks that have broken one library or another."""
    rng = np.random.default_rng(11)
    shape = (8, 14, 13)
    blob = ball(shape, (4, 7, 6), 4.0, SPACINGS[3])
    border = np.zeros(shape, bool)
    border[:3, :5], border[-2:, -4:] = True, True
    voxel = np.zeros(shape, bool)
    voxel[7, 13, 12] = True
    parts = ndimage.binary_dilation(rng.random(shape) < 0.01)
    thin = np.zeros(shape, bool)
    thin[:, 6, 6] = True
    pairs = {
        "alike": (blob, blob),
        "shifted by a voxel": (np.roll(blob, 1, axis=2), blob),
        "touching the border": (border, np.roll(border, 1, axis=1)),
        "filling the image": (np.ones(shape, bool), blob),
        "one voxel in a corner": (voxel, blob),
        "two single voxels": (voxel, np.roll(voxel, (-3, -2), axis=(0, 1))),
        "several components": (parts, np.roll(parts, 2, axis=1)),
        "one voxel thin": (thin, np.roll(thin, 1, axis=2)),
        "a hole": (blob & ~ball(shape, (4, 7, 6), 1.5, SPACINGS[3]), blob),
    }
    for density in (0.02, 0.3, 0.7):
        pairs[f"noise {density}"] = (rng.random(shape) < density, rng.random(shape) < density)
    flat = {f"{name}, 2D": (a[4], b[4]) for name, (a, b) in pairs.items() if a[4].any() and b[4].any()}
    return {**pairs, **flat}


PAIRS = awkward_pairs()
EMPTIES = {
    "prediction empty": (np.zeros((4, 5, 6), bool), np.ones((4, 5, 6), bool)),
    "reference empty": (np.ones((4, 5, 6), bool), np.zeros((4, 5, 6), bool)),
    "both empty": (np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)),
}

each_pair = pytest.mark.parametrize("name", PAIRS)
each_empty = pytest.mark.parametrize("name", EMPTIES)


def under(convention: str, pair: tuple[np.ndarray, np.ndarray]) -> ConventionScores:
    (scores,) = score_under_conventions(*pair, SPACINGS[pair[0].ndim], [convention], TOLERANCE_MM)
    assert scores.convention == convention
    return scores


def assert_close(found: float, expected: float, tolerance: float = 1e-4) -> None:
    assert found == pytest.approx(expected, abs=tolerance, nan_ok=True)


SURVEY = {
    # PEERS.md D1: HD95, ASSD and NSD at 2 mm of a sphere of 15 mm and its shifted copy, by each library.
    "3 mm in plane": {
        "livdemo": (2.70, 0.61, 0.869),
        "monai": (2.70, 0.61, 0.869),
        "medpy": (2.70, 0.61, math.nan),
        "surface-distance": (2.70, 0.81, 0.815),
        "metrics-reloaded": (2.70, 0.61, 0.869),
    },
    "one slice": {
        "livdemo": (5.0, 3.01, 0.344),
        "monai": (5.0, 3.01, 0.344),
        "medpy": (5.0, 3.01, math.nan),
        "surface-distance": (5.0, 1.67, 0.610),
        "metrics-reloaded": (5.0, 3.01, 0.344),
    },
}


@pytest.mark.parametrize("shift", SURVEY)
def test_the_survey_of_libraries_is_reproduced_without_them(shift):
    spacing = (5.0, 0.75, 0.75)
    reference = ball((24, 96, 96), (12, 48, 48), 15.0, spacing)
    moved = np.roll(reference, 1, axis=0) if shift == "one slice" else np.roll(reference, 4, axis=2)
    for found in score_under_conventions(moved, reference, spacing):
        expected = SURVEY[shift][found.convention]
        figures = (round(found.hd95_mm, 2), round(found.assd_mm, 2), round(found.nsd, 3))
        assert figures == pytest.approx(expected, nan_ok=True), found.convention


def test_forgetting_the_spacing_makes_a_slice_one():
    reference = ball((24, 96, 96), (12, 48, 48), 15.0, (5.0, 0.75, 0.75))
    assert score_mask(np.roll(reference, 1, axis=0), reference, (1, 1, 1)).hd95_mm == 1.0


def test_our_own_convention_is_what_the_rows_say():
    for pair in PAIRS.values():
        spacing = SPACINGS[pair[0].ndim]
        row = score_mask(*pair, spacing, nsd_tolerance_mm=TOLERANCE_MM)
        ours = under("livdemo", pair)
        for figure in ("dice", "iou", "hd_mm", "hd95_mm", "assd_mm", "nsd"):
            assert getattr(ours, figure) == getattr(row, figure), figure


def test_pooled_and_directed_hd95_differ():
    # A large part of one surface is far off: pooling both surfaces halves its weight.
    reference = np.zeros((3, 3, 60), bool)
    reference[1, 1, :20] = True
    prediction = reference.copy()
    prediction[1, 1, 50] = True
    ours, medpy = score_under_conventions(prediction, reference, (1, 1, 1), ["livdemo", "medpy"])
    assert ours.hd_mm == medpy.hd_mm == 31.0
    assert ours.hd95_mm == pytest.approx(0.0)  # 1 of 21 voxels
    shorter = prediction.copy()
    shorter[1, 1, 10:20] = False  # now 1 of 11: above the 95th percentile of its own surface
    ours, medpy = score_under_conventions(shorter, reference, (1, 1, 1), ["livdemo", "medpy"])
    assert ours.hd95_mm > medpy.hd95_mm


def test_a_total_miss_under_every_convention():
    found = {s.convention: s for s in score_under_conventions(*EMPTIES["prediction empty"], SPACINGS[3])}
    assert set(found) == set(CONVENTIONS)
    assert found["livdemo"].hd95_mm > 0
    assert math.isfinite(found["livdemo"].hd95_mm)
    assert math.isnan(found["monai"].hd95_mm)
    assert "better" in found["monai"].note
    assert "RuntimeError" in found["medpy"].note
    assert math.isinf(found["surface-distance"].hd95_mm)
    assert math.isnan(found["metrics-reloaded"].hd95_mm)


def test_unknown_conventions_and_shapes_are_named():
    with pytest.raises(ValueError, match=r"lits.*monai"):
        score_under_conventions(*PAIRS["alike"], SPACINGS[3], ["lits"])
    with pytest.raises(ValueError, match="tolerance"):
        score_under_conventions(*PAIRS["alike"], SPACINGS[3], nsd_tolerance_mm=-1.0)
    with pytest.raises(ValueError, match=r"\(8, 14, 13\).*\(4, 5, 6\)"):
        score_under_conventions(PAIRS["alike"][0], EMPTIES["both empty"][0], SPACINGS[3])


def test_surface_elements_of_one_voxel():
    # Each of the 8 corners cuts off one voxel corner: an equilateral triangle of side sqrt(1/2).
    places, areas = surface_elements(np.ones((1, 1, 1), bool), (1, 1, 1))
    assert len(places) == 8
    np.testing.assert_allclose(areas, math.sqrt(3) / 8)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.9), (0.7, 1.3)])
def test_inside_and_outside_share_one_surface(spacing):
    sizes = _element_sizes(spacing)
    np.testing.assert_allclose(sizes, sizes[::-1], rtol=1e-12)


def test_surface_elements_of_a_box_approach_its_area():
    _, areas = surface_elements(np.ones((20, 30, 40), bool), (1, 1, 1))
    assert areas.sum() == pytest.approx(2 * (20 * 30 + 30 * 40 + 20 * 40), rel=0.05)
    _, lengths = surface_elements(np.ones((20, 30), bool), (2.0, 1.0))
    assert lengths.sum() == pytest.approx(2 * (40 + 30), rel=0.05)


# --- the definitions once more, in the plainest code that scipy allows --------------------------------------


def by_definition(pair: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """MetricsReloaded's definitions over the whole volume: border voxels, distance maps, pooled average."""
    spacing = SPACINGS[pair[0].ndim]
    borders = [mask ^ ndimage.binary_erosion(mask) for mask in pair]
    maps = [ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders]
    there, back = maps[1][borders[0]], maps[0][borders[1]]
    both = np.concatenate([there, back])
    return {
        "hd_mm": both.max(),
        "hd95_mm": max(np.percentile(there, 95), np.percentile(back, 95)),
        "assd_mm": both.mean(),
        "nsd": (both <= TOLERANCE_MM).mean(),
    }


@each_pair
def test_distances_agree_with_the_plain_definition(name):
    row = score_mask(*PAIRS[name], SPACINGS[PAIRS[name][0].ndim], nsd_tolerance_mm=TOLERANCE_MM)
    for figure, expected in by_definition(PAIRS[name]).items():
        assert_close(getattr(row, figure), expected, 1e-9)


# --- the libraries themselves ------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quiet_oracles() -> Iterator[None]:
    """Other libraries' own warnings (deprecations, empty masks) are not ours to fail on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(monai|medpy|surface_distance)")
        warnings.filterwarnings("ignore", message=".*(ground truth|prediction) of class.*")
        yield


def oracle(module: str) -> Callable[[], ModuleType]:
    @pytest.fixture(scope="module")
    def load() -> ModuleType:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return importlib.import_module(module)
            except ImportError as missing:
                pytest.skip(f"{module} is not installed ({missing}); see requirements-dev.txt")

    return load


monai_metrics = oracle("monai.metrics")
medpy_binary = oracle("medpy.metric.binary")
surface_distance = oracle("surface_distance")


def monai_scores(metrics: ModuleType, pair: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    import torch

    prediction, reference = (torch.from_numpy(mask[None, None]) for mask in pair)
    spacing = list(SPACINGS[pair[0].ndim])
    plain = {"y_pred": prediction, "y": reference, "include_background": True}
    return {
        "dice": float(metrics.compute_dice(**plain)),
        "iou": float(metrics.compute_iou(**plain)),
        "hd_mm": float(metrics.compute_hausdorff_distance(**plain, spacing=spacing)),
        "hd95_mm": float(metrics.compute_hausdorff_distance(**plain, spacing=spacing, percentile=95)),
        "assd_mm": float(metrics.compute_average_surface_distance(**plain, spacing=spacing, symmetric=True)),
        "nsd": float(metrics.compute_surface_dice(**plain, spacing=spacing, class_thresholds=[TOLERANCE_MM])),
    }


@pytest.mark.oracle
@each_pair
def test_we_agree_with_monai(name, monai_metrics):
    row = score_mask(*PAIRS[name], SPACINGS[PAIRS[name][0].ndim], nsd_tolerance_mm=TOLERANCE_MM)
    for figure, expected in monai_scores(monai_metrics, PAIRS[name]).items():
        assert_close(getattr(row, figure), expected)


@pytest.mark.oracle
@each_empty
def test_monai_on_empty_masks_is_as_we_say(name, monai_metrics):
    said = under("monai", EMPTIES[name])
    for figure, expected in monai_scores(monai_metrics, EMPTIES[name]).items():
        assert_close(getattr(said, figure), expected)


@pytest.mark.oracle
def test_one_slice_in_depth_is_all_surface_to_monai_and_an_image_to_us(monai_metrics):
    # The difference on purpose: a CT of one slice has no depth, so its surface is its outline.
    disc = ball((1, 15, 15), (0, 7, 7), 5.0, (1, 1, 1))
    smaller = ball((1, 15, 15), (0, 7, 7), 3.0, (1, 1, 1))
    theirs = monai_scores(monai_metrics, (disc, smaller))
    ours = score_mask(disc, smaller, SPACINGS[3])
    assert ours.assd_mm == score_mask(disc[0], smaller[0], SPACINGS[3][1:]).assd_mm
    assert ours.assd_mm > 1.5 * theirs["assd_mm"]


@pytest.mark.oracle
@each_pair
def test_medpy_is_as_we_say(name, medpy_binary):
    (prediction, reference), said = PAIRS[name], under("medpy", PAIRS[name])
    spacing = SPACINGS[prediction.ndim]
    assert_close(said.dice, medpy_binary.dc(prediction, reference))
    assert_close(said.iou, medpy_binary.jc(prediction, reference))
    assert_close(said.hd_mm, medpy_binary.hd(prediction, reference, spacing))
    assert_close(said.hd95_mm, medpy_binary.hd95(prediction, reference, spacing))
    assert_close(said.assd_mm, medpy_binary.assd(prediction, reference, spacing))


@pytest.mark.oracle
@each_empty
def test_medpy_on_empty_masks_is_as_we_say(name, medpy_binary):
    said = under("medpy", EMPTIES[name])
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_close(said.dice, medpy_binary.dc(*EMPTIES[name]))
        assert_close(said.iou, medpy_binary.jc(*EMPTIES[name]))
    with pytest.raises(RuntimeError):
        medpy_binary.hd95(*EMPTIES[name], SPACINGS[3])


@pytest.mark.oracle
@each_pair
def test_surface_distance_is_as_we_say(name, surface_distance):
    (prediction, reference), said = PAIRS[name], under("surface-distance", PAIRS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = surface_distance.compute_surface_distances(reference, prediction, SPACINGS[reference.ndim])
    assert_close(said.dice, surface_distance.compute_dice_coefficient(reference, prediction))
    assert_close(said.hd_mm, surface_distance.compute_robust_hausdorff(theirs, 100))
    assert_close(said.hd95_mm, surface_distance.compute_robust_hausdorff(theirs, 95))
    assert_close(said.assd_mm, float(np.mean(surface_distance.compute_average_surface_distance(theirs))))
    assert_close(said.nsd, surface_distance.compute_surface_dice_at_tolerance(theirs, TOLERANCE_MM))


@pytest.mark.oracle
def test_a_case_agrees_with_monai_label_by_label(monai_metrics):
    rng = np.random.default_rng(12)
    maps = []
    for _ in range(2):
        liver = ball((10, 20, 20), (5 + rng.random(), 10, 10 + rng.random()), 8.0, SPACINGS[3])
        tumour = ball((10, 20, 20), (5, 9, 11 + rng.random()), 3.0, SPACINGS[3])
        maps.append(np.where(tumour, 2, liver.astype(np.uint8)))
    for row, of in zip(score_case(*maps, SPACINGS[3]), (lambda m: m >= 1, lambda m: m == 2), strict=True):
        for figure, expected in monai_scores(monai_metrics, (of(maps[0]), of(maps[1]))).items():
            assert_close(getattr(row, figure), expected)
