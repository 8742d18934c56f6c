"""The cache: what lies in it, and that a kill, a full disk, damage or another setting never gives wrong slices."""

import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from livdemo.errors import InputError
from livdemo.intensity import pad_to_square, resize
from tests.train.data_trees import write_kvasir, write_lits
from tests.train.slice_folder import write_slices
from train.cache import Slices, cached_slices
from train.scans import Loaded, Scan
from train.shrink import shrink_images, shrink_masks
from train.sources import find_scans


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return find_scans(write_slices(tmp_path_factory.mktemp("data")))


def _same(one: Slices, other: Slices) -> bool:
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in Slices.__dataclass_fields__)


def _only_folder(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def _counted(scans: list[Scan], die_at: int | None = None, error: type[BaseException] = KeyboardInterrupt):
    """The scans, a list of those that were loaded, and death in the middle of one."""
    loaded: list[str] = []

    def load(scan: Scan, number: int) -> Loaded:
        loaded.append(scan.name)
        if number == die_at:
            raise error
        return scan.load()

    watched = [replace(scan, load=lambda s=scan, k=k: load(s, k)) for k, scan in enumerate(scans)]
    return watched, loaded


def test_what_is_cached_is_what_the_readers_give(scans: list[Scan], tmp_path: Path) -> None:
    slices = cached_slices(scans, tmp_path, 64)
    assert len(slices) == (3 + 7) * 4
    assert isinstance(slices.image, np.memmap)
    assert not slices.image.flags.writeable
    start = 0
    for scan in scans:
        image, mask, position = scan.load()
        one = slice(start, start + len(image))
        assert np.array_equal(slices.image[one], image)
        assert np.array_equal(slices.mask[one], mask)
        assert np.array_equal(slices.position[one], position)
        for key in ("source", "volume", "patient", "labels", "modality"):
            assert (getattr(slices, key)[one] == getattr(scan, key)).all()
        start += len(image)
    assert slices.full.sum() == 12
    assert np.array_equal(slices.has_tumour(), slices.full & (slices.mask == 2).any(axis=(1, 2)))
    assert slices.has_tumour().sum() == 12


def test_the_second_time_nothing_is_read(scans: list[Scan], tmp_path: Path) -> None:
    first = cached_slices(scans, tmp_path, 32)
    watched, loaded = _counted(scans)
    assert _same(first, cached_slices(watched, tmp_path, 32))
    assert not loaded


@pytest.mark.parametrize("die_at", [0, 1, 9])
def test_a_killed_build_goes_on(scans: list[Scan], tmp_path: Path, die_at: int) -> None:
    dying, _ = _counted(scans, die_at)
    with pytest.raises(KeyboardInterrupt):
        cached_slices(dying, tmp_path / "killed", 32)
    watched, loaded = _counted(scans)
    resumed = cached_slices(watched, tmp_path / "killed", 32)
    assert loaded == [scan.name for scan in scans[die_at:]]
    assert _same(resumed, cached_slices(scans, tmp_path / "whole", 32))


@pytest.mark.parametrize("name", ["image.npy", "mask.npy", "scans.jsonl"])
def test_a_kill_in_the_middle_of_writing(scans: list[Scan], tmp_path: Path, name: str) -> None:
    dying, _ = _counted(scans, 2)
    with pytest.raises(KeyboardInterrupt):
        cached_slices(dying, tmp_path / "killed", 32)
    with open(_only_folder(tmp_path / "killed") / name, "ab") as file:
        file.write(b'{"half of what should have been written')
    watched, loaded = _counted(scans)
    resumed = cached_slices(watched, tmp_path / "killed", 32)
    assert len(loaded) == len(scans) - 2
    assert _same(resumed, cached_slices(scans, tmp_path / "whole", 32))


def test_settings_lie_beside_each_other(scans: list[Scan], tmp_path: Path) -> None:
    at_32 = cached_slices(scans, tmp_path, 32)
    assert cached_slices(scans, tmp_path, 16).image.shape[-1] == 16
    assert len(cached_slices(scans[:3], tmp_path, 32)) == 12
    assert len(list(tmp_path.iterdir())) == 3
    watched, loaded = _counted(scans)
    assert _same(at_32, cached_slices(watched, tmp_path, 32))
    assert not loaded


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    data = write_slices(tmp_path / "data")
    before = cached_slices(find_scans(data), tmp_path / "cache", 64)
    path = data / "ct_liver_tumour" / "images" / "0_000.png"
    cv2.imwrite(str(path), np.full((64, 64), 255, np.uint8))
    after = cached_slices(find_scans(data), tmp_path / "cache", 64)
    changed = np.flatnonzero((before.image != after.image).any(axis=(1, 2, 3)))
    assert after.volume[changed].tolist() == ["0"]
    assert (after.image[changed] == 240).all()


def test_a_file_written_again_at_the_same_length_is_noticed(tmp_path: Path) -> None:
    found = find_scans(write_slices(tmp_path / "data"))
    cached_slices(found, tmp_path / "cache", 8)
    os.utime(found[0].files[1], ns=(0, 0))
    watched, loaded = _counted(found)
    cached_slices(watched, tmp_path / "cache", 8)
    assert len(loaded) == len(found)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def _scribble(path: Path) -> None:
    path.write_bytes(b'{"not": "what was here"}\n')


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_cut, _scribble, _empty, Path.unlink])
@pytest.mark.parametrize("name", ["image.npy", "mask.npy", "scans.jsonl", "whole"])
def test_a_damaged_cache_is_built_again(
    scans: list[Scan], tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    before = cached_slices(scans, tmp_path, 16)
    copy = replace(before, image=np.array(before.image), mask=np.array(before.mask))
    path = _only_folder(tmp_path) / name
    if damage is _cut and path.stat().st_size < 100:
        damage = _scribble
    damage(path)
    assert _same(copy, cached_slices(scans, tmp_path, 16))


def test_a_full_disk_is_one_sentence_and_leaves_nothing_that_looks_whole(scans: list[Scan], tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))  # the system refuses to write on, as a disk does
    try:
        with pytest.raises(InputError, match="no room left for the cache in"):
            cached_slices(scans, tmp_path / "small", 64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (_only_folder(tmp_path / "small") / "whole").exists()
    resumed, loaded = _counted(scans)
    assert _same(cached_slices(resumed, tmp_path / "small", 64), cached_slices(scans, tmp_path / "large", 64))
    assert 0 < len(loaded) < len(scans)


def test_a_broken_scan_keeps_what_was_read_before(scans: list[Scan], tmp_path: Path) -> None:
    broken, _ = _counted(scans, 4, InputError)
    with pytest.raises(InputError):
        cached_slices(broken, tmp_path, 32)
    mended, loaded = _counted(scans)
    cached_slices(mended, tmp_path, 32)
    assert len(loaded) == len(scans) - 4


def _build_slowly(scans: list[Scan], folder: Path, log: Path) -> None:
    def load(scan: Scan) -> Loaded:
        with open(log, "a") as file:
            file.write(f"{scan.name}\n")
        time.sleep(0.02)
        return scan.load()

    cached_slices([replace(scan, load=lambda s=scan: load(s)) for scan in scans], folder, 16)


def test_a_process_that_is_killed_outright(scans: list[Scan], tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = multiprocessing.get_context("fork").Process(target=_build_slowly, args=(scans, tmp_path / "cache", log))
    process.start()
    while not log.exists() or len(log.read_text().splitlines()) < 5:
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    watched, loaded = _counted(scans)
    resumed = cached_slices(watched, tmp_path / "cache", 16)
    assert 0 < len(loaded) < len(scans)
    assert _same(resumed, cached_slices(scans, tmp_path / "whole", 16))


def test_two_processes_build_one_cache_once(scans: list[Scan], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    arguments = (scans, tmp_path / "cache", tmp_path / "log")
    both = [context.Process(target=_build_slowly, args=arguments) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [one.exitcode for one in both] == [0, 0]
    assert (tmp_path / "log").read_text().splitlines() == [scan.name for scan in scans]


def test_kinds_that_do_not_go_together(scans: list[Scan], tmp_path: Path) -> None:
    write_kvasir(tmp_path / "data")
    polyps = find_scans(tmp_path / "data")
    with pytest.raises(InputError, match="kvasir cju0 has 3 channels a slice, the scans before it 1"):
        cached_slices([*scans[:2], *polyps], tmp_path / "cache", 32)
    assert cached_slices(polyps, tmp_path / "cache", 32).image.shape == (2, 3, 32, 32)


def test_phases_are_channels(scans: list[Scan], tmp_path: Path) -> None:
    image, mask, position = scans[-1].load()
    phases = replace(scans[-1], load=lambda: (np.concatenate([image, image + 50], axis=1), mask, position))
    slices = cached_slices([phases], tmp_path, 32)
    assert slices.image.shape == (4, 2, 32, 32)
    assert np.abs(slices.image[:, 1] - slices.image[:, 0] - 50).max() <= 1  # rounded apart


def test_slices_out_of_order_are_put_in_order(scans: list[Scan], tmp_path: Path) -> None:
    image, mask, position = scans[0].load()
    backwards = replace(scans[0], volume="backwards", load=lambda: (image[::-1], mask[::-1], position[::-1]))
    assert _same(
        replace(cached_slices([backwards], tmp_path, 64), volume=np.full(4, scans[0].volume)),
        cached_slices(scans[:1], tmp_path, 64),
    )


def test_a_folder_that_cannot_be_used(scans: list[Scan], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used for the cache"):
        cached_slices(scans, tmp_path / "file", 32)


def test_nothing_to_cache(scans: list[Scan], tmp_path: Path) -> None:
    for nothing, size in (([], 32), (scans, 0)):
        with pytest.raises(InputError, match="nothing to cache"):
            cached_slices(nothing, tmp_path, size)


def test_files_that_went_away(tmp_path: Path) -> None:
    found = find_scans(write_slices(tmp_path / "data"))
    shutil.rmtree(tmp_path / "data" / "ct_liver_tumour" / "masks")
    with pytest.raises(InputError, match=r"\.png is gone since the data were listed"):
        cached_slices(found, tmp_path / "cache", 32)


def test_two_slices_at_one_place(scans: list[Scan], tmp_path: Path) -> None:
    image, mask, position = scans[0].load()
    double = replace(scans[0], load=lambda: (image, mask, np.zeros_like(position)))
    with pytest.raises(InputError, match="two slices at one position"):
        cached_slices([double], tmp_path, 32)


def test_images_are_averaged_as_the_app_does() -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (2, 1, 30, 40)).astype(np.int16)
    small = shrink_images(hu, 16, "CT")
    for k in range(2):
        # The app pads what is windowed with black: here a window that cuts nothing off.
        as_app = resize(pad_to_square((hu[k, 0] + 1000) / np.float32(2000)), 16) * 2000 - 1000
        assert np.abs(small[k, 0] - as_app).max() <= 0.51
    assert (small[:, :, 0] == -1000).all()
    assert (shrink_images(hu, 16, "MR")[:, :, 0] == 0).all()


def test_masks_are_decided_by_area() -> None:
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[0, :2, :2] = [[1, 1], [0, 0]]  # half liver
    mask[0, :2, 2:4] = [[1, 0], [0, 0]]  # a quarter
    mask[0, :2, 4:6] = [[2, 1], [1, 0]]  # three quarters organ, a third of it tumour
    mask[0, :2, 6:] = [[2, 1], [0, 0]]  # half organ, half of it tumour
    mask[0, 2:4, :2] = [[2, 0], [0, 0]]  # a quarter tumour
    small = shrink_masks(mask, 4)
    assert small[0, 0].tolist() == [1, 0, 1, 2]
    assert small[0, 1:].max() == 0


def test_an_outline_stays_where_it_was() -> None:
    """The mask's middle of gravity moves less than a seventh of a pixel, whatever the factor."""
    row, column = np.indices((512, 512))
    mask = (((row - 200.3) / 90) ** 2 + ((column - 310.7) / 60) ** 2 < 1).astype(np.uint8)[None]
    for size in (64, 100, 128, 256):
        scale = 512 / size
        small = shrink_masks(mask, size)[0]
        assert small.sum() * scale**2 == pytest.approx(mask.sum(), rel=0.01)
        middle = (np.argwhere(small).mean(axis=0) + 0.5) * scale - 0.5
        assert middle == pytest.approx(np.argwhere(mask[0]).mean(axis=0), abs=scale / 7)


def test_scans_that_are_not_square_and_of_several_sizes(tmp_path: Path) -> None:
    truth = write_lits(tmp_path / "data")
    slices = cached_slices(find_scans(tmp_path / "data"), tmp_path / "cache", 24)
    assert slices.image.shape == (8, 1, 24, 24)
    hu, labels = truth["10"]
    assert np.array_equal(slices.image[4:, 0, 2:22], hu)
    assert np.array_equal(slices.mask[4:, 2:22], labels)
    assert (slices.image[:, :, [0, 1, 22, 23]] == -1000).all()
    assert not slices.mask[:, [0, 1, 22, 23]].any()
