"""TransUNet without and with spatial-channel attention (S1; Chen et al. 2021): a convolutional net for the
neighbourhood, a transformer for the whole slice.

A convolutional encoder shrinks the slice to a grid of 1/16. Each cell of the grid becomes a token, and in a
transformer every cell exchanges what it knows with every other cell, however far away. A decoder like that
of a U-Net restores the detail from the encoder's skips.

    slice ─ root 1/2 ─ a 1/4 ─ b 1/8 ─ 1/16 ─ tokens + position ─ L × transformer block ─┐
              │          │       └──────────────────────────────────── 1/8 ── up, concat ─┘
              │          └──────────────────────────────────────────── 1/4 ── up, concat
              └─────────────────────────────────────────────────────── 1/2 ── up, concat
                                                              logits ─ 1/1 ── up

M06 transunet      as above.
M07 transunet_sca  after the convolutions of each of the four decoder stages CBAM asks "which maps matter?"
                   and then "where?", and rescales. The same trunk, so the two are a clean ablation.

What S1 leaves open or gets wrong, and what was chosen
  trunk      S1 says "inspired by TransUNet", a "modified version of the ResNet" and 6 transformer layers (12 for
             Kvasir): the published R50-ViT-B/16 with that depth. Its repository has another one, without position
             embedding, without any skip, and with a single output channel.
  attention  S1's text puts one into each up-sampling stage of the decoder, its repository one on each of two skips
             (with new random weights at every call): the text, with CBAM, which S1 cites, after the convolutions.
  root pool  padding 1; the original pads nothing and then adds zeros to the skips.
  position   learnt for a fixed grid; for any other size it is interpolated.
  window     not stated: 50 ± 125 HU, as for S1's other models.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import as_channels, check_size, conv_bn_relu
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register


class StdConv2d(nn.Conv2d):
    """A convolution whose kernels have mean 0 and variance 1 (weight standardisation, Qiao et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=[1, 2, 3], correction=0, keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def group_norm(maps: int) -> nn.GroupNorm:
    """32 groups as in the paper; narrow maps of the classroom preset get groups of four."""
    return nn.GroupNorm(min(32, maps // 4) if maps < 128 else 32, maps, eps=1e-6)


class Unit(nn.Module):
    """A bottleneck of ResNetV2: 1×1, 3×3, 1×1 with group normalisation, the sum followed by ReLU."""

    def __init__(self, maps_in: int, maps_out: int, stride: int) -> None:
        super().__init__()
        width = maps_out // 4
        self.body = nn.Sequential(
            StdConv2d(maps_in, width, 1, bias=False),
            group_norm(width),
            nn.ReLU(inplace=True),
            StdConv2d(width, width, 3, stride, padding=1, bias=False),
            group_norm(width),
            nn.ReLU(inplace=True),
            StdConv2d(width, maps_out, 1, bias=False),
            group_norm(maps_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or maps_in != maps_out:
            self.shortcut = nn.Sequential(
                StdConv2d(maps_in, maps_out, 1, stride, bias=False), nn.GroupNorm(maps_out, maps_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def stage(maps_in: int, maps_out: int, units: int, stride: int) -> nn.Sequential:
    """`units` bottlenecks; the first changes the number of maps and the size."""
    first = Unit(maps_in, maps_out, stride)
    return nn.Sequential(first, *(Unit(maps_out, maps_out, 1) for _ in range(units - 1)))


class SelfAttention(nn.Module):
    """Multi-head attention: tokens (B, N, d) -> the same, and the weights (B, heads, N, N)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.scale = 1 / math.sqrt(width // heads)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, [self.heads, x.shape[2] // self.heads]).transpose(1, 2)  # (B, heads, N, d/heads)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.split(self.query(tokens)), self.split(self.key(tokens)), self.split(self.value(tokens))
        weights = torch.softmax(q @ k.transpose(2, 3) * self.scale, dim=3)  # softmax(QKᵀ/√d_h)
        return self.out((weights @ v).transpose(1, 2).flatten(2)), weights


class TransformerBlock(nn.Module):
    """z' = z + attention(LN(z));  z'' = z' + MLP(LN(z')): normalised before, not after."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp), nn.GELU(), nn.Dropout(0.1), nn.Linear(mlp, width), nn.Dropout(0.1)
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        attended, weights = self.attention(self.norm1(z))
        z = z + attended
        return z + self.mlp(self.norm2(z)), weights


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al. 2018): x (B, C, H, W) -> rescaled x, and both gates.

    which  M_c = σ(MLP(mean over the slice) + MLP(maximum over the slice))     (B, C)
    where  M_s = σ(7×7 conv [mean over the maps; maximum over the maps])       (B, 1, H, W)
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        inner = max(4, maps // 16)
        self.mlp = nn.Sequential(
            nn.Linear(maps, inner, bias=False), nn.ReLU(inplace=True), nn.Linear(inner, maps, bias=False)
        )
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        which = torch.sigmoid(self.mlp(x.mean(dim=[2, 3])) + self.mlp(x.amax(dim=[2, 3])))
        x = x * which[:, :, None, None]
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        where = torch.sigmoid(self.conv(summary))
        return x * where, which, where


class NoAttention(nn.Module):
    """What M06 has in the place of CBAM: every map and every place counts fully."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, torch.ones_like(x[:, :, 0, 0]), torch.ones_like(x[:, :1])


class DecoderStage(nn.Module):
    """Double the size, put the skip beside it, two convolutions, attention."""

    def __init__(self, maps_in: int, skip: int, maps_out: int, attention: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv_bn_relu(maps_in + skip, maps_out, 3), conv_bn_relu(maps_out, maps_out, 3))
        self.attention: nn.Module = CBAM(maps_out) if attention else NoAttention()

    def forward(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.attention(self.conv(torch.cat([x, skip], dim=1)))


class TransUNet(nn.Module):
    """x (B, 1 or in_channels, H, W), multiples of 16 -> logits (B, classes, H, W).

    `grid` is the side of the token grid for which positions are learnt: 14 for 224 pixels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 3,
        width: int = 64,
        units: tuple[int, int, int] = (3, 4, 9),
        hidden: int = 768,
        heads: int = 12,
        mlp: int = 3072,
        layers: int = 6,
        grid: int = 14,
        conv_more: int = 512,
        decoder: tuple[int, int, int, int] = (256, 128, 64, 16),
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.grid, self.has_attention = in_channels, grid, attention
        self.root = nn.Sequential(
            StdConv2d(in_channels, width, 7, stride=2, padding=3, bias=False),
            group_norm(width),
            nn.ReLU(inplace=True),
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage_a = stage(width, 4 * width, units[0], stride=1)
        self.stage_b = stage(4 * width, 8 * width, units[1], stride=2)
        self.stage_c = stage(8 * width, 16 * width, units[2], stride=2)

        self.embed = nn.Conv2d(16 * width, hidden, 1)
        self.position = nn.Parameter(torch.zeros(1, grid * grid, hidden))
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList([TransformerBlock(hidden, heads, mlp) for _ in range(layers)])
        self.norm = nn.LayerNorm(hidden, eps=1e-6)

        self.conv_more = conv_bn_relu(hidden, conv_more, 3)
        inputs = (conv_more, *decoder[:-1])
        skips = (8 * width, 4 * width, width, 0)  # b, a, root, none
        self.decoder = nn.ModuleList(
            [DecoderStage(i, s, o, attention) for i, s, o in zip(inputs, skips, decoder, strict=True)]
        )
        self.head = nn.Conv2d(decoder[-1], classes, 3, padding=1)

    def positions(self, height: int, width: int) -> Tensor:
        """The learnt positions (1, N, d) for a grid of that size."""
        if height == self.grid and width == self.grid:
            return self.position
        grid = self.position.transpose(1, 2).view(1, -1, self.grid, self.grid)
        grid = F.interpolate(grid, size=[height, width], mode="bicubic", align_corners=False)
        return grid.flatten(2).transpose(1, 2)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Map behind the transformer (B, d, H/16, W/16), skips b, a, root, none, and each block's weights."""
        check_size(x, 16)
        root = self.root(as_channels(x, self.in_channels))  # (B, 64, H/2, W/2)
        a = self.stage_a(self.pool(root))  # (B, 256, H/4, W/4)
        b = self.stage_b(a)  # (B, 512, H/8, W/8)
        grid = self.embed(self.stage_c(b))  # (B, 768, H/16, W/16)
        z = grid.flatten(2).transpose(1, 2)  # one token a cell: (B, N, 768)
        z = self.dropout(z + self.positions(grid.shape[2], grid.shape[3]))
        weights: list[Tensor] = []
        for block in self.blocks:
            z, w = block(z)
            weights.append(w.mean(dim=1))  # (B, N, N), mean over the heads
        z = self.norm(z).transpose(1, 2).reshape(grid.shape)
        return z, [b, a, root, x[:, :0]], weights

    def decode(self, z: Tensor, skips: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits, and the "which" and "where" gates of each stage."""
        z = self.conv_more(z)
        which: list[Tensor] = []
        where: list[Tensor] = []
        for step, up in enumerate(self.decoder):
            z, maps, places = up(z, skips[step])
            which.append(maps)
            where.append(places)
        return self.head(z), which, where

    def forward(self, x: Tensor) -> Tensor:
        z, skips, _ = self.encode(x)
        logits, _, _ = self.decode(z, skips)
        return logits

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        z, skips, weights = self.encode(x)
        height, width = z.shape[2], z.shape[3]
        received: list[Tensor] = []
        for w in weights:
            received.append(w.mean(dim=1).view(-1, height, width))
        shown = {
            "attention": weights[-1].view(-1, height * width, height, width),
            "attention_received": torch.stack(received, dim=1),
        }
        if self.has_attention:
            _, which, where = self.decode(z, skips)
            for step in range(len(which)):
                shown[f"cbam_which_{step + 1}"] = which[step]
                shown[f"cbam_where_{step + 1}"] = where[step]
        return shown


def _transunet(preset: Preset) -> nn.Module:
    return TransUNet() if preset == "paper" else _classroom(attention=False)


def _transunet_sca(preset: Preset) -> nn.Module:
    return TransUNet(attention=True) if preset == "paper" else _classroom(attention=True)


def polyp_network(preset: Preset, attention: bool) -> nn.Module:
    """S1's second experiment, Kvasir-SEG: RGB in, background and polyp out; 12 transformer layers at paper width."""
    if preset == "paper":
        return TransUNet(classes=2, layers=12, attention=attention)
    return _classroom(attention, classes=2)


def _classroom(attention: bool, classes: int = 3) -> nn.Module:
    return TransUNet(
        classes=classes,
        width=16,
        units=(2, 2, 2),
        hidden=192,
        heads=6,
        mlp=384,
        layers=4,
        grid=8,  # positions learnt on 8×8 cells, interpolated to the 16×16 of 256 pixels
        conv_more=128,
        decoder=(64, 32, 16, 16),
        attention=attention,
    )


WINDOW = Window(center=50, width=250)
_PREPROCESSING: dict[Preset, Preprocessing] = {
    "paper": Preprocessing(WINDOW, size=224),
    "classroom": Preprocessing(WINDOW, size=256),
}
_RECIPE = Recipe(
    loss="0.3 Dice + 0.7 cross-entropy",
    optimiser="Adam",
    learning_rate=3e-3,
    epochs=15,
    batch_size=1,
    data="LiTS17; on Kvasir-SEG (polyps) 30 epochs, batch 16, SGD 0.01",
    note="Optimisers and rates from its repository; the paper does not state them.",
)
_DEVIATIONS = (
    "The published R50-ViT-B/16 with S1's 6 transformer layers; its repository has a net without skips.",
    "The position grid is interpolated where the size differs; the root's pooling has padding 1.",
    "No window is stated: 50 ± 125 HU.",
    "The classroom preset has 4 layers of 192 and a narrower encoder and decoder.",
)
_NOT_COMPARABLE = "Its repository counts every output but zero as tumour, so this is the mean lesion area."
_EXPLAINS = {
    "attention": "Attention of the last layer: channel i is the map of where grid cell i (row by row) looks.",
    "attention_received": "How much each cell is looked at, averaged over all cells; a channel a layer.",
}

transunet = register(
    ModelSpec(
        number=6,
        name="transunet",
        title="TransUNet",
        source="S1 (UNet_ASPP and TransUNet), compared; Chen et al. 2021",
        idea="A convolutional encoder shrinks the slice to a coarse grid, and in a transformer all cells of "
        "the grid exchange what they know. A decoder restores the detail from the skips.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing=_PREPROCESSING,
        architecture=_transunet,
        recipe=_RECIPE,
        reported=(
            Reported("IoU", "0.0951", "fraction", "LiTS17", _NOT_COMPARABLE),
            Reported("loss", "0.4725", "none", "LiTS17"),
            Reported("IoU", "0.2057", "fraction", "Kvasir-SEG (polyps)", _NOT_COMPARABLE),
            Reported("loss", "0.7656", "none", "Kvasir-SEG (polyps)"),
        ),
        equations=(
            "attention: softmax(QKᵀ / √d_h) V,  d_h the width of one head",
            "block: z' = z + attention(LN(z));  z'' = z' + MLP(LN(z'))",
        ),
        deviations=_DEVIATIONS,
        explains=_EXPLAINS,
    )
)

transunet_sca = register(
    ModelSpec(
        number=7,
        name="transunet_sca",
        title="TransUNet with spatial-channel attention",
        source="S1 (UNet_ASPP and TransUNet), proposed",
        idea="A TransUNet that asks after each up-sampling which maps matter, and then where. What does not "
        "matter is dimmed.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing=_PREPROCESSING,
        architecture=_transunet_sca,
        recipe=_RECIPE,
        reported=(
            Reported("IoU", "0.1283", "fraction", "LiTS17", _NOT_COMPARABLE),
            Reported("loss", "0.4103", "none", "LiTS17"),
            Reported("IoU", "0.2370", "fraction", "Kvasir-SEG (polyps)", _NOT_COMPARABLE),
            Reported("loss", "0.7129", "none", "Kvasir-SEG (polyps)"),
        ),
        equations=(
            "attention: softmax(QKᵀ / √d_h) V,  d_h the width of one head",
            "which maps: M_c = σ(MLP(mean over the slice) + MLP(maximum over the slice))",
            "where: M_s = σ(7×7 conv [mean over the maps; maximum over the maps])",
        ),
        deviations=(
            *_DEVIATIONS,
            "One block of attention in each decoder stage, as the text says; that it is CBAM and follows the "
            "convolutions is our choice. The repository rescales two skips with new random weights at every call.",
        ),
        explains={
            **_EXPLAINS,
            **{f"cbam_which_{i}": f"Which maps decoder stage {i} keeps, 0 to 1." for i in (1, 2, 3, 4)},
            **{f"cbam_where_{i}": f"Where decoder stage {i} looks, 0 to 1." for i in (1, 2, 3, 4)},
        },
    )
)
