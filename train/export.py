"""python -m train.export NAME RUN_DIR: a finished run as a TorchScript file that livdemo can use.

Writes into the weights folder
  NAME.ts          TorchScript, half precision to stay small (widened on load)
  NAME.golden.npz  a phantom block in HU and the logits of the exported file on it
  NAME.md          the model card, and NAME.curves.png, the run's curves
and the model's row in manifest.json; into the run folder NAME.safetensors. The only place that scripts.
"""

import argparse
import hashlib
import io
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from livdemo.checkpoints import Checkpoint, load_model, read_manifest, read_torchscript, weights_folder, write_manifest
from livdemo.errors import InputError
from livdemo.models import ModelSpec, get_model
from livdemo.phantom import make_phantom
from livdemo.pieces import NECK_MM, SPECK_ML
from livdemo.predictor import FAT_HU
from train.batches import shaped
from train.card import Described, History, card, licence_of, trained_on, weakness
from train.curves import draw_curves
from train.run import commit, exported_weights, learned, read_described, read_history, read_state

MAX_BYTES = 6_000_000  # so that a repository with all models stays small
GOLDEN_STRIDE = 4  # every fourth logit in each direction is kept
GOLDEN_TOLERANCE = 1e-3  # of a logit: machines add up in other orders
GOLDEN_SHAPE = (48, 192, 192)  # (Z, Y, X) of the phantom
# Places in a file, numbers of classes and of warnings: torch counts them anew in every process.
_TORCHS_OWN = re.compile(r" # \S+$|___torch_mangle_\d+\.|\[warn_id=\d+\]", re.MULTILINE)
_VALUE = re.compile(r"%[\w.]+")  # torch's choice of their names depends on what else a process has scripted
FIGURES = ("liver_dice", "liver_dice_per_volume", "tumour_dice")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m train.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("run", type=Path, help="run folder of python -m train")
    parser.add_argument("--size", type=int, help="side of the input at which the app asks it (default: as it learned)")
    asked = parser.parse_args(arguments)
    try:
        checkpoint = export(get_model(asked.name), asked.run, size=asked.size)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{weights_folder() / checkpoint.file}: {checkpoint.bytes / 1e6:.2f} MB, sha256 {checkpoint.sha256}")
    print(f"Done. Next: python -m livdemo compare phantom --models {checkpoint.model} --out out")
    return 0


def export(spec: ModelSpec, run: Path, key: str = "", size: int | None = None) -> Checkpoint:
    """Script the run's weights and write file, golden block, card, curves and manifest row.

    key: the run's in the log of results, if its folds were run too and speak for it (train/evidence.py).
    size: side of the input at which the app asks it, in pixels; None: that of the views it learned from.

    InputError when the folder holds no finished epoch, another model, or pictures that livdemo does not show, when
    the network takes no such size, or when the file would be too large. Nothing exported before is touched then.
    """
    described, history = _read_run(spec, run)
    spec = spec.resized(described["preset"], size or described["size"])
    model = spec.build(described["preset"])
    model.load_state_dict(exported_weights(run))
    model.eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, run / f"{spec.name}.safetensors")

    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    content = _scripted(model)
    if described["preset"] == "classroom" and len(content) > MAX_BYTES:
        raise InputError(
            f"{spec.name}.ts would have {len(content) / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB; "
            "narrow the network, or raise MAX_BYTES in train/export.py."
        )
    file = folder / f"{spec.name}.ts"
    before = file.read_bytes() if file.is_file() else b""
    if _same_network(before, content):
        content = before
    else:
        part = folder / f"{spec.name}.part"
        part.write_bytes(content)
        part.replace(file)

    checkpoint = replace(_checkpoint(spec, described, history, model, content), run=key)
    others = [row for row in read_manifest() if row.model != spec.name]
    write_manifest([*others, checkpoint])
    write_golden(checkpoint)
    (folder / f"{spec.name}.md").write_text(card(spec, checkpoint, described, history))
    draw_curves(history, folder / f"{spec.name}.curves.png")
    return checkpoint


def _scripted(model: nn.Module) -> bytes:
    """TorchScript in half precision, without the source positions that torch stores for error messages (100 kB)."""
    written, lean = io.BytesIO(), io.BytesIO()
    torch.jit.save(torch.jit.script(model.half()), written)
    with zipfile.ZipFile(written) as whole, zipfile.ZipFile(lean, "w", zipfile.ZIP_STORED) as kept:
        for entry in whole.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                kept.writestr(entry, whole.read(entry))
    return lean.getvalue()


def _read_run(spec: ModelSpec, run: Path) -> tuple[Described, History]:
    described = read_described(run)
    if described["model"] != spec.name:
        raise InputError(f"{run} is a run of {described['model']}, not of {spec.name}; name that model or its own run.")
    strange = sorted({"kvasir", "mr_t1_liver", "chaos_mr"} & set(described["sources"]))
    if strange:
        raise InputError(f"{run} learned from {strange[0]}, and livdemo runs on CT; its weights stay in its state.pt.")
    read_state(run)
    return described, read_history(run)


def _same_network(before: bytes, content: bytes) -> bool:
    """Whether two files compute the same; their bytes differ, since torch numbers classes anew in every process.

    False where what stood there `before` is none, or damaged.
    """
    try:
        first = read_torchscript(before)
    except RuntimeError:
        return False
    second = read_torchscript(content)
    weights, others = first.state_dict(), second.state_dict()
    return (
        _graphs(first) == _graphs(second)
        and weights.keys() == others.keys()
        and all(torch.equal(tensor, others[name]) for name, tensor in weights.items())
    )


def _graphs(model: torch.jit.ScriptModule) -> dict[str, str]:
    """What each method that can be called computes: forward, and what else is exported (explain, forward_aux)."""
    names = sorted(model._c._method_names())
    return {name: _renumbered(_TORCHS_OWN.sub("", str(getattr(model, name).inlined_graph))) for name in names}


def _renumbered(graph: str) -> str:
    """The graph with its values counted in the order in which they appear."""
    numbers: dict[str, int] = {}
    return _VALUE.sub(lambda value: f"%{numbers.setdefault(value[0], len(numbers))}", graph)


def _checkpoint(
    spec: ModelSpec, described: Described, history: History, model: nn.Module, content: bytes
) -> Checkpoint:
    kept = min(history, key=lambda row: row["validation_loss"]) if described["plan"]["keep"] == "best" else history[-1]
    held_out = described["slices"]["validation"] > 0
    validation = {key: kept[key] for key in FIGURES if held_out and key in kept and kept[key] == kept[key]}
    return Checkpoint(
        model=spec.name,
        title=spec.title,
        preset=described["preset"],
        file=f"{spec.name}.ts",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        parameters=sum(p.numel() for p in model.parameters()),
        preprocessing=spec.preprocessing[described["preset"]],
        labels=spec.labels,
        input_kind=spec.input_kind,
        size_multiple=spec.size_multiple,
        largest_component=True,
        neck_mm=NECK_MM,
        speck_ml=SPECK_ML if "tumour" in spec.labels else 0.0,
        fat_hu=FAT_HU,
        trained_on=trained_on(described),
        weak=weakness(spec, described, validation),
        validation=validation,
        seed=described["seed"],
        commit=described["versions"].get("commit", commit()),
        licence=licence_of(learned(described)["sources"]),
        margin=spec.margin,
        sequence=spec.sequence,
        depth=spec.depth[described["preset"]],
        phases=spec.phases,
    )


def write_golden(checkpoint: Checkpoint) -> Path:
    """What the file must give for ever: NAME.golden.npz with hu int16 (T, D, H, W) and logits (K, h, w).

    A block that still holds is left as it is; another machine's logits differ in the last digits.
    """
    path = weights_folder() / f"{checkpoint.model}.golden.npz"
    if path.is_file() and _holds(checkpoint, path):
        return path
    depth = {"slice": 1, "slice sequence": checkpoint.sequence}.get(checkpoint.input_kind, checkpoint.depth)
    first = GOLDEN_SHAPE[0] // 2 - depth // 2
    phases = checkpoint.phases or ("portal",)
    volumes = [make_phantom(seed=0, shape=GOLDEN_SHAPE, phase=phase).hu for phase in phases]
    hu = np.stack([volume[first : first + depth] for volume in volumes])
    np.savez_compressed(path, hu=hu, logits=golden_logits(checkpoint, hu))
    return path


def _holds(checkpoint: Checkpoint, path: Path) -> bool:
    with np.load(path) as golden:
        hu, logits = golden["hu"], golden["logits"]
    found = golden_logits(checkpoint, hu)
    return found.shape == logits.shape and bool(np.allclose(found, logits, rtol=0, atol=GOLDEN_TOLERANCE))


def golden_logits(checkpoint: Checkpoint, hu: np.ndarray) -> np.ndarray:
    """Logits (K, S/4, S/4) float32 of the loaded file on the middle slice of a block in HU (T, D, H, W).

    T contrast phases (1 for CT), D slices; a z-score takes its statistics from the block itself.
    """
    preprocessing = checkpoint.preprocessing
    pictures = np.stack([preprocessing(phase, preprocessing.zscore(phase)) for phase in hu], axis=1)
    image = shaped(torch.from_numpy(pictures)[None], checkpoint.input_kind, checkpoint.margin)  # from (1, D, T, S, S)
    with torch.inference_mode():
        logits = load_model(checkpoint.sha256, "cpu")(image)[0]
    middle = hu.shape[1] // 2
    if checkpoint.input_kind == "slice sequence":
        logits = logits[middle]  # of (T, K, S, S)
    elif checkpoint.input_kind != "slice":
        logits = logits[:, middle]  # of (K, D, S, S)
    return logits[:, ::GOLDEN_STRIDE, ::GOLDEN_STRIDE].numpy()


if __name__ == "__main__":
    sys.exit(main())
