"""Rows of the log of finished runs whose means a hand can work out."""

from typing import Any

from train.plan import HOUSE

Row = dict[str, Any]


def patient(name: str, liver: float, tumour: float | None, **changes: Any) -> Row:
    """A patient of one volume with two lesions, one of them found."""
    row = {"patient": name, "volumes": 1, "liver_dice": liver, "tumour_dice": tumour, "lesion_sensitivity": 0.5}
    return row | {"false_positives": 1.0, "lesions": 2, "lesions_found": 1, "missed": 0, "false_alarms": 0} | changes


def row_of(model: str, fold: str, patients: list[Row], **changes: Any) -> Row:
    """A row as the log has it."""
    volumes = [{"patient": p["patient"], "volume": "1", "slices": 100, "seconds": 5.0} for p in patients]
    row = {
        "series": "fair, classroom, 128 pixels", "command": "python -m train.reproduce --data DIR", "study": "",
        "variant": "", "model": model, "fold": fold, "key": f"{model} {fold}", "preset": "classroom",
        "plan": HOUSE.described(), "size": 128, "preprocessing": "window 250/50 HU", "inference": "plain",
        "largest_component": True, "seed": 0, "sources": ["ct_liver_only", "ct_liver_tumour"], "split": "patient",
        "left_out": ["LiTS 0-10"],
        "slices": {"train": 2000, "validation": 300}, "drawn_patients": {"train": list("ABCD")},
        "parameters": 1000, "budget": {"epochs": 10, "slices": 10240},
        "seconds": 600.0, "device": "cpu, 2 threads", "torch": "2.13.0", "commit": "0123456789abcdef",
        "adopted": False, "pooled": {"liver_dice": 0.9, "tumour_dice": 0.4}, "patients": patients,
        "volumes": volumes, "unseen": None,
    }  # fmt: skip
    return row | changes


def three_folds(model: str, tumour: dict[str, float], **changes: Any) -> list[Row]:
    """Six patients in three folds; the liver's Dice is 0.9 everywhere."""
    return [
        row_of(model, fold, [patient(name, 0.9, tumour[name]) for name in fold.split(",")], **changes)
        for fold in ("A,E", "B,F", "C,D")
    ]


LOW = dict(zip("ABCDEF", (0.10, 0.20, 0.30, 0.15, 0.25, 0.35), strict=True))
HIGH = {name: value + 0.3 + 0.01 * k for k, (name, value) in enumerate(LOW.items())}
