"""A visitor's own CT, as gradio hands it over: one file, or the files of one DICOM series."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from livdemo.cases import Case
from livdemo.errors import InputError
from livdemo.volume import read_reference, read_volume


def read_upload(ct: Sequence[str] | None, reference: str | None, resample: bool) -> Case:
    """The case that the files make; resample lets the reference lie on another grid. InputError names the file."""
    if not ct:
        raise InputError("No CT was chosen: drop a file into the field above, then press Open.")
    if len(ct) == 1:
        volume = read_volume(ct[0])
    else:  # gradio keeps each file in a folder of its own
        with tempfile.TemporaryDirectory() as folder:
            for number, path in enumerate(ct):
                shutil.copyfile(path, Path(folder) / f"{number:05d} {Path(path).name}")
            volume = read_volume(folder)
    volume, label_map = read_reference(reference, volume, resample)
    name = Path(ct[0]).name.split(".")[0]
    return Case(name, volume, label_map, "your upload", "yours", "")
