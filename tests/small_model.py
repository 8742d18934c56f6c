"""A network of a few weights whose output is known by hand, as a checkpoint in a folder of its own."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from livdemo.checkpoints import Checkpoint, write_manifest
from livdemo.intensity import Preprocessing, Window


class Thresholds(nn.Module):
    """Grey above 0.4 is liver, above 0.8 tumour: logits that a hand can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(50.0))

    def forward(self, x: Tensor) -> Tensor:
        liver = (x - 0.4) * self.sharpness
        tumour = liver + (x - 0.8) * self.sharpness
        return torch.cat([torch.zeros_like(x), liver, tumour], dim=1)


def write_thresholds(folder: Path, **changes: object) -> Checkpoint:
    """Save the network and its manifest row into `folder`; `changes` replace fields of the row."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "thresholds.ts"
    torch.jit.script(Thresholds().half().eval()).save(str(file))
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
    checkpoint = Checkpoint.from_row({**row, **changes})
    write_manifest([checkpoint], folder)
    return checkpoint
