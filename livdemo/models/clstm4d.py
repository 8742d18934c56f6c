"""C-LSTM over contrast phases (Zheng et al. 2022, compared by S0): a reconstruction.

A tumour betrays itself by how it lights up over time. Contrast agent reaches an artery-fed tumour before
the liver around it, and leaves it earlier. So a shallow 3D U-Net describes each phase by itself, with the
same weights, and a recurrent net watches the same place through the phases.

    phase 1 ─ U-Net ─ 32 maps ┐
    phase 2 ─ U-Net ─ 32 maps ┼─ ConvLSTM ×4, phase after phase ─ last memory ─ 1³ ─ logits
    phase 3 ─ U-Net ─ 32 maps ┘

Only the abstract of the paper was in reach; this is our reading of it. From the abstract: a shallow 3D U-Net
for each phase of a DCE-MRI, and a four-layer C-LSTM that reads the phases as time. Chosen here: widths,
instance normalisation, pooling within the slice only, kernels of the ConvLSTM and no peepholes.

It needs several phases of one patient. LiTS and 3D-IRCADb have one; the phantom renders four. Neighbouring
slices in place of phases would be a different model and must not be called this one.
"""

import torch
from torch import Tensor, nn

from livdemo.intensity import Preprocessing, Window
from livdemo.models.blocks import ConvLSTM, check_size
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, register


def double_conv(maps_in: int, maps_out: int) -> nn.Sequential:
    """Two 3³ convolutions, each with instance normalisation and ReLU."""
    layers: list[nn.Module] = []
    for maps in (maps_in, maps_out):
        layers += [
            nn.Conv3d(maps, maps_out, 3, padding=1, bias=False),
            nn.InstanceNorm3d(maps_out, affine=True),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class ShallowUNet3D(nn.Module):
    """x (B, 1, D, H, W) -> (B, widths[0], D, H, W). Slices are thick, so only height and width are halved."""

    def __init__(self, in_channels: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        top, middle, bottom = widths
        self.down1 = double_conv(in_channels, top)
        self.down2 = double_conv(top, middle)
        self.down3 = double_conv(middle, bottom)
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.raise2 = nn.ConvTranspose3d(bottom, middle, (1, 2, 2), stride=(1, 2, 2))
        self.up2 = double_conv(2 * middle, middle)
        self.raise1 = nn.ConvTranspose3d(middle, top, (1, 2, 2), stride=(1, 2, 2))
        self.up1 = double_conv(2 * top, top)

    def forward(self, x: Tensor) -> Tensor:
        level1 = self.down1(x)  # (B, 32, D, H, W)
        level2 = self.down2(self.pool(level1))  # (B, 64, D, H/2, W/2)
        level3 = self.down3(self.pool(level2))  # (B, 128, D, H/4, W/4)
        level2 = self.up2(torch.cat([level2, self.raise2(level3)], dim=1))
        return self.up1(torch.cat([level1, self.raise1(level2)], dim=1))


class CLSTM4D(nn.Module):
    """x (B, T, 1, D, H, W), T phases -> logits (B, classes, D, H, W); H and W multiples of 4, any T and D."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        widths: tuple[int, int, int] = (32, 64, 128),
        layers: int = 4,
        kernel: tuple[int, int, int] = (3, 3, 3),
    ) -> None:
        super().__init__()
        hidden = widths[0]
        self.unet = ShallowUNet3D(in_channels, widths)
        self.lstm = nn.ModuleList([ConvLSTM(hidden, hidden, kernel) for _ in range(layers)])
        self.head = nn.Conv3d(hidden, classes, 1)

    def watch(self, x: Tensor) -> list[Tensor]:
        """For each layer of the recurrent net what it shows after each phase: (B, T, hidden, D, H, W)."""
        check_size(x, 4)
        # Every phase by itself, the same weights: (B·T, 1, D, H, W) -> (B, T, 32, D, H, W)
        sequence = self.unet(x.flatten(0, 1)).unflatten(0, [x.shape[0], x.shape[1]])
        shown: list[Tensor] = []
        for layer in self.lstm:
            sequence = layer(sequence)  # each layer reads what the one before it shows
            shown.append(sequence)
        return shown

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.watch(x)[-1][:, -1])  # last layer, last phase

    @torch.jit.export
    def explain(self, x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for layer, shown in enumerate(self.watch(x)):
            middle = shown[:, :, :, shown.shape[3] // 2]  # (B, T, hidden, H, W) of the middle slice
            maps[f"state_{layer + 1}"] = middle.abs().mean(dim=2)
        return maps


def _clstm4d(preset: Preset) -> nn.Module:
    return CLSTM4D() if preset == "paper" else CLSTM4D(widths=(16, 32, 64), kernel=(1, 3, 3))


WINDOW = Window(center=50, width=250)

clstm4d = register(
    ModelSpec(
        number=3,
        name="clstm4d",
        title="C-LSTM over phases",
        source="S0 (DTAN), compared; Zheng et al., IEEE TMI 2022",
        idea="A tumour betrays itself by how it lights up as contrast agent passes. A recurrent network "
        "watches the same place through the phases of a scan.",
        labels=("background", "liver", "tumour"),
        input_kind="phases",
        size_multiple=4,
        preprocessing={
            "paper": Preprocessing(WINDOW, normalisation="zscore", size=256, zscore_over="body"),
            "classroom": Preprocessing(WINDOW, normalisation="zscore", size=96, zscore_over="body"),
        },
        architecture=_clstm4d,
        recipe=Recipe(
            loss="not known",
            optimiser="not known",
            learning_rate=None,
            epochs=None,
            batch_size=None,
            data="private DCE-MRI (S0 does not name it)",
            note="Chosen here: cross-entropy + Dice, Adam 1e-3, 30 epochs, batch 1 or 2.",
        ),
        reported=(
            Reported(
                "Dice, tumour",
                "80.9",
                "%",
                "private DCE-MRI",
                "As printed by S0; the abstract of the paper says 0.825 ± 0.077.",
            ),
            Reported(
                "Hausdorff distance",
                "12.76",
                "not stated, the column is headed %",
                "private DCE-MRI",
                "As printed by S0; the abstract says 12.84 ± 8.14 mm.",
            ),
            Reported("Dice, tumour", "0.825 ± 0.077", "fraction", "private DCE-MRI", "From the abstract."),
            Reported("Hausdorff distance", "12.84 ± 8.14", "mm", "private DCE-MRI", "From the abstract."),
            Reported("Volume similarity", "0.891 ± 0.080", "fraction", "private DCE-MRI", "From the abstract."),
        ),
        equations=(
            "memory: c = σ(f)·c + σ(i)·tanh(g)",
            "shown: h = σ(o)·tanh(c)",
        ),
        deviations=(
            "Only the abstract was in reach: widths, normalisation, pooling and kernels are chosen here.",
            "Made for MR with contrast agent; taught on a phantom with four phases, z-score for each phase.",
            "The classroom preset's recurrent kernels are 1×3×3.",
        ),
        our_reading=True,
        explains={
            f"state_{layer}": f"What recurrent layer {layer} shows in the middle slice; a channel a phase."
            for layer in (1, 2, 3, 4)
        },
        phases=("native", "arterial", "portal", "delayed"),
        depth={"paper": 16, "classroom": 4},
    )
)
