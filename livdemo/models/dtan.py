"""DTAN, deep transfer attention network (S0): borrow an encoder, freeze it, train only how to look.

A ResNet that has learnt to see on photographs is frozen. Behind it a small head is trained in which every
pixel may look at every other pixel (position attention, PAM) and every feature map at every other feature
map (channel attention, CAM). Both answers are added. The structure is that of DANet (Fu et al. 2019).

    slice ─ ResNet (frozen, 1/8) ─┬─ 3×3 ─ PAM ─ 3×3 ─┐
                                  └─ 3×3 ─ CAM ─ 3×3 ─┴─ sum ─ 1×1 ─ ×8 ─ logits

The last two stages of the ResNet do not shrink the map but dilate their kernels: S0's "last two ResNet
blocks undergo modifications to extend the final feature map dimension". One kernel of size R with dilation d spans
R_eff = d(R − 1) + 1 pixels; see `output_size` for S0's equation 3.

What S0 leaves open or gets wrong, and what was chosen
  eq 3       prints ((R − V) + 2P)/(S + 1), which gives −70.3 for the 7×7 stem; right is (V − R + 2P)/S + 1.
  eq 4–7     mix up the letters of the maps; the repaired forms stand beside the lines that compute them.
  eq 4       declares M and K with all C channels; C/8, as DANet.
  eq 6       prints the softmax of E = L Lᵀ. DANet's code, which is followed here, takes that of max E − E, the same
             as of −E: its sign is turned round, and each map takes in most of the maps that are least like it.
  eq 8–10    are word attention for documents ("j-th word sentence"); `context_eq8_10=True` shows what they
             would do with pixels for words. They are not part of the model.
  silent on  the ResNet's depth (50), input size (256), labels (S0 has tumour alone; here three), loss, optimiser,
             epochs, data set. DANet's two auxiliary heads are left out, as S0 has one prediction map.
  S0 works on MR slices; here the same net is fed CT, windowed and then z-scored over the volume.
"""

import torch
from torch import Tensor, nn

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import ResNet, as_channels, conv_bn_relu, resize
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register


def output_size(size: int, kernel: int, padding: int, stride: int, dilation: int = 1) -> int:
    """S0 eq 3 repaired: ⌊(V − R_eff + 2P)/S⌋ + 1 with R_eff = d(R − 1) + 1. 224, 7, 3, 2 -> 112."""
    effective = dilation * (kernel - 1) + 1
    return (size - effective + 2 * padding) // stride + 1


class PositionAttention(nn.Module):
    """L (B, C, H, W) -> F of the same shape, and P (B, N, N) with N = H·W: row i says where pixel i looks.

    P has N² entries: at 1/8 of 256 pixels a million, of 512 pixels 17 million.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.m = nn.Conv2d(maps, maps // 8, 1)
        self.k = nn.Conv2d(maps, maps // 8, 1)
        self.d = nn.Conv2d(maps, maps, 1)
        self.alpha = nn.Parameter(torch.zeros(1))  # 0: at the start the module changes nothing

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        m = self.m(feature).flatten(2)  # (B, C/8, N)
        k = self.k(feature).flatten(2)
        d = self.d(feature).flatten(2)  # (B, C, N)
        p = torch.softmax(m.transpose(1, 2) @ k, dim=2)  # eq 4, M and K exchanged: p_ij = exp(M_i·K_j) / Σ_j …
        looked = (d @ p.transpose(1, 2)).view_as(feature)
        return self.alpha * looked + feature, p  # eq 5: F_i = α Σ_j p_ij D_j + L_i


class ChannelAttention(nn.Module):
    """L (B, C, H, W) -> F of the same shape, and X (B, C, C): row i says which maps map i takes in.

    No convolution, hence one parameter. Maps that light up at the same places are alike; by DANet's sign, which is
    not that of S0's eq 6, a map takes in most of those that are least like it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        flat = feature.flatten(2)  # (B, C, N)
        energy = flat @ flat.transpose(1, 2)  # E = L Lᵀ
        energy = energy.amax(dim=2, keepdim=True) - energy
        x = torch.softmax(energy, dim=2)  # softmax(−E), as DANet's code; eq 6 prints softmax(E)
        return self.beta * (x @ flat).view_as(feature) + feature, x  # eq 7: F_j = β Σ_i x_ji L_i + L_j


class WordAttention(nn.Module):
    """S0 eq 8–10 with pixels for words: one weighted mean of all pixels, added to each of them."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.w = nn.Linear(maps, maps)
        self.u_n = nn.Parameter(torch.randn(maps))  # "a randomly improved context vector"

    def forward(self, feature: Tensor) -> Tensor:
        h = feature.flatten(2).transpose(1, 2)  # (B, N, C)
        u = torch.tanh(self.w(h))  # eq 8
        alpha = torch.softmax(u @ self.u_n, dim=1)  # eq 9, (B, N)
        context = (alpha[:, :, None] * h).sum(dim=1)  # eq 10, (B, C)
        return feature + context[:, :, None, None]


class DTAN(nn.Module):
    """x (B, 1 or in_channels, H, W) of any size -> logits (B, classes, H, W)."""

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 3,
        width: int = 64,
        layers: tuple[int, int, int, int] = (3, 4, 6, 3),
        context_eq8_10: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = ResNet(in_channels, width, layers, output_stride=8)
        deep = self.encoder.channels[-1]
        maps = deep // 4
        self.a = conv_bn_relu(deep, maps, 3)
        self.c = conv_bn_relu(deep, maps, 3)
        self.pam = PositionAttention(maps)
        self.cam = ChannelAttention()
        self.a2 = conv_bn_relu(maps, maps, 3)
        self.c2 = conv_bn_relu(maps, maps, 3)
        self.context: nn.Module = WordAttention(maps) if context_eq8_10 else nn.Identity()
        self.dropout = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(maps, classes, 1)
        self.frozen = True
        self.freeze()

    def freeze(self, frozen: bool = True) -> None:
        """Hold the encoder still, batch statistics included, or let it learn (to pre-train it)."""
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)
        self.encoder.train(self.training and not frozen)

    def frozen_parameters(self) -> list[str]:
        """Names of the parameters that training must not touch."""
        return [name for name, parameter in self.named_parameters() if not parameter.requires_grad]

    def train(self, mode: bool = True) -> "DTAN":
        """As always, but a frozen encoder stays in eval mode: its batch statistics are frozen too."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The summed map (B, C, H/8, W/8), P (B, N, N) and X (B, C, C)."""
        deep = self.encoder(as_channels(x, self.in_channels))[4]
        by_position, p = self.pam(self.a(deep))
        by_channel, weights = self.cam(self.c(deep))
        return self.a2(by_position) + self.c2(by_channel), p, weights  # "sum fusion"

    def forward(self, x: Tensor) -> Tensor:
        fused, _, _ = self.attend(x)
        logits = self.head(self.dropout(self.context(fused)))
        return resize(logits, x)

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        fused, p, weights = self.attend(x)
        height, width = fused.shape[2], fused.shape[3]
        return {
            "pam": p.view(-1, height * width, height, width),
            "pam_received": p.mean(dim=1).view(-1, 1, height, width),
            "cam": weights.mean(dim=1),
            "strength": torch.cat([self.pam.alpha, self.cam.beta])[None].expand(x.shape[0], -1),
        }


def _dtan(preset: Preset) -> nn.Module:
    return DTAN() if preset == "paper" else DTAN(in_channels=1, width=16, layers=(2, 2, 2, 2))


WINDOW = Window(center=50, width=250)  # only for CT; S0 has MR, where the z-score alone does the work

dtan = register(
    ModelSpec(
        number=1,
        name="dtan",
        title="DTAN, transfer and attention",
        source="S0 (DTAN), proposed; structure of DANet, Fu et al. 2019",
        idea="An encoder trained elsewhere is frozen and only a small head is trained. In it every pixel "
        "looks at every other pixel, and every feature map at every other map.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=1,
        preprocessing={
            "paper": Preprocessing(WINDOW, normalisation="zscore", size=256),
            "classroom": Preprocessing(WINDOW, normalisation="zscore", size=256),
        },
        architecture=_dtan,
        recipe=Recipe(
            loss="not stated",
            optimiser="not stated",
            learning_rate=None,
            epochs=None,
            batch_size=None,
            data="liver MRI, data set and split not named",
            note="Chosen here: cross-entropy + Dice, Adam 1e-3 on the head only, 30 epochs, batch 8.",
        ),
        reported=(
            Reported("Dice", "82.11", "%", "not named (liver MRI)"),
            Reported(
                "Hausdorff distance",
                "13.78",
                "not stated, the column is headed %",
                "not named (liver MRI)",
                "A distance has no per cent, and of the three values in the table it is the worst.",
            ),
        ),
        equations=(
            "position: p_ij = exp(M_j·K_i) / Σ_j exp(M_j·K_i);  F_i = α Σ_j p_ij D_j + L_i",
            "channel: X = softmax(−E),  E = L Lᵀ;  F_j = β Σ_i x_ji L_i + L_j",
        ),
        deviations=(
            "Depth, loss, optimiser and data are not stated: ResNet-50, the rest as DANet; M and K have "
            "C/8 maps instead of C.",
            "The letters of equations 3 to 7 are repaired; 8 to 10 are text classification and left out.",
            "Equation 6 prints softmax(E); DANet's code has the other sign, and so has this network: a map takes "
            "in most of those that are least like it.",
            "Three labels instead of tumour alone; CT is windowed to 50 ± 125 HU before the z-score, whose statistics "
            "are those of the whole volume, air included.",
            "The classroom encoder is a smaller ResNet with one input channel, trained on a pretext task on "
            "slices instead of photographs. Frozen after that it was no better than a random one, so in the last "
            "course of the weights that ship it learned with the head.",
        ),
        explains={
            "pam": "Position attention: channel i is the map of where grid cell i (row by row) looks.",
            "pam_received": "How much each place is looked at, averaged over all cells.",
            "cam": "How much each feature map is taken in by the others, averaged.",
            "strength": "The learnt scales α (position) and β (channel); both start at 0.",
        },
        imagenet=True,
    )
)
