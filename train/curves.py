"""history.csv as a picture: loss on the left, Dice on the right, an epoch a step."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no display is needed

from matplotlib.figure import Figure

History = list[dict[str, float]]

LOSSES = {"loss": "training", "validation_loss": "validation (cross-entropy)"}
DICE = {"liver_dice": "liver", "tumour_dice": "tumour", "object_dice": "object"}


def draw_curves(history: History, path: Path) -> None:
    """Write the curves of a run as PNG (about 20 kB). The validation patients were never trained on."""
    figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in history]
    for axes, lines, title in ((left, LOSSES, "Loss"), (right, DICE, "Dice on the held-out patients")):
        for key, label in lines.items():
            if key in history[0]:
                axes.plot(epochs, [row[key] for row in history], marker="o", markersize=3, label=label)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    right.set_ylim(0, 1)
    figure.savefig(path)
