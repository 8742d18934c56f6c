"""Networks of the ablations: a model with one of its parts taken out, or set otherwise."""

import torch
from torch import Tensor, nn

from livdemo.models import Preset
from livdemo.models.dtan import DTAN
from livdemo.models.sfan import SFAN
from livdemo.models.unet import CLASSROOM_WIDTHS as UNET_WIDTHS
from livdemo.models.unet import UNet
from livdemo.models.unetpp import CLASSROOM_WIDTHS, UNetASPP


class Open(nn.Module):
    """A gate that lets everything through: one weight of 1 in place of SFAN's σ(W₂ ReLU(W₁ GAP(H)))."""

    def forward(self, h: Tensor) -> Tensor:
        return torch.ones_like(h[:, :1, :1, :1])


class Straight(nn.Module):
    """UNet_ASPP's nest handed to the head as it is."""

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x, [x]


class UNetInSequence(UNet):
    """U-Net on stacks of slices, each slice with `reach` neighbours on either side as further channels (2.5D).

    x (B, T, 1, H, W) -> logits (B, T, classes, H, W). Beyond the ends of a stack its last slice is repeated.
    """

    def __init__(self, reach: int, widths: tuple[int, ...], norm: bool = False) -> None:
        super().__init__(2 * reach + 1, widths=widths, norm=norm)
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        beside = [x[:, (places + step).clamp(0, x.shape[1] - 1)] for step in range(-self.reach, self.reach + 1)]
        slices = torch.cat(beside, dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return super().forward(slices).unflatten(0, x.shape[:2])


def unet_in_sequence(preset: Preset, reach: int) -> nn.Module:
    """U-Net (unet64) that sees `reach` slices on either side of each."""
    widths = (64, 128, 256, 512, 1024) if preset == "paper" else UNET_WIDTHS
    network = UNetInSequence(reach, widths, norm=preset == "classroom")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists it not
    return network


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
