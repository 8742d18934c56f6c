"""DPC-Net, decoupled pyramid correlation network (Zhang et al. 2022, compared by S0): a reconstruction.

A pyramid has two ends. The high levels know *what* something is, the low ones *where* it is. Instead of
adding them up, DPC-Net lets each ask the other, in the one dimension in which the other knows more:

  SpaCor  every place of a low level looks over the places of the next higher one and takes in what it means
  SemCor  every map of a high level looks over the maps of the next lower one and takes in their detail

Both are repeated up and down the pyramid, and all eight maps are fused.

    block of slices ─ PFE ─ 2 ─ 3 ─ 4 ─ 5      laterals P1 … P4
                            │   │   │   │
              SpaCor        S1 ← S2 ← S3 ← S4      what, handed down
              SemCor        C1 → C2 → C3 → C4      where, handed up
                            └───┴───┴───┴── fuse ─ logits

Only the abstract of the paper was in reach; this is our reading of it. From the abstract: a pyramid feature
encoder, features decoupled into space and channels, SpaCor and SemCor, both applied recursively. Chosen
here: every width, the residual blocks with instance normalisation, softmax correlation, pooling the higher
level to 4×8×8 places (so that 3D correlation fits into memory), the strides, the fusion, and scales γ and δ
that start at 0. The public repository `605671435/DPC-Net` is another network that happens to share the name.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import check_size
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register

DEPTH_MULTIPLE = 8  # the encoder halves the depth three times, height and width four times


class ResidualBlock(nn.Module):
    """Two 3³ convolutions with instance normalisation, and a 1³ shortcut: (B, C, D, H, W) -> (B, C', …)."""

    def __init__(self, maps_in: int, maps_out: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(maps_in, maps_out, 3, stride, padding=1, bias=False),
            nn.InstanceNorm3d(maps_out, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(maps_out, maps_out, 3, padding=1, bias=False),
            nn.InstanceNorm3d(maps_out, affine=True),
        )
        self.shortcut = nn.Conv3d(maps_in, maps_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class SpaCor(nn.Module):
    """low + γ·(V Aᵀ): places of the low level (n of them) look over m = 4·8·8 places of the high level."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.q = nn.Conv3d(maps, maps // 2, 1)
        self.k = nn.Conv3d(maps, maps // 2, 1)
        self.v = nn.Conv3d(maps, maps, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.scale = 1 / math.sqrt(maps // 2)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        high = F.adaptive_avg_pool3d(high, (4, 8, 8))
        q = self.q(low).flatten(2)  # (B, C'/2, n)
        k = self.k(high).flatten(2)  # (B, C'/2, m)
        v = self.v(high).flatten(2)  # (B, C', m)
        a = torch.softmax(q.transpose(1, 2) @ k * self.scale, dim=2)  # (B, n, m) = softmax(QᵀK/√(C'/2))
        return low + self.gamma * (v @ a.transpose(1, 2)).view_as(low), a


class SemCor(nn.Module):
    """high + δ·A v: maps of the high level look over the maps of the low one, N places each."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.q = nn.Conv3d(maps, maps, 1)
        self.k = nn.Conv3d(maps, maps, 1)
        self.v = nn.Conv3d(maps, maps, 1)
        self.delta = nn.Parameter(torch.zeros(1))

    def forward(self, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        low = F.adaptive_max_pool3d(low, [high.shape[2], high.shape[3], high.shape[4]])
        q = self.q(high).flatten(2)  # (B, C', N)
        k = self.k(low).flatten(2)
        v = self.v(low).flatten(2)
        correlation = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
        a = torch.softmax(correlation, dim=2)  # (B, C', C') = softmax(qkᵀ/√N)
        return high + self.delta * (a @ v).view_as(high), a


class DPCNet(nn.Module):
    """x (B, 1, D, H, W), D a multiple of 8, H and W of 16 -> logits (B, classes, D, H, W)."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 320),
        maps: int = 64,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        strides = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))
        blocks = zip(inputs, widths, strides, strict=True)
        self.encoder = nn.ModuleList([ResidualBlock(*one) for one in blocks])
        self.lateral = nn.ModuleList([nn.Conv3d(width, maps, 1) for width in widths[1:]])
        self.spacor = nn.ModuleList([SpaCor(maps) for _ in range(3)])  # for S3, S2, S1
        self.semcor = nn.ModuleList([SemCor(maps) for _ in range(3)])  # for C2, C3, C4
        self.fuse = nn.Sequential(
            nn.Conv3d(8 * maps, maps, 1, bias=False),
            nn.InstanceNorm3d(maps, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(maps, maps, 3, padding=1, bias=False),
            nn.InstanceNorm3d(maps, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(maps, classes, 1),
        )

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """P1 … P4: (B, C', D/1·2·4·8, H/2·4·8·16, …)."""
        levels: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            levels.append(x)
        laterals: list[Tensor] = []
        for level, lateral in enumerate(self.lateral):
            laterals.append(lateral(levels[level + 1]))
        return laterals

    def correlate(self, p: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The eight maps S4 … S1, C1 … C4; the correlations of S3, S2, S1; those of C2, C3, C4."""
        by_place: list[Tensor] = []
        by_map: list[Tensor] = []
        s = p[3]  # S4 = P4
        maps = [s]
        for step, spacor in enumerate(self.spacor):
            s, a = spacor(p[2 - step], s)  # S_l = SpaCor(P_l, S_{l+1})
            maps.append(s)
            by_place.append(a)
        c = p[0]  # C1 = P1
        maps.append(c)
        for step, semcor in enumerate(self.semcor):
            c, a = semcor(p[step + 1], c)  # C_l = SemCor(P_l, C_{l−1})
            maps.append(c)
            by_map.append(a)
        return maps, by_place, by_map

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, 16)
        if x.shape[2] % 8 != 0:
            raise ValueError(f"the number of slices must be a multiple of 8, not {x.shape[2]}")
        p = self.pyramid(x)
        maps, _, _ = self.correlate(p)
        resized: list[Tensor] = []
        for one in maps:
            resized.append(F.interpolate(one, size=list(p[0].shape[2:]), mode="trilinear", align_corners=False))
        logits = self.fuse(torch.cat(resized, dim=1))
        return F.interpolate(logits, size=list(x.shape[2:]), mode="trilinear", align_corners=False)

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        p = self.pyramid(x)
        _, by_place, by_map = self.correlate(p)
        shown: dict[str, Tensor] = {}
        for step, a in enumerate(by_place):
            low = p[2 - step]
            shown[f"spacor_{3 - step}"] = a.amax(dim=2).view(-1, low.shape[2], low.shape[3], low.shape[4])
            shown[f"spacor_{3 - step}_received"] = a.mean(dim=1).view(-1, 4, 8, 8)
        for step, a in enumerate(by_map):
            shown[f"semcor_{step + 2}"] = a.mean(dim=1)
        return shown


def _dpcnet(preset: Preset) -> nn.Module:
    return DPCNet() if preset == "paper" else DPCNet(widths=(12, 24, 48, 96, 128), maps=32)


WINDOW = Window(center=50, width=250)
_EXPLAINS = {}
for _level in (3, 2, 1):
    _EXPLAINS[f"spacor_{_level}"] = (
        f"SpaCor at level {_level}: how firmly each place picks one place of the level above; "
        "a channel a slice of the level."
    )
    _EXPLAINS[f"spacor_{_level}_received"] = (
        f"SpaCor at level {_level}: how much each of the 4×8×8 places above is looked at; a channel a layer."
    )
for _level in (2, 3, 4):
    _EXPLAINS[f"semcor_{_level}"] = (
        f"SemCor at level {_level}: how much each map of the level below is taken in, averaged."
    )

dpcnet = register(
    ModelSpec(
        number=2,
        name="dpcnet",
        title="DPC-Net",
        source="S0 (DTAN), compared; Zhang et al., Med. Phys. 2022",
        idea="High levels of a pyramid know what something is, low ones where it is. Each asks the other, "
        "place by place on the way down and map by map on the way up.",
        labels=("background", "liver", "tumour"),
        input_kind="3D",
        size_multiple=16,
        preprocessing={
            "paper": Preprocessing(WINDOW, size=256),
            "classroom": Preprocessing(WINDOW, size=128),
        },
        architecture=_dpcnet,
        recipe=Recipe(
            loss="not known",
            optimiser="not known",
            learning_rate=None,
            epochs=None,
            batch_size=None,
            data="LiTS (S0 does not name it)",
            note="Chosen here: cross-entropy + Dice, Adam 1e-3, 30 epochs, batch 2.",
        ),
        reported=(
            Reported("Dice, tumour", "76.4", "%", "LiTS (CT)", "Quoted by S0 beside results on liver MRI."),
            Reported(
                "Hausdorff distance",
                "5.339",
                "not stated, the column is headed %",
                "not named",
                "Printed by S0, which names the paper as the source; not in that paper's abstract.",
            ),
            Reported("ASSD, tumour", "0.838", "mm", "LiTS", "From the abstract."),
            Reported("Dice, liver", "96.0", "%", "LiTS", "From the abstract."),
            Reported("ASSD, liver", "1.636", "mm", "LiTS", "From the abstract."),
        ),
        equations=(
            "SpaCor: low + γ·V Aᵀ,  A = softmax(QᵀK / √(C'/2))",
            "SemCor: high + δ·A v,  A = softmax(q kᵀ / √N)",
        ),
        deviations=(
            "Only the abstract was in reach: widths, blocks, correlation and fusion are chosen here.",
            "The window 50 ± 125 HU and the size of a block of slices are chosen here.",
        ),
        our_reading=True,
        explains=_EXPLAINS,
        depth={"paper": 32, "classroom": 8},
        depth_multiple=DEPTH_MULTIPLE,
    )
)
