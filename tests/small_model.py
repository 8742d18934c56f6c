"""A network of a few weights whose output is known by hand, as a checkpoint in a folder of its own."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from livdemo.checkpoints import Checkpoint, write_manifest
from livdemo.intensity import Preprocessing, Window


class Thresholds(nn.Module):
    """Grey above 0.4 is liver, above 0.8 tumour: logits that a hand can follow."""

    def __init__(self, tumour_from: float = 0.8) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(50.0))
        self.tumour_from = tumour_from

    def forward(self, x: Tensor) -> Tensor:
        liver = (x - 0.4) * self.sharpness
        tumour = liver + (x - self.tumour_from) * self.sharpness
        return torch.cat([torch.zeros_like(x), liver, tumour], dim=1)


def write_thresholds(folder: Path, **changes: object) -> Checkpoint:
    """Save the network and its manifest row into `folder`; `changes` replace fields of the row."""
    checkpoint = _save(folder, "thresholds.ts", Thresholds(), **changes)
    write_manifest([checkpoint], folder)
    return checkpoint


def write_pair(folder: Path) -> tuple[Checkpoint, Checkpoint]:
    """The network above, and "tumourless", for which the tumour of block_case() is not bright enough."""
    sees = _save(folder, "thresholds.ts", Thresholds(), largest_component=True)
    blind = _save(folder, "tumourless.ts", Thresholds(tumour_from=0.99), model="tumourless", title="Tumourless")
    write_manifest([sees, blind], folder)
    return sees, blind


def _save(folder: Path, name: str, network: Thresholds, **changes: object) -> Checkpoint:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    torch.jit.script(network.half().eval()).save(str(file))
    content = file.read_bytes()
    row = {
        "model": "thresholds",
        "title": "Thresholds",
        "preset": "classroom",
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parameters": 1,
        "preprocessing": Preprocessing(Window(50, 100), size=32).to_dict(),
        "labels": ("background", "liver", "tumour"),
        "input_kind": "slice",
        "size_multiple": 1,
        "largest_component": False,
        "trained_on": "Nothing: written by hand.",
        "weak": "It only looks at the grey.",
        "validation": {},
        "seed": 0,
        "commit": "none",
        "licence": "none",
    }
    return Checkpoint.from_row({**row, **changes})


def write_phantom_pair(folder: Path, names: tuple[str, str] = ("greys", "tumourless")) -> None:
    """Two quick networks that know the phantom's greys a little: one finds dark spots in the liver, one none."""
    preprocessing = Preprocessing(Window(50, 250), size=128).to_dict()
    rows = [
        _save(folder, f"{name}.ts", Greys(dark), model=name, title=title, preprocessing=preprocessing)
        for name, title, dark in zip(names, ("Greys", "Tumourless"), (0.65, 0.0), strict=True)
    ]
    write_manifest([replace(row, largest_component=True) for row in rows], folder)


class Greys(nn.Module):
    """Liver between 0.59 and 0.83 of the blurred grey scale; below `dark` it is tumour."""

    def __init__(self, dark: float) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(40.0))
        self.dark = dark

    def forward(self, x: Tensor) -> Tensor:
        blurred = nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
        liver = (0.12 - (blurred - 0.71).abs()) * self.sharpness
        tumour = liver + 4 * (blurred < self.dark).to(x.dtype) - 2
        return torch.cat([torch.zeros_like(x), liver, tumour], dim=1)
