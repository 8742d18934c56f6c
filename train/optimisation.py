"""The recipe's optimiser, schedule and callbacks as objects: what moves the weights, and when it stops."""

import torch
from torch import nn

from livdemo.models.dtan import DTAN
from train.plan import Plan


def make_optimiser(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """The plan's optimiser with up to two groups: the head, and the encoder at its own (lower) rate."""
    encoder = {id(p) for p in _encoder_parameters(model)} if plan.encoder_rate != 1 else set()
    head = [p for p in model.parameters() if id(p) not in encoder]
    groups = [{"params": head, "lr": plan.learning_rate}]
    if encoder:
        chosen = [p for p in model.parameters() if id(p) in encoder]
        groups.append({"params": chosen, "lr": plan.learning_rate * plan.encoder_rate})
    if plan.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=plan.momentum, weight_decay=plan.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}[plan.optimiser]
    return kind(groups, weight_decay=plan.weight_decay, fused=True)  # one pass over all weights instead of many


class Rate:
    """The learning rate over a run: constant, one cycle (Smith 2018), or lowered on a plateau.

    With `frozen_epochs` a one-cycle schedule begins after them, like fastai's fine_tune; until then the rate is
    the plan's, twice it in fact, since fine_tune halves it for the second part.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, plan: Plan, steps: int) -> None:
        self.plan, self._optimiser, self._frozen_steps = plan, optimiser, plan.frozen_epochs * steps
        rates = [group["lr"] for group in optimiser.param_groups]
        self._cycle: torch.optim.lr_scheduler.OneCycleLR | None = None
        self._cycle_steps = max((plan.epochs - plan.frozen_epochs) * steps, 3)
        self._plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        if plan.schedule == "one-cycle":
            rise = max(plan.warm_up, 2 / self._cycle_steps)  # torch divides by zero when the rise is a single step
            self._cycle = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, rates, total_steps=self._cycle_steps, pct_start=rise, cycle_momentum=False
            )
        elif plan.schedule == "plateau":
            factor, patience = plan.plateau
            self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=factor, patience=patience)
        if self._frozen_steps:
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = 2 * rate
        self._done = 0

    def after_step(self) -> None:
        """One optimiser step was made."""
        self._done += 1
        into_cycle = self._done - self._frozen_steps
        if self._cycle is None or not 0 <= into_cycle < self._cycle_steps:
            return
        if into_cycle > 0:
            self._cycle.step()
        else:  # the frozen epochs are over: from here on the cycle has the rate
            for group, rate in zip(self._optimiser.param_groups, self._cycle.get_last_lr(), strict=True):
                group["lr"] = rate

    def after_epoch(self, validation_loss: float) -> None:
        """An epoch was validated."""
        if self._plateau is not None:
            self._plateau.step(validation_loss)

    def state_dict(self) -> dict[str, object]:
        """What resuming needs."""
        part = self._cycle or self._plateau
        return {"done": self._done, "schedule": None if part is None else part.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """The reverse of state_dict."""
        self._done = int(state["done"])  # type: ignore[call-overload]  # written as an int by state_dict
        part = self._cycle or self._plateau
        if part is not None:
            part.load_state_dict(state["schedule"])  # type: ignore[arg-type]  # likewise


def freeze_encoder(model: nn.Module, frozen: bool) -> None:
    """Hold a pre-trained encoder still for the first epochs; its batch statistics go on, as in fastai."""
    encoder = model.encoder
    if not isinstance(encoder, nn.Module):
        raise TypeError(f"{type(model).__name__} has no encoder to freeze")
    for module in encoder.modules():
        if not isinstance(module, nn.BatchNorm2d):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(not frozen)


def thaw(model: nn.Module) -> None:
    """Let an encoder learn, batch statistics included, that its paper keeps frozen for good."""
    if not isinstance(model, DTAN):
        raise TypeError(f"{type(model).__name__} has no frozen encoder")
    model.freeze(False)


def _encoder_parameters(model: nn.Module) -> list[nn.Parameter]:
    encoder = getattr(model, "encoder", None)
    return list(encoder.parameters()) if isinstance(encoder, nn.Module) else []
