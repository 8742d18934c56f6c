"""Rates by hand: one cycle after frozen epochs, plateaus, and what a resumed run has."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from livdemo.models import get_model
from train.ltnet_unet import PAPER as FINE_TUNE
from train.optimisation import Rate, freeze_encoder, make_optimiser, thaw
from train.plan import HOUSE, Plan

STEPS = 5


def _rates(plan: Plan, model: nn.Module, losses: float = 1.0) -> list[list[float]]:
    """The rate of every group at every step of a run."""
    optimiser = make_optimiser(model, plan)
    rate = Rate(optimiser, plan, STEPS)
    seen = []
    for _ in range(plan.epochs):
        for _ in range(STEPS):
            seen.append([group["lr"] for group in optimiser.param_groups])
            optimiser.step()
            rate.after_step()
        rate.after_epoch(losses)
    return seen


def test_fine_tune_freezes_first_and_then_cycles() -> None:
    plan = replace(FINE_TUNE, epochs=5)
    head, encoder = zip(*_rates(plan, get_model("ltnet_unet").build("classroom")), strict=True)
    assert head[:STEPS] == (2e-3,) * STEPS  # one frozen epoch at twice the rate
    assert max(head[STEPS:]) == pytest.approx(1e-3)
    assert max(encoder[STEPS:]) == pytest.approx(1e-5)
    assert head[STEPS] < 1e-4 > head[-1]  # the cycle starts and ends low
    assert head.index(max(head[STEPS:])) - STEPS == pytest.approx(0.3 * 4 * STEPS, abs=1)


def test_a_frozen_encoder_keeps_its_weights_and_moves_its_statistics() -> None:
    model = get_model("ltnet_unet").build("classroom")
    freeze_encoder(model, True)
    held = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert held
    assert all(name.startswith("encoder.") for name in held)
    batch_norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert not {name.rpartition(".")[0] for name in held} & batch_norms
    freeze_encoder(model, False)
    assert all(p.requires_grad for p in model.parameters())


def test_a_thawed_encoder_learns_and_only_dtan_has_one() -> None:
    model = get_model("dtan").build("classroom")
    assert model.frozen_parameters()
    thaw(model)
    assert model.frozen_parameters() == []
    assert model.train().encoder.training, "its batch statistics move too"
    with pytest.raises(TypeError, match="UNet has no frozen encoder"):
        thaw(get_model("unet64").build("classroom"))


def test_a_plateau_halves_the_rate_after_its_patience() -> None:
    plan = replace(HOUSE, schedule="plateau", plateau=(0.5, 1), epochs=6, learning_rate=0.01)
    rates = [row[0] for row in _rates(plan, nn.Linear(1, 1))][::STEPS]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.005, 0.005, 0.0025])


def test_one_cycle_goes_on_where_it_was() -> None:
    plan = replace(HOUSE, epochs=2)
    whole = _rates(plan, nn.Linear(1, 1))
    optimiser = make_optimiser(nn.Linear(1, 1), plan)
    rate = Rate(optimiser, plan, STEPS)
    for _ in range(STEPS):
        optimiser.step()
        rate.after_step()
    states = optimiser.state_dict(), rate.state_dict()
    optimiser = make_optimiser(nn.Linear(1, 1), plan)
    rate = Rate(optimiser, plan, STEPS)
    optimiser.load_state_dict(states[0])
    rate.load_state_dict(states[1])
    seen = []
    for _ in range(STEPS):
        seen.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        rate.after_step()
    assert seen == whole[STEPS:]


@pytest.mark.parametrize("kind", ["adam", "adamw", "adagrad", "sgd"])
def test_every_optimiser_moves_the_weights(kind: str) -> None:
    model = nn.Linear(2, 1)
    optimiser = make_optimiser(model, replace(HOUSE, optimiser=kind, momentum=0.9, learning_rate=0.1))
    before = model.weight.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    assert not torch.equal(before, model.weight)
