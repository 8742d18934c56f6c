"""The data sets as they are distributed, on tiny trees of the same shape; and what is said when one is broken."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from livdemo.errors import InputError
from livdemo.phantom import make_phantom
from tests.train.data_trees import (
    SHAPE,
    scan,
    write_chaos,
    write_ircadb,
    write_kvasir,
    write_lits,
    write_mr_slices,
    write_msd,
)
from tests.train.slice_folder import write_slices
from tests.volume_files import write_dicom_series, write_nifti
from train.scans import Scan, natural
from train.sources import find_scans, phantom_scans
from train.sources.lits_patients import DRAWN_AGAIN
from train.sources.slice_folder import GreyScale


def _check_contract(scan: Scan) -> None:
    image, mask, position = scan.load()
    assert image.dtype == np.int16
    assert mask.dtype == np.uint8
    assert image.shape == (len(mask), image.shape[1], *mask.shape[1:])
    assert (np.diff(position) > 0).all()
    assert scan.files
    assert all(file.is_file() for file in scan.files)


def _check_truth(scans: list[Scan], truth: dict) -> None:
    assert {scan.volume for scan in scans} == set(truth)
    for one in scans:
        _check_contract(one)
        image, mask, position = one.load()
        hu, labels = truth[one.volume]
        assert np.array_equal(image[:, 0], hu)
        assert np.array_equal(mask, labels)
        assert position.tolist() == list(range(SHAPE[0]))


def test_lits(tmp_path: Path) -> None:
    truth = write_lits(tmp_path)
    scans = find_scans(tmp_path)
    _check_truth(scans, truth)
    assert [(s.source, s.volume, s.patient, s.labels) for s in scans] == [
        ("lits17", "2", "B", "full"),
        ("lits17", "10", "F", "full"),
    ]


def test_lits_masks_in_a_folder_of_their_own(tmp_path: Path) -> None:
    truth = write_lits(tmp_path)
    (tmp_path / "segmentations").mkdir()
    for mask in tmp_path.glob("*/segmentation-*"):
        mask.rename(tmp_path / "segmentations" / mask.name)
    _check_truth(find_scans(tmp_path), truth)


def test_lits_mask_with_a_foreign_header_is_taken_voxel_for_voxel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_lits(tmp_path, (2,))
    path = tmp_path / "Training Batch 1" / "segmentation-2.nii"
    voxels = np.asarray(nib.load(path).dataobj).copy()
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    _check_truth(find_scans(tmp_path), truth)
    assert "segmentation-2.nii: its header places it apart" in capsys.readouterr().out
    nib.save(nib.Nifti1Image(voxels * 3, np.eye(4)), path)
    with pytest.raises(InputError, match=r"segmentation-2\.nii has the values 3, 6"):
        find_scans(tmp_path)[0].load()
    nib.save(nib.Nifti1Image(voxels[:, :, 1:], np.eye(4)), path)
    with pytest.raises(InputError, match=r"segmentation-2\.nii has \(24, 20, 3\) voxels and its scan"):
        find_scans(tmp_path)[0].load()


@pytest.mark.parametrize(
    ("lost", "message"), [("segmentation", "has no segmentation-2"), ("volume", "has no volume-2")]
)
def test_lits_half_a_pair(tmp_path: Path, lost: str, message: str) -> None:
    write_lits(tmp_path)
    (tmp_path / "Training Batch 1" / f"{lost}-2.nii").unlink()
    with pytest.raises(InputError, match=message):
        find_scans(tmp_path)


def test_lits_volume_twice(tmp_path: Path) -> None:
    write_lits(tmp_path / "a")
    write_lits(tmp_path / "b")
    with pytest.raises(InputError, match="are the same volume"):
        find_scans(tmp_path)


@pytest.mark.parametrize("write", [write_lits, write_msd])
def test_unknown_label_names_file_and_label(tmp_path: Path, write) -> None:
    write(tmp_path, (12,))
    one = find_scans(tmp_path)[0]
    path = one.files[1]
    write_nifti(path, scan(12)[1] * 2, "RAS")
    with pytest.raises(InputError, match=rf"{path.name}.*4"):
        one.load()


def test_msd(tmp_path: Path) -> None:
    truth = write_msd(tmp_path)
    scans = find_scans(tmp_path / "Task03_Liver")
    _check_truth(scans, truth)
    assert [(s.source, s.patient) for s in scans] == [("msd", "B"), ("msd", "LiTS 12")]


def test_msd_missing_label(tmp_path: Path) -> None:
    write_msd(tmp_path)
    (tmp_path / "Task03_Liver" / "labelsTr" / "liver_12.nii.gz").unlink()
    with pytest.raises(InputError, match=r"labelsTr/liver_12\.nii\.gz is missing"):
        find_scans(tmp_path)


def test_msd_without_its_list(tmp_path: Path) -> None:
    write_msd(tmp_path)
    path = tmp_path / "Task03_Liver" / "dataset.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json cannot be read"):
        find_scans(tmp_path)
    path.write_text("[]")
    with pytest.raises(InputError, match="does not list"):
        find_scans(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"no dataset\.json"):
        find_scans(tmp_path)


def test_other_tasks_of_the_decathlon_are_passed_over(tmp_path: Path) -> None:
    write_msd(tmp_path)
    shutil.copytree(tmp_path / "Task03_Liver", tmp_path / "Task09_Spleen")
    path = tmp_path / "Task09_Spleen" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": {"0": "background", "1": "spleen"}}))
    assert len(find_scans(tmp_path)) == 2


@pytest.mark.parametrize("zipped", [False, True])
def test_ircadb(tmp_path: Path, zipped: bool) -> None:
    truth = write_ircadb(tmp_path, zipped=zipped)
    scans = find_scans(tmp_path)
    _check_truth(scans, truth)
    assert [s.patient for s in scans] == ["3D-IRCADb 1", "3D-IRCADb 7"]


def test_ircadb_unpacked_into_folders_of_the_same_name(tmp_path: Path) -> None:
    truth = write_ircadb(tmp_path, (1,), zipped=True)
    folder = tmp_path / "3Dircadb1.1"
    for part in ("PATIENT_DICOM", "MASKS_DICOM"):
        shutil.unpack_archive(folder / f"{part}.zip", folder / part)
        (folder / f"{part}.zip").unlink()
    _check_truth(find_scans(tmp_path), truth)


def test_ircadb_without_masks_or_liver(tmp_path: Path) -> None:
    write_ircadb(tmp_path, (1,))
    masks = tmp_path / "3Dircadb1.1" / "MASKS_DICOM"
    shutil.rmtree(masks / "liver")
    with pytest.raises(InputError, match="no mask called liver"):
        find_scans(tmp_path)[0].load()
    shutil.rmtree(masks)
    with pytest.raises(InputError, match="no MASKS_DICOM"):
        find_scans(tmp_path)


def test_ircadb_damaged_archive(tmp_path: Path) -> None:
    write_ircadb(tmp_path, (1,), zipped=True)
    path = tmp_path / "3Dircadb1.1" / "MASKS_DICOM.zip"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"MASKS_DICOM\.zip is damaged"):
        find_scans(tmp_path)[0].load()


def test_ircadb_mask_of_another_scan(tmp_path: Path) -> None:
    write_ircadb(tmp_path, (1,))
    folder = tmp_path / "3Dircadb1.1" / "MASKS_DICOM" / "livertumor01"
    shutil.rmtree(folder)
    write_dicom_series(folder, np.zeros((3, *SHAPE[1:]), np.int16))
    with pytest.raises(InputError, match=r"livertumor01.*download this patient again"):
        find_scans(tmp_path)[0].load()


def test_chaos(tmp_path: Path) -> None:
    truth = write_chaos(tmp_path)
    scans = find_scans(tmp_path)
    _check_truth(scans, truth)
    assert [(s.source, s.modality, s.patient, s.labels) for s in scans] == [
        ("chaos_ct", "CT", "CHAOS CT 5", "union"),
        *[("chaos_mr", "MR", "CHAOS MR 8", "union")] * 3,
    ]


def test_chaos_masks_that_do_not_fit(tmp_path: Path) -> None:
    write_chaos(tmp_path)
    ground = tmp_path / "Train_Sets" / "CT" / "5" / "Ground"
    cv2.imwrite(str(ground / "liver_GT_002.png"), np.full(SHAPE[1:], 99, np.uint8))
    scans = find_scans(tmp_path)
    with pytest.raises(InputError, match=r"liver_GT_002\.png holds the grey 99"):
        scans[0].load()
    cv2.imwrite(str(ground / "liver_GT_002.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=r"liver_GT_002\.png is no mask of the size"):
        scans[0].load()
    (ground / "liver_GT_002.png").unlink()
    with pytest.raises(InputError, match="CHAOS CT 5 has 4 DICOM slices but 3 masks"):
        find_scans(tmp_path)
    shutil.rmtree(ground)
    with pytest.raises(InputError, match="no folder Ground"):
        find_scans(tmp_path)


def test_kvasir(tmp_path: Path) -> None:
    write_kvasir(tmp_path)
    scans = find_scans(tmp_path)
    assert [(s.patient, s.labels, s.modality) for s in scans] == [
        ("kvasir cju0", "binary", "RGB"),
        ("kvasir cju1", "binary", "RGB"),
    ]
    _check_contract(scans[0])
    image, mask, _ = scans[0].load()
    assert image.shape == (1, 3, 40, 60)
    assert image[0, :, 20, 10] == pytest.approx([200, 0, 0], abs=6)  # red first
    assert mask.sum() == pytest.approx(400, abs=10)


@pytest.mark.parametrize(("part", "missing"), [("masks", "mask"), ("images", "image")])
def test_kvasir_half_a_pair(tmp_path: Path, part: str, missing: str) -> None:
    folder = write_kvasir(tmp_path)
    (folder / part / "cju1.jpg").unlink()
    with pytest.raises(InputError, match=f"cju1 in .*Kvasir-SEG has no {missing}"):
        find_scans(tmp_path)
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=f"cju0 in .*Kvasir-SEG has no {missing}"):
        find_scans(tmp_path)


def test_kvasir_damaged_picture(tmp_path: Path) -> None:
    folder = write_kvasir(tmp_path)
    (folder / "images" / "cju0.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"cju0\.jpg cannot be read"):
        find_scans(tmp_path)[0].load()
    cv2.imwrite(str(folder / "masks" / "cju1.jpg"), np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=r"cju1\.jpg \(8, 8\) is not of the size"):
        find_scans(tmp_path)[1].load()


@pytest.fixture
def slice_data(tmp_path: Path) -> Path:
    return write_slices(tmp_path)


def test_slice_folders(slice_data: Path) -> None:
    scans = find_scans(slice_data)
    for one in scans:
        _check_contract(one)
    kinds = {one.source: one for one in scans}
    assert kinds["ct_liver_tumour"].labels == "full"
    assert kinds["ct_liver_only"].labels == "union"
    liver_only = [DRAWN_AGAIN, *(f"volume 2000{i}" for i in range(1, 7))]
    assert [one.patient for one in scans] == [*liver_only, "A", "B", "E"]
    image, mask, position = scans[-3].load()
    grey = cv2.imread(str(slice_data / "ct_liver_tumour" / "images" / "0_002.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(image[2, 0], np.rint(-160 + grey / 255 * 400))
    assert mask.max() == 2
    assert position.tolist() == [0, 1, 2, 3]


def test_slices_are_sorted_whatever_the_index_says(slice_data: Path) -> None:
    path = slice_data / "ct_liver_tumour" / "index.csv"
    before = find_scans(slice_data)[-3].load()
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    for old, new in zip(before, find_scans(slice_data)[-3].load(), strict=True):
        assert np.array_equal(old, new)


def test_greys_become_hounsfield_units() -> None:
    table = GreyScale(-160, 240).table()
    assert table[0] == -160
    assert table[255] == 240
    assert table[51] == -160 + 51 / 255 * 400
    assert GreyScale(0, 255, black_below=2).table()[:4].tolist() == [-160, -160, 2, 3]


def test_mr_slices_are_one_group_of_single_pictures(tmp_path: Path) -> None:
    write_mr_slices(tmp_path)
    scans = find_scans(tmp_path)
    assert len({one.volume for one in scans}) == 3
    assert {(one.patient, one.modality, one.labels) for one in scans} == {("mr_t1_liver", "MR", "union")}
    image, mask, _ = scans[0].load()
    assert image.shape == (1, 1, 16, 16)
    assert (image == 90).all()
    assert (mask == 1).all()


def test_slice_without_mask(slice_data: Path) -> None:
    (slice_data / "ct_liver_tumour" / "masks" / "0_001.png").unlink()
    with pytest.raises(InputError, match=r"masks/0_001\.png is missing"):
        find_scans(slice_data)


def test_slice_with_a_label_without_meaning(slice_data: Path) -> None:
    path = slice_data / "ct_liver_only" / "masks" / "10001_000.png"
    cv2.imwrite(str(path), np.full((64, 64), 2, np.uint8))
    scan = next(one for one in find_scans(slice_data) if one.volume == "10001")
    with pytest.raises(InputError, match=r"10001_000\.png.*label 2, which has no meaning"):
        scan.load()


def test_slices_of_other_sizes_or_kinds(slice_data: Path) -> None:
    folder = slice_data / "ct_liver_tumour"
    scan = find_scans(slice_data)[-3]
    cv2.imwrite(str(folder / "masks" / "0_001.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(InputError, match=r"\(64, 64\) and mask \(32, 32\)"):
        scan.load()
    cv2.imwrite(str(folder / "images" / "0_001.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(InputError, match=r"0_001\.png in .* is not of the size of its volume's"):
        scan.load()
    cv2.imwrite(str(folder / "images" / "0_001.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"0_001\.png is no 8-bit grey PNG"):
        scan.load()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("volume", "", "Line 2 of .* has no volume"),
        ("slice", "first", "Line 2 of .* has the slice first"),
        ("patient", "Z", "Volume 0 .* several patients"),
    ],
)
def test_broken_index(slice_data: Path, column: str, value: str, message: str) -> None:
    path = slice_data / "ct_liver_tumour" / "index.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0][column] = value
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=message):
        find_scans(slice_data)


def test_no_index(slice_data: Path) -> None:
    (slice_data / "ct_liver_only" / "index.csv").unlink()
    with pytest.raises(InputError, match=r"ct_liver_only holds images and masks but no index\.csv"):
        find_scans(slice_data)


def test_phantom_with_phases() -> None:
    phases = ("native", "portal")
    scans = phantom_scans((3, 4), (16, 32, 32), phases)
    image, mask, position = scans[0].load()
    portal = make_phantom(3, (16, 32, 32))
    assert image.shape == (16, 2, 32, 32)
    assert np.array_equal(image[:, 1], portal.hu)
    assert not np.array_equal(image[:, 0], portal.hu)
    assert np.array_equal(mask, portal.label_map)
    assert position.tolist() == list(range(16))
    assert [one.patient for one in scans] == ["phantom 3", "phantom 4"]
    assert len({one.volume for size in (16, 17) for one in phantom_scans((3,), (size, 32, 32))}) == 2
    with pytest.raises(InputError, match="no phase noon: choose from"):
        phantom_scans((3,), phases=("noon",))
    with pytest.raises(InputError, match=r"phantom 3 cannot be drawn: .* at most 20 mm"):
        phantom_scans((3,), (4, 32, 32))[0].load()


def test_several_data_sets_side_by_side(tmp_path: Path) -> None:
    write_lits(tmp_path / "data" / "LiTS17")
    write_kvasir(tmp_path / "data")
    write_chaos(tmp_path / "elsewhere")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "round").symlink_to(tmp_path / "data")
    assert {one.source for one in find_scans(tmp_path / "data")} == {"lits17", "kvasir", "chaos_ct", "chaos_mr"}


def test_the_folder_of_a_data_set_itself(slice_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(slice_data / "ct_liver_tumour")
    assert [one.patient for one in find_scans(Path())] == ["A", "B", "E"]


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no data set.*LiTS17.*Kvasir"):
        find_scans(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        find_scans(tmp_path / "nowhere")


def test_natural_order() -> None:
    assert sorted(["image_10", "image_2", "ud"], key=natural) == ["image_2", "image_10", "ud"]


@pytest.mark.shared
def test_the_real_slices_are_recognised(shared_data: Path) -> None:
    scans = find_scans(shared_data)
    counts = {source: sum(one.source == source for one in scans) for source in {one.source for one in scans}}
    assert counts == {"ct_liver_tumour": 11, "ct_liver_only": 102, "mr_t1_liver": 531, "kvasir": 998}
    assert {one.patient for one in scans if one.labels == "full"} == set("ABCDEF")
