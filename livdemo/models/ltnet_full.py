"""LT-Net as claimed (S2): filter the noise, look with several kernels at once, use every decoder scale.

S2's aims and summary name four parts that its method chapter neither defines nor uses: a noise-adaptive
filter, parallel convolutions, a dense hierarchical segmentator, and a noise-aware loss. This file is our
reading of the first three (the loss is train/losses.py's business); every line of it is a choice made here.

    slice ─ NAF ─ ResNet-50 ─┬ stem ─ PC ───────────────────────── stage 4 ─ side ┐
                             ├ C2 ─── PC ────────────── stage 3 ──┘└──────── side ┤
                             ├ C3 ─── PC ─── stage 2 ──┘└─────────────────── side ┼─ 1×1 ─ logits
                             ├ C4 ─── PC ─ stage 1 ─┘└────────────────────── side ┘
                             └ C5 ─── PC ─┘

  NAF  noise-adaptive filter: at each pixel a mixture of the slice and two smoothed copies of it
  PC   parallel convolutions: 1×1, 3×3 and 5×5 kernels side by side, added to the map
  DHS  dense hierarchical segmentator: each stage also receives what all earlier stages were given

The attention that S2's section 2.6 names is not defined at all; `pam=True` puts DTAN's position attention on C5.
In PAPERS.md's count of DHS the input of the last stage is squeezed too, which no later stage could use: here
it is added to what that stage puts out, a shortcut around the stage.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import ResNet, check_size, conv_bn_relu, resize
from livdemo.models.dtan import PositionAttention
from livdemo.models.registry import ModelSpec, Preset, Recipe, register


def gaussian(size: int, sigma: float) -> Tensor:
    """A kernel (1, 1, size, size) of sum 1."""
    line = [math.exp(-((i - size // 2) ** 2) / (2 * sigma**2)) for i in range(size)]
    return torch.tensor([[[[a * b / sum(line) ** 2 for a in line] for b in line]]])


def smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """x (B, 1, H, W) convolved with a fixed kernel, the border mirrored."""
    border = kernel.shape[2] // 2
    return F.conv2d(F.pad(x, [border, border, border, border], mode="reflect"), kernel)


class NoiseAdaptiveFilter(nn.Module):
    """x (B, 1, H, W) -> Σ_k w_k · candidate_k, the weights w (B, 3, H, W), the noise map n (B, 1, H, W)."""

    narrow: Tensor
    wide: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("narrow", gaussian(3, 0.8))
        self.register_buffer("wide", gaussian(5, 1.5))
        self.weigh = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 3, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        candidates = torch.cat([x, smooth(x, self.narrow), smooth(x, self.wide)], dim=1)
        # How rough it is here: the root mean square of what 5×5 smoothing takes away. Edges are rough too.
        rough = F.pad((x - candidates[:, 2:]) ** 2, [2, 2, 2, 2], mode="reflect")
        noise = torch.sqrt(F.avg_pool2d(rough, 5, stride=1) + 1e-8)
        weights = torch.softmax(self.weigh(torch.cat([x, noise], dim=1)), dim=1)
        return (weights * candidates).sum(dim=1, keepdim=True), weights, noise


class ParallelConvolutions(nn.Module):
    """x + 1×1 [k₁(x); k₃(x); k₅(x)], then ReLU; each branch narrows to m = max(8, C/8) maps first."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        m = max(8, maps // 8)
        self.k1 = nn.Sequential(conv_bn_relu(maps, m, 1), conv_bn_relu(m, m, 1))
        self.k3 = nn.Sequential(conv_bn_relu(maps, m, 1), conv_bn_relu(m, m, 3))
        self.k5 = nn.Sequential(conv_bn_relu(maps, m, 1), conv_bn_relu(m, m, 5))
        self.join = nn.Sequential(nn.Conv2d(3 * m, maps, 1, bias=False), nn.BatchNorm2d(maps))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.join(torch.cat([self.k1(x), self.k3(x), self.k5(x)], dim=1)))


class Stage(nn.Module):
    """One stage of DHS: what comes from below (B, given, h, w) -> (B, maps, h', w') of the skip's size.

    It also returns its input squeezed to `dense` maps, for all later stages; the last stage, which has no
    later one, adds it to its own output.
    """

    def __init__(self, given: int, skip: int, earlier: int, maps: int, dense: int, last: bool) -> None:
        super().__init__()
        self.squeeze = conv_bn_relu(given, dense, 1)
        self.conv = nn.Sequential(conv_bn_relu(given + skip + earlier * dense, maps, 3), conv_bn_relu(maps, maps, 3))
        self.last = last

    def forward(self, x: Tensor, skip: Tensor, earlier: list[Tensor]) -> tuple[Tensor, Tensor]:
        parts = [resize(x, skip), skip]
        for one in earlier:
            parts.append(resize(one, skip))
        y = self.conv(torch.cat(parts, dim=1))
        squeezed = self.squeeze(x)
        if self.last:
            y = y + resize(squeezed, skip)
        return y, squeezed


class Attended(nn.Module):
    """DTAN's position attention, without its weights."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.pam = PositionAttention(maps)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.pam(x)
        return y


class LTNetFull(nn.Module):
    """x (B, 1, H, W), multiples of 16 -> logits (B, classes, H, W). The last of `decoder` is `dense`."""

    def __init__(
        self,
        classes: int = 3,
        width: int = 64,
        layers: tuple[int, int, int, int] = (3, 4, 6, 3),
        decoder: tuple[int, int, int, int] = (256, 128, 64, 32),
        pam: bool = False,
    ) -> None:
        super().__init__()
        self.filter = NoiseAdaptiveFilter()
        self.encoder = ResNet(1, width, layers)
        channels = self.encoder.channels
        self.parallel = nn.ModuleList([ParallelConvolutions(maps) for maps in channels])
        self.attention: nn.Module = Attended(channels[4]) if pam else nn.Identity()
        self.dropout = nn.Dropout2d(0.1)
        given = (channels[4], *decoder[:-1])  # maps that each stage is given from below
        self.stages = nn.ModuleList(
            [Stage(given[i], channels[3 - i], i, decoder[i], decoder[3], last=i == 3) for i in range(4)]
        )
        self.sides = nn.ModuleList([nn.Conv2d(maps, classes, 1) for maps in decoder])
        self.head = nn.Conv2d(4 * classes, classes, 1)

    def side_logits(self, x: Tensor) -> list[Tensor]:
        """Logits of the four stages, all (B, classes, H, W), from coarse to fine; x is the filtered slice."""
        features = self.encoder(x)
        skips: list[Tensor] = []
        for level, parallel in enumerate(self.parallel):
            skips.append(parallel(features[level]))
        y = self.dropout(self.attention(skips[4]))  # (B, 2048, H/32, W/32)
        earlier: list[Tensor] = []
        maps: list[Tensor] = []
        for step, stage in enumerate(self.stages):
            y, squeezed = stage(y, skips[3 - step], earlier)  # 1/16, 1/8, 1/4, 1/2
            earlier.append(squeezed)
            maps.append(y)
        logits: list[Tensor] = []
        for step, side in enumerate(self.sides):
            logits.append(resize(side(maps[step]), x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, 16)
        filtered, _, _ = self.filter(x)
        return self.head(torch.cat(self.side_logits(filtered), dim=1))

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        filtered, weights, noise = self.filter(x)
        tumour: list[Tensor] = []
        for logits in self.side_logits(filtered):
            tumour.append(torch.softmax(logits, dim=1)[:, -1])
        return {
            "filtered": filtered,
            "filter_weights": weights,
            "noise": noise,
            "stages": torch.stack(tumour, dim=1),
        }


def _ltnet_full(preset: Preset) -> nn.Module:
    if preset == "paper":
        return LTNetFull()
    return LTNetFull(width=16, layers=(2, 2, 2, 2), decoder=(128, 64, 32, 16))


WINDOW = Window(center=30, width=150)

ltnet_full = register(
    ModelSpec(
        number=9,
        name="ltnet_full",
        title="LT-Net as claimed",
        source="S2 (LT-Net), claimed in its aims and summary",
        idea="Noise is filtered adaptively, several kernel sizes look at once, and every decoder scale is "
        "used again by the later ones. S2 names these parts but neither defines nor trains them.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing={
            "paper": Preprocessing(WINDOW, size=128),
            "classroom": Preprocessing(WINDOW, size=256),
        },
        architecture=_ltnet_full,
        recipe=Recipe(
            loss="noise-aware (claimed, not defined); cross-entropy in the text",
            optimiser="Adam",
            learning_rate=None,
            epochs=None,
            batch_size=None,
            data="never trained by the paper",
            note="Chosen here: Adam 1e-3 from scratch, data and schedule of LT-Net as trained.",
        ),
        equations=(
            "noise: n = √(mean over 5×5 of (x − G₅∗x)²)",
            "filter: Σ_k w_k·[x, G₃∗x, G₅∗x]_k,  w = softmax(conv [x, n])",
        ),
        deviations=(
            "Filter, parallel convolutions and dense segmentator are defined here; S2 only names them.",
            "Attention is claimed but not defined: off.",
            "The window is not stated: 30 ± 75 HU.",
            "The last decoder stage adds its own squeezed input to its output.",
        ),
        our_reading=True,
        explains={
            "filtered": "What the noise-adaptive filter hands to the encoder.",
            "filter_weights": "How much of the slice, of its 3×3 and 5×5 smoothing is taken at each place.",
            "noise": "How rough the slice is at each place; edges are rough too.",
            "stages": "Tumour probability by each decoder stage alone; a channel a stage, coarse to fine.",
        },
    )
)
