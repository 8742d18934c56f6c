"""One real CT with liver and tumours drawn by hand: LiTS volume 117, as a small Python package ships it.

    hu, label_map = read_lits117()   # int16 and uint8 (128, 128, 128), display order

The package liver-ct-segmentation-package 1.6.0 carries the scan as two MRC files, cropped to the liver and resampled
to 128³ voxels; the voxel spacing got lost on the way. It is fetched once, on demand, with pip: so from whatever
package index this computer is set up for. It is kept in the cache folder, and only a file with the pinned SHA-256
is ever opened.

The data are LiTS training data, CC BY-NC-ND 4.0 (Bilic et al., The Liver Tumor Segmentation Benchmark, Medical Image
Analysis 84, 2023, 102680); the package around them is MIT. livdemo ships neither.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from livdemo.errors import InputError

REQUIREMENT = "liver-ct-segmentation-package==1.6.0"
WHEEL = "liver_ct_segmentation_package-1.6.0-py2.py3-none-any.whl"
SHA256 = "67ffa526d8500ce5e3d9f2c96c1690543d811d352d93d531301d35791b9d6bba"
WHEEL_MB = 4.5
DOWNLOAD_SECONDS = 120

_FOLDER = "liver_ct_segmentation_package/data"
_HEADER_BYTES = 1024  # of an MRC file without extended header
_SHAPE = (128, 128, 128)  # x (right to left), y (front to back), z (feet to head)


def cache_folder() -> Path:
    """LIVDEMO_CACHE, or livdemo/ in the user's cache folder. Need not exist yet."""
    given = os.environ.get("LIVDEMO_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livdemo"


def is_cached() -> bool:
    """Whether the wheel lies in the cache folder; read_lits117 checks that it is the right one."""
    return (cache_folder() / WHEEL).is_file()


def can_fetch() -> bool:
    """Whether this Python has pip to fetch with; whether the network is there shows only on trying."""
    return importlib.util.find_spec("pip") is not None


def read_lits117() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """HU and label map (Z, Y, X), LPS+; fetches the wheel if the cache has no sound copy.

    InputError where it cannot be fetched or kept, or is not the file that was pinned.
    """
    path = cache_folder() / WHEEL
    if not (path.is_file() and _sha256(path) == SHA256):
        _fetch(path)
    with zipfile.ZipFile(path) as wheel:
        image = wheel.read(f"{_FOLDER}/img_117.mrc")
        labels = wheel.read(f"{_FOLDER}/lab_117.mrc")
    hu = _display_order(np.frombuffer(image, "<f4", offset=_HEADER_BYTES))
    label_map = _display_order(np.frombuffer(labels, "<u2", offset=_HEADER_BYTES))
    return np.rint(hu).astype(np.int16), label_map.astype(np.uint8)


def _display_order(voxels: npt.NDArray) -> npt.NDArray:
    """The file's voxels, x slowest -> (Z, Y, X), C order; all three axes already run as the display's do."""
    return np.ascontiguousarray(voxels.reshape(_SHAPE).transpose(2, 1, 0))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(path: Path) -> None:
    """Download the wheel and, once its SHA-256 matched, move it to path in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename: whoever fetches at the same time loses nothing.
        with tempfile.TemporaryDirectory(prefix="lits117-", dir=path.parent) as folder:
            downloaded = _download(Path(folder), path.parent)
            if _sha256(downloaded) != SHA256:
                raise InputError(
                    f"lits117: the package index gave a {WHEEL} whose SHA-256 is not the pinned one, so it was not "
                    "kept; try another index or network. The phantom works without."
                )
            os.replace(downloaded, path)
    except OSError as error:
        raise InputError(
            f"lits117 cannot be kept in {path.parent} ({error.strerror}): set LIVDEMO_CACHE to a folder that can be "
            "written."
        ) from error


def _download(folder: Path, cache: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT, "--dest", str(folder)]
    # A wheel only: for a source package pip would run its code. No dependencies: nothing is installed.
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    command += ["--quiet", "--timeout", "15", "--retries", "1"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
        said = done.stderr
    except subprocess.TimeoutExpired:
        said = f"pip gave no answer within {DOWNLOAD_SECONDS} s"
    downloaded = folder / WHEEL
    if not downloaded.is_file():
        raise InputError(
            f"lits117 could not be fetched ({_reason(said)}): connect to the internet once, or put {WHEEL} into "
            f"{cache}. The phantom works without."
        )
    return downloaded


def _reason(said: str) -> str:
    """What pip's messages come to, in a few words."""
    if "connection" in said.lower():  # it then ends with "no matching distribution", which misleads
        return "the package index cannot be reached"
    lines = said.strip().splitlines() or ["pip brought no wheel"]
    return lines[-1].removeprefix("ERROR: ").rstrip(".")
