"""DeepLabv3 (Chen et al. 2017), compared by S3: keep the map large, and look at several distances at once.

Pooling widens the view but loses the place. DeepLab stops pooling at 1/16 and dilates its kernels instead.
On the last map five branches look side by side: a point, three 3×3 kernels with dilation 6, 12 and 18, and
the mean of the whole slice (ASPP, atrous spatial pyramid pooling). Compare with SFAN, which gets its context
by gating; here it is by sampling.

    slice ─ ResNet-101 (1/16) ─┬─ 1×1 ──────────┐
                               ├─ 3×3, rate 6 ──┤
                               ├─ 3×3, rate 12 ─┼─ concat ─ 1×1 ─ 3×3 ─ 1×1 ─ ×16 ─ logits
                               ├─ 3×3, rate 18 ─┤
                               └─ mean ─────────┘

S3 names network, depth and stride and prints its results as bars only. Chosen here: the rates that the paper
of DeepLabv3 gives for stride 16, no multi-grid, and no batch normalisation in the mean branch, whose 1×1 map
cannot be normalised with a batch of one. S3 trains everything from scratch, this too.
"""

import torch
from torch import Tensor, nn

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import ResNet, as_channels, conv_bn_relu, resize
from livdemo.models.registry import ModelSpec, Preset, register
from livdemo.models.unet import S3_RECIPE


class ASPP(nn.Module):
    """x (B, C, h, w) -> (B, maps, h, w), and the five branches one by one."""

    def __init__(self, maps_in: int, maps: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        branches = [conv_bn_relu(maps_in, maps, 1)]
        branches += [conv_bn_relu(maps_in, maps, 3, dilation=rate) for rate in rates]
        self.branches = nn.ModuleList(branches)
        self.mean = nn.Conv2d(maps_in, maps, 1)
        self.project = conv_bn_relu((len(branches) + 1) * maps, maps, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []
        for branch in self.branches:
            seen.append(branch(x))
        mean = torch.relu(self.mean(x.mean(dim=[2, 3], keepdim=True)))
        seen.append(mean.expand(-1, -1, x.shape[2], x.shape[3]))
        return self.project(torch.cat(seen, dim=1)), seen


class DeepLabV3(nn.Module):
    """x (B, 1 or in_channels, H, W) of any size -> logits (B, classes, H, W)."""

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 3,
        width: int = 64,
        layers: tuple[int, int, int, int] = (3, 4, 23, 3),
        maps: int = 256,
        rates: tuple[int, ...] = (6, 12, 18),
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = ResNet(in_channels, width, layers, output_stride=16)
        self.aspp = ASPP(self.encoder.channels[4], maps, rates)
        self.head = nn.Sequential(conv_bn_relu(maps, maps, 3), nn.Conv2d(maps, classes, 1))

    def look(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """ASPP's map (B, maps, H/16, W/16) and its branches."""
        return self.aspp(self.encoder(as_channels(x, self.in_channels))[4])

    def forward(self, x: Tensor) -> Tensor:
        wide, _ = self.look(x)
        return resize(self.head(wide), x)

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        _, branches = self.look(x)
        means: list[Tensor] = []
        for one in branches:
            means.append(one.mean(dim=1))
        return {"aspp": torch.stack(means, dim=1)}


def _deeplabv3(preset: Preset) -> nn.Module:
    if preset == "paper":
        return DeepLabV3()
    return DeepLabV3(in_channels=1, width=16, layers=(2, 2, 6, 2), maps=64)


WINDOW = Window(center=50, width=250)  # "[-75, 175] HU"

deeplabv3 = register(
    ModelSpec(
        number=13,
        name="deeplabv3",
        title="DeepLabv3",
        source="S3 (SFAN), compared; Chen et al. 2017",
        idea="Instead of shrinking the map further, kernels are dilated, so that they see far and the place "
        "is kept. Five branches look at several distances side by side.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=1,
        preprocessing={
            "paper": Preprocessing(WINDOW, size=512),
            "classroom": Preprocessing(WINDOW, size=256),
        },
        architecture=_deeplabv3,
        recipe=S3_RECIPE,
        equations=("span of a kernel of size R with dilation d: d(R − 1) + 1 pixels",),
        deviations=(
            "Rates 6, 12, 18, no multi-grid; the mean branch has no batch normalisation.",
            "S3 segments tumour in a liver crop (2 labels); here 3 labels on the whole slice.",
            "S3 prints its results as bars without numbers.",
            "The classroom preset has a ResNet of 2-2-6-2 units, a quarter of the maps, one input channel.",
        ),
        explains={
            "aspp": "What each branch sees, a channel a branch: a point, dilation 6, 12, 18, the mean.",
        },
    )
)
