"""Every model of the registry through the whole way: preparing, feeding, back to the CT's grid, scores."""

from dataclasses import replace

import numpy as np
import pytest

from livdemo.comparison import Progress, Result, able, compare
from livdemo.errors import InputError
from livdemo.models import ModelSpec, list_models
from livdemo.models.untrained import untrained
from livdemo.predictor import named_inference
from tests.made_up import block_case, make_volume


def _small(spec: ModelSpec):
    """The untrained model on small pictures: the way is the same, and quick."""
    checkpoint, network = untrained(spec)
    return replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=64)), network


@pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.name)
def test_it_runs_through_compare(spec: ModelSpec) -> None:
    case = block_case()
    phases = {name: make_volume(case.volume.hu + 10 * i) for i, name in enumerate(spec.phases)}
    case = replace(case, load_phases=lambda: phases)
    checkpoint, network = _small(spec)
    events = list(compare(case, [checkpoint], "cpu", untrained={spec.name: network}))
    assert sum(isinstance(event, Progress) for event in events) == len(case.volume.hu)
    result = events[-1]
    assert isinstance(result, Result)
    assert result.prediction.label_map.shape == case.volume.shape
    assert set(np.unique(result.prediction.label_map)) <= set(range(len(spec.labels)))
    assert [metrics.label for metrics in result.metrics] == ["liver", "tumour"][: len(spec.labels) - 1]
    assert "means nothing" in result.prediction.checkpoint.weak


def test_a_model_of_phases_does_not_pretend_on_one_phase() -> None:
    spec = next(spec for spec in list_models() if spec.input_kind == "phases")
    checkpoint, network = _small(spec)
    with pytest.raises(InputError, match="contrast phases"):
        list(compare(block_case(), [checkpoint], "cpu", untrained={spec.name: network}))


def test_of_all_models_those_that_can_read_the_case_are_asked() -> None:
    rows = [_small(spec)[0] for spec in list_models()]
    plain, reasons = able(block_case(), rows)
    assert len(plain) == len(rows) - 1
    assert [("4 contrast phases" in reason, "open the phantom" in reason) for reason in reasons] == [(True, True)]
    everybody, none = able(replace(block_case(), load_phases=dict), rows)
    assert (everybody, none) == (rows, [])
    scaled, reasons = able(block_case(), rows, named_inference("multiscale"))
    assert {row.input_kind for row in scaled} == {"slice"}
    assert len(scaled) + len(reasons) == len(rows)


def test_random_weights_are_the_same_every_time() -> None:
    spec = list_models()[0]
    first, again = (untrained(spec)[1].state_dict() for _ in range(2))
    assert all(bool((first[name] == again[name]).all()) for name in first)
