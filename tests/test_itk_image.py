"""NRRD, MHA and single PNG or JPEG slices: the same physical volume as NIfTI, and what is refused."""

from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from livdemo.errors import InputError
from livdemo.volume import read_label_map, read_volume, write_label_map
from tests.volume_files import (
    SPACING_MM,
    itk_image,
    lps_affine,
    numbered_hu,
    numbered_labels,
    refusal,
    rotation,
    write_nifti,
)

PLAIN_MHA = (
    b"ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 4 4 2\nElementType = MET_UCHAR\n"
    b"ElementDataFile = %s\n"
)
PLAIN_NRRD = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 2\nencoding: raw\n%s\n\n"


def refused(path: Path, *parts: str) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path)
    return refusal(error, path.name, *parts)


def direction(columns: list[int], signs: list[int]) -> np.ndarray:
    return np.eye(3)[:, columns] * signs


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd", ".nhdr"])
def test_axial_volumes(tmp_path: Path, ending: str, compress: bool) -> None:
    path = tmp_path / f"scan{ending}"
    sitk.WriteImage(itk_image(numbered_hu()), path, compress)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    assert volume.spacing_mm == SPACING_MM
    assert volume.modality == "CT"
    assert volume.warnings == ()
    np.testing.assert_allclose(volume.grid.affine, lps_affine())


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize(
    "turn",
    [direction([1, 2, 0], [1, -1, -1]), direction([2, 0, 1], [-1, 1, 1]), rotation(4, 30), rotation(5, 40)],
)
def test_direction_matrices_mean_the_same_as_in_nifti(tmp_path: Path, ending: str, turn: np.ndarray) -> None:
    """ITK writes the same image in both formats; nibabel says where its voxels lie."""
    image = itk_image(numbered_hu(), turn)
    sitk.WriteImage(image, tmp_path / "scan.nii")
    sitk.WriteImage(image, tmp_path / f"scan{ending}")
    reference = nib.load(tmp_path / "scan.nii")
    volume = read_volume(tmp_path / f"scan{ending}")
    np.testing.assert_allclose(volume.grid.affine, reference.affine, atol=1e-4)
    np.testing.assert_array_equal(volume.hu, volume.grid.to_display(np.asarray(reference.dataobj)))
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", np.ones(volume.shape, np.uint8), volume))
    np.testing.assert_allclose(written.affine, reference.affine, atol=1e-4)


def test_a_nifti_mask_of_an_nrrd_scan(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(numbered_hu()), tmp_path / "scan.nrrd")
    mask = write_nifti(tmp_path / "mask.nii.gz", numbered_labels(), "SAR")
    np.testing.assert_array_equal(read_label_map(mask, read_volume(tmp_path / "scan.nrrd")), numbered_labels())


def test_an_nrrd_mask_of_a_nifti_scan(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(numbered_labels()), tmp_path / "mask.nrrd")
    volume = read_volume(write_nifti(tmp_path / "scan.nii.gz", numbered_hu(), "RAS"))
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nrrd", volume), numbered_labels())


def test_an_nrrd_in_ras(tmp_path: Path) -> None:
    header = (
        b"NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 4 3\n"
        b"space directions: (0.5,0,0) (0,0.75,0) (0,0,2.5)\nspace origin: (1,2,3)\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "scan.nrrd").write_bytes(header + numbered_hu().tobytes())
    volume = read_volume(tmp_path / "scan.nrrd")
    np.testing.assert_array_equal(volume.hu, numbered_hu()[:, ::-1, ::-1])
    np.testing.assert_allclose(volume.grid.affine[:3, 3], [1, 2, 3])


def test_an_nrrd_without_a_space_says_so(tmp_path: Path) -> None:
    (tmp_path / "scan.nrrd").write_bytes(PLAIN_NRRD.replace(b"%s\n", b"") + bytes(32))
    assert any("does not state its orientation" in text for text in read_volume(tmp_path / "scan.nrrd").warnings)


def test_float_volumes_are_checked_for_nan(tmp_path: Path) -> None:
    values = numbered_hu().astype(np.float32)
    values[1, 2, 3] = np.nan
    sitk.WriteImage(itk_image(values), tmp_path / "scan.mha")
    volume = read_volume(tmp_path / "scan.mha")
    assert volume.hu[1, 2, 3] == -1024
    assert "1 voxel without a number (NaN or infinite) was taken for air." in volume.warnings


def test_a_flat_image_is_one_slice(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(numbered_hu()[0])
    image.SetSpacing((0.5, 0.75))
    sitk.WriteImage(image, tmp_path / "flat.mha")
    volume = read_volume(tmp_path / "flat.mha")
    np.testing.assert_array_equal(volume.hu, numbered_hu()[:1])
    assert volume.spacing_mm == (1.0, 0.75, 0.5)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_several_volumes_and_vectors(tmp_path: Path, ending: str) -> None:
    many = sitk.GetImageFromArray(np.zeros((7, 3, 4, 5), np.int16), isVector=False)
    sitk.WriteImage(many, tmp_path / f"many{ending}")
    refused(tmp_path / f"many{ending}", "4D and holds 7 volumes", "a file of its own")
    single = sitk.GetImageFromArray(numbered_hu()[np.newaxis], isVector=False)
    sitk.WriteImage(single, tmp_path / f"single{ending}")
    np.testing.assert_array_equal(read_volume(tmp_path / f"single{ending}").hu, numbered_hu())
    vectors = sitk.GetImageFromArray(np.zeros((3, 4, 5, 2), np.float32), isVector=True)
    sitk.WriteImage(vectors, tmp_path / f"vectors{ending}")
    refused(tmp_path / f"vectors{ending}", "2 values a voxel")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_truncated_volumes(tmp_path: Path, ending: str, compress: bool) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (6, 30, 30)).astype(np.int16)
    path = tmp_path / f"cut{ending}"
    sitk.WriteImage(itk_image(noise), path, compress)
    path.write_bytes(path.read_bytes()[:-2000])
    refused(path, "cut short", "download it again")


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpg"])
def test_text_with_the_name_of_an_image(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"notes{ending}").write_text("These are my notes on the scan.\n" * 50)
    refused(tmp_path / f"notes{ending}")


def test_an_announced_monster_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "huge.mha").write_bytes((PLAIN_MHA % b"LOCAL").replace(b"4 4 2", b"4096 4096 4096"))
    refused(tmp_path / "huge.mha", "4096×4096×4096 voxels", "crop it")


def test_axes_that_span_no_volume(tmp_path: Path) -> None:
    content = (PLAIN_MHA % b"LOCAL").replace(b"NDims = 3\n", b"NDims = 3\nTransformMatrix = 1 0 0 1 0 0 0 0 1\n")
    (tmp_path / "odd.mha").write_bytes(content + bytes(32))
    refused(tmp_path / "odd.mha", "span no volume")


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../secret.raw", b"LIST", b"slice%03d.raw 1 2 1", b"a b.raw"])
def test_a_header_cannot_point_at_other_files(tmp_path: Path, target: bytes) -> None:
    """Both formats name the file of their voxels, which would show a visitor any file of the server."""
    (tmp_path / "secret.raw").write_bytes(bytes(32))
    folder = tmp_path / "upload"
    folder.mkdir()
    for name, content in [
        ("a.mha", PLAIN_MHA % target),
        ("a.mhd", PLAIN_MHA % target),
        ("a.nrrd", PLAIN_NRRD % (b"data file: " + target)),
        ("a.nhdr", PLAIN_NRRD % (b"DATAFILE: " + target)),
    ]:
        (folder / name).write_bytes(content + bytes(32))
        refused(folder / name, "outside its own folder")


def test_a_header_cannot_hide_where_it_points(tmp_path: Path) -> None:
    twice = (PLAIN_MHA % b"/etc/passwd").replace(b"DimSize", b"Comment = \nElementDataFile = LOCAL\nDimSize")
    inside = PLAIN_MHA.replace(b"Element", b" Element", 1) % b"LOCAL\nElementDataFile = /etc/passwd"
    late = b"NRRD0004\n" + b"# filler\n" * 8000 + (PLAIN_NRRD % b"data file: /etc/passwd")[9:]
    carriage = PLAIN_NRRD % b"content: x\rdata file: /etc/passwd"
    for name, content in [("a.mha", twice), ("b.mha", inside), ("c.nrrd", late), ("d.nrrd", carriage)]:
        (tmp_path / name).write_bytes(content + bytes(32))
        refused(tmp_path / name)


def test_a_link_beside_a_header_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(32))
    (tmp_path / "voxels.raw").symlink_to(tmp_path / "secret")
    (tmp_path / "scan.mhd").write_bytes(PLAIN_MHA % b"voxels.raw")
    refused(tmp_path / "scan.mhd", "outside its own folder")


def test_a_header_without_its_voxels_says_what_is_missing(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(numbered_hu()), tmp_path / "scan.mhd")
    (tmp_path / "scan.raw").unlink()
    refused(tmp_path / "scan.mhd", "needs its voxels from scan.raw", "put both into a .zip")


def grey_ramp() -> np.ndarray:
    return np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def test_a_png_slice_lies_as_it_is_shown(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "slice.png"), grey_ramp())
    volume = read_volume(tmp_path / "slice.png")
    assert volume.hu.shape == (1, 6, 8)
    np.testing.assert_array_equal(volume.hu[0], np.rint(grey_ramp() / 255 * 400 - 160))
    assert not volume.spacing_known
    assert volume.modality == "unknown"
    assert any("black is taken for -160 HU and white (255) for 240 HU" in text for text in volume.warnings)
    written = nib.load(write_label_map(tmp_path / "mask.nii.gz", np.ones(volume.shape, np.uint8), volume))
    assert written.shape == (8, 6, 1)
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.nii.gz", volume), np.ones((1, 6, 8)))


def test_a_16_bit_png(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "slice.png"), np.array([[0, 65535, 32768]], np.uint16))
    volume = read_volume(tmp_path / "slice.png")
    assert volume.hu.ravel().tolist() == [-160, 240, 40]
    assert any("white (65535)" in text for text in volume.warnings)


@pytest.mark.parametrize("alpha", [False, True])
def test_colour_becomes_grey_with_a_warning(tmp_path: Path, alpha: bool) -> None:
    channels = [grey_ramp()] * 3 + [np.full_like(grey_ramp(), 7)] * alpha
    cv2.imwrite(str(tmp_path / "grey.png"), np.dstack(channels))
    volume = read_volume(tmp_path / "grey.png")
    np.testing.assert_array_equal(volume.hu[0], np.rint(grey_ramp() / 255 * 400 - 160))
    assert any("in colour" in text for text in volume.warnings)


def test_true_colour_is_weighted_as_the_eye_does(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.array([[[0, 0, 255]]], np.uint8))  # OpenCV: blue, green, red
    assert read_volume(tmp_path / "red.png").hu.item() == round(0.299 * 400 - 160)


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".JPG"])
def test_a_jpeg_slice(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"slice{ending}"
    path.write_bytes(cv2.imencode(".jpg", np.full((16, 16), 200, np.uint8))[1].tobytes())
    assert np.abs(read_volume(path).hu - round(200 / 255 * 400 - 160)).max() <= 2


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_truncated_pictures(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    content = cv2.imencode(ending, noise)[1].tobytes()
    (tmp_path / f"cut{ending}").write_bytes(content[: len(content) // 2])
    refused(tmp_path / f"cut{ending}", "cut short")


def test_a_png_mask_of_a_png_slice(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "slice.png"), grey_ramp())
    cv2.imwrite(str(tmp_path / "mask.png"), grey_ramp() % 3)
    cv2.imwrite(str(tmp_path / "black_and_white.png"), (grey_ramp() % 2) * 255)
    volume = read_volume(tmp_path / "slice.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "mask.png", volume)[0], grey_ramp() % 3)
    with pytest.raises(InputError) as error:
        read_label_map(tmp_path / "black_and_white.png", volume)
    refusal(error, "black_and_white.png", "255", "divide")
