"""python -m train.export NAME RUN_DIR: a finished run as a TorchScript file that livdemo can use.

Writes into the weights folder
  NAME.ts          TorchScript, half precision to stay small (widened on load)
  NAME.golden.npz  a phantom slice in HU and the logits of the exported file on it
  NAME.md          the model card
and the model's row in manifest.json; into the run folder NAME.safetensors. The only place that scripts.
"""

import argparse
import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from livdemo.checkpoints import Checkpoint, load_model, read_manifest, weights_folder, write_manifest
from livdemo.errors import InputError
from livdemo.models import ModelSpec, get_model
from livdemo.phantom import make_phantom
from livdemo.predictor import decision_rule
from train.loop import averaged_weights

MAX_BYTES = 6_000_000  # so that a repository with all models stays small
GOLDEN_STRIDE = 4  # every fourth logit in each direction is kept
LICENCE = (
    "Teaching and research, not commercial: learned from LiTS17 (CC BY-NC-ND 4.0), MSD Task03 (CC BY-SA 4.0) "
    "and 420 slices of unstated licence."
)


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m train.export", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("run", type=Path, help="run folder of python -m train")
    asked = parser.parse_args(arguments)
    try:
        checkpoint = export(get_model(asked.name), asked.run)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{weights_folder() / checkpoint.file}: {checkpoint.bytes / 1e6:.2f} MB, sha256 {checkpoint.sha256}")
    return 0


def export(spec: ModelSpec, run: Path) -> Checkpoint:
    """Script the run's averaged weights and write file, golden slice, card and manifest row.

    InputError when the folder holds no finished epoch, another model, or when the file would be too large.
    """
    described, history = _read_run(spec, run)
    model = spec.build(described["preset"])
    model.load_state_dict(averaged_weights(run))
    model.eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, run / f"{spec.name}.safetensors")

    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{spec.name}.ts"
    part = file.with_suffix(".part")
    torch.jit.script(model.half()).save(str(part))
    content = part.read_bytes()
    if described["preset"] == "classroom" and len(content) > MAX_BYTES:
        part.unlink()
        raise InputError(f"{file.name} would have {len(content) / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB.")
    part.replace(file)

    checkpoint = _checkpoint(spec, described, history, model, file.name, content)
    others = [row for row in read_manifest() if row.model != spec.name]
    write_manifest([*others, checkpoint])
    _write_golden(checkpoint, folder / f"{spec.name}.golden.npz")
    (folder / f"{spec.name}.md").write_text(card(spec, checkpoint, described, history))
    return checkpoint


def _read_run(spec: ModelSpec, run: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    if not (run / "state.pt").exists():
        raise InputError(f"{run} holds no finished epoch; train first: python -m train {spec.name} --data DIR.")
    described = json.loads((run / "run.json").read_text())
    if described["model"] != spec.name:
        raise InputError(f"{run} is a run of {described['model']}, not of {spec.name}.")
    with open(run / "history.csv", newline="") as file:
        return described, list(csv.DictReader(file))


def _checkpoint(
    spec: ModelSpec,
    described: dict[str, Any],
    history: list[dict[str, str]],
    model: nn.Module,
    file: str,
    content: bytes,
) -> Checkpoint:
    last = history[-1]
    split = described["split"]
    drawn = sorted(p for p in split["train"] if not p.startswith("volume "))
    held = sorted(p for p in split["validation"] if not p.startswith("volume "))
    validation = {key: float(last[key]) for key in ("liver_dice", "liver_dice_per_volume", "tumour_dice")}
    return Checkpoint(
        model=spec.name,
        title=spec.title,
        preset=described["preset"],
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        parameters=sum(p.numel() for p in model.parameters()),
        preprocessing=spec.preprocessing[described["preset"]],
        labels=spec.labels,
        input_kind=spec.input_kind,
        size_multiple=spec.size_multiple,
        largest_component=True,
        trained_on=(
            f"Trained on {described['slices']['train']} CT slices: {len(drawn)} patients with drawn tumours "
            f"and {len(split['train']) - len(drawn)} volumes with liver masks alone; "
            f"{len(held)} patients and {len(split['validation']) - len(held)} volumes were held out."
        ),
        weak=(
            f"Learned tumours from {len(drawn)} patients only; tumour Dice on the {len(held)} held-out patients "
            f"was {validation['tumour_dice']:.2f}, so expect missed tumours."
        ),
        validation=validation,
        seed=described["seed"],
        commit=_commit(),
        licence=LICENCE,
        margin=spec.margin,
        sequence=spec.sequence,
        depth=spec.depth[described["preset"]],
        phases=spec.phases,
    )


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def _write_golden(checkpoint: Checkpoint, path: Path) -> None:
    """What the file must give for ever: a phantom slice (H, W) int16 and every fourth logit (K, h, w)."""
    hu = make_phantom(seed=0).hu
    hu = hu[len(hu) // 2]
    np.savez_compressed(path, hu=hu, logits=golden_logits(checkpoint, hu))


def golden_logits(checkpoint: Checkpoint, hu: np.ndarray) -> np.ndarray:
    """Logits (K, S/4, S/4) float32 of the loaded file on one slice in HU (H, W)."""
    image = torch.from_numpy(checkpoint.preprocessing(hu[None]))[:, None]
    with torch.inference_mode():
        logits = load_model(checkpoint.sha256, "cpu")(image)[0]
    return logits[:, ::GOLDEN_STRIDE, ::GOLDEN_STRIDE].numpy()


def _start(described: dict[str, Any]) -> str:
    """What the run began with, if not with random weights."""
    if described["start"] is None:
        return ""
    plan = described["start"]["plan"]
    return (
        f" It began with the averaged weights of an earlier run on the same split: {plan['epochs']} epochs of "
        f"{plan['images_per_epoch']} views, up to {plan['learning_rate']}, seed {described['start']['seed']}."
    )


def card(spec: ModelSpec, checkpoint: Checkpoint, described: dict[str, Any], history: list[dict[str, str]]) -> str:
    """The model card in Markdown, with the Hub's front matter."""
    plan = described["plan"]
    minutes = sum(float(row["seconds"]) for row in history) / 60
    reported = [f"| {r.metric} | {r.value} | {r.unit} | {r.data} | {r.note} |" for r in spec.reported]
    split = described["split"]
    return "\n".join(
        [
            "---",
            "library_name: pytorch",
            "pipeline_tag: image-segmentation",
            "tags: [medical, ct, liver, torchscript]",
            "license: other",
            "---",
            f"# {spec.title} (`{spec.name}`, {checkpoint.preset} preset)",
            "",
            "**For teaching only, not for clinical use.** " + checkpoint.weak,
            "",
            spec.idea,
            "",
            f"- Source: {spec.source}" + (" (our reading: the paper gives no layer table)" if spec.our_reading else ""),
            f"- Parameters: {checkpoint.parameters:,}; file `{checkpoint.file}`, {checkpoint.bytes:,} bytes, "
            f"sha256 `{checkpoint.sha256}`",
            f"- Input: {checkpoint.preprocessing.describe()}; sizes in multiples of {checkpoint.size_multiple}",
            f"- From probabilities to labels: {decision_rule(checkpoint)}",
            f"- Labels: {', '.join(f'{i} {name}' for i, name in enumerate(checkpoint.labels))}",
            f"- Licence of the weights: {checkpoint.licence}",
            "",
            "## Training",
            "",
            checkpoint.trained_on,
            f"Held out: {', '.join(split['validation'])}. On neither side, since they may be patients of both: "
            f"{', '.join(split['left_out']) or 'none'}.",
            "",
            f"{plan['epochs']} epochs of {plan['images_per_epoch']} random views, batch {plan['batch_size']}, AdamW, "
            f"one cycle up to {plan['learning_rate']}, cross-entropy with tumour weight {plan['tumour_weight']} plus "
            f"{plan['dice_share']} soft Dice, exponential average of the weights; {minutes:.0f} minutes, "
            f"seed {checkpoint.seed}, torch {described['versions']['torch']}, commit `{checkpoint.commit[:12]}`."
            + _start(described),
            "The paper's recipe was another: "
            f"{spec.recipe.loss}; {spec.recipe.optimiser}, learning rate {spec.recipe.learning_rate or 'not stated'}, "
            f"epochs {spec.recipe.epochs or 'not stated'}, batch {spec.recipe.batch_size or 'not stated'}.",
            "",
            "## Validation, on the held-out patients",
            "",
            "| figure | value |",
            "|---|---|",
            f"| liver Dice, all pixels pooled | {checkpoint.validation['liver_dice']:.3f} |",
            f"| liver Dice, mean over volumes | {checkpoint.validation['liver_dice_per_volume']:.3f} |",
            f"| tumour Dice, all pixels pooled | {checkpoint.validation['tumour_dice']:.3f} |",
            "",
            "Slice by slice, before the largest piece is kept; the last epoch was taken, none was picked.",
            "",
            "## Reported by the paper (other data: not comparable)",
            "",
            *(
                ["| metric | value | unit | data | note |", "|---|---|---|---|---|", *reported]
                if reported
                else ["No number for this model in the text."]
            ),
            "",
            "## Deviations",
            "",
            *(f"- {deviation}" for deviation in spec.deviations),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
