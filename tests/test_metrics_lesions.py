"""Lesions as objects: sizes by ruler, matches by eye."""

import math

import numpy as np
import pytest

from livdemo.metrics.lesions import (
    LESION_COLUMNS,
    SIZE_GROUPS,
    Lesion,
    LesionMatch,
    LesionReport,
    detection_table,
    label_lesions,
    lesion_ledger,
    longest_axial_diameter_mm,
    match_lesions,
    size_group,
)

SPACING = (5.0, 1.0, 1.0)


def liver_with(*boxes: tuple[slice, ...], shape: tuple[int, int, int] = (8, 30, 30)) -> np.ndarray:
    label_map = np.zeros(shape, np.uint8)
    label_map[1:-1, 1:-1, 1:-1] = 1
    for box in boxes:
        label_map[box] = 2
    return label_map


SMALL = np.s_[2:4, 3:5, 3:5]  # 8 voxels
LARGE = np.s_[2:5, 10:16, 10:18]  # 144 voxels
FAR = np.s_[5:6, 24:26, 24:26]  # 4 voxels


def test_lesions_are_numbered_by_size():
    found = label_lesions(liver_with(SMALL, LARGE, FAR), SPACING).lesions
    assert [lesion.voxels for lesion in found] == [144, 8, 4]
    assert [lesion.number for lesion in found] == [1, 2, 3]


def test_a_lesion_knows_its_size_and_place():
    lesion = label_lesions(liver_with(LARGE), SPACING).lesions[0]
    assert lesion.volume_ml == pytest.approx(144 * 5 / 1000)
    # Corner voxels of a 6x8 rectangle are 5 and 7 voxels apart, plus one voxel edge to edge.
    assert lesion.diameter_mm == pytest.approx(math.hypot(5, 7) + 1)
    assert (lesion.first_slice, lesion.last_slice) == (2, 4)
    assert lesion.slice_index in (2, 3, 4)
    assert lesion.centre in {(lesion.slice_index, y, x) for y in (12, 13) for x in (13, 14)}


def test_the_slice_to_jump_to_is_the_one_with_the_largest_area():
    lesion = label_lesions(liver_with(np.s_[2:6, 5:7, 5:7], np.s_[4:5, 5:11, 5:11]), SPACING).lesions[0]
    assert lesion.slice_index == 4


def test_the_centre_lies_in_the_lesion_even_when_the_lesion_is_a_ring():
    label_map = liver_with(np.s_[3:4, 5:14, 5:14])
    label_map[3, 7:12, 7:12] = 1
    lesion = label_lesions(label_map, SPACING).lesions[0]
    assert label_map[lesion.centre] == 2


def test_density_and_contrast_to_the_liver():
    label_map = liver_with(LARGE)
    hu = np.full(label_map.shape, -1000, np.int16)
    hu[label_map == 1], hu[label_map == 2] = 110, 60
    lesion = label_lesions(label_map, SPACING, hu).lesions[0]
    assert lesion.mean_hu == 60.0
    assert lesion.contrast_hu == -50.0


def test_density_is_not_applicable_without_a_ct_or_without_liver():
    label_map = liver_with(LARGE)
    assert math.isnan(label_lesions(label_map, SPACING).lesions[0].mean_hu)
    alone = np.where(label_map == 2, 2, 0)
    lesion = label_lesions(alone, SPACING, np.full(alone.shape, 40, np.int16)).lesions[0]
    assert lesion.mean_hu == 40.0
    assert math.isnan(lesion.contrast_hu)


@pytest.mark.parametrize("other", [(3, 3, 3), (2, 3, 3), (2, 2, 3)])
def test_voxels_that_share_a_corner_an_edge_or_a_face_are_one_lesion(other):
    label_map = np.zeros((6, 6, 6), np.uint8)
    label_map[2, 2, 2] = label_map[other] = 2
    assert len(label_lesions(label_map, SPACING).lesions) == 1


def test_voxels_that_do_not_touch_are_two():
    label_map = np.zeros((6, 6, 6), np.uint8)
    label_map[2, 2, 2] = label_map[2, 2, 4] = 2
    assert len(label_lesions(label_map, SPACING).lesions) == 2


@pytest.mark.parametrize(
    ("shape", "box", "spacing", "diameter"),
    [
        ((3, 12, 12), np.s_[1:2, 5:6, 1:11], (5, 1, 1), 10.0),  # ten voxels in a row
        ((3, 12, 12), np.s_[1:2, 5:6, 5:6], (5, 0.7, 0.7), 0.7),  # one voxel
        ((9, 5, 5), np.s_[1:8, 2:3, 2:3], (5, 1, 1), 1.0),  # a rod across slices is short in each of them
        ((3, 12, 12), np.s_[1:2, 1:5, 1:4], (5, 1, 1), math.hypot(3, 2) + 1),
    ],
)
def test_longest_axial_diameter(shape, box, spacing, diameter):
    mask = np.zeros(shape, bool)
    mask[box] = True
    assert longest_axial_diameter_mm(mask, spacing) == pytest.approx(diameter)


def test_diameter_of_a_disc_and_of_random_shapes():
    y, x = np.mgrid[:41, :41] - 20
    disc = (y**2 + x**2 <= 15**2)[None]
    assert longest_axial_diameter_mm(disc, (5, 1, 1)) == pytest.approx(31.0)
    shape = np.random.default_rng(0).random((1, 9, 9)) < 0.2
    points = np.argwhere(shape[0]) * (0.7, 0.9)
    every_pair = np.linalg.norm(points[:, None] - points[None], axis=2).max()
    assert longest_axial_diameter_mm(shape, (5, 0.7, 0.9)) == pytest.approx(every_pair + math.sqrt(0.63))


def test_an_empty_mask_has_no_diameter():
    with pytest.raises(ValueError, match=r"\(1, 2, 3\)"):
        longest_axial_diameter_mm(np.zeros((1, 2, 3), bool), SPACING)


@pytest.mark.parametrize(("diameter_mm", "group"), [(49.9, 0), (50.0, 1), (100.0, 1), (100.1, 2), (5.0, 0)])
def test_size_groups_are_in_centimetres(diameter_mm, group):
    assert size_group(diameter_mm) == SIZE_GROUPS[group]


def report(prediction: np.ndarray, reference: np.ndarray, min_iou: float = 0.1) -> LesionReport:
    return match_lesions(label_lesions(prediction, SPACING), label_lesions(reference, SPACING), min_iou)


def test_hits_misses_and_inventions():
    found = report(liver_with(LARGE, FAR), liver_with(LARGE, SMALL))
    large, small = found.matches
    assert (large.found, large.dice, large.iou) == (True, 1.0, 1.0)
    assert (small.found, small.dice, small.predicted) == (False, 0.0, None)
    assert [lesion.voxels for lesion in found.false_positives] == [4]
    assert found.n_found == 1


def test_dice_of_a_partly_found_lesion():
    half = np.s_[2:5, 10:16, 10:14]  # 72 of 144 voxels
    match = report(liver_with(half), liver_with(LARGE)).matches[0]
    assert match.dice == pytest.approx(2 * 72 / (72 + 144))
    assert match.iou == pytest.approx(0.5)


def test_one_prediction_over_two_lesions_hits_one_of_them():
    bridge = np.s_[2:5, 3:20, 3:20]
    found = report(liver_with(bridge), liver_with(SMALL, LARGE))
    assert [match.found for match in found.matches] == [True, False]
    assert found.false_positives == ()


def test_two_predictions_in_one_lesion_are_a_hit_and_a_false_positive():
    left, right = np.s_[2:5, 10:16, 10:15], np.s_[2:5, 10:16, 16:18]
    found = report(liver_with(left, right), liver_with(LARGE))
    assert found.n_found == 1
    assert [lesion.voxels for lesion in found.false_positives] == [36]


def test_a_touch_below_the_threshold_is_a_miss_that_keeps_its_dice():
    corner = np.s_[4:5, 15:19, 17:21]  # 16 voxels, 1 of them in the lesion
    found = report(liver_with(corner), liver_with(LARGE))
    assert not found.matches[0].found
    assert found.matches[0].dice == pytest.approx(2 / 160)
    assert len(found.false_positives) == 1
    assert report(liver_with(corner), liver_with(LARGE), min_iou=0.005).matches[0].found


def test_a_hit_comes_before_any_sum_of_touches():
    # In a row: a lesion of 100 voxels, a gap, one of 33. p1 covers 67 of the first, the gap and all of the second,
    # p2 covers 32 of the first. p1 hits the first (IoU 0.5); matched crosswise the touches would add up to 0.65.
    reference, prediction = np.zeros((2, 3, 3, 140), np.uint8)
    reference[1, 1, :100] = reference[1, 1, 101:134] = 2
    prediction[1, 1, 33:134] = prediction[1, 1, :32] = 2
    found = report(prediction, reference, min_iou=0.45)
    assert [match.found for match in found.matches] == [True, False]
    assert found.matches[0].iou == 0.5
    assert [lesion.voxels for lesion in found.false_positives] == [32]


def test_ledger_lists_the_same_lesions_for_every_model():
    reference = liver_with(LARGE, SMALL)
    ledger = lesion_ledger({"good": reference, "blind": liver_with()}, reference, SPACING)
    assert ledger["good"].reference == ledger["blind"].reference
    assert ledger["good"].n_found == 2
    assert ledger["blind"].n_found == 0
    assert ledger["blind"].false_positives == ()


def test_a_case_without_lesions_still_counts_inventions():
    found = report(liver_with(FAR), liver_with())
    assert found.matches == ()
    assert len(found.false_positives) == 1
    nothing = report(liver_with(), liver_with())
    assert (nothing.matches, nothing.false_positives) == ((), ())


def lesion(diameter_mm: float) -> Lesion:
    return Lesion(1, 1, 1.0, diameter_mm, size_group(diameter_mm), 0.0, 0.0, 0, 0, 0, (0, 0, 0))


def test_detection_by_size_group_over_cases():
    hit, miss = LesionMatch(True, 0.8, 0.7, lesion(20)), LesionMatch(False, 0.0, 0.0, None)
    cases = [
        LesionReport((lesion(20), lesion(120)), (hit, hit), (lesion(8), lesion(60)), 0.1),
        LesionReport((lesion(30),), (miss,), (lesion(8),), 0.1),
    ]
    every, small, middle, large = detection_table(cases)
    assert (every.n_lesions, every.n_found, every.sensitivity) == (3, 2, pytest.approx(2 / 3))
    assert (every.n_false_positives, every.false_positives_per_case) == (3, 1.5)
    assert (small.n_lesions, small.n_found, small.n_false_positives) == (2, 1, 2)
    assert (middle.n_lesions, middle.n_false_positives) == (0, 1)
    assert math.isnan(middle.sensitivity)
    assert (large.size_group, large.sensitivity) == ("> 10 cm", 1.0)


def test_no_cases_give_an_empty_table():
    assert all(math.isnan(row.false_positives_per_case) for row in detection_table([]))


def test_every_column_of_the_ledger_is_explained():
    figures = {"volume_ml", "diameter_mm", "mean_hu", "contrast_hu", "dice", "found"}
    assert set(LESION_COLUMNS) == figures
    known = set(Lesion.__dataclass_fields__) | set(LesionMatch.__dataclass_fields__)
    assert figures <= known


def test_shapes_that_differ_are_named():
    two = label_lesions(liver_with(), SPACING), label_lesions(liver_with(shape=(8, 30, 31)), SPACING)
    with pytest.raises(ValueError, match=r"\(8, 30, 30\).*\(8, 30, 31\)"):
        match_lesions(*two)
    with pytest.raises(ValueError, match=r"\(8, 30, 30\).*\(8, 30, 31\)"):
        label_lesions(liver_with(), SPACING, np.zeros((8, 30, 31), np.int16))
    with pytest.raises(ValueError, match=r"\(8, 30, 31\).*\(8, 30, 30\)"):
        lesion_ledger({"a": liver_with(shape=(8, 30, 31))}, liver_with(), SPACING)
    with pytest.raises(ValueError, match=r"\(30, 30\)"):
        label_lesions(liver_with()[0], SPACING)
    with pytest.raises(ValueError, match="min_iou"):
        report(liver_with(), liver_with(), min_iou=0.0)
