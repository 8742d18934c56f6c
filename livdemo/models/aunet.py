"""Attention U-Net without and with deep supervision (S4; Oktay et al. 2018): ask before you merge.

A U-Net copies its skips whole. Here a gate asks the coarser map of the decoder, which has seen more of the
slice, which places of the skip matter, and dims the rest. The gate is a picture of weights from 0 to 1: an
explanation that costs nothing.

    x (skip) ── W_x ──┐
                      + ─ ReLU ─ ψ ─ σ ─ α        x̂ = α · x goes on to the decoder
    g (coarser) ─ W_g ─ up ┘

M15 aunet     a U-Net (see unet.py) with batch normalisation and a gate on each of its four skips.
M16 aunet_ds  the same, and the three coarser maps of the decoder also have to say what they see: their
              logits are enlarged and scored too (deep supervision). Only the main head is used afterwards.

What S4 leaves open, and what was chosen
  gate       the additive gate at the resolution of the skip. Oktay et al. compute it at the coarser grid, their
             code with a strided convolution and none on the finest skip; a popular re-implementation lets the
             map gate after it was enlarged, with more normalisation.
  weights    of the four losses (1, 1/2, 1/4, 1/8)/1.875, from fine to coarse.
  size       not stated: 256 pixels, same padding.
The numbers that S4 prints are those of Jeong et al. 2022: whole livers of donors, in 3D, not tumours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing
from livdemo.models.blocks import check_size, resize
from livdemo.models.registry import ModelSpec, Preset, Reported, register
from livdemo.models.unet import CLASSROOM_WIDTHS, S4_RECIPE, S4_WINDOW, DoubleConv, UpConcat


class AttentionGate(nn.Module):
    """x (B, C_x, H, W) and g (B, C_g, H/2, W/2) -> α (B, 1, H, W) in (0, 1)."""

    def __init__(self, maps_x: int, maps_g: int) -> None:
        super().__init__()
        self.w_x = nn.Conv2d(maps_x, maps_x // 2, 1, bias=False)
        self.w_g = nn.Conv2d(maps_g, maps_x // 2, 1)
        self.psi = nn.Conv2d(maps_x // 2, 1, 1)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        asked = resize(self.w_g(g), x)
        return torch.sigmoid(self.psi(torch.relu(self.w_x(x) + asked)))  # α = σ(ψ(ReLU(W_x x + up(W_g g))))


class GatedUp(nn.Module):
    """Gate the skip with the decoder's map from one level deeper, then merge as a U-Net does."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.gate = AttentionGate(maps, 2 * maps)
        self.merge = UpConcat(maps, norm=True, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.gate(skip, x)
        return self.merge(x, alpha * skip), alpha


class AttentionUNet(nn.Module):
    """x (B, in_channels, H, W), multiples of 16 -> logits (B, classes, H, W)."""

    def __init__(
        self, in_channels: int = 1, classes: int = 3, widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        pairs = zip(inputs, widths, strict=True)
        self.down = nn.ModuleList([DoubleConv(i, o, norm=True, padding=1) for i, o in pairs])
        self.up = nn.ModuleList([GatedUp(width) for width in reversed(widths[:-1])])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Five maps, from full size to 1/16."""
        check_size(x, 16)
        maps: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level > 0 else x)
            maps.append(x)
        return maps

    def decode(self, encoded: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Four maps and four gates α, from 1/8 to full size."""
        x = encoded[-1]
        maps: list[Tensor] = []
        gates: list[Tensor] = []
        for step, up in enumerate(self.up):
            x, alpha = up(x, encoded[len(encoded) - 2 - step])
            maps.append(x)
            gates.append(alpha)
        return maps, gates

    def forward(self, x: Tensor) -> Tensor:
        maps, _ = self.decode(self.encode(x))
        return self.head(maps[-1])

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        _, gates = self.decode(self.encode(x))
        shown: dict[str, Tensor] = {}
        for step, alpha in enumerate(gates):
            shown[f"gate_{len(gates) - step}"] = alpha  # gate_1 is that of the finest skip
        return shown


class DeepAttentionUNet(AttentionUNet):
    """With a 1×1 head on the three coarser maps of the decoder, used by the loss alone."""

    def __init__(
        self, in_channels: int = 1, classes: int = 3, widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    ) -> None:
        super().__init__(in_channels, classes, widths)
        # From fine to coarse: the maps at 1/2, 1/4 and 1/8.
        self.aux_heads = nn.ModuleList([nn.Conv2d(width, classes, 1) for width in widths[1:4]])

    def all_logits(self, maps: list[Tensor]) -> list[Tensor]:
        """Logits of the decoder's maps, main first, then from fine to coarse, all (B, classes, H, W)."""
        main = self.head(maps[3])
        logits = [main]
        for step, head in enumerate(self.aux_heads):
            logits.append(resize(head(maps[2 - step]), main))
        return logits

    @torch.jit.export
    def forward_aux(self, x: Tensor) -> list[Tensor]:
        maps, _ = self.decode(self.encode(x))
        return self.all_logits(maps)


DEEP_SUPERVISION = (1 / 1.875, 0.5 / 1.875, 0.25 / 1.875, 0.125 / 1.875)
GATES = {
    f"gate_{level}": f"Gate of skip {level} (1 is the finest): how much of each place is let through."
    for level in (1, 2, 3, 4)
}
_PREPROCESSING: dict[Preset, Preprocessing] = {
    "paper": Preprocessing(S4_WINDOW, equalisation="he", size=256),
    "classroom": Preprocessing(S4_WINDOW, equalisation="he", size=256),
}
_JEONG = "191 donors, whole liver, 3D (Jeong et al. 2022)"
NOT_S4 = "S4 prints it as its own; it is the ablation row of the paper that it cites."
_DEVIATIONS = (
    "The additive gate of Oktay et al. on all four skips, at the resolution of the skip instead of the coarser grid.",
    "Size and padding are not stated: 256 pixels, same padding, batch normalisation.",
    "The classroom preset has 16 to 256 maps instead of 64 to 1024.",
)


def _aunet(preset: Preset) -> nn.Module:
    return AttentionUNet() if preset == "paper" else AttentionUNet(widths=CLASSROOM_WIDTHS)


def _aunet_ds(preset: Preset) -> nn.Module:
    return DeepAttentionUNet() if preset == "paper" else DeepAttentionUNet(widths=CLASSROOM_WIDTHS)


aunet = register(
    ModelSpec(
        number=15,
        name="aunet",
        title="Attention U-Net",
        source="S4 (U-Net and DALU-Net), compared; Oktay et al. 2018",
        idea="Before a skip is merged, a gate asks the coarser map which places matter and dims the rest. "
        "The gate is an explanation that costs nothing.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing=_PREPROCESSING,
        architecture=_aunet,
        recipe=S4_RECIPE,
        reported=(Reported("Dice", "0.852", "fraction", _JEONG, NOT_S4),),
        equations=("gate: α = σ(ψ(ReLU(W_x x + up(W_g g))));  x̂ = α · x",),
        deviations=_DEVIATIONS,
        explains=GATES,
    )
)

aunet_ds = register(
    ModelSpec(
        number=16,
        name="aunet_ds",
        title="Attention U-Net with deep supervision",
        source="S4 (U-Net and DALU-Net), compared; Jeong et al. 2022",
        idea="An Attention U-Net in which the coarser maps of the decoder also have to say what they see, "
        "and are scored for it. So every level learns directly, not only through the last one.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing=_PREPROCESSING,
        architecture=_aunet_ds,
        recipe=S4_RECIPE,
        reported=(Reported("Dice", "0.887", "fraction", _JEONG, NOT_S4),),
        equations=(
            "gate: α = σ(ψ(ReLU(W_x x + up(W_g g))));  x̂ = α · x",
            "loss: Σ_l a_l L_l,  a = (1, 1/2, 1/4, 1/8) / 1.875, from fine to coarse",
        ),
        deviations=(
            *_DEVIATIONS,
            "Weights of the four losses are not stated: 1, 1/2, 1/4, 1/8, divided by their sum.",
        ),
        explains=GATES,
        aux_weights=DEEP_SUPERVISION,
    )
)
