"""DPC-Net (M02, compared by S0; our reading).

Loss, optimiser and schedule are not known: 0.3 Dice + 0.7 cross-entropy, Adam 1e-3 and 30 epochs were chosen
(PAPERS.md, table 1). Blocks of neighbouring slices, two a step.

    python -m train dpcnet --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=30,
    batch_size=2,
    learning_rate=0.001,
    optimiser="adam",
    loss="dice_and_cross_entropy",
    augmentation="flips_10",
)
