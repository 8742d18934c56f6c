"""The sentences of a model card that are put together from counts."""

import pytest

from train.card import trained_on


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        ((), "nobody was held out."),
        (("C",), "1 patient with drawn tumours was held out."),
        (("C", "volume 7"), "1 patient with drawn tumours and 1 volume with liver masks alone were held out."),
    ],
)
def test_who_was_held_out_is_a_sentence(held_out: tuple[str, ...], said: str) -> None:
    described = {
        "split": {"kind": "patient", "train": ["A", "B"], "validation": list(held_out)},
        "sources": ["ct_liver_tumour"],
        "slices": {"train": 20, "validation": 5 * len(held_out)},
        "tumour_slices": {"train": 4, "validation": 1},
        "drawn_patients": {"train": ["A", "B"], "validation": [name for name in held_out if name == "C"]},
    }
    told = trained_on(described)
    assert told.startswith("Trained on 20 CT slices (4 show tumour) of 2 patients with drawn tumours; ")
    assert told.endswith(f"; {said}")
