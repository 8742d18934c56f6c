"""UNet++ and UNet_ASPP (S1): fill the gap between encoder and decoder.

A U-Net hands its encoder's maps straight across to the decoder. UNet++ (Zhou et al. 2018) puts nodes in
between: each sees all earlier nodes of its level and the one below, so every skip is refined step by step.

    x00 ─ x01 ─ x02 ─ x03 ─ x04 ─ head         x_ij: level i (down), step j (right)
      └ x10 ─ x11 ─ x12 ─ x13                  each level: a line from every node to all later ones
          └ x20 ─ x21 ─ x22                    up: x_(i+1)(j−1) enlarged
              └ x30 ─ x31
                  └ x40

M04 unetpp     the baseline of S1: residual blocks, widths 64 to 1024.
M05 unet_aspp  S1's own model, with a second nest inside the first: from level 1 and step 1 on a node also
               receives the node above it, pooled. The last map is looked at through several kernels at once
               (ASPP: a point, a dilated 3×3, the mean of the whole slice) before it is classified.

What S1 leaves open or gets wrong, and what was chosen
  block      add, then ReLU, as the formula prints it. Its shortcut is H(x), a convolution: 1×1 here.
  x_0j       a Σ inside the brackets of the formula means concatenation.
  ASPP       the formula adds the branches, figure and code concatenate: concatenate, then 1×1.
  rates      "multiple scales", but one rate r₂ without a number: 2; `rates=(2, 4, 6)` is its repository's list.
  head       not stated: 1×1 to the labels. In the repository the last block itself outputs the labels and
             ends in ReLU, so that no logit can be negative, and ASPP follows the classification, its mean
             branch overwritten by a 1×1: `strict_repo=True`, to show why one must not do that.
  DenseNet   "is prioritized" as encoder in the text and is nowhere in the model.
  data       one middle slice a volume, coronal, no HU window; here axial slices with a window of 50 ± 125 HU.
The original UNet++ has widths 32 to 512, plain blocks (`residual=False`) and deep supervision
(`DeepUNetPlusPlus`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import check_size, conv_bn_relu
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register


class Block(nn.Module):
    """ReLU(F(x) + H₁(x)) with F = conv, BN, ReLU, conv, BN and H₁ a 1×1 convolution; plain ReLU(F(x)) otherwise.

    residual: with the shortcut H₁; where the number of maps stays, it is x itself.
    """

    def __init__(self, maps_in: int, maps_out: int, residual: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(maps_in, maps_out, 3, padding=1),
            nn.BatchNorm2d(maps_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(maps_out, maps_out, 3, padding=1),
            nn.BatchNorm2d(maps_out),
        )
        self.residual = residual
        self.shortcut: nn.Module = nn.Identity()
        if residual and maps_in != maps_out:
            self.shortcut = nn.Conv2d(maps_in, maps_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return torch.relu(y + self.shortcut(x)) if self.residual else torch.relu(y)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: x (B, C, H, W) -> the same shape, and the branches one by one.

    H [H(x), R(x, r₂), …, H(P(x))]; H is a 1×1 and R a 3×3 convolution with dilation r, P the mean of the slice.
    """

    def __init__(self, maps: int, rates: tuple[int, ...], mean_branch: bool = True) -> None:
        super().__init__()
        branches = [conv_bn_relu(maps, maps, 1)]
        branches += [conv_bn_relu(maps, maps, 3, dilation=rate) for rate in rates]
        self.branches = nn.ModuleList(branches)
        self.mean_branch = mean_branch
        self.mean = nn.Conv2d(maps, maps, 1)
        self.project = conv_bn_relu((len(branches) + 1) * maps, maps, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []
        for branch in self.branches:
            seen.append(branch(x))
        source = x.mean(dim=[2, 3], keepdim=True) if self.mean_branch else x
        seen.append(torch.relu(self.mean(source)).expand_as(x))
        return self.project(torch.cat(seen, dim=1)), seen


class Nest(nn.Module):
    """x (B, in_channels, H, W) -> the nodes of full size x_00 … x_04, all (B, widths[0], H, W).

    inner_nest=True adds the pooled node above to the nodes of levels 1 to 3 (UNet_ASPP). `maps_out` is the
    number of maps of x_04 where it is not widths[0].
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, int, int, int, int],
        residual: bool = True,
        inner_nest: bool = False,
        maps_out: int | None = None,
    ) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = widths
        self.inner_nest = inner_nest
        above = (0, w0, w1, w2) if inner_nest else (0, 0, 0, 0)  # maps of the pooled node above

        self.x00 = Block(in_channels, w0, residual)
        self.x10 = Block(w0, w1, residual)
        self.x20 = Block(w1, w2, residual)
        self.x30 = Block(w2, w3, residual)
        self.x40 = Block(w3, w4, residual)

        self.x01 = Block(1 * w0 + w1, w0, residual)
        self.x11 = Block(above[1] + 1 * w1 + w2, w1, residual)
        self.x21 = Block(above[2] + 1 * w2 + w3, w2, residual)
        self.x31 = Block(above[3] + 1 * w3 + w4, w3, residual)

        self.x02 = Block(2 * w0 + w1, w0, residual)
        self.x12 = Block(above[1] + 2 * w1 + w2, w1, residual)
        self.x22 = Block(above[2] + 2 * w2 + w3, w2, residual)

        self.x03 = Block(3 * w0 + w1, w0, residual)
        self.x13 = Block(above[1] + 3 * w1 + w2, w1, residual)

        self.x04 = Block(4 * w0 + w1, w0 if maps_out is None else maps_out, residual)

    def up(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

    def inputs(self, above: Tensor, earlier: list[Tensor], below: Tensor) -> Tensor:
        """[pool2(x_(i−1)j), x_i0 … x_i(j−1), up2(x_(i+1)(j−1))], the first with the inner nest only."""
        parts = [F.max_pool2d(above, 2)] if self.inner_nest else earlier[:0]
        return torch.cat(parts + earlier + [self.up(below)], dim=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        check_size(x, 16)
        x00 = self.x00(x)  # column j = 0 is the encoder: x_i0 = B(pool2(x_(i−1)0))
        x10 = self.x10(F.max_pool2d(x00, 2))
        x20 = self.x20(F.max_pool2d(x10, 2))
        x30 = self.x30(F.max_pool2d(x20, 2))
        x40 = self.x40(F.max_pool2d(x30, 2))

        x01 = self.x01(torch.cat([x00, self.up(x10)], dim=1))  # x_0j = B([x_00 … x_0(j−1), up2(x_1(j−1))])
        x11 = self.x11(self.inputs(x01, [x10], x20))
        x21 = self.x21(self.inputs(x11, [x20], x30))
        x31 = self.x31(self.inputs(x21, [x30], x40))

        x02 = self.x02(torch.cat([x00, x01, self.up(x11)], dim=1))
        x12 = self.x12(self.inputs(x02, [x10, x11], x21))
        x22 = self.x22(self.inputs(x12, [x20, x21], x31))

        x03 = self.x03(torch.cat([x00, x01, x02, self.up(x12)], dim=1))
        x13 = self.x13(self.inputs(x03, [x10, x11, x12], x22))

        x04 = self.x04(torch.cat([x00, x01, x02, x03, self.up(x13)], dim=1))
        return [x00, x01, x02, x03, x04]


class UNetPlusPlus(nn.Module):
    """x (B, in_channels, H, W) -> logits (B, classes, H, W); H and W multiples of 16."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 1024),
        residual: bool = True,
        strict_repo: bool = False,
    ) -> None:
        super().__init__()
        self.nest = Nest(in_channels, widths, residual, maps_out=classes if strict_repo else None)
        self.head: nn.Module = nn.Identity() if strict_repo else nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.nest(x)[4])

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        return {"nodes": mean_maps(self.nest(x))}


class DeepUNetPlusPlus(UNetPlusPlus):
    """With the original's deep supervision: a head on each of x_01 … x_04, the last one is the main head."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512),
        residual: bool = False,
    ) -> None:
        super().__init__(in_channels, classes, widths, residual)
        self.heads = nn.ModuleList([nn.Conv2d(widths[0], classes, 1) for _ in range(3)])  # x_03, x_02, x_01

    @torch.jit.export
    def forward_aux(self, x: Tensor) -> list[Tensor]:
        nodes = self.nest(x)
        logits = [self.head(nodes[4])]
        for step, head in enumerate(self.heads):
            logits.append(head(nodes[3 - step]))
        return logits


class UNetASPP(nn.Module):
    """UNet++ with the inner nest, and ASPP after x_04: the same shapes as UNetPlusPlus."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 1024),
        rates: tuple[int, ...] = (2,),
        strict_repo: bool = False,
    ) -> None:
        super().__init__()
        maps = classes if strict_repo else widths[0]
        self.nest = Nest(in_channels, widths, inner_nest=True, maps_out=maps)
        self.aspp = ASPP(maps, rates, mean_branch=not strict_repo)
        self.head: nn.Module = nn.Identity() if strict_repo else nn.Conv2d(maps, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide, _ = self.aspp(self.nest(x)[4])
        return self.head(wide)

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        nodes = self.nest(x)
        _, branches = self.aspp(nodes[4])
        return {"nodes": mean_maps(nodes), "aspp": mean_maps(branches)}


def mean_maps(maps: list[Tensor]) -> Tensor:
    """N maps (B, C, H, W) of one size -> (B, N, H, W): the mean over the channels of each."""
    means: list[Tensor] = []
    for one in maps:
        means.append(one.mean(dim=1))
    return torch.stack(means, dim=1)


CLASSROOM_WIDTHS = (16, 32, 64, 128, 256)
WINDOW = Window(center=50, width=250)
_PREPROCESSING: dict[Preset, Preprocessing] = {
    "paper": Preprocessing(WINDOW, size=352),
    "classroom": Preprocessing(WINDOW, size=256),
}
_RECIPE = Recipe(
    loss="0.3 Dice + 0.7 cross-entropy",
    optimiser="Adam",
    learning_rate=1e-3,
    epochs=12,
    batch_size=4,
    data="LiTS17, 90 volumes for training and 24 for validation, one middle slice of each",
    note="12 epochs are what was left of a run planned for 100 that ended on a missing file. Optimiser and "
    "rate from its repository, which also weights the labels 1, 2, 4; the paper does not say so.",
)
_NODES = "The nodes of full size x_00 to x_04: how the skip is refined from step to step; a channel a node."


def _unetpp(preset: Preset) -> nn.Module:
    return UNetPlusPlus() if preset == "paper" else UNetPlusPlus(widths=CLASSROOM_WIDTHS)


def _unet_aspp(preset: Preset) -> nn.Module:
    return UNetASPP() if preset == "paper" else UNetASPP(widths=CLASSROOM_WIDTHS)


unetpp = register(
    ModelSpec(
        number=4,
        name="unetpp",
        title="UNet++",
        source="S1 (UNet_ASPP and TransUNet), baseline; Zhou et al. 2018",
        idea="Between encoder and decoder stand further nodes that refine every skip step by step. Each sees "
        "all earlier nodes of its level and the one below.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing=_PREPROCESSING,
        architecture=_unetpp,
        recipe=_RECIPE,
        reported=(
            Reported(
                "IoU, mean of three labels",
                "0.3021",
                "fraction",
                "LiTS17, the authors' slices",
                "What a net scores that says background everywhere when 90.6 % of the pixels are background.",
            ),
            Reported("loss", "0.9457", "none", "LiTS17, the authors' slices", "After 12 epochs."),
        ),
        equations=(
            "x_i0 = block(pool(x_(i−1)0))",
            "x_ij = block([x_i0, …, x_i(j−1), up(x_(i+1)(j−1))])",
            "block(x) = ReLU(B(H(ReLU(B(H(x))))) + H₁(x)),  H 3×3 and H₁ 1×1 convolution, B batch normalisation",
        ),
        deviations=(
            "Residual blocks as S1 writes them (the original UNet++ has plain ones), added before the ReLU.",
            "The head is not stated: a 1×1 convolution.",
            "Axial slices, window 50 ± 125 HU; its repository takes coronal middle slices without a window.",
            "The classroom preset has 16 to 256 maps instead of 64 to 1024.",
        ),
        explains={"nodes": _NODES},
    )
)

unet_aspp = register(
    ModelSpec(
        number=5,
        name="unet_aspp",
        title="UNet_ASPP",
        source="S1 (UNet_ASPP and TransUNet), proposed",
        idea="A UNet++ whose deeper nodes also receive the node above them, pooled. The last map is looked "
        "at through a point, a dilated kernel and the mean of the whole slice before it is classified.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing=_PREPROCESSING,
        architecture=_unet_aspp,
        recipe=_RECIPE,
        reported=(
            Reported(
                "IoU, mean of three labels",
                "0.4641",
                "fraction",
                "LiTS17, the authors' training slices",
                "From the table; its repository computes it on the training slices.",
            ),
            Reported(
                "IoU, mean of three labels",
                "0.4135",
                "fraction",
                "LiTS17, the authors' training slices",
                "From the text: the running mean of epoch 12 in training.",
            ),
            Reported("loss", "1.0863", "none", "LiTS17", "From the table, labels not weighted."),
            Reported("loss", "1.2175", "none", "LiTS17", "From the text, labels weighted."),
        ),
        equations=(
            "x_ij = block([pool(x_(i−1)j), x_i0, …, x_i(j−1), up(x_(i+1)(j−1))]),  i ≥ 1, j ≥ 1",
            "ASPP(x) = H [H(x), R(x, r₂), H(P(x))],  H 1×1 convolution, R 3×3 with dilation, P mean of the slice",
        ),
        deviations=(
            "ASPP's branches are concatenated (figure and code), not added (formula).",
            "One dilation rate, as the formula has it, although the text promises several; the 2 is our choice.",
            "ASPP stands before the classification; in the repository it follows it and ends in ReLU.",
            "Axial slices, window 50 ± 125 HU; its repository takes coronal middle slices without a window.",
            "The classroom preset has 16 to 256 maps instead of 64 to 1024.",
        ),
        explains={
            "nodes": _NODES,
            "aspp": "What each branch of ASPP sees, a channel a branch: a point, dilation 2, the mean.",
        },
    )
)
