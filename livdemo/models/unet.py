"""U-Net (Ronneberger, Fischer, Brox 2015): see coarse, then see fine, and keep both.

The left arm halves the picture four times and doubles the maps: it learns *what* is there, with an ever
wider view. The right arm doubles the size again, and at each level it is handed the map of the same size
from the left arm (the skip), which still knows *where* the edges are.

    slice ─ 16 ────────── skip ────────── 16 ─ logits        maps of the classroom preset
             └ 32 ─────── skip ─────── 32 ┘
                └ 64 ──── skip ──── 64 ┘
                   └ 128 ─ skip ─ 128 ┘
                       └── 256 ──┘

Three entries of PAPERS.md are this one class:
  M11 unet_liver   S3's first stage, coarse liver against the rest       same padding, 2 labels
  M12 unet64       S3's baseline, 64 features in the first level         same padding, 3 labels
  M14 unet_valid   S4's baseline, 572 in and 388 out                     valid padding, 3 labels

Deviations: S3 is silent on padding (same padding chosen, so that the output has the size of the input);
the classroom preset has a quarter of the maps and batch normalisation (the papers have none), which lets
it learn on two CPU cores. S4 says 572 pixels in while its data has 512; see `unet_valid` below.
"""

import torch
from torch import Tensor, nn

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import check_size
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register


class DoubleConv(nn.Module):
    """Two 3×3 convolutions, each followed by ReLU; with `norm`, batch normalisation between the two."""

    def __init__(self, maps_in: int, maps_out: int, norm: bool, padding: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for maps in (maps_in, maps_out):
            layers.append(nn.Conv2d(maps, maps_out, 3, padding=padding))
            if norm:
                layers.append(nn.BatchNorm2d(maps_out))
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class UpConcat(nn.Module):
    """Double the size, halve the maps, put the skip beside it, and convolve twice."""

    def __init__(self, maps: int, norm: bool, padding: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * maps, maps, 2, stride=2)
        self.conv = DoubleConv(2 * maps, maps, norm, padding)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)  # (B, maps, 2H, 2W)
        # Without padding the skip is larger: its border has no partner and is cut off. Otherwise a no-op.
        top = (skip.shape[2] - x.shape[2]) // 2
        left = (skip.shape[3] - x.shape[3]) // 2
        skip = skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]
        return self.conv(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """x (B, in_channels, H, W) -> logits (B, classes, H, W); H and W multiples of 16.

    With padding 0 only n ≡ 12 (mod 16), n ≥ 188 is valid, and the output has n − 184 pixels: 572 -> 388.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
        norm: bool = False,
        padding: int = 1,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        pairs = zip(inputs, widths, strict=True)
        self.down = nn.ModuleList([DoubleConv(i, o, norm, padding) for i, o in pairs])
        self.up = nn.ModuleList([UpConcat(width, norm, padding) for width in reversed(widths[:-1])])
        self.pool = nn.MaxPool2d(2)
        self.valid = padding == 0
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.valid:
            height, width = x.shape[2], x.shape[3]
            if height % 16 != 12 or width % 16 != 12 or height < 188 or width < 188:
                raise ValueError(
                    "without padding, height and width must be 188, 204, … (12 more than a multiple of 16), "
                    f"not {height} and {width}: mirror the border first"
                )
        else:
            check_size(x, 16)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            if level > 0:
                x = self.pool(x)
            x = block(x)
            skips.append(x)
        for level, merge in enumerate(self.up):
            x = merge(x, skips[len(skips) - 2 - level])
        return self.head(x)


CLASSROOM_WIDTHS = (16, 32, 64, 128, 256)
S3_WINDOW = Window(center=50, width=250)  # "[-75, 175] HU"
S4_WINDOW = Window(center=0, width=250)

S3_RECIPE = Recipe(
    loss="weighted cross-entropy, weights (0.78, 0.65, 8.57)",
    optimiser="Adam",
    learning_rate=1e-4,
    epochs=None,
    batch_size=None,
    data="LiTS, 131 training volumes; a private set of 618/294 volumes",
    note="Trained from scratch for about 10 h on a P100. The weights are those of S3's reference 5.",
)
S4_RECIPE = Recipe(
    loss="cross-entropy, summed over the levels where there is deep supervision",
    optimiser="Adagrad",
    learning_rate=None,
    epochs=100,
    batch_size=None,
    data="3D-IRCADb-01, 20 patients; the split is not stated",
    note="Chosen here: rate 0.01, batch 4. Callbacks: checkpoint, lower the rate on a plateau, stop early.",
)


def _unet64(preset: Preset) -> nn.Module:
    return UNet() if preset == "paper" else UNet(widths=CLASSROOM_WIDTHS, norm=True)


def _unet_liver(preset: Preset) -> nn.Module:
    return UNet(classes=2) if preset == "paper" else UNet(classes=2, widths=CLASSROOM_WIDTHS, norm=True)


def _unet_valid(preset: Preset) -> nn.Module:
    return UNet(padding=0) if preset == "paper" else UNet(widths=CLASSROOM_WIDTHS, padding=0)


unet_liver = register(
    ModelSpec(
        number=11,
        name="unet_liver",
        title="U-Net, coarse liver",
        source="S3 (SFAN), stage 1 of the cascade; Ronneberger 2015",
        idea="A first, rough look that only asks where the liver is. A second network then sees "
        "nothing but the box around it.",
        labels=("background", "liver"),
        input_kind="slice",
        size_multiple=16,
        preprocessing={
            "paper": Preprocessing(S3_WINDOW, size=512),
            "classroom": Preprocessing(S3_WINDOW, size=256),
        },
        architecture=_unet_liver,
        recipe=S3_RECIPE,
        deviations=("Padding is not stated: same padding.", "The classroom preset has batch normalisation."),
    )
)

unet64 = register(
    ModelSpec(
        number=12,
        name="unet64",
        title="U-Net",
        source="S3 (SFAN), baseline with 64 first features; Ronneberger 2015",
        idea="A first arm shrinks the slice to learn what is there, a second arm enlarges it again. "
        "Skips hand the sharp edges of the first arm to the second, which says where it is.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        preprocessing={
            "paper": Preprocessing(S3_WINDOW, size=512),
            "classroom": Preprocessing(S3_WINDOW, size=256),
        },
        architecture=_unet64,
        recipe=S3_RECIPE,
        deviations=(
            "Padding is not stated: same padding.",
            "S3 segments tumour in a liver crop (2 labels); here 3 labels on the whole slice.",
            "The classroom preset has 16 to 256 maps instead of 64 to 1024, and batch normalisation.",
        ),
    )
)

unet_valid = register(
    ModelSpec(
        number=14,
        name="unet_valid",
        title="U-Net, valid padding",
        source="S4 (U-Net and DALU-Net), baseline; Ronneberger 2015",
        idea="It convolves only where every neighbour is real, so the map shrinks from 572 to 388 pixels. "
        "The skips have to be cropped, and a slice is put together from overlapping tiles.",
        labels=("background", "liver", "tumour"),
        input_kind="slice",
        size_multiple=16,
        margin=94,
        preprocessing={
            "paper": Preprocessing(S4_WINDOW, equalisation="he", size=512),
            "classroom": Preprocessing(S4_WINDOW, equalisation="he", size=256),
        },
        architecture=_unet_valid,
        recipe=S4_RECIPE,
        reported=(
            Reported(
                "Dice",
                "0.822",
                "fraction",
                "191 donors, whole liver, 3D (Jeong et al. 2022)",
                "S4 prints it as its own; it is the ablation row of the paper that it cites.",
            ),
        ),
        equations=("size: n pixels in, n − 184 out (572 in, 388 out)",),
        deviations=(
            "S4 lists the sizes 572, 284, 140, 68, 32 as outputs; they are the inputs of the five levels.",
            "572 pixels do not fit its 512-pixel data: the border is mirrored and tiles overlap.",
        ),
    )
)
