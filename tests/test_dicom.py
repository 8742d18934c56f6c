"""One DICOM series out of any folder, or a sentence that says why not."""

import locale
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from livdemo import dicom
from livdemo.errors import InputError
from livdemo.slice_stack import stack_slices
from livdemo.volume import read_label_map, read_volume, write_label_map
from tests.volume_files import (
    CT_CLASS,
    MR_CLASS,
    ORIGIN_LPS,
    SPACING_MM,
    lps_affine,
    numbered_hu,
    numbered_labels,
    refusal,
    rotation,
    write_dicom,
    write_dicom_series,
    write_dicom_slice,
)

OTHER_SERIES = {"0020|000e": "1.2.826.0.1.3680043.2.1125.1.2", "0008|103e": "portal venous"}
LEFT, BACK, UP = ORIGIN_LPS
STEP = SPACING_MM[0]


def refused(path: Path, *parts: str) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path)
    return refusal(error, path.name, *parts)


def tall_hu(slices: int = 6) -> np.ndarray:
    return numbered_hu((slices, 4, 5))


def patch(path: Path, tag: str, value: str) -> None:
    """Overwrite the text of a tag in a slice of write_dicom_slice (implicit VR, little endian), in its
    length."""
    group, element = (int(part, 16).to_bytes(2, "little") for part in tag.split("|"))
    content = path.read_bytes()
    at = content.index(group + element, 132) + 8
    length = int.from_bytes(content[at - 4 : at], "little")
    new = value.encode("latin-1").ljust(length)
    assert len(new) == length
    path.write_bytes(content[:at] + new + content[at + length :])


def without_pixels(path: Path, storage_class: str) -> Path:
    """A DICOM file with a meta group and nothing else, as far as an image reader can tell."""
    uid = storage_class.encode() + b"\0" * (len(storage_class) % 2)
    version = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01"
    path.write_bytes(bytes(128) + b"DICM" + version + b"\x02\0\x02\0UI" + len(uid).to_bytes(2, "little") + uid)
    return path


def test_a_series_comes_out_upright_with_its_affine(tmp_path: Path) -> None:
    volume = read_volume(write_dicom_series(tmp_path / "series", numbered_hu()))
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    assert volume.spacing_mm == pytest.approx(SPACING_MM)
    assert volume.modality == "CT"
    assert volume.warnings == ()
    np.testing.assert_allclose(volume.grid.affine, lps_affine())
    assert volume.grid.shape == (5, 4, 3)


def test_a_mask_of_a_series_lies_where_itk_says(tmp_path: Path) -> None:
    """The mask written beside the CT as ITK itself reads the series: same origin, direction and voxels."""
    folder = write_dicom_series(tmp_path / "series", numbered_hu())
    write_label_map(tmp_path / "mask.nii.gz", numbered_labels(), read_volume(folder))
    mask = sitk.ReadImage(tmp_path / "mask.nii.gz")
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    for property_of in (sitk.Image.GetOrigin, sitk.Image.GetSpacing, sitk.Image.GetDirection):
        np.testing.assert_allclose(property_of(mask), property_of(series), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series), numbered_hu())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), numbered_labels())
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii.gz", read_volume(folder)), numbered_labels())


@pytest.mark.parametrize("seed", range(3))
def test_oblique_series(tmp_path: Path, seed: int) -> None:
    turn = rotation(seed, 35)
    volume = read_volume(write_dicom_series(tmp_path / "series", numbered_hu(), turn=turn))
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    np.testing.assert_allclose(volume.spacing_mm, SPACING_MM, atol=1e-5)
    lps = np.diag([-1.0, -1, 1])
    np.testing.assert_allclose(volume.grid.affine[:3], lps @ turn @ lps @ lps_affine()[:3], atol=1e-4)
    assert any("oblique" in text for text in volume.warnings)


def test_a_sagittal_series_is_shown_in_axial_slices(tmp_path: Path) -> None:
    """Rows run to the back, columns to the feet, slices to the left."""
    stored = tall_hu()  # (slice, row, column)
    turn = np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]])
    volume = read_volume(write_dicom_series(tmp_path / "series", stored, turn=turn))
    assert volume.grid.shape == (5, 4, 6)
    # The slices were written rightwards, against their normal: sorting turns them round.
    np.testing.assert_array_equal(volume.hu, stored.transpose(1, 2, 0)[::-1, :, ::-1])
    written = write_label_map(tmp_path / "mask.nii.gz", numbered_labels(volume.shape), volume)
    np.testing.assert_array_equal(read_label_map(written, volume), numbered_labels(volume.shape))


@pytest.mark.parametrize("step", [(0, 0, STEP), (0, 0, -STEP)])
def test_names_and_numbers_do_not_decide_the_order(tmp_path: Path, step: tuple[float, float, float]) -> None:
    names = ["IM0004", "IM0001", "zz.dcm", "10", "9.IMA", "a b c"]
    volume = read_volume(write_dicom_series(tmp_path / "series", tall_hu(), names=names, step=step))
    np.testing.assert_array_equal(volume.hu, tall_hu()[:: 1 if step[2] > 0 else -1])


def test_clutter_and_nested_folders(tmp_path: Path) -> None:
    folder = write_dicom_series(tmp_path / "study" / "DICOM" / "S1", tall_hu()[:3])
    for number, hu in enumerate(tall_hu()[3:]):
        path = tmp_path / "study" / "DICOM" / f"IM{number}"
        write_dicom_slice(path, hu, (LEFT, BACK, UP + (3 + number) * STEP))
    (folder / "README").write_text("burned by the viewer")
    (folder / "empty").touch()
    without_pixels(tmp_path / "study" / "DICOMDIR", "1.2.840.10008.1.3.10")
    volume = read_volume(tmp_path / "study")
    np.testing.assert_array_equal(volume.hu, tall_hu())
    assert volume.warnings == ()


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG"])
def test_compressed_slices(tmp_path: Path, compressor: str) -> None:
    smooth = np.add.outer(np.arange(2) * 50, np.add.outer(np.arange(64), np.arange(48))).astype(np.int16) - 200
    folder = write_dicom_series(tmp_path / "series", smooth, compressor=compressor)
    transfer_syntax = {"JPEG2000": b"1.2.840.10008.1.2.4.90", "JPEG": b"1.2.840.10008.1.2.4.70"}[compressor]
    assert transfer_syntax in (folder / "slice000.dcm").read_bytes()
    before = locale.setlocale(locale.LC_ALL)
    np.testing.assert_array_equal(read_volume(folder).hu, smooth)
    assert locale.setlocale(locale.LC_ALL) == before  # GDCM's writer changes it for the whole process


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    """Stored 100, 101, 102 with slopes 1, 2, 0.5: a common type of the first slice would cut the halves
    off."""
    for number, (slope, intercept) in enumerate([(1, -1024), (2, -1000), (2, -1011)]):
        tags = {"0028|1053": str(slope), "0028|1052": str(intercept)}
        hu = np.full((4, 5), (100 + number) * slope + intercept, np.int16)
        write_dicom_slice(tmp_path / f"{number}", hu, (LEFT, BACK, UP + number * STEP), tags)
    patch(tmp_path / "2", "0028|1053", ".5")  # GDCM writes no fractions
    assert read_volume(tmp_path).hu[:, 0, 0].tolist() == [-924, -798, -960]


def test_spacing_comes_from_positions_not_from_thickness(tmp_path: Path) -> None:
    folder = write_dicom_series(tmp_path / "series", tall_hu(), tags={"0018|0050": "5", "0018|0088": "5"})
    assert read_volume(folder).spacing_mm[0] == pytest.approx(STEP)


def test_positions_rounded_to_a_tenth_of_a_millimetre(tmp_path: Path) -> None:
    for number, hu in enumerate(tall_hu(9)):
        write_dicom_slice(tmp_path / f"{number}", hu, (LEFT, BACK, round(UP + number * 1.25, 1)))
    assert read_volume(tmp_path).spacing_mm[0] == pytest.approx(1.25)


@pytest.mark.parametrize("step", [0.625, 1.25, 3.75])
@pytest.mark.parametrize("first", [0.25, 100.75, -37.35])
def test_whatever_step_is_printed_to_a_tenth_is_even(step: float, first: float) -> None:
    heights = np.round(first + step * np.arange(200), 1)
    positions = np.stack([np.zeros(200), np.zeros(200), heights], axis=1)
    directions = np.tile(np.eye(3)[:2], (200, 1, 1))
    order, affine = stack_slices("scan", [str(n) for n in range(200)], positions, directions, np.ones((200, 2)), step)
    assert order == list(range(200))
    assert affine[2, 2] == pytest.approx(step, abs=1e-3)


def test_an_mr_is_read_with_a_warning(tmp_path: Path) -> None:
    tags = {"0008|0060": "MR", "0008|0016": MR_CLASS, "0028|1052": "0"}
    volume = read_volume(write_dicom_series(tmp_path / "series", tall_hu() + 1000, tags=tags))
    assert volume.modality == "MR"
    assert any("modality is MR where a CT is expected" in text for text in volume.warnings)


def test_a_single_slice_and_a_single_file(tmp_path: Path) -> None:
    write_dicom_slice(tmp_path / "one", numbered_hu()[0], tags={"0018|0050": "4"})
    for path in (tmp_path, tmp_path / "one"):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.hu, numbered_hu()[:1])
        assert volume.spacing_mm == pytest.approx((4.0, 0.75, 0.5))
        assert any("one slice only, taken to be 4 mm thick" in text for text in volume.warnings)


def test_an_enhanced_multi_frame_file(tmp_path: Path) -> None:
    """GDCM writes a 3D image as enhanced CT; its frames' places are in nested tags."""
    image = sitk.GetImageFromArray(numbered_hu())
    image.SetSpacing(SPACING_MM[::-1])
    image.SetOrigin(ORIGIN_LPS)
    image.SetMetaData("0008|0060", "CT")
    write_dicom(tmp_path / "frames.dcm", image)
    volume = read_volume(tmp_path / "frames.dcm")
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    np.testing.assert_allclose(volume.grid.affine, lps_affine())
    assert any("was not checked" in text for text in volume.warnings)


def test_several_series_are_listed(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "study" / "a", tall_hu())
    write_dicom_series(tmp_path / "study" / "b", tall_hu()[:2], tags=OTHER_SERIES)
    text = refused(tmp_path / "study", "2 series", "abdomen, CT, 6 slices", "portal venous, CT, 2 slices")
    assert "one of them" in text
    assert len(read_volume(tmp_path / "study" / "b").hu) == 2


def test_a_scout_and_other_pictures_are_left_out_with_a_warning(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "study", tall_hu())
    scout = {**OTHER_SERIES, "0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}
    write_dicom_slice(tmp_path / "study" / "scout", numbered_hu()[0], tags=scout, turn=rotation(0, 90))
    volume = read_volume(tmp_path / "study")
    np.testing.assert_array_equal(volume.hu, tall_hu())
    assert volume.warnings == ("Left out beside the series: 1 scout or other picture.",)
    alone = tmp_path / "alone"
    alone.mkdir()
    (tmp_path / "study" / "scout").rename(alone / "scout")
    refused(alone, "only scouts (localizers)")


def test_reports_contours_and_segmentations_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    for number in ("88.11", "481.3", "66.4"):  # report, contours, segmentation
        without_pixels(folder / f"file{number}", f"1.2.840.10008.5.1.4.1.1.{number}")
    refused(folder, "3 DICOM files but none with pixels")
    write_dicom_series(folder, tall_hu())
    np.testing.assert_array_equal(read_volume(folder).hu, tall_hu())


def test_folders_without_dicom(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    refused(folder, "holds no DICOM file")
    (folder / "README").write_text("none here")
    refused(folder, "holds no DICOM file")


@pytest.mark.parametrize(("lost", "gap", "count"), [([2], "5.00 mm", 1), ([2, 3], "7.50 mm", 2), ([4], "5.00 mm", 1)])
def test_missing_slices_are_a_gap(tmp_path: Path, lost: list[int], gap: str, count: int) -> None:
    folder = write_dicom_series(tmp_path / "series", tall_hu())
    for number in lost:
        (folder / f"slice{number:03d}.dcm").unlink()
    refused(
        folder,
        f"slice{lost[0] - 1:03d}.dcm and slice{lost[-1] + 1:03d}.dcm lie {gap} apart ({count} missing)",
        f"at height {UP + (lost[0] - 1) * STEP:.2f} mm",
        "the others 2.50 mm",
    )


@pytest.mark.parametrize(("moved_mm", "part"), [(0.2, "has a gap"), (-0.2, "uneven slices")])
def test_uneven_slices(tmp_path: Path, moved_mm: float, part: str) -> None:
    """The last slice too far away, or too near."""
    write_dicom_series(tmp_path, tall_hu())
    write_dicom_slice(tmp_path / "slice005.dcm", tall_hu()[5], (LEFT, BACK, UP + 5 * STEP + moved_mm))
    refused(tmp_path, part, f"{STEP + moved_mm:.2f} mm apart", "the others 2.50 mm")


def test_doubles(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu())
    write_dicom_slice(tmp_path / "again.dcm", tall_hu()[2], (LEFT, BACK, UP + 2 * STEP))
    refused(tmp_path, "1 place is taken twice", "again.dcm and slice002.dcm at 405.00 mm", "each slice once")


@pytest.mark.parametrize("degrees", [0.7, 15])
def test_gantry_tilt_is_named_in_degrees(tmp_path: Path, degrees: float) -> None:
    step = (0.0, float(STEP * np.tan(np.radians(degrees))), STEP)
    refused(write_dicom_series(tmp_path / "series", tall_hu(), step=step), f"tilted by {degrees:.1f}°", "resample")


def test_a_slice_shifted_sideways(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu())
    write_dicom_slice(tmp_path / "slice002.dcm", tall_hu()[2], (LEFT + 3, BACK, UP + 2 * STEP))
    refused(tmp_path, "slice002.dcm is shifted sideways by 3.00 mm")


def test_a_turned_slice(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu())
    write_dicom_slice(tmp_path / "slice004.dcm", tall_hu()[4], (LEFT, BACK, UP + 4 * STEP), turn=rotation(1, 20))
    refused(tmp_path, "slice004.dcm is turned by", "one direction only")


def test_slices_of_another_size(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu())
    write_dicom_slice(tmp_path / "odd.dcm", np.zeros((8, 8), np.int16), (LEFT, BACK, UP + 6 * STEP))
    refused(tmp_path, "different sizes (5×4: 6, 8×8: 1; odd.dcm", "one reconstruction")


def test_slices_of_another_pixel_spacing(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu())
    patch(tmp_path / "slice005.dcm", "0028|0030", ".65\\.5")
    refused(tmp_path, "slice005.dcm has pixels of 0.5×0.65 mm", "of 0.5×0.75 mm")


def test_pictures_without_a_place(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu(2))
    for path in tmp_path.iterdir():
        patch(path, "0020|0037", "0\\0\\0\\0\\0\\0")
    refused(tmp_path, "do not say where they lie")


def test_one_slice_without_a_place(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, tall_hu())
    patch(tmp_path / "slice003.dcm", "0020|0032", "unknown")
    refused(tmp_path, "slice003.dcm (1 of 6 slices) has no usable position")


def test_colour_pictures(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((1, 4, 5, 3), np.uint8), isVector=True)
    for tag, value in {"0008|0016": CT_CLASS, "0020|0032": "0\\0\\0", "0020|0037": "1\\0\\0\\0\\1\\0"}.items():
        image.SetMetaData(tag, value)
    write_dicom(tmp_path / "colour.dcm", image)
    refused(tmp_path, "colour pictures")


@pytest.mark.parametrize("kept", [200, 400, -20])
def test_a_truncated_slice_is_named_not_skipped(tmp_path: Path, kept: int) -> None:
    write_dicom_series(tmp_path, tall_hu())
    content = (tmp_path / "slice005.dcm").read_bytes()
    (tmp_path / "slice005.dcm").write_bytes(content[:kept])
    refused(tmp_path, "slice005.dcm is damaged, cut short or without pixels", "download it again")


def test_damaged_pixels_are_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (2, 64, 64)).astype(np.int16)
    write_dicom_series(tmp_path, noise, compressor="JPEG2000")
    content = (tmp_path / "slice001.dcm").read_bytes()
    at = content.index(b"\xff\x4f\xff\x51")  # the start of the JPEG 2000 stream
    (tmp_path / "slice001.dcm").write_bytes(content[:at] + bytes(200) + content[at + 200 :])
    refused(tmp_path, "slice001.dcm")


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom_series(tmp_path, tall_hu())
    monkeypatch.setattr(dicom, "MAX_FILES", 5)
    refused(tmp_path, "more than the 5 files", "one series")


def test_a_series_too_large_is_refused_by_its_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom_series(tmp_path, tall_hu())
    monkeypatch.setattr("livdemo.voxels.MAX_VOXELS", 100)
    refused(tmp_path, "5×4×6 voxels", "crop it")


def test_descriptions_in_other_alphabets(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "a", tall_hu())
    write_dicom_series(tmp_path / "b", tall_hu(), tags=OTHER_SERIES)
    for path in (tmp_path / "b").iterdir():
        patch(path, "0008|103e", "portal-ven\xf6s")
    text = refused(tmp_path, "portal-ven")
    text.encode()  # can be printed and written
