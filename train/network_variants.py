"""Networks of the ablations: a model with one of its parts taken out, or set otherwise."""

import torch
from torch import Tensor, nn

from livdemo.models import Preset
from livdemo.models.dtan import DTAN
from livdemo.models.sfan import SFAN
from livdemo.models.unetpp import CLASSROOM_WIDTHS, UNetASPP


class Open(nn.Module):
    """A gate that lets everything through: one weight of 1 in place of SFAN's σ(W₂ ReLU(W₁ GAP(H)))."""

    def forward(self, h: Tensor) -> Tensor:
        return torch.ones_like(h[:, :1, :1, :1])


class Straight(nn.Module):
    """UNet_ASPP's nest handed to the head as it is."""

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x, [x]


def fine_tuned_dtan(preset: Preset) -> nn.Module:
    """DTAN whose encoder goes on learning with the head."""
    network = DTAN() if preset == "paper" else DTAN(in_channels=1, width=16, layers=(2, 2, 2, 2))
    network.freeze(False)
    return network


def sfan_without(preset: Preset, sat: bool = True, gca: bool = True) -> nn.Module:
    """SFAN with its gates open where `sat` (level by level) or `gca` (between the levels) is False."""
    network = SFAN() if preset == "paper" else SFAN(widths=CLASSROOM_WIDTHS, aligned=32, norm=True)
    if not sat:
        network.sat = nn.ModuleList([Open() for _ in network.sat])
    if not gca:
        network.gca = Open()  # type: ignore[assignment]  # a gate by what it does, not by its class
    return network


def aspp_with(preset: Preset, rates: tuple[int, ...]) -> nn.Module:
    """UNet_ASPP with these dilations; none leaves ASPP out altogether."""
    widths = (64, 128, 256, 512, 1024) if preset == "paper" else CLASSROOM_WIDTHS
    network = UNetASPP(widths=widths, rates=rates)
    if not rates:
        network.aspp = Straight()  # type: ignore[assignment]  # likewise
    return network
