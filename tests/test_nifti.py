"""NIfTI files that are cut, damaged, mislabelled or lying about their size."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from livdemo.errors import InputError
from livdemo.volume import read_label_map, read_volume
from livdemo.voxels import MAX_VOXELS
from tests.volume_files import (
    SHAPE,
    lps_affine,
    nifti_image,
    numbered_hu,
    numbered_labels,
    refusal,
    repack,
    write_nifti,
)

DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE = 40, 70, 76, 108, 112  # byte offsets in the header of NIfTI-1
QFORM_CODE, SFORM_CODE, SROW_X, MAGIC = 252, 254, 280, 344


def changed(content: bytes, offset: int, values: object, dtype: str) -> bytes:
    """content with numbers of the given type written at offset."""
    new = np.asarray(values, dtype).tobytes()
    return content[:offset] + new + content[offset + len(new) :]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A sound .nii as bytes."""
    return write_nifti(tmp_path / "sound.nii", numbered_hu()).read_bytes()


def refused(path: Path, *parts: str) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path)
    return refusal(error, path.name, *parts)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_truncated_gz_is_cut_short(tmp_path: Path, kept: float) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (40, 64, 64)).astype(np.int16)
    packed = write_nifti(tmp_path / "sound.nii.gz", noise).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(packed[: int(len(packed) * kept)])
    refused(tmp_path / "cut.nii.gz", "cut short", "download it again")


def test_a_gz_cut_within_its_header(tmp_path: Path, content: bytes) -> None:
    packed = gzip.compress(content)
    (tmp_path / "cut.nii.gz").write_bytes(packed[:40])
    refused(tmp_path / "cut.nii.gz", "cut short")


def test_a_gz_without_its_checksum_is_cut_short(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(content)[:-6])
    refused(tmp_path / "cut.nii.gz", "cut short")


def test_a_flipped_bit_fails_the_checksum(tmp_path: Path, content: bytes) -> None:
    packed = bytearray(gzip.compress(content, compresslevel=0))  # stored: the change unpacks without an error
    packed[-30] ^= 1
    (tmp_path / "damaged.nii.gz").write_bytes(packed)
    refused(tmp_path / "damaged.nii.gz", "damaged", "checksum")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_stream_shorter_or_longer_than_its_header_says(tmp_path: Path, content: bytes, ending: str) -> None:
    for name, changed_content, part in [
        ("short", content[:-4], "cut short"),
        ("long", content + b"\0\0", "goes on after"),
    ]:
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(gzip.compress(changed_content) if ending == ".nii.gz" else changed_content)
        refused(path, part, "120 bytes")


def test_the_ending_does_not_decide_about_gzip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "packed.nii").write_bytes(gzip.compress(content))
    (tmp_path / "plain.nii.gz").write_bytes(content)
    for name in ("packed.nii", "plain.nii.gz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).hu, numbered_hu())


def test_a_gzip_bomb_stops_after_what_its_header_announces(tmp_path: Path, content: bytes) -> None:
    repack(tmp_path / "bomb.nii.gz", content + bytes(30 * 2**20))
    tracemalloc.start()
    refused(tmp_path / "bomb.nii.gz", "goes on after")
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


def test_an_announced_monster_is_refused_by_its_header(tmp_path: Path, content: bytes) -> None:
    for dims, part in [((3, 1024, 1024, 1024), f"{MAX_VOXELS:,}"), ((3, 512, 512, 1000), "cut short")]:
        content = changed(content, DIM, dims, "<i2")
        repack(tmp_path / "huge.nii.gz", content)
        tracemalloc.start()
        refused(tmp_path / "huge.nii.gz", part)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


@pytest.mark.parametrize("dims", [(3, 5, 0, 3), (3, -5, 4, 3), (1, 60, 1, 1), (0, 5, 4, 3), (9, 5, 4, 3)])
def test_absurd_dimensions(tmp_path: Path, content: bytes, dims: tuple[int, ...]) -> None:
    (tmp_path / "odd.nii").write_bytes(changed(content, DIM, dims, "<i2"))
    refused(tmp_path / "odd.nii")


def test_voxels_that_begin_far_away(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.nii").write_bytes(changed(content, VOX_OFFSET, 1e9, "<f4"))
    refused(tmp_path / "odd.nii", "begin at byte")


@pytest.mark.parametrize(("shape", "part"), [((5, 4, 3, 7), "4D and holds 7 volumes"), ((5, 4, 3, 1, 3), "holds 3")])
def test_several_volumes_are_counted(tmp_path: Path, shape: tuple[int, ...], part: str) -> None:
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), lps_affine()), tmp_path / "many.nii.gz")
    refused(tmp_path / "many.nii.gz", part, "a file of its own")


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_axes_of_length_one_are_dropped(tmp_path: Path, extra: tuple[int, ...]) -> None:
    stored = numbered_hu().transpose(2, 1, 0).reshape(*SHAPE[::-1], *extra)
    nib.save(nib.Nifti1Image(stored, lps_affine()), tmp_path / "one.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "one.nii").hu, numbered_hu())


def test_a_flat_image_is_one_slice(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(numbered_hu()[0].T, lps_affine()), tmp_path / "flat.nii")
    volume = read_volume(tmp_path / "flat.nii")
    np.testing.assert_array_equal(volume.hu, numbered_hu()[:1])


def test_nifti_2_and_big_endian(tmp_path: Path) -> None:
    image = nifti_image(numbered_hu(), "RSA")
    nib.save(nib.Nifti2Image(np.asarray(image.dataobj), image.affine), tmp_path / "two.nii.gz")
    header = nib.Nifti1Header(endianness=">")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header), tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == b"\0\0\1\\"
    for name in ("two.nii.gz", "big.nii"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).hu, numbered_hu())


def test_header_extensions_are_passed_over(tmp_path: Path) -> None:
    image = nifti_image(numbered_hu())
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made for a test" * 50))
    nib.save(image, tmp_path / "extended.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "extended.nii.gz").hu, numbered_hu())


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers(tmp_path: Path, dtype: object) -> None:
    nib.save(nib.Nifti1Image(np.zeros((5, 4, 3), dtype), lps_affine()), tmp_path / "colour.nii")
    refused(tmp_path / "colour.nii", "one value a voxel")


@pytest.mark.parametrize("name", ["notes.nii", "notes.nii.gz"])
def test_a_text_file_named_nii(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("These are my notes on the scan.\n" * 50)
    refused(tmp_path / name, "not a NIfTI image", "export")
    repack(tmp_path / name, b"These are my notes, packed.\n" * 50)
    refused(tmp_path / name, "not a NIfTI image")


def test_half_of_a_pair_and_a_nonsense_type(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "half.nii").write_bytes(content[:MAGIC] + b"ni1\0" + content[MAGIC + 4 :])
    refused(tmp_path / "half.nii", "one half of a pair")
    (tmp_path / "odd.nii").write_bytes(changed(content, DATATYPE, 9999, "<i2"))
    refused(tmp_path / "odd.nii", "makes no sense")
    (tmp_path / "head.nii").write_bytes(content[:200])
    refused(tmp_path / "head.nii", "cut short within its header")


def test_a_scaling_that_is_no_number(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.nii").write_bytes(changed(content, SLOPE, [2, np.nan], "<f4"))
    refused(tmp_path / "odd.nii", "scl_inter")


@pytest.mark.parametrize("row", [np.zeros(12), np.full(12, np.nan), [1, 0, 0, 0] * 3])
def test_a_useless_sform_gives_way_to_the_qform(tmp_path: Path, row: object) -> None:
    image = nifti_image(numbered_hu(), "RAS")
    image.set_qform(image.affine, 1)
    nib.save(image, tmp_path / "sound.nii")
    content = changed((tmp_path / "sound.nii").read_bytes(), SROW_X, row, "<f4")
    (tmp_path / "odd.nii").write_bytes(content)
    volume = read_volume(tmp_path / "odd.nii")
    np.testing.assert_array_equal(volume.hu, numbered_hu())
    np.testing.assert_allclose(volume.grid.affine, image.affine, atol=1e-4)
    assert volume.warnings == ()


def test_without_a_usable_affine_the_orientation_is_assumed_and_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.nii").write_bytes(changed(content, SROW_X, np.zeros(12), "<f4"))  # no qform either
    volume = read_volume(tmp_path / "odd.nii")
    assert volume.spacing_known
    assert volume.spacing_mm == (2.5, 0.75, 0.5)
    np.testing.assert_array_equal(volume.hu, numbered_hu()[:, ::-1])  # nibabel: x to the left, y to the front
    assert volume.warnings == (
        "The file does not state its orientation (no usable sform or qform): left and right may be swapped "
        "in the picture.",
    )


@pytest.mark.parametrize("pixdim", [[0, 0, 0], [np.nan, 1, 1], [1, 1, 0]])
def test_a_file_without_spacing_says_so(tmp_path: Path, content: bytes, pixdim: list[float]) -> None:
    content = changed(content, PIXDIM + 4, pixdim, "<f4")
    content = changed(content, QFORM_CODE, [1, 0], "<i2")  # a qform needs the spacing as well
    (tmp_path / "odd.nii").write_bytes(content)
    volume = read_volume(tmp_path / "odd.nii")
    assert not volume.spacing_known
    assert any("neither orientation nor voxel spacing" in text for text in volume.warnings)


def test_a_truncated_mask_is_refused_too(tmp_path: Path) -> None:
    volume = read_volume(write_nifti(tmp_path / "scan.nii", numbered_hu()))
    cut = write_nifti(tmp_path / "mask.nii", numbered_labels()).read_bytes()[:-1]
    (tmp_path / "mask.nii").write_bytes(cut)
    with pytest.raises(InputError) as error:
        read_label_map(tmp_path / "mask.nii", volume)
    refusal(error, "mask.nii", "cut short")


def test_random_damage_is_an_input_error_or_a_volume(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in a header, nothing but InputError comes out, and no warning of Python's."""
    generator = np.random.default_rng(0)
    path = tmp_path / "damaged.nii"
    refusals = []
    for _ in range(200):
        damaged = bytearray(content)
        for offset in generator.integers(0, 348, generator.integers(1, 6)):
            damaged[offset] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_volume(path)
        except InputError as error:
            refusals.append(str(error))
    assert 20 < len(refusals) < 180
    assert all("damaged.nii" in text for text in refusals)
