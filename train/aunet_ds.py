"""Attention U-Net with deep supervision (M16, S4).

S4 states: Adagrad, cross-entropy, callbacks for checkpoint, plateau and early stopping, small rotations, shifts,
zooms and shears; 100 epochs are read off its Fig. 6. It is silent on the rate, the batch and the patience: torch's
0.01, 4, and 5 epochs to halve the rate, 15 to stop were chosen. The loss is summed over four levels, weights (1, ½,
¼, ⅛) / 1.875.

    python -m train aunet_ds --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=100,
    batch_size=4,
    learning_rate=0.01,
    optimiser="adagrad",
    loss="cross_entropy",
    augmentation="s4",
    schedule="plateau",
    plateau=(0.5, 5),
    stop_after=15,
    keep="best",
)
