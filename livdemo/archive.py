"""A visitor's .zip, unpacked with care: nothing leaves its folder or grows beyond what was agreed."""

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from livdemo.errors import InputError

MAX_MEMBERS = 10_000
MAX_UNPACKED_BYTES = 2 * 2**30  # a CT of MAX_VOXELS as int16 is 0.6 GiB

# A scan packs 2 to 5 to 1; a mask packs hundreds to 1, but is small: the ratio counts for what is large.
MAX_RATIO = 100
RATIO_FREE_BYTES = 256 * 2**20

MAX_NAME_BYTES = 255  # of a file or folder on Linux
CHUNK_BYTES = 2**20
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".bz2", ".xz")
CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db")


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[Path]:
    """A temporary folder with the archive's files, removed on leaving.

    InputError names name and the mend where the file is no zip, is empty, damaged or encrypted, goes over
    MAX_MEMBERS, MAX_UNPACKED_BYTES or MAX_RATIO, or holds another archive, a link, or a name that leads out
    of it.
    """
    with tempfile.TemporaryDirectory(prefix="livdemo-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, _checked_members(archive, path, name), Path(folder), name)
        except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
            raise InputError(f"{name} is damaged or is no .zip: pack it or download it again.") from error
        yield Path(folder)


def _checked_members(archive: zipfile.ZipFile, path: Path, name: str) -> list[zipfile.ZipInfo]:
    """The files to unpack, after every check that the directory of the archive allows."""
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise InputError(f"{name} holds {len(entries):,} files, more than {MAX_MEMBERS:,}: pack one series only.")
    members = [entry for entry in entries if not entry.is_dir() and not _is_clutter(entry)]
    if not members:
        raise InputError(f"{name} is empty: pack the folder with the slices again.")
    for member in members:
        _check_member(member, name)
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED_BYTES:
        raise InputError(
            f"{name} unpacks to {total / 2**20:,.0f} MiB, more than {MAX_UNPACKED_BYTES / 2**20:,.0f} MiB: "
            "pack one series only."
        )
    ratio = total / max(1, path.stat().st_size)
    if total > RATIO_FREE_BYTES and ratio > MAX_RATIO:
        raise InputError(
            f"{name} unpacks to {ratio:,.0f} times its size, which no scan does (at most {MAX_RATIO}): "
            "pack the scan again."
        )
    return members


def _is_clutter(member: zipfile.ZipInfo) -> bool:
    return any(part in CLUTTER for part in PurePosixPath(member.filename).parts)


def _check_member(member: zipfile.ZipInfo, name: str) -> None:
    inside = PurePosixPath(member.filename)
    shown = inside.name[:80]
    plain = bool(inside.parts) and not inside.is_absolute() and ".." not in inside.parts
    if not plain or "\\" in member.filename or ":" in inside.parts[0]:
        raise InputError(f"{name} holds a file whose name leads out of it ({shown}): pack the folder again.")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in inside.parts):
        raise InputError(f"{name} holds a file with a name too long to write ({shown}...): shorten it and pack again.")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InputError(f"{name} holds a link ({shown}): pack the files themselves.")
    if member.flag_bits & 0x1:
        raise InputError(f"{name} is encrypted: pack it without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name} is packed in an unusual way ({shown}): pack it as an ordinary .zip.")
    if member.filename.lower().endswith(ARCHIVES):
        raise InputError(f"{name} holds another archive ({shown}): pack the files themselves.")


def _unpack(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path, name: str) -> None:
    """Write the members below folder, by stream, counting what really comes out."""
    left = MAX_UNPACKED_BYTES
    for member in members:
        target = folder / member.filename
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("xb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise InputError(f"{name} unpacks to more than it says: pack the scan again.")
                    file.write(chunk)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{name} holds {target.name} twice: pack the folder again.") from error
