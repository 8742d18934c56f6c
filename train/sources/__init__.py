"""The data sets as they are distributed: one file a layout, and find_scans to recognise them in a folder."""

from pathlib import Path

from livdemo.errors import InputError
from train.scans import Scan
from train.sources import chaos, ircadb, kvasir, lits17, msd, slice_folder
from train.sources.phantom import phantom_scans
from train.sources.tree import walk

__all__ = ["LAYOUTS", "find_scans", "phantom_scans"]

# In the order in which the scans are listed; `find` looks at a whole tree, `layout` says it to a person.
LAYOUTS = (lits17, msd, ircadb, chaos, slice_folder, kvasir)


def find_scans(data: Path) -> list[Scan]:
    """Every scan of every known data set in the folder or below it. Reads names and indices, no voxels.

    InputError when nothing is recognised, or when a recognised data set lacks a mask or an image.
    """
    if not data.is_dir():
        raise InputError(f"{data} is no folder: name the one that holds the data sets.")
    tree = walk(data.absolute())  # names are looked at, and . has none
    scans = [scan for layout in LAYOUTS for scan in layout.find(tree)]
    if not scans:
        known = "; ".join(layout.LAYOUT for layout in LAYOUTS)
        raise InputError(f"{data} holds no data set that is known here: expected one of {known}.")
    return scans
