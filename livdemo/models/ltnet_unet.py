"""LT-Net as trained (S2): fastai's DynamicUnet around a ResNet-50. Read the code, not the title.

Any image classifier can be turned into a U-Net: cut it where the resolution halves, keep the map of each cut
as a skip, and mirror it. That is what fastai's `unet_learner(resnet50)` builds, and what S2's method chapter
and its recipe amount to. No layer of it is new; the parts that S2's title and aims promise are in
`ltnet_full`.

    slice ─ stem 1/2 ─ C2 1/4 ─ C3 1/8 ─ C4 1/16 ─ C5 1/32 ─ BN ─ middle ─┐
      │       │         │         │        └──────────── PixelShuffle, concat ┘
      │       │         │         └──────────────────── PixelShuffle, concat
      │       │         └────────────────────────────── PixelShuffle, concat
      │       └──────────────────────────────────────── PixelShuffle, concat
      └──────────────────────────────────────────────── PixelShuffle, concat, residual block ─ 1×1 ─ logits

S2 calls this "a moderate model complexity" with "lower computational requirement": 339 million parameters, of which
151 million sit in the two convolutions of the middle.

Deviations: skips are passed on by name, where fastai uses hooks, which TorchScript cannot hold. Blur and
self-attention are off, as in fastai by default (options; the latter without spectral normalisation). S2
splits at random by slice, so that neighbours of a training slice validate it; here patients are split. S2
names no window: 30 ± 75 HU, the liver preset of the family of scripts it follows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import ResNet, as_channels, check_size, he_normal
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register


def conv_relu(maps_in: int, maps_out: int) -> nn.Sequential:
    """3×3 convolution with bias and ReLU, no normalisation."""
    conv = nn.Conv2d(maps_in, maps_out, 3, padding=1)
    he_normal(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.ReLU(inplace=True))


class PixelShuffleUp(nn.Module):
    """Double the size without interpolation: four maps become the four pixels of one (Shi et al. 2016).

    x (B, maps_in, H, W) -> (B, maps_out, 2H, 2W). ICNR: the four maps start alike, so that there is no
    checkerboard at first. `blur` averages each pixel with its upper and left neighbours.
    """

    def __init__(self, maps_in: int, maps_out: int, blur: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps_in, 4 * maps_out, 1)
        with torch.no_grad():
            one = he_normal(torch.empty(maps_out, maps_in, 1, 1))
            self.conv.weight.copy_(one.repeat_interleave(4, dim=0))
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.shuffle = nn.PixelShuffle(2)
        self.blur: nn.Module = nn.Identity()
        if blur:
            self.blur = nn.Sequential(nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.blur(self.shuffle(torch.relu(self.conv(x))))


class SelfAttention(nn.Module):
    """Every pixel looks at every other one (SAGAN, Zhang et al. 2018): x + γ·V softmax(QᵀK), γ from 0."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.q = nn.Conv1d(maps, maps // 8, 1, bias=False)
        self.k = nn.Conv1d(maps, maps // 8, 1, bias=False)
        self.v = nn.Conv1d(maps, maps, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)  # (B, C, N)
        weights = torch.softmax(self.q(flat).transpose(1, 2) @ self.k(flat), dim=1)  # (B, N, N)
        return x + self.gamma * (self.v(flat) @ weights).view_as(x)


class UnetBlock(nn.Module):
    """up (B, C, h, w), skip (B, S, 2h, 2w) -> (B, f, 2h, 2w); n = C/2 + S, f = n, at the last block n/2."""

    def __init__(self, maps_up: int, maps_skip: int, last: bool, blur: bool, attention: bool) -> None:
        super().__init__()
        n = maps_up // 2 + maps_skip
        self.channels = n // 2 if last else n
        self.up = PixelShuffleUp(maps_up, maps_up // 2, blur)
        self.norm = nn.BatchNorm2d(maps_skip)
        self.conv = nn.Sequential(conv_relu(n, self.channels), conv_relu(self.channels, self.channels))
        self.attention: nn.Module = SelfAttention(self.channels) if attention else nn.Identity()

    def forward(self, up: Tensor, skip: Tensor) -> Tensor:
        both = torch.relu(torch.cat([self.up(up), self.norm(skip)], dim=1))
        return self.attention(self.conv(both))


class LTNetUNet(nn.Module):
    """x (B, 1 or in_channels, H, W), multiples of 32 -> logits (B, classes, H, W)."""

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 3,
        width: int = 64,
        layers: tuple[int, int, int, int] = (3, 4, 6, 3),
        blur: bool = False,
        self_attention: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = ResNet(in_channels, width, layers)
        deep = self.encoder.channels[4]
        self.norm = nn.BatchNorm2d(deep)
        self.middle = nn.Sequential(conv_relu(deep, 2 * deep), conv_relu(2 * deep, deep))  # 151 M at paper width
        maps, blocks = deep, []
        for step, skip in enumerate(reversed(self.encoder.channels[:4])):  # C4, C3, C2, stem
            blocks.append(UnetBlock(maps, skip, step == 3, blur, self_attention and step == 1))
            maps = blocks[-1].channels  # 2048, 1536, 1024, 288
        self.blocks = nn.ModuleList(blocks)
        self.up = PixelShuffleUp(maps, maps, blur)
        maps += in_channels  # 291: the slice itself is the last skip
        self.last1 = conv_relu(maps, maps)
        self.last2 = nn.Conv2d(maps, maps, 3, padding=1)
        self.head = nn.Conv2d(maps, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, 32)
        x = as_channels(x, self.in_channels)
        skips = self.encoder(x)
        y = self.middle(F.relu(self.norm(skips[4])))  # (B, 2048, H/32, W/32)
        for step, block in enumerate(self.blocks):
            y = block(y, skips[3 - step])
        y = torch.cat([self.up(y), x], dim=1)  # (B, 291, H, W)
        y = torch.relu(y + self.last2(self.last1(y)))
        return self.head(y)


def _ltnet_unet(preset: Preset) -> nn.Module:
    return LTNetUNet() if preset == "paper" else LTNetUNet(in_channels=1, width=6, layers=(2, 2, 2, 2))


WINDOW = Window(center=30, width=150)

ltnet_unet = register(
    ModelSpec(
        number=8,
        name="ltnet_unet",
        title="LT-Net as trained",
        source="S2 (LT-Net), trained; fastai's DynamicUnet",
        idea="Any image classifier becomes a U-Net when it is cut where the resolution halves and then "
        "mirrored. No layer of it is new: read the code, not the title.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=32,
        preprocessing={
            "paper": Preprocessing(WINDOW, size=128),
            "classroom": Preprocessing(WINDOW, size=256),
        },
        architecture=_ltnet_unet,
        recipe=Recipe(
            loss="cross-entropy",
            optimiser="Adam, weight decay 0.1",
            learning_rate=2e-3,
            epochs=10,
            batch_size=16,
            data="LiTS (Kaggle), split at random by slice",
            note="fastai's fine_tune: one epoch with the encoder frozen at 2e-3, then one-cycle from 1e-3 "
            "down to 1e-5 in the encoder. The rate is fastai's default; S2 does not state it.",
        ),
        reported=(
            Reported(
                "Dice", "0.9733", "fraction", "LiTS, slices of training patients", "S2 does not say how it is averaged."
            ),
            Reported(
                "IoU",
                "0.9705",
                "fraction",
                "LiTS, slices of training patients",
                "Cannot belong to one mask pair with that Dice; as means over mostly empty slices it can.",
            ),
            Reported("accuracy", "0.9986", "fraction", "LiTS, slices of training patients", "Background included."),
            Reported("PSNR of the label map", "25.4429", "dB", "LiTS, slices of training patients"),
            Reported(
                "foreground accuracy (train), epoch 9",
                "0.966276",
                "fraction",
                "LiTS, slices of training patients",
                "Read here as the accuracy of what is not background, on the validation slices.",
            ),
        ),
        deviations=(
            "The window is not stated: 30 ± 75 HU.",
            "S2 splits by slice, which leaks; patients are split here.",
            "The claimed noise filter, attention and dense segmentator are not in it; see ltnet_full.",
            "The classroom preset has 6 to 192 maps, one input channel and 256 instead of 128 pixels.",
        ),
        imagenet=True,
    )
)
