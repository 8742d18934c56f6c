"""What lies below a folder, listed once for all readers."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """Names in one folder, sorted, without hidden ones."""

    path: Path
    folders: tuple[str, ...]
    files: tuple[str, ...]


Tree = Sequence[Folder]


def walk(data: Path) -> Tree:
    """The folder and all below it, top down. Links are followed, each place once."""
    tree, seen = [], set()
    for path, folders, files in os.walk(data, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # macOS leaves ._volume-0.nii beside volume-0.nii and a folder __MACOSX in its archives.
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        kept = tuple(sorted(name for name in files if not name.startswith(".")))
        tree.append(Folder(Path(path), tuple(folders), kept))
    return tree
