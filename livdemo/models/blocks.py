"""What several papers share to the letter: the ResNet encoder, the ConvLSTM, a few small pieces.

ResNet        DTAN (S0), both LT-Nets (S2), DeepLabv3 (S3)
ConvLSTM      C-LSTM (S0), DALU-Net (S4)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn_relu(maps_in: int, maps_out: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU; the size stays."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(maps_in, maps_out, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(maps_out),
        nn.ReLU(inplace=True),
    )


def check_size(x: Tensor, multiple: int) -> None:
    """Raise ValueError unless height and width of x (…, H, W) are multiples of `multiple`."""
    height, width = x.shape[-2], x.shape[-1]
    if height % multiple != 0 or width % multiple != 0 or height == 0 or width == 0:
        raise ValueError(
            f"height and width must be multiples of {multiple}, not {height} and {width}: pad the slice first"
        )


class Bottleneck(nn.Module):
    """ReLU(F(y) + y) with F = 1×1 (narrow), 3×3, 1×1 (widen four times) (He et al. 2015; S0 eq 1).

    The stride sits on the 3×3 ("ResNet v1.5"), as in torchvision and timm, whose weights fit.
    """

    def __init__(self, maps_in: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        maps_out = 4 * width
        self.conv1 = nn.Conv2d(maps_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, maps_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(maps_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or maps_in != maps_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(maps_in, maps_out, 1, stride, bias=False), nn.BatchNorm2d(maps_out)
            )

    def forward(self, y: Tensor) -> Tensor:
        f = self.relu(self.bn1(self.conv1(y)))
        f = self.relu(self.bn2(self.conv2(f)))
        f = self.bn3(self.conv3(f))
        return self.relu(f + self.downsample(y))


class ResNet(nn.Module):
    """ResNet of bottlenecks without its classifier: x (B, in_channels, H, W) -> the five maps of a pyramid.

        stem  (B,   w, H/2,  W/2)      7×7 stride 2
        C2    (B,  4w, H/4,  W/4)      max pooling, then stage 1
        C3    (B,  8w, H/8,  W/8)
        C4    (B, 16w, H/16, W/16)
        C5    (B, 32w, H/32, W/32)

    output_stride 16 or 8: the last one or two stages do not shrink the map; their kernels are dilated
    instead, so that each still sees as wide a piece of the slice. The first unit of such a stage keeps the
    dilation that the map had before it (DANet and torchvision agree). Parameter names are torchvision's.
    """

    def __init__(
        self, in_channels: int, width: int, layers: tuple[int, int, int, int], output_stride: int = 32
    ) -> None:
        super().__init__()
        self.channels = (width, 4 * width, 8 * width, 16 * width, 32 * width)
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

        maps, reached, dilation = width, 4, 1
        stages = []
        for stage, units in enumerate(layers):
            stride, first_dilation = (1 if stage == 0 else 2), dilation
            if stride == 2 and reached == output_stride:
                stride, dilation = 1, 2 * dilation
            reached *= stride
            blocks = [Bottleneck(maps, width << stage, stride, first_dilation)]
            maps = 4 * (width << stage)
            blocks += [Bottleneck(maps, width << stage, 1, dilation) for _ in range(units - 1)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Tensor) -> list[Tensor]:
        stem = self.relu(self.bn1(self.conv1(x)))
        c2 = self.layer1(self.maxpool(stem))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return [stem, c2, c3, c4, self.layer4(c4)]


def he_normal(weight: Tensor) -> Tensor:
    """Fill a kernel in place with Gaussian numbers of variance 2 / fan-in (He et al. 2015), and return it."""
    if weight.is_meta:  # only counted: drawing on the meta device would import half of torch for five seconds
        return weight
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def resize(x: Tensor, like: Tensor) -> Tensor:
    """x (B, C, h, w) at the height and width of `like`, bilinear."""
    return F.interpolate(x, size=[like.shape[2], like.shape[3]], mode="bilinear", align_corners=False)


def as_channels(x: Tensor, channels: int) -> Tensor:
    """A grey slice (B, 1, H, W) for a stem that expects `channels`: repeated, as fastai does."""
    return x.expand(-1, channels, -1, -1) if x.shape[1] == 1 else x


class ConvLSTM(nn.Module):
    """A convolutional LSTM (Shi et al. 2015), an LSTM whose matrices are convolutions.

        (i, f, o, g) = conv([x, h])       one convolution for all four gates, no peepholes
        c = σ(f)·c + σ(i)·tanh(g)         forget some of the memory, write some of the new
        h = σ(o)·tanh(c)                  show a part of the memory

    x (B, T, maps_in, …) of any length T -> h after each step (B, T, hidden, …). The memory starts empty.
    A kernel of two numbers makes it two-dimensional, one of three numbers three-dimensional.
    """

    def __init__(self, maps_in: int, hidden: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.hidden = hidden
        conv = nn.Conv2d if len(kernel) == 2 else nn.Conv3d
        padding = tuple(k // 2 for k in kernel)
        self.gates = conv(maps_in + hidden, 4 * hidden, kernel, padding=padding)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x[:, 0, :1]).repeat_interleave(self.hidden, dim=1)  # (B, hidden, …)
        c = h
        states: list[Tensor] = []
        for step in range(x.shape[1]):
            i, f, o, g = self.gates(torch.cat([x[:, step], h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states, dim=1)
