"""The catalogue: names without reading voxels, folders of one's own in every layout, lits117 fetched through real pip.

No test needs the network: pip is pointed at a folder with a small made-up wheel, or at nothing.
"""

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from livdemo import cases, lits117
from livdemo.cases import Case, CaseFiles, find_case_files, list_cases, load_case
from livdemo.errors import InputError
from livdemo.volume import read_label_map, write_label_map
from tests.made_up import block_case, make_volume

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no folder of one's own, and a pip that finds nothing."""
    monkeypatch.setenv("LIVDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LIVDEMO_CASES", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def _write(path: Path, values: np.ndarray) -> None:
    """values: (Z, Y, X), written with axes x, y, z."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values.transpose(2, 1, 0), AFFINE).to_filename(path)


def _ct() -> np.ndarray:
    return np.full((3, 5, 4), -1000, np.int16)


def _mask() -> np.ndarray:
    mask = np.zeros((3, 5, 4), np.uint8)
    mask[1, 2, 1:3] = 1, 2
    return mask


def _write_wheel(folder: Path) -> str:
    """A wheel of the right name with two made-up MRC files, laid out as the real one; returns its SHA-256."""
    x, y, z = np.meshgrid(*[np.arange(128)] * 3, indexing="ij")
    image = (x + 0.26 * (y == 3) - 2.0 * z).astype("<f4")
    labels = np.where(x < 3, 2, x < 10).astype("<u2")
    stem = "liver_ct_segmentation_package"
    info = f"{stem}-1.6.0.dist-info"
    files = {
        f"{stem}/data/img_117.mrc": bytes(1024) + image.tobytes(),
        f"{stem}/data/lab_117.mrc": bytes(1024) + labels.tobytes(),
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: liver-ct-segmentation-package\nVersion: 1.6.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n",
    }
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    files[f"{info}/RECORD"] = ("".join(lines) + f"{info}/RECORD,,\n").encode()
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / lits117.WHEEL, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return hashlib.sha256((folder / lits117.WHEEL).read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its package index, holding a made-up wheel whose hash is the pinned one."""
    folder = tmp_path / "index"
    monkeypatch.setattr(lits117, "SHA256", _write_wheel(folder))
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_built_in_cases_come_first() -> None:
    infos = list_cases()
    assert [info.name for info in infos] == ["phantom", "lits117"]
    assert all(info.title and info.source and info.licence and info.note for info in infos)
    assert "one-time download of 4.5 MB" in infos[1].note
    assert "CC BY-NC-ND 4.0" in infos[1].licence


def test_the_phantom_by_name_and_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def small(seed: int) -> object:
        drawn.append(seed)
        return original(seed, shape=(16, 64, 64))

    original = cases.make_phantom
    monkeypatch.setattr(cases, "make_phantom", small)
    case = load_case("phantom:7")
    assert drawn == [7]
    assert case.name == "phantom:7"
    assert case.volume.spacing_mm == pytest.approx((16.0, 5.6, 5.6))
    assert case.volume.modality == "CT"
    assert case.volume.spacing_known
    assert case.reference is not None
    assert set(np.unique(case.reference)) == {0, 1, 2}


@pytest.mark.parametrize("name", ["phantom:", "phantom:two", "phantom:-1", "phantom:1:2", "phantom:1.5"])
def test_no_such_phantom(name: str) -> None:
    with pytest.raises(InputError, match="whole number such as phantom:7"):
        load_case(name)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "mine" / "anna.nii.gz", _ct())
    monkeypatch.setenv("LIVDEMO_CASES", str(tmp_path / "mine"))
    with pytest.raises(InputError, match="no case bert: choose one of phantom, lits117, anna"):
        load_case("bert")


def test_a_reference_must_fit() -> None:
    case = block_case()
    with pytest.raises(ValueError, match="does not fit"):
        Case("x", make_volume(np.zeros((2, 3, 4))), case.reference, "", "", "")


@pytest.mark.parametrize(
    ("scan", "reference", "name"),
    [
        ("anna.nii.gz", "anna_seg.nii.gz", "anna"),
        ("chaos_ct.nii.gz", "chaos_seg.nii.gz", "chaos"),
        ("Chaos_CT.nii.gz", "chaos_seg.nii", "Chaos"),
        ("volume-12.nii", "segmentation-12.nii", "volume-12"),
        ("bert/ct.nii.gz", "bert/seg.nii.gz", "bert"),
        ("carl/scan_ct.nii", "carl/scan_seg.nii", "carl"),
        ("dora.nii.gz", None, "dora"),
    ],
)
def test_layouts_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scan: str, reference: str | None, name: str
) -> None:
    _write(tmp_path / scan, _ct())
    if reference:
        _write(tmp_path / reference, _mask())
    monkeypatch.setenv("LIVDEMO_CASES", str(tmp_path))
    info = list_cases()[-1]
    assert (info.name, info.kind, info.has_reference) == (name, "own", reference is not None)
    case = load_case(name)
    assert case.volume.shape == (3, 5, 4)
    assert str(tmp_path) not in case.source, "a report does not tell where the server keeps its files"
    if reference:
        np.testing.assert_array_equal(case.reference, _mask())
    else:
        assert case.reference is None


def test_a_dicom_folder_is_a_case(tmp_path: Path) -> None:
    (tmp_path / "study" / "series").mkdir(parents=True)
    (tmp_path / "study" / "series" / "0001").write_bytes(bytes(128) + b"DICM")
    _write(tmp_path / "study" / "seg.nii.gz", _mask())
    (tmp_path / "empty").mkdir()
    study = tmp_path / "study"
    assert find_case_files(tmp_path) == [CaseFiles("study", study, study / "seg.nii.gz")]


def test_a_catalogue_of_broken_files_can_still_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No voxel, not even a header is read for the list; opening names the file."""
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    monkeypatch.setenv("LIVDEMO_CASES", str(tmp_path))
    assert list_cases()[-1].name == "cut"
    with pytest.raises(InputError, match=r"cut\.nii\.gz"):
        load_case("cut")


def test_no_name_stands_for_two(tmp_path: Path) -> None:
    for name in (
        "phantom.nii",
        "anna.nii.gz",
        "anna_ct.nii",
        "anna/ct.nii",
        "phantom:3.nii",
        ".hidden.nii",
        "note.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [files.name for files in find_case_files(tmp_path)]
    assert len(set(names)) == len(names) == 5
    assert "anna" in names
    assert "phantom.nii" in names
    assert not {"phantom", "phantom:3"} & set(names)


def test_numbers_sort_as_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"volume-{number}.nii").touch()
        (tmp_path / f"segmentation-{number}.nii").touch()
    (tmp_path / "segmentation-11.nii").touch()
    assert [files.name for files in find_case_files(tmp_path)] == ["volume-1", "volume-9", "volume-10"]
    assert [files.reference.name for files in find_case_files(tmp_path) if files.reference] == [
        "segmentation-1.nii",
        "segmentation-9.nii",
        "segmentation-10.nii",
    ]


def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVDEMO_CASES", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"LIVDEMO_CASES is .*gone"):
        list_cases()


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "0001").touch()

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cases, "is_dicom", refuse)
    with pytest.raises(InputError, match="0001 may not be read: change its permissions"):
        find_case_files(tmp_path)


def test_lits117_is_fetched_once_and_turned_upright(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = load_case("lits117")
    assert case.volume.shape == (128, 128, 128)
    assert not case.volume.spacing_known
    assert case.volume.spacing_mm == (1.0, 1.0, 1.0)
    assert case.volume.warnings
    assert case.volume.hu[0, 0, 40] == 40, "x of the file runs along a row"
    assert case.volume.hu[5, 0, 0] == -10, "z of the file counts slices"
    assert case.volume.hu[0, 3, 1] == 1, "1.26 HU is rounded"
    assert case.reference is not None
    np.testing.assert_array_equal(case.reference[17, 60, :12], [2] * 3 + [1] * 7 + [0] * 2)
    assert "download" not in list_cases()[1].note

    monkeypatch.delenv("PIP_FIND_LINKS")
    assert load_case("lits117").volume.shape == (128, 128, 128), "from the cache"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [lits117.WHEEL]


def test_a_prediction_for_lits117_goes_back_to_its_axes(tmp_path: Path, index: Path) -> None:
    """Written with axes x, y, z; the affine says that x grows to the left and y to the back (LPS+)."""
    case = load_case("lits117")
    assert case.reference is not None
    write_label_map(tmp_path / "out.nii.gz", case.reference, case.volume)
    written = nibabel.load(tmp_path / "out.nii.gz")
    assert nibabel.aff2axcodes(written.affine) == ("L", "P", "S")
    assert np.asarray(written.dataobj)[2, 60, 17] == 2
    np.testing.assert_array_equal(read_label_map(tmp_path / "out.nii.gz", case.volume), case.reference)


def test_lits117_put_into_the_cache_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lits117, "SHA256", _write_wheel(tmp_path / "cache"))
    assert load_case("lits117").volume.shape == (128, 128, 128)


def test_a_spoilt_copy_is_fetched_again(tmp_path: Path, index: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / lits117.WHEEL).write_bytes(b"half a download")
    assert load_case("lits117").volume.shape == (128, 128, 128)


def test_a_wheel_with_another_hash_is_not_kept(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lits117, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"SHA-256 is not the pinned one.*phantom works without"):
        load_case("lits117")
    assert not list((tmp_path / "cache").iterdir())


def test_lits117_offline(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"could not be fetched.*connect.*once, or put .*whl into .*cache.*phantom"
    ) as told:
        load_case("lits117")
    assert len(str(told.value).splitlines()) == 1
    assert not list((tmp_path / "cache").iterdir())


def test_lits117_with_an_index_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # port 9: nothing listens
    with pytest.raises(InputError, match="the package index cannot be reached"):
        load_case("lits117")


def test_lits117_where_nothing_can_be_written(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIVDEMO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="set LIVDEMO_CACHE"):
        load_case("lits117")


def test_the_cache_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVDEMO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert lits117.cache_folder() == tmp_path / "livdemo"


def test_the_real_lits117(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped where it is neither cached nor to be fetched. Liver and tumour voxels as counted in the real files."""
    monkeypatch.undo()  # back to the user's own cache and package index
    try:
        case = load_case("lits117")
    except InputError as error:
        pytest.skip(str(error))
    assert case.reference is not None
    assert np.bincount(case.reference.ravel()).tolist() == [1481801, 485268, 130083]
    assert (case.volume.hu.min(), case.volume.hu.max()) == (-1063, 1877)
    liver = np.argwhere(case.reference > 0).mean(axis=0)
    bone = np.argwhere(case.volume.hu[20:60] > 350).mean(axis=0)
    assert liver[2] < 60, "liver on the left of the picture"
    assert bone[1] > liver[1], "spine below"
    assert (case.volume.hu[-8:] < -700).mean() > 3 * (case.volume.hu[:8] < -700).mean(), "lung on top"
