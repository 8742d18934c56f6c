"""From a volume to a label map: the right voxels, slice by slice, and a cancel that really stops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from livdemo.checkpoints import Checkpoint
from livdemo.errors import InputError
from livdemo.pieces import SPECK_ML
from livdemo.predictor import (
    FAT_HU,
    GAS_HU,
    S3_SCALES,
    Assembly,
    Inference,
    Predictor,
    decide,
    decision_rule,
    in_tissue,
    pick_device,
)
from livdemo.rescoring import Rule, relabel
from livdemo.volume import volume_from_hu
from tests.made_up import block_case, make_volume
from tests.small_model import write_thresholds


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path))
    return write_thresholds(tmp_path)


def test_every_voxel_of_a_case_that_is_easy(checkpoint: Checkpoint) -> None:
    case = block_case()
    prediction = Predictor(checkpoint, "cpu").predict(case.volume)
    expected = case.reference.copy()
    expected[5, 28:32, 28:32] = 1
    assert np.array_equal(prediction.label_map, expected)
    assert prediction.seconds > 0
    assert prediction.device == "cpu"


def test_the_largest_piece_is_kept_when_the_checkpoint_says_so(checkpoint: Checkpoint) -> None:
    case = block_case()
    prediction = Predictor(replace(checkpoint, largest_component=True), "cpu").predict(case.volume)
    assert np.array_equal(prediction.label_map, case.reference)
    assert "largest connected piece" in prediction.rule


def test_slices_come_one_by_one_with_progress(checkpoint: Checkpoint) -> None:
    volume = block_case().volume
    stream = Predictor(checkpoint, "cpu").stream(volume)
    first = next(stream)
    assert (first.index, first.done, first.total) == (0, 1, 6)
    assert first.label_map.shape == (32, 32)
    assert first.probabilities.shape == (3, 32, 32)
    assert [finished.done for finished in stream] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("normalisation", ["unit", "zscore"])
def test_one_slice_by_itself_is_the_slice_of_the_run(checkpoint: Checkpoint, normalisation: str) -> None:
    volume = block_case().volume
    preprocessing = replace(checkpoint.preprocessing, normalisation=normalisation)
    predictor = Predictor(replace(checkpoint, preprocessing=preprocessing), "cpu")
    for finished in predictor.stream(volume):
        alone = predictor.one_slice(volume, finished.index)
        assert alone.index == finished.index
        assert np.array_equal(alone.probabilities, finished.probabilities)
    with pytest.raises(IndexError, match="slice 6"):
        predictor.one_slice(volume, 6)


def test_closing_the_stream_stops_the_network(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(checkpoint, "cpu")
    runs = []
    genuine = predictor._run
    monkeypatch.setattr(predictor, "_run", lambda images: runs.append(len(images)) or genuine(images))
    stream = predictor.stream(block_case().volume)
    next(stream)
    next(stream)
    stream.close()
    assert len(runs) == 2
    with pytest.raises(StopIteration):
        next(stream)


def test_the_way_to_the_network_and_back_keeps_the_place(checkpoint: Checkpoint) -> None:
    """A slice that is neither square nor of the network's size."""
    hu = np.full((2, 48, 80), -1000)
    hu[:, 10:30, 40:70] = 60
    prediction = Predictor(checkpoint, "cpu").predict(make_volume(hu))
    assert prediction.label_map.shape == hu.shape
    wrong = (prediction.label_map > 0) != (hu > 0)
    assert wrong.sum() < 0.12 * (hu > 0).sum()  # only along the block's edge, 2.5 voxels to a network pixel
    inner = np.zeros(hu.shape, bool)
    inner[:, 13:27, 43:67] = True
    assert not wrong[inner].any()


def test_probabilities_are_kept_when_asked_for(checkpoint: Checkpoint) -> None:
    prediction = Predictor(checkpoint, "cpu").predict(block_case().volume, keep_probabilities=True)
    assert prediction.probabilities.shape == (3, 6, 32, 32)
    assert prediction.probabilities.sum(axis=0) == pytest.approx(1, abs=2e-3)


def test_decide_asks_for_the_inside_first() -> None:
    # Background 0.4 is the largest single one, but liver and tumour together have 0.6.
    probabilities = np.array([[0.4, 0.6, 0.1], [0.31, 0.2, 0.3], [0.29, 0.2, 0.6]])[:, None, :]
    assert decide(probabilities).tolist() == [[1, 0, 2]]
    assert decide(np.array([[0.4, 0.6], [0.6, 0.4]])[:, None, :]).tolist() == [[1, 0]]


@pytest.mark.parametrize("inference", ["plain", "cascade"])
@pytest.mark.parametrize("largest", [False, True])
def test_the_kept_bytes_give_the_same_labels(checkpoint: Checkpoint, inference: str, largest: bool) -> None:
    """What the sliders start from is what the predictor decided, voxel for voxel."""
    asked = replace(checkpoint, largest_component=largest)
    volume = block_case().volume
    volume.hu[3, 10:12, 20:28] = 78  # between liver and tumour, where rounding would show
    predictor = Predictor(asked, "cpu", Inference(liver=checkpoint) if inference == "cascade" else Inference())
    assembly = Assembly(predictor, volume, keep_quantised=True)
    for finished in predictor.stream(volume):
        assembly.add(finished)
    prediction = assembly.finish()
    assert prediction.label_map.any()
    same = relabel(prediction.quantised, volume.spacing_mm, Rule(largest_component=largest))
    assert np.array_equal(same, prediction.label_map)


@pytest.mark.parametrize("inference", ["plain", "cascade"])
def test_another_organ_that_hangs_on_the_liver_is_cut_off(checkpoint: Checkpoint, inference: str) -> None:
    """A bar of 3 pixels joins the liver's block to another one two slices below; only who knows mm can call it thin."""
    hu = np.full((24, 32, 32), -1000)
    hu[8:24, 4:28, 4:28] = 60
    hu[6:8, 14:17, 14:17] = 60
    hu[0:6, 8:20, 8:20] = 60
    asked = replace(checkpoint, largest_component=True, neck_mm=28.0)
    asks = Inference(liver=asked) if inference == "cascade" else Inference()
    volume = make_volume(hu, (5.0, 5.0, 5.0))
    predictor = Predictor(asked, "cpu", asks)
    prediction = predictor.predict(volume, keep_quantised=True)
    assert np.array_equal(prediction.label_map[8:] > 0, hu[8:] == 60)
    assert not prediction.label_map[:6].any()
    assert prediction.rule.endswith("kept; what hangs on it by a neck thinner than 28 mm cut off")
    same = relabel(prediction.quantised, volume.spacing_mm, Rule(neck_mm=28.0))
    assert np.array_equal(same, prediction.label_map)

    unknown = predictor.predict(make_volume(hu, (1.0, 1.0, 1.0), known=False))
    assert np.array_equal(unknown.label_map > 0, hu == 60)
    assert unknown.rule.endswith("largest connected piece kept")
    everything = Predictor(replace(asked, largest_component=False), "cpu", asks).predict(volume)
    assert "neck" not in everything.rule


@pytest.mark.parametrize("inference", ["plain", "cascade"])
def test_a_tumour_smaller_than_a_speck_is_liver(checkpoint: Checkpoint, inference: str) -> None:
    """Of 8 mm³ a voxel, eight are 0.064 mL and twelve 0.096; who knows no millimetres keeps both."""
    hu = np.full((8, 32, 32), -1000)
    hu[:, 4:28, 4:28] = 60
    hu[3:5, 8:10, 8:10] = 90
    hu[3:5, 16:18, 16:19] = 90
    asked = replace(checkpoint, speck_ml=SPECK_ML)
    asks = Inference(liver=checkpoint) if inference == "cascade" else Inference()
    volume = make_volume(hu, (2.0, 2.0, 2.0))
    predictor = Predictor(asked, "cpu", asks)
    prediction = predictor.predict(volume, keep_quantised=True)
    expected = np.where(hu == -1000, 0, np.where(hu == 90, 2, 1))
    expected[3:5, 8:10, 8:10] = 1
    assert np.array_equal(prediction.label_map, expected)
    assert prediction.rule.endswith("tumours below 0.065 mL dropped")
    rule = Rule(largest_component=False, smallest_lesion_ml=SPECK_ML)
    assert np.array_equal(relabel(prediction.quantised, volume.spacing_mm, rule), expected)

    unknown = predictor.predict(make_volume(hu, (2.0, 2.0, 2.0), known=False))
    assert np.array_equal(unknown.label_map == 2, hu == 90)
    assert "dropped" not in unknown.rule


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"
    with pytest.raises(InputError, match="no CUDA device"):
        pick_device("cuda")
    with pytest.raises(InputError, match="'tpu'"):
        pick_device("tpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_and_cpu_agree(checkpoint: Checkpoint) -> None:
    volume = block_case().volume
    on_cpu, on_gpu = (Predictor(checkpoint, device).predict(volume).label_map for device in ("cpu", "cuda"))
    assert np.array_equal(on_cpu, on_gpu)


def test_the_cascade_finds_tumours_only_in_the_liver(checkpoint: Checkpoint) -> None:
    """A bright spot outside of the largest liver is no tumour, whatever the second stage says."""
    case = block_case()
    volume = make_volume(np.where(case.volume.hu == 60, 60, case.volume.hu))
    volume.hu[5, 28:32, 28:32] = 95
    predictor = Predictor(checkpoint, "cpu", Inference(liver=checkpoint))
    stream = list(predictor.stream(volume))
    assert [f.done for f in stream] == list(range(1, 13))
    assert {f.total for f in stream} == {12}
    assert set(np.unique(stream[3].label_map)) <= {0, 1}  # the first stage knows no tumour
    assert np.array_equal(predictor.predict(volume).label_map, case.reference)
    assert "found" in predictor.predict(volume).rule


def test_a_cascade_without_a_liver_is_empty(checkpoint: Checkpoint) -> None:
    volume = make_volume(np.full((3, 32, 32), -1000))
    prediction = Predictor(checkpoint, "cpu", Inference(liver=checkpoint)).predict(volume)
    assert not prediction.label_map.any()


def test_three_scales_of_an_easy_case(checkpoint: Checkpoint) -> None:
    case = block_case()
    found = Predictor(checkpoint, "cpu", Inference(scales=S3_SCALES)).predict(case.volume)
    wrong = (found.label_map > 0) != (case.reference > 0)
    assert wrong[:5].mean() < 0.05
    assert "0.5, 1, 1.5" in found.rule


def test_a_network_of_phases_says_which_are_missing(checkpoint: Checkpoint) -> None:
    reads = replace(checkpoint, input_kind="phases", phases=("arterial", "portal"), depth=4)
    volume = block_case().volume
    with pytest.raises(InputError, match=r"2 contrast phases.*lacks arterial; open the phantom"):
        next(Predictor(reads, "cpu").stream(volume, {"portal": volume}))


def test_what_cannot_be_combined_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="several scales are for slices"):
        Predictor(replace(checkpoint, input_kind="3D"), "cpu", Inference(scales=S3_SCALES))
    with pytest.raises(InputError, match="knows no tumour"):
        Predictor(replace(checkpoint, labels=("background", "liver")), "cpu", Inference(liver=checkpoint))


def test_air_is_never_liver_whatever_the_network_says() -> None:
    hu = np.full((2, 4, 4), -1000, np.int16)
    hu[0, :2], hu[1, 0, 0] = 60, GAS_HU
    certain = np.zeros((3, 4, 4), np.float32)
    certain[2] = 1  # tumour everywhere
    volume = volume_from_hu(hu, (2, 1, 1))
    assert np.array_equal(decide(in_tissue(certain, volume, 0, None)) == 2, hu[0] == 60)
    assert np.flatnonzero(decide(in_tissue(certain, volume, 1, None))).tolist() == [0], "as dark as gas at the least"
    assert np.allclose(in_tissue(certain, volume, 0, None).sum(0), 1)
    no_ct = volume_from_hu(hu, (2, 1, 1), modality="MR")
    assert in_tissue(certain, no_ct, 0, FAT_HU) is certain


def test_fat_is_never_liver_and_noise_makes_no_holes() -> None:
    """Liver above, fat below; one dark pixel in the liver and one bright in the fat are noise, and the edge stays."""
    hu = np.full((1, 9, 8), 60, np.int16)
    hu[0, 5:] = -100
    hu[0, 2, 3], hu[0, 7, 3] = -120, 60
    certain = np.zeros((3, 9, 8), np.float32)
    certain[1] = 1
    volume = volume_from_hu(hu, (2, 1, 1))
    rows = np.indices((9, 8))[0]
    assert np.array_equal(decide(in_tissue(certain, volume, 0, FAT_HU)) == 1, rows < 5)
    assert decide(in_tissue(certain, volume, 0, None)).all(), "unless the weights are asked so"


def test_a_checkpoint_says_whether_it_is_asked_about_fat(checkpoint: Checkpoint) -> None:
    case = block_case()
    lean = replace(case.volume, hu=np.where(case.reference > 0, case.volume.hu, -100).astype(np.int16))
    asked = replace(checkpoint, fat_hu=float(FAT_HU))
    assert "; neither where a CT is below −300 HU, or the median of 3×3 pixels below −50 HU" in decision_rule(asked)
    assert "median" not in decision_rule(checkpoint)
    for finished in Predictor(asked, "cpu").stream(lean):
        assert not finished.label_map[case.reference[finished.index] == 0].any()
        alone = Predictor(asked, "cpu").one_slice(lean, finished.index)
        assert np.array_equal(alone.label_map, finished.label_map)
