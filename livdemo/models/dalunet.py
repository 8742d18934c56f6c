"""DALU-Net, deep attention LSTM U-Net (S4; Jeong et al. 2022): a radiologist scrolls.

Neighbouring slices predict each other. An attention U-Net with deep supervision (aunet.py) reads each slice
of a stack by itself. At the bottleneck a recurrent convolution carries a memory through the slices, once
upwards and once downwards, and what the two have seen is added to the bottleneck of each slice.

    slice 1 ─ encoder ─┬─ squeeze ─ → ConvLSTM → ─┐
    slice 2 ─ encoder ─┼─ squeeze ─ ↓ forward,    ├─ 1×1 ─ + ─ decoder with gates ─ logits of each slice
    slice 3 ─ encoder ─┴─ squeeze ─ ↑ backward  ──┘

The original is a 3D attention U-Net with a convolutional LSTM that measures whole livers of donors; its
layer table was out of reach and S4's figure is not in its text. This is our reading, in 2.5D: S4's "maintain
spatial relationships across image sequences" fits it, "across the layers of the network" does not. Chosen
here: where the memory sits (`lstm_at="decoder"` puts it on the last map instead), its widths, five slices,
and the residual sum, so that a network without memory is a part of it. "Dense connectivity", which S4
credits, is nowhere in it.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from livdemo.intensity import Preprocessing
from livdemo.models.aunet import DEEP_SUPERVISION, GATES, NOT_S4, DeepAttentionUNet
from livdemo.models.blocks import ConvLSTM
from livdemo.models.registry import ModelSpec, Preset, Reported, register
from livdemo.models.unet import CLASSROOM_WIDTHS, S4_RECIPE, S4_WINDOW


class SliceMemory(nn.Module):
    """x (B, T, C, h, w) -> x + 1×1 [forward; backward], and both memories (B, T, hidden, h, w)."""

    def __init__(self, maps: int, squeeze: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(maps, squeeze, 1)
        self.upwards = ConvLSTM(squeeze, hidden, (3, 3))
        self.downwards = ConvLSTM(squeeze, hidden, (3, 3))
        self.expand = nn.Conv2d(2 * hidden, maps, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, slices = x.shape[0], x.shape[1]
        squeezed = self.squeeze(x.flatten(0, 1)).unflatten(0, [batch, slices])  # (B, T, 256, h, w)
        forward = self.upwards(squeezed)  # slice after slice
        backward = self.downwards(squeezed.flip([1])).flip([1])  # the same from the last slice to the first
        both = torch.cat([forward, backward], dim=2).flatten(0, 1)
        return x + self.expand(both).unflatten(0, [batch, slices]), forward, backward


class DALUNet(nn.Module):
    """x (B, T, 1, H, W), multiples of 16, any T -> logits of all T slices (B, T, classes, H, W)."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
        squeeze: int = 256,
        hidden: int = 128,
        lstm_at: Literal["bottleneck", "decoder"] = "bottleneck",
    ) -> None:
        super().__init__()
        self.unet = DeepAttentionUNet(in_channels, classes, widths)
        self.at_bottleneck = lstm_at == "bottleneck"
        self.memory = SliceMemory(widths[-1] if self.at_bottleneck else widths[0], squeeze, hidden)

    def scroll(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """Four maps of the decoder and four gates, (B·T, …), and the two memories (B, T, hidden, h, w)."""
        batch, slices = x.shape[0], x.shape[1]
        encoded = self.unet.encode(x.flatten(0, 1))  # every slice by itself, the same weights
        if self.at_bottleneck:
            deep, forward, backward = self.memory(encoded[-1].unflatten(0, [batch, slices]))
            encoded[-1] = deep.flatten(0, 1)
            maps, gates = self.unet.decode(encoded)
        else:
            maps, gates = self.unet.decode(encoded)
            last, forward, backward = self.memory(maps[-1].unflatten(0, [batch, slices]))
            maps[-1] = last.flatten(0, 1)
        return maps, gates, forward, backward

    def forward(self, x: Tensor) -> Tensor:
        maps, _, _, _ = self.scroll(x)
        return self.unet.head(maps[-1]).unflatten(0, [x.shape[0], x.shape[1]])

    @torch.jit.export
    def forward_aux(self, x: Tensor) -> list[Tensor]:
        maps, _, _, _ = self.scroll(x)
        logits: list[Tensor] = []
        for one in self.unet.all_logits(maps):
            logits.append(one.unflatten(0, [x.shape[0], x.shape[1]]))
        return logits

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        _, gates, forward, backward = self.scroll(x)
        shown = {"memory_forward": forward.abs().mean(dim=2), "memory_backward": backward.abs().mean(dim=2)}
        for step, alpha in enumerate(gates):
            shown[f"gate_{len(gates) - step}"] = alpha[:, 0].unflatten(0, [x.shape[0], x.shape[1]])
        return shown


def _dalunet(preset: Preset) -> nn.Module:
    return DALUNet() if preset == "paper" else DALUNet(widths=CLASSROOM_WIDTHS, squeeze=64, hidden=32)


dalunet = register(
    ModelSpec(
        number=17,
        name="dalunet",
        title="DALU-Net",
        source="S4 (U-Net and DALU-Net), presented; Jeong et al. 2022",
        idea="Neighbouring slices predict each other, as for a radiologist who scrolls. A recurrent "
        "convolution carries a memory through the slices in both directions, on top of gates and deep "
        "supervision.",
        labels=("background", "liver", "tumour"),
        input_kind="slice sequence",
        size_multiple=16,
        preprocessing={
            "paper": Preprocessing(S4_WINDOW, equalisation="he", size=256),
            "classroom": Preprocessing(S4_WINDOW, equalisation="he", size=256),
        },
        architecture=_dalunet,
        recipe=S4_RECIPE,
        reported=(Reported("Dice", "0.899", "fraction", "191 donors, whole liver, 3D (Jeong et al. 2022)", NOT_S4),),
        equations=(
            "memory: c = σ(f)·c + σ(i)·tanh(g);  h = σ(o)·tanh(c), upwards and downwards",
            "x + 1×1 [h_up; h_down]",
        ),
        deviations=(
            "The original is 3D and its layer table was out of reach: 2.5D with a memory at the bottleneck.",
            "Widths of the memory, five slices and the loss on all of them are chosen here.",
            "The classroom preset has 16 to 256 maps and a memory of 32 in each direction.",
        ),
        our_reading=True,
        explains={
            "memory_forward": "What the memory shows on its way up through the slices; a channel a slice.",
            "memory_backward": "What the memory shows on its way down through the slices; a channel a slice.",
            **{key: f"{sentence} A channel a slice." for key, sentence in GATES.items()},
        },
        sequence=5,
        aux_weights=DEEP_SUPERVISION,
    )
)
