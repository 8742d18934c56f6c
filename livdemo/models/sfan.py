"""SFAN, semantic feature attention network (S3): let the level above say what to look for.

High-level maps know *what*, low-level ones know *where*. SFAN has no decoder arm. Instead each level of the
encoder is weighted by a summary of the level above it (SAT, semantic attention transmission), all levels
are brought to full size, and a summary of the highest level weighs them against each other (GCA, global
context attention): a large tumour needs the wide view, a small one the fine texture.

    H0 ──────── ⊙ V0 ─ 1×1 ──────────┐
      └ H1 ──── ⊙ V1 ─ 1×1 ─ ×2 ─────┤          V_l from H_(l+1): SAT
          └ H2  ⊙ V2 ─ 1×1 ─ ×4 ─────┼─ P ⊙ G ─ 3×3 ─ 1×1 ─ logits
              └ H3 ⊙ V3 ─ 1×1 ─ ×8 ──┤
                  └ H4 ─ 1×1 ─ ×16 ──┘          G from H4: GCA

What S3 leaves open or gets wrong, and what was chosen
  widths     not stated: 64 to 1024, as S3's own U-Net. C' = 64.
  padding    not stated: same padding.
  eq 1       the index t stands for l; V_l has the C channels of H_l but is computed from H_(l+1), which has
             twice as many, so the first 1×1 convolution maps C_(l+1) to C_l. Between the two: ReLU.
  eq 2       the last index is p_(L−1).
  eq 3       pools H_(L−1); the text, "the feature maps of the input CT image", names no level. "2 cascaded 1×1
             convolution layers activated by a sigmoid function": one sigmoid, at the end; ReLU between the two.
  init       "Gaussian", no σ: He-normal.
  labels     S3 cuts out the liver with a U-Net first (`unet_liver`) and segments tumour against the rest;
             here three labels on the whole slice.
  The classroom preset has batch normalisation in the encoder, the paper has none.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import check_size, he_normal, resize
from livdemo.models.registry import ModelSpec, Preset, Reported, register
from livdemo.models.unet import S3_RECIPE, DoubleConv


class ContextGate(nn.Module):
    """σ(W₂ ReLU(W₁ GAP(H))): one weight in (0, 1) for each of `maps_out` maps, (B, maps_out, 1, 1)."""

    def __init__(self, maps_in: int, maps_out: int) -> None:
        super().__init__()
        self.w1 = nn.Conv2d(maps_in, maps_out, 1)
        self.w2 = nn.Conv2d(maps_out, maps_out, 1)

    def forward(self, h: Tensor) -> Tensor:
        summary = h.mean(dim=[2, 3], keepdim=True)  # f_g, global average pooling
        return torch.sigmoid(self.w2(torch.relu(self.w1(summary))))


class SFAN(nn.Module):
    """x (B, in_channels, H, W), multiples of 16 -> logits (B, classes, H, W)."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
        aligned: int = 64,
        norm: bool = False,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        self.levels = len(widths)
        pairs = zip(inputs, widths, strict=True)
        self.encoder = nn.ModuleList([DoubleConv(i, o, norm, padding=1) for i, o in pairs])
        self.sat = nn.ModuleList([ContextGate(widths[i + 1], widths[i]) for i in range(len(widths) - 1)])
        self.align = nn.ModuleList([nn.Conv2d(width, aligned, 1) for width in widths])
        self.gca = ContextGate(widths[-1], len(widths) * aligned)
        self.fuse = nn.Sequential(nn.Conv2d(len(widths) * aligned, aligned, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Conv2d(aligned, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                he_normal(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def weigh(self, x: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """O = G ⊙ P (B, L·C', H, W), the vectors V_0 … V_3 (B, C_l, 1, 1), and G (B, L·C', 1, 1)."""
        check_size(x, 16)
        h: list[Tensor] = []  # H_0 … H_4
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level > 0 else x)
            h.append(x)
        s: list[Tensor] = []
        v: list[Tensor] = []
        for level, sat in enumerate(self.sat):
            v.append(sat(h[level + 1]))  # eq 1: V_l = σ(W₂ ReLU(W₁ GAP(H_(l+1))))
            s.append(v[level] * h[level])  # S_l = V_l ⊙ H_l
        s.append(h[-1])  # the last level has none above it
        p: list[Tensor] = []
        for level, align in enumerate(self.align):  # eq 2: p_l = up(1×1(S_l)), P = [p_0; …; p_(L−1)]
            p.append(resize(align(s[level]), h[0]))
        g = self.gca(h[-1])  # eq 3: G = σ(W₄ ReLU(W₃ GAP(H_(L−1))))
        return g * torch.cat(p, dim=1), v, g

    def forward(self, x: Tensor) -> Tensor:
        weighted, _, _ = self.weigh(x)
        return self.head(self.fuse(weighted))

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        weighted, v, g = self.weigh(x)
        shown = {
            "gca": g[:, :, 0, 0],
            "gca_levels": g[:, :, 0, 0].unflatten(1, [self.levels, -1]).mean(dim=2),
            "levels": weighted.unflatten(1, [self.levels, -1]).abs().mean(dim=2),
        }
        for level, one in enumerate(v):
            shown[f"sat_{level}"] = one[:, :, 0, 0]
        return shown


def _sfan(preset: Preset) -> nn.Module:
    return SFAN() if preset == "paper" else SFAN(widths=(16, 32, 64, 128, 256), aligned=32, norm=True)


WINDOW = Window(center=50, width=250)  # "[-75, 175] HU"

sfan = register(
    ModelSpec(
        number=10,
        name="sfan",
        title="SFAN, semantic feature attention",
        source="S3 (SFAN), proposed",
        idea="Each level of the encoder is weighted by a summary of the level above it, which knows what to "
        "look for. A global summary then weighs all levels against each other; there is no decoder arm.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing={
            "paper": Preprocessing(WINDOW, size=512),
            "classroom": Preprocessing(WINDOW, size=256),
        },
        architecture=_sfan,
        recipe=S3_RECIPE,
        reported=(
            Reported(
                "Dice per case, tumour",
                "71.0",
                "%",
                "LiTS test set (70 volumes)",
                "With a liver cascade and three scales; the paper quotes 73.8 as the leaderboard's best.",
            ),
        ),
        equations=(
            "SAT: V_l = σ(W₂ ReLU(W₁ GAP(H_(l+1))));  S_l = V_l ⊙ H_l",
            "levels: p_l = up(1×1(S_l));  P = [p_0; …; p_(L−1)]",
            "GCA: G = σ(W₄ ReLU(W₃ GAP(H_(L−1))));  O = G ⊙ P",
        ),
        deviations=(
            "Widths, C', padding and the width inside the gates are not stated: 64 to 1024, 64, same, C_l.",
            "The equations' indices are repaired.",
            "Between the two 1×1 convolutions of each gate stands a ReLU; the equations have none.",
            "S3 segments tumour in a liver crop (2 labels); here 3 labels on the whole slice.",
            "The classroom preset has 16 to 256 maps and batch normalisation.",
        ),
        explains={
            "gca": "The global weight of each aligned map, level after level.",
            "gca_levels": "The mean global weight of each level, from fine to coarse.",
            "levels": "What each level contributes, weighted; a channel a level, from fine to coarse.",
            **{
                f"sat_{level}": f"The weight that level {level + 1} gives to each map of level {level}."
                for level in range(4)
            },
        },
    )
)
