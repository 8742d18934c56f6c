"""A planned run, carried out: trained to its end, or asked anew, and scored. What comes of it is a row of the log."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from livdemo.checkpoints import Checkpoint
from livdemo.predictor import Inference, Predictor
from train.estimates import pace_of
from train.fold_scores import Figures, fold_network, held_out_scans, per_patient, score_unseen, score_volumes
from train.loop import train
from train.planned import Planned
from train.pseudo_labels import SURE, pseudo_labelled
from train.run import History, Run, commit, finished_epochs, read_history
from train.run_log import Row, asked_anew
from train.shipped_start import shipped_folder, ships


def finish(one: Planned, unseen: Path | None, device: str, adopted: bool = False) -> Row:
    """Train the run to its end (or what is left of it), score it, and give its row. InputError as both do."""
    train(_begun(one, device), resume=True)
    history = read_history(one.run.out)
    checkpoint, network = _network(one, one.run)
    inference, liver = one.inference, None
    if one.first_stage is not None:
        train(one.first_stage.run, resume=True)
        found, liver = fold_network(one.first_stage.run)
        inference = replace(inference, liver=found)
    volumes: list[Figures] = []
    if scans := held_out_scans(one.run, one.scans):
        predictor = Predictor(checkpoint, device, inference, network, liver)
        volumes = score_volumes(predictor, scans, one.rule, one.variant.cut)
    networks = {checkpoint.model: network} | ({"unet_liver": liver} if liver else {})
    scored = _strangers(one, unseen, checkpoint, networks, inference, device)
    return _row(one, history, volumes, scored, device, adopted, checkpoint, inference)


def asked_again(one: Planned, before: Row, unseen: Path | None, device: str) -> Row:
    """The row with the shipped network asked as the plan has it now; its folder need not be here. InputError as
    reading scans does."""
    checkpoint, network = _network(one, replace(one.run, out=shipped_folder(one)))
    scored = _strangers(one, unseen, checkpoint, {checkpoint.model: network}, one.inference, device)
    return asked_anew(before, checkpoint, scored)


def _network(one: Planned, run: Run) -> tuple[Checkpoint, nn.Module]:
    """The network of a finished run of that kind, with the row that says how it is asked."""
    variant = one.variant
    return fold_network(
        run, variant.largest_component, one.asked_size, variant.neck_mm, variant.speck_ml, variant.fat_hu
    )


def _strangers(
    one: Planned,
    unseen: Path | None,
    checkpoint: Checkpoint,
    networks: Mapping[str, nn.Module],
    inference: Inference,
    device: str,
) -> list[Figures] | None:
    """Figures of the scans that nobody trained on; None where there is no folder of them, and none for what did not
    learn from whole CT slices."""
    if unseen is None:
        return None
    if (one.run.slices.modality != "CT").any() or one.variant.cut != 1:
        return []
    return score_unseen(checkpoint, networks, unseen, inference, device, one.rule)


def _begun(one: Planned, device: str) -> Run:
    """The run with what it begins with: the course before, trained here unless it ships and no epoch of it is here;
    and with the tumours that its teachers find."""
    if one.teachers:
        for teacher in one.teachers:
            train(teacher.run, resume=True)
        slices, inside = one.run.slices, one.run.split.indices(one.run.slices, "train")
        teachers = [teacher.run for teacher in one.teachers]
        return replace(one.run, slices=pseudo_labelled(slices, inside, teachers, SURE, device))
    if one.begins_with is None:
        return one.run
    if ships(one.begins_with):
        return replace(one.run, start=shipped_folder(one.begins_with))
    if finished_epochs(one.begins_with.run.out) < one.begins_with.run.plan.epochs:
        train(_begun(one.begins_with, device), resume=True)
    return one.run


def _row(
    one: Planned,
    history: History,
    volumes: list[Figures],
    unseen: list[Figures] | None,
    device: str,
    adopted: bool,
    checkpoint: Checkpoint,
    inference: Inference,
) -> Row:
    described = one.described
    rule = one.rule.describe() if one.rule else ""
    best = described["plan"]["keep"] == "best"
    kept = min(history, key=lambda epoch: epoch["validation_loss"]) if best else history[-1]
    return {
        **dict(zip(("series", "study", "variant", "model", "fold"), one.who, strict=True)),
        "command": one.command,
        "key": one.key,
        "preset": one.run.preset,
        "plan": described["plan"],
        "size": described["size"],
        **one.how_asked,
        "preprocessing": checkpoint.preprocessing.describe(),
        "inference": "; ".join(filter(None, (inference.describe(), rule))) or "plain",
        "largest_component": one.variant.largest_component,
        "seed": one.run.seed,
        "sources": one.learned["sources"],
        "split": described["split"]["kind"],
        "left_out": list(described["split"]["left_out"]),
        "slices_at_once": one.run.spec.slices_at_once(one.run.preset),
        "slices": described["slices"] | {"train": one.learned["slices"]},
        "drawn_patients": described["drawn_patients"] | {"train": one.learned["drawn_patients"]},
        "parameters": checkpoint.parameters,
        "budget": {"epochs": len(history), "slices": len(history) * one.slices_an_epoch},
        "seconds": sum(epoch["seconds"] for epoch in history),
        "pace": pace_of(one, device),
        "device": _device_name(device),
        "torch": torch.__version__,
        "commit": commit(),
        "adopted": adopted,
        "pooled": {key: value for key, value in kept.items() if key not in ("epoch", "rate", "seconds")},
        "patients": per_patient(volumes),
        "volumes": volumes,
        "unseen": unseen,
    }


def _device_name(device: str) -> str:
    if device == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    return f"cpu, {torch.get_num_threads()} threads"
