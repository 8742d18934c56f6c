"""Volumes in and masks out: every voxel where it was, every fault in one sentence."""

import json
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from livdemo.errors import InputError
from livdemo.grid import SourceGrid
from livdemo.volume import (
    GeometryMismatch,
    MaskOrigin,
    Volume,
    read_label_map,
    read_reference,
    read_volume,
    volume_from_hu,
    write_label_map,
)
from tests.volume_files import (
    AXIS_CODES,
    SHAPE,
    SPACING_MM,
    lps_affine,
    nifti_image,
    numbered_hu,
    numbered_labels,
    refusal,
    rotation,
    write_nifti,
)


@pytest.fixture
def scan(tmp_path: Path) -> Volume:
    return read_volume(write_nifti(tmp_path / "scan.nii.gz", numbered_hu(), "RAS"))


@pytest.mark.parametrize("codes", AXIS_CODES)
def test_every_axis_order_there_and_back(tmp_path: Path, codes: str) -> None:
    """Upright in LPS+ whatever the file's order; a mask on the file's own grid, voxel for voxel."""
    volume = read_volume(write_nifti(tmp_path / "scan.nii", numbered_hu(), codes))
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    assert volume.hu.dtype == np.int16
    assert volume.hu.flags.c_contiguous
    assert volume.spacing_mm == SPACING_MM
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), volume))
    expected = nifti_image(numbered_labels(), codes)
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_array_equal(written.affine, expected.affine)
    np.testing.assert_allclose(written.get_qform(), written.get_sform(), atol=1e-5)
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii.gz", volume), numbered_labels())


@pytest.mark.parametrize("seed", range(8))
def test_oblique_affines_there_and_back(tmp_path: Path, seed: int) -> None:
    codes = AXIS_CODES[seed * 6 + seed % 6]
    path = write_nifti(tmp_path / "scan.nii", numbered_hu(), codes, rotation(seed, 35))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    assert volume.spacing_mm == pytest.approx(SPACING_MM, rel=1e-5)
    assert any("oblique" in text for text in volume.warnings)
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), volume))
    np.testing.assert_array_equal(written.affine, nib.load(path).affine)
    np.testing.assert_allclose(written.get_qform(), written.get_sform(), atol=1e-4)
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii.gz", volume), numbered_labels())


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SAR", "IPL", "ASL"])
def test_a_mask_may_have_another_axis_order(tmp_path: Path, scan: Volume, codes: str) -> None:
    path = write_nifti(tmp_path / "mask.nii.gz", numbered_labels(), codes)
    np.testing.assert_array_equal(read_label_map(path, scan), numbered_labels())


def test_a_sheared_scan_keeps_its_affine(tmp_path: Path) -> None:
    affine = lps_affine()
    affine[1, 2] = 1.0
    nib.save(nifti_image(numbered_hu(), "LPS", affine=affine), tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert any("square" in text for text in volume.warnings)
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), volume))
    np.testing.assert_array_equal(written.affine, affine)
    assert int(written.header["qform_code"]) == 0  # a qform cannot shear


@pytest.mark.parametrize("code", [1, 2, 4])
@pytest.mark.parametrize("which", ["qform", "sform"])
def test_a_mask_keeps_the_space_code_of_the_scan(tmp_path: Path, which: str, code: int) -> None:
    image = nifti_image(numbered_hu(), "LAS")
    image.set_qform(image.affine, code if which == "qform" else 0)
    image.set_sform(image.affine, code if which == "sform" else 0)
    nib.save(image, tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.warnings == ()
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), volume))
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (code, code)
    np.testing.assert_allclose(written.affine, nib.load(tmp_path / "scan.nii").affine, atol=1e-5)


def test_a_scan_without_orientation_gets_a_mask_without_orientation(tmp_path: Path) -> None:
    """So that every viewer, whatever it assumes, lays the mask over the scan."""
    image = nib.Nifti1Image(numbered_hu().transpose(2, 1, 0), None)
    image.header.set_zooms(SPACING_MM[::-1])
    nib.save(image, tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.spacing_known
    assert volume.spacing_mm == SPACING_MM
    assert any("does not state its orientation" in text for text in volume.warnings)
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), volume))
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (0, 0)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii").affine)
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii.gz", volume), numbered_labels())


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "<u2", "<i4", "<u4", "<i8", "<f4", ">f8"])
def test_every_stored_type_becomes_int16(tmp_path: Path, dtype: str) -> None:
    values = (numbered_hu() + 1000).astype(dtype)
    nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), lps_affine(), dtype=values.dtype), tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, numbered_hu() + 1000)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, 0), (0.5, -1000), (1, 0.5), (0, 7)])
def test_the_scaling_of_the_header_is_applied(tmp_path: Path, slope: float, intercept: float) -> None:
    stored = np.arange(60, dtype=np.uint16).reshape(SHAPE)
    image = nib.Nifti1Image(stored.transpose(2, 1, 0), lps_affine())
    image.header.set_slope_inter(1, 0)
    nib.save(image, tmp_path / "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    (tmp_path / "scan.nii").write_bytes(content)
    expected = stored.astype(float) * slope + intercept if slope else stored  # NIfTI: a slope of 0 is no scaling
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii").hu, np.rint(expected))


def test_floats_are_rounded_to_the_nearest_hu(tmp_path: Path) -> None:
    values = np.array([-999.6, -0.4, 0.6, 40.49], np.float32).reshape(1, 1, 4)
    nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), lps_affine()), tmp_path / "scan.nii")
    assert read_volume(tmp_path / "scan.nii").hu.ravel().tolist() == [-1000, 0, 1, 40]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16])
def test_values_beyond_int16_are_clipped_with_a_warning(tmp_path: Path, dtype: type) -> None:
    values = np.zeros(SHAPE, dtype)
    values[0, 0, :2] = 40_000
    if dtype != np.uint16:
        values[1, 0, 0] = -40_000
    nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), lps_affine()), tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    count = 2 if dtype == np.uint16 else 3
    assert volume.hu[0, 0, 0] == 32767
    assert volume.hu.min() == (0 if dtype == np.uint16 else -32768)
    assert f"{count} voxels outside -32768..32767 HU were clipped to that range." in volume.warnings


def test_nan_and_infinite_voxels_are_air_and_counted(tmp_path: Path) -> None:
    values = np.zeros((80, 160, 160), np.float32)  # several slabs
    values[0, 0, :2] = np.nan, np.inf
    values[79, 5, 5] = -np.inf
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert np.count_nonzero(volume.hu == -1024) == 3
    assert "3 voxels without a number (NaN or infinite) were taken for air." in volume.warnings


def test_a_file_of_hardly_any_numbers_is_refused(tmp_path: Path) -> None:
    values = np.full((4, 5, 6), np.nan, np.float32)
    values[:1] = 40
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / "scan.nii")
    refusal(error, "scan.nii", "in 90 of 120 voxels", "export it again")


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("mm", 1.0), ("micron", 1e3)])
def test_the_unit_of_length_counts(tmp_path: Path, unit: str, factor: float) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([-0.7 * factor, -0.7 * factor, 2 * factor, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").spacing_mm, (2, 0.7, 0.7), rtol=1e-6)


@pytest.mark.parametrize("spacing", [0.003, 250.0])
def test_voxels_that_no_scan_has_are_refused(tmp_path: Path, spacing: float) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([-spacing, -1, 1, 1])), tmp_path / "scan.nii")
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / "scan.nii")
    refusal(error, "scan.nii", f"voxels of {spacing:g}×1×1 mm", "correct spacing or unit")


def test_air_makes_a_ct_and_its_lack_a_warning(tmp_path: Path) -> None:
    with_air = read_volume(write_nifti(tmp_path / "ct.nii", numbered_hu()))
    assert with_air.modality == "CT"
    assert with_air.warnings == ()
    without = read_volume(write_nifti(tmp_path / "mr.nii", numbered_hu() + 1000))
    assert without.modality == "unknown"
    assert any("looks like an MR" in text for text in without.warnings)
    at_the_limit = np.full(SHAPE, -500, np.int16)
    assert read_volume(write_nifti(tmp_path / "limit.nii", at_the_limit)).modality == "CT"


def test_a_float64_file_never_stands_in_memory_whole(tmp_path: Path) -> None:
    values = np.zeros((160, 160, 200), np.float64)  # 39 MiB; 10 MiB as int16; slabs of 4 MiB
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii")
    del values
    tracemalloc.start()
    read_volume(tmp_path / "scan.nii")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * 2**20


def test_a_mask_on_another_grid_is_refused_with_both_named(tmp_path: Path, scan: Volume) -> None:
    path = write_nifti(tmp_path / "mask.nii.gz", np.ones((3, 4, 6), np.uint8))
    with pytest.raises(GeometryMismatch) as error:
        read_label_map(path, scan)
    refusal(error, "mask.nii.gz", "6×4×3 voxels of 0.5×0.75×2.5 mm", "5×4×3 voxels of", "resampled")


def test_a_shifted_mask_is_refused_with_the_distance(tmp_path: Path, scan: Volume) -> None:
    affine = lps_affine()
    affine[0, 3] += 3.0
    nib.save(nifti_image(numbered_labels(), affine=affine), tmp_path / "mask.nii.gz")
    with pytest.raises(GeometryMismatch) as error:
        read_label_map(tmp_path / "mask.nii.gz", scan)
    refusal(error, "mask.nii.gz", "corners up to 3 mm apart")


def test_resampling_moves_a_shifted_mask_to_where_it_lies(tmp_path: Path, scan: Volume) -> None:
    affine = lps_affine()
    affine[0, 3] -= 2 * SPACING_MM[2]  # two columns to the patient's left
    nib.save(nifti_image(numbered_labels(), "SLP", affine=affine), tmp_path / "mask.nii.gz")
    label_map = read_label_map(tmp_path / "mask.nii.gz", scan, resample=True)
    np.testing.assert_array_equal(label_map[:, :, 2:], numbered_labels()[:, :, :-2])
    assert not label_map[:, :, :2].any()


def test_a_coarse_mask_reaches_to_the_edge_of_its_voxels(tmp_path: Path) -> None:
    """A mask of 2 voxels of 4 mm covers 8 voxels of 1 mm, though the outer ones lie beyond its voxel
    centres."""
    scan = volume_from_hu(np.zeros((1, 1, 8), np.int16), (1.0, 1.0, 1.0))
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    affine[0, 3] = -1.5
    nib.save(nib.Nifti1Image(np.array([1, 2], np.uint8).reshape(2, 1, 1), affine), tmp_path / "mask.nii.gz")
    label_map = read_label_map(tmp_path / "mask.nii.gz", scan, resample=True)
    assert label_map.ravel().tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_resampling_agrees_with_simpleitk(tmp_path: Path, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (7, 9, 8)).astype(np.uint8)
    around_zero = np.diag([-0.5, -0.75, 1.0, 1.0])
    around_zero[:3, 3] = 2.0, 3.0, -3.5
    mask = nifti_image(labels, AXIS_CODES[seed * 11], rotation(seed, 20), around_zero)
    scan_image = nifti_image(np.zeros((8, 11, 10), np.int16), AXIS_CODES[seed * 7 + 3], affine=around_zero)
    nib.save(mask, tmp_path / "mask.nii.gz")
    nib.save(scan_image, tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    ours = read_label_map(tmp_path / "mask.nii.gz", scan, resample=True)
    moved = sitk.Resample(
        sitk.ReadImage(tmp_path / "mask.nii.gz"),
        sitk.ReadImage(tmp_path / "scan.nii.gz"),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
    )
    theirs = scan.grid.to_display(sitk.GetArrayFromImage(moved).transpose(2, 1, 0))
    assert np.count_nonzero(theirs) > 200
    assert np.mean(ours != theirs) < 0.01  # a point halfway between two voxels may go either way


def test_a_mask_elsewhere_in_the_patient_is_refused(tmp_path: Path, scan: Volume) -> None:
    affine = lps_affine()
    affine[2, 3] += 500
    nib.save(nifti_image(numbered_labels(), affine=affine), tmp_path / "mask.nii.gz")
    with pytest.raises(InputError) as error:
        read_label_map(tmp_path / "mask.nii.gz", scan, resample=True)
    refusal(error, "mask.nii.gz", "do not overlap")


def shifted_slabs(path: Path, voxels: int) -> Path:
    """A liver in ten slices of 1 mm, so many of which lie below the lowest of a scan that begins at 0."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[2, 3] = -voxels
    nib.save(nib.Nifti1Image(np.ones((4, 4, 10), np.uint8), affine), path)
    return path


def test_what_of_a_mask_lies_outside_the_scan_is_said(tmp_path: Path) -> None:
    scan = volume_from_hu(np.zeros((20, 4, 4), np.int16), (1.0, 1.0, 1.0))
    inside, label_map = read_reference(shifted_slabs(tmp_path / "inside.nii.gz", 0), scan, resample=True)
    assert label_map is not None
    assert label_map.sum() == 160
    (note,) = inside.warnings
    assert "inside.nii.gz lies on another grid" in note
    assert "outside" not in note
    (note,) = read_reference(shifted_slabs(tmp_path / "mask.nii.gz", 3), scan, resample=True)[0].warnings
    assert "30% of what it marks lie outside the scan and are not scored" in note


def test_a_mask_that_lies_mostly_beside_the_scan_is_refused(tmp_path: Path) -> None:
    scan = volume_from_hu(np.zeros((20, 4, 4), np.int16), (1.0, 1.0, 1.0))
    with pytest.raises(InputError) as error:
        read_reference(shifted_slabs(tmp_path / "mask.nii.gz", 6), scan, resample=True)
    refusal(error, "mask.nii.gz", "only 40% lie inside the scan", "the mask of this scan")


def test_an_empty_mask_on_another_grid_is_the_reference_of_a_scan_without_liver(tmp_path: Path) -> None:
    scan = volume_from_hu(np.zeros((20, 4, 4), np.int16), (1.0, 1.0, 1.0))
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 10), np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "none.nii.gz")
    label_map = read_label_map(tmp_path / "none.nii.gz", scan, resample=True)
    assert label_map.shape == (20, 4, 4)
    assert not label_map.any()


def test_a_reference_on_the_scans_grid_adds_no_note(tmp_path: Path, scan: Volume) -> None:
    path = write_nifti(tmp_path / "mask.nii.gz", numbered_labels())
    volume, label_map = read_reference(path, scan)
    assert volume.warnings == scan.warnings
    np.testing.assert_array_equal(label_map, numbered_labels())
    assert read_reference(None, scan) == (scan, None)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([0, 255], ["the values 255,", "divide a mask of 0 and 255 by 255"]),
        ([1, 2, 3, 4], ["the values 3, 4,", "liver as 1 and the tumour as 2"]),
        ([-1, 1], ["the values -1,"]),
        ([0, 0.25], ["the values 0.25,", "whole numbers"]),
        ([0, np.nan], ["the values nan,", "whole numbers"]),
        (range(20), ["the values 3, 4, 5, 6, 7, 8 and others"]),
    ],
)
def test_other_labels_are_named(tmp_path: Path, scan: Volume, values: list[float], parts: list[str]) -> None:
    labels = np.resize(np.array(values, np.float32), SHAPE)
    path = write_nifti(tmp_path / "mask.nii.gz", labels)
    with pytest.raises(InputError) as error:
        read_label_map(path, scan)
    refusal(error, "mask.nii.gz", *parts)
    with pytest.raises(InputError):
        read_label_map(path, scan, resample=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint16, np.uint8])
def test_whole_numbers_of_any_type_are_labels(tmp_path: Path, scan: Volume, dtype: type) -> None:
    path = write_nifti(tmp_path / "mask.nii.gz", numbered_labels().astype(dtype))
    label_map = read_label_map(path, scan)
    assert label_map.dtype == np.uint8
    assert label_map.flags.c_contiguous
    np.testing.assert_array_equal(label_map, numbered_labels())


def test_a_rescaled_mask_is_read_despite_its_rounding(tmp_path: Path, scan: Volume) -> None:
    image = nifti_image(numbered_labels() * 100)
    image.header.set_slope_inter(0.01, 0)
    nib.save(image, tmp_path / "mask.nii")
    content = bytearray((tmp_path / "mask.nii").read_bytes())
    content[112:116] = np.array([0.01], "<f4").tobytes()
    (tmp_path / "mask.nii").write_bytes(content)
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii", scan), numbered_labels())


def test_an_empty_mask_is_a_mask(tmp_path: Path, scan: Volume) -> None:
    path = write_nifti(tmp_path / "mask.nii.gz", np.zeros(SHAPE, np.uint8))
    assert not read_label_map(path, scan).any()


def test_writing_checks_what_a_program_can_get_wrong(tmp_path: Path, scan: Volume) -> None:
    with pytest.raises(ValueError, match=r"\(3, 4, 6\) does not fit the volume of \(3, 4, 5\)"):
        write_label_map(tmp_path / "mask.nii.gz", np.zeros((3, 4, 6), np.uint8), scan)
    with pytest.raises(ValueError, match=r"mask\.png should end in \.nii\.gz"):
        write_label_map(tmp_path / "mask.png", np.zeros(SHAPE, np.uint8), scan)
    with pytest.raises(ValueError, match="no labels"):
        write_label_map(tmp_path / "mask.nii.gz", np.full(SHAPE, 0.5), scan)
    assert list(tmp_path.glob("mask*")) == []


def test_a_bool_mask_can_be_written(tmp_path: Path, scan: Volume) -> None:
    path = write_label_map(tmp_path / "mask.nii", numbered_labels() > 0, scan)
    np.testing.assert_array_equal(read_label_map(path, scan), numbered_labels() > 0)


def test_volume_says_what_it_is(scan: Volume) -> None:
    assert repr(scan) == "Volume(3 slices of 4×5, spacing 2.5×0.75×0.5 mm, CT, 0 MiB)"
    assert scan.shape == SHAPE
    assert scan.voxel_ml == pytest.approx(2.5 * 0.75 * 0.5 / 1000)
    assert scan.position_mm(2) - scan.position_mm(0) == pytest.approx(5.0)
    assert len({scan}) == 1  # gr.State hashes what it keeps


def test_volume_from_hu_is_already_upright(tmp_path: Path) -> None:
    volume = volume_from_hu(numbered_hu(), SPACING_MM, spacing_known=False, warnings=("made up",))
    assert volume.warnings == ("made up",)
    assert "spacing unknown" in repr(volume)
    written = read_volume(write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), volume))
    np.testing.assert_array_equal(written.hu, numbered_labels())
    assert written.spacing_mm == SPACING_MM


def test_a_volume_must_fit_its_grid() -> None:
    grid = SourceGrid(SHAPE[::-1], lps_affine())
    with pytest.raises(ValueError, match="int16"):
        Volume(numbered_hu().astype(np.float32), SPACING_MM, "CT", grid)
    with pytest.raises(ValueError, match="does not fit"):
        Volume(np.zeros((3, 4, 6), np.int16), SPACING_MM, "CT", grid)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "scan.docx").write_text("not a scan")
    (tmp_path / "scan.nii.gz").touch()
    for name, part in [("gone.nii", "does not exist"), ("scan.docx", "no kind"), ("scan.nii.gz", "is empty")]:
        with pytest.raises(InputError) as error:
            read_volume(str(tmp_path / name))
        refusal(error, name, part)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["chaos", "lowres"])
def test_real_scans_come_out_as_nibabel_shows_them(shared_data: Path, name: str) -> None:
    scan_path, mask_path = (shared_data / "volumes" / f"{name}_{kind}.nii.gz" for kind in ("ct", "seg"))
    volume = read_volume(scan_path)
    assert volume.modality == "CT"
    assert volume.warnings == ()
    upright = nib.as_closest_canonical(nib.load(scan_path))  # RAS+
    middle = volume.shape[0] // 2
    np.testing.assert_array_equal(volume.hu[middle], upright.dataobj[:, :, middle][::-1, ::-1].T)
    label_map = read_label_map(mask_path, volume)
    assert set(np.unique(label_map)) == {0, 1}
    # The liver lies on the patient's right: left of the picture's middle.
    assert np.nonzero(label_map)[2].mean() < volume.shape[2] / 2


@pytest.mark.shared
def test_a_real_mask_goes_back_voxel_for_voxel(tmp_path: Path, shared_data: Path) -> None:
    scan_path, mask_path = (shared_data / "volumes" / f"lowres_{kind}.nii.gz" for kind in ("ct", "seg"))
    volume = read_volume(scan_path)
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", read_label_map(mask_path, volume), volume))
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(nib.load(mask_path).dataobj))
    np.testing.assert_array_equal(written.affine, nib.load(scan_path).affine)


def test_a_long_or_foreign_summary_fits_the_header(tmp_path: Path, scan: Volume) -> None:
    origin = MaskOrigin("livdemo Übernetz " + "x" * 200, {"model": "Übernetz"})
    header = nib.load(write_label_map(tmp_path / "mask.nii", numbered_labels(), scan, origin)).header
    assert header["descrip"].item().decode() == ("livdemo ?bernetz " + "x" * 200)[:79]
    assert json.loads(header.extensions[0].text) == {"model": "Übernetz"}
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii", scan), numbered_labels())
