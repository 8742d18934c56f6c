"""A .zip from a visitor: what is read from it, and what never leaves it."""

import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from livdemo import archive
from livdemo.errors import InputError
from livdemo.volume import read_label_map, read_volume
from tests.volume_files import (
    itk_image,
    numbered_hu,
    numbered_labels,
    refusal,
    write_dicom_series,
    write_nifti,
)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked in these tests."""
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def pack_folder(path: Path, folder: Path) -> Path:
    files = (file for file in folder.rglob("*") if file.is_file())
    return pack(path, {str(file.relative_to(folder.parent)): file.read_bytes() for file in files})


def refused(path: Path, scratch: Path, *parts: str) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path)
    assert list(scratch.iterdir()) == []
    return refusal(error, path.name, *parts)


def test_a_zip_of_dicom_slices(tmp_path: Path, scratch: Path) -> None:
    write_dicom_series(tmp_path / "study" / "series", numbered_hu(), names=["IM2", "IM1", "IM3"])
    (tmp_path / "study" / "README.txt").write_text("burned by the viewer")
    path = pack_folder(tmp_path / "study.ZIP", tmp_path / "study")
    np.testing.assert_array_equal(read_volume(path).hu, numbered_hu())
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "folder/scan.nii.gz"])
def test_a_zip_of_one_nifti(tmp_path: Path, name: str) -> None:
    content = write_nifti(tmp_path / Path(name).name, numbered_hu(), "RAS").read_bytes()
    clutter = {"__MACOSX/._scan.nii": b"x", "folder/.DS_Store": b"x", "notes.txt": b"x"}
    np.testing.assert_array_equal(read_volume(pack(tmp_path / "a.zip", {name: content, **clutter})).hu, numbered_hu())


def test_a_zip_of_a_header_and_its_voxels(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(numbered_hu()), tmp_path / "scan.mhd")
    members = {f"folder/{name}": (tmp_path / name).read_bytes() for name in ("scan.mhd", "scan.raw")}
    np.testing.assert_array_equal(read_volume(pack(tmp_path / "a.zip", members)).hu, numbered_hu())


def test_a_zipped_mask(tmp_path: Path) -> None:
    volume = read_volume(write_nifti(tmp_path / "scan.nii", numbered_hu()))
    content = write_nifti(tmp_path / "mask.nii", numbered_labels(), "SAR").read_bytes()
    path = pack(tmp_path / "mask.zip", {"mask.nii": content})
    np.testing.assert_array_equal(read_label_map(path, volume), numbered_labels())


def test_nothing_to_read(tmp_path: Path, scratch: Path) -> None:
    refused(pack(tmp_path / "empty.zip", {}), scratch, "is empty")
    refused(pack(tmp_path / "folder.zip", {"a/": b"", "__MACOSX/x": b"x"}), scratch, "is empty")
    refused(pack(tmp_path / "text.zip", {"README": b"hello"}), scratch, "neither DICOM slices nor")


def test_several_volumes(tmp_path: Path, scratch: Path) -> None:
    content = write_nifti(tmp_path / "scan.nii", numbered_hu()).read_bytes()
    path = pack(tmp_path / "two.zip", {"ct.nii": content, "mask.nii": content})
    refused(path, scratch, "2 volumes (ct.nii, mask.nii)", "one of them")


def test_a_fault_inside_names_the_zip_and_the_file(tmp_path: Path, scratch: Path) -> None:
    content = write_nifti(tmp_path / "scan.nii", numbered_hu()).read_bytes()
    refused(pack(tmp_path / "cut.zip", {"scan.nii": content[:-1]}), scratch, "cut.zip (scan.nii)", "cut short")


def test_what_is_no_zip(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "notes.zip").write_text("These are my notes.")
    refused(tmp_path / "notes.zip", scratch, "no .zip")
    sound = pack(tmp_path / "cut.zip", {"scan.nii": bytes(5000)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(sound[: len(sound) // 2])
    refused(tmp_path / "cut.zip", scratch, "damaged")
    damaged = bytearray(pack(tmp_path / "crc.zip", {"a.nii": bytes(range(256))}).read_bytes())
    damaged[60] ^= 0xFF
    (tmp_path / "crc.zip").write_bytes(damaged)
    refused(tmp_path / "crc.zip", scratch, "damaged")


@pytest.mark.parametrize(
    "name", ["../escaped.nii", "a/../../escaped.nii", "/tmp/escaped.nii", "C:/escaped.nii", "..\\escaped.nii", "."]
)
def test_names_that_lead_out(tmp_path: Path, scratch: Path, name: str) -> None:
    refused(pack(tmp_path / "evil.zip", {name: b"x"}), scratch, "leads out of it")
    assert not list(tmp_path.rglob("*escaped*"))


def test_links(tmp_path: Path, scratch: Path) -> None:
    link = zipfile.ZipInfo("scan.nii")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    refused(tmp_path / "evil.zip", scratch, "holds a link (scan.nii)")


@pytest.mark.parametrize("name", ["inner.zip", "inner.tar.gz", "inner.7z"])
def test_archives_in_archives(tmp_path: Path, scratch: Path, name: str) -> None:
    refused(pack(tmp_path / "outer.zip", {name: b"PK"}), scratch, f"another archive ({name})")


def test_encrypted_and_unusual_members(tmp_path: Path, scratch: Path) -> None:
    content = bytearray(pack(tmp_path / "secret.zip", {"scan.nii": b"x" * 50}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    (tmp_path / "secret.zip").write_bytes(content)
    refused(tmp_path / "secret.zip", scratch, "encrypted", "without a password")
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("scan.nii", b"x")
    refused(tmp_path / "lzma.zip", scratch, "unusual way")


def test_the_same_name_twice_and_a_name_too_long(tmp_path: Path, scratch: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as file:
        file.writestr("a.nii", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.nii", b"y")
    refused(tmp_path / "twice.zip", scratch, "holds a.nii twice")
    refused(pack(tmp_path / "both.zip", {"a": b"x", "a/b": b"y"}), scratch, "twice")
    refused(pack(tmp_path / "long.zip", {"ä" * 200: b"x"}), scratch, "too long")


def test_the_caps(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "bomb.zip", {f"zeros{number}": bytes(100_000) for number in range(4)})
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    refused(path, scratch, "4 files, more than 3")
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 399_999)
    refused(path, scratch, "unpacks to", "one series only")
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(archive, "RATIO_FREE_BYTES", 100_000)
    refused(path, scratch, "times its size", "at most 100")


def test_a_member_that_understates_its_size_is_not_unpacked_beyond_it(tmp_path: Path, scratch: Path) -> None:
    content = bytearray(pack(tmp_path / "liar.zip", {"scan.nii": bytes(100_000)}).read_bytes())
    at = content.index(b"PK\x01\x02") + 24  # the size in the directory
    content[at : at + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "liar.zip").write_bytes(content)
    refused(tmp_path / "liar.zip", scratch, "damaged")
