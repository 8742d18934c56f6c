"""UNet++ (M04, S1's baseline).

S1 states: 0.3 Dice + 0.7 cross-entropy, 12 epochs, batch 4 (12 epochs are what was left of a run of 100 that ended on
a missing file). Optimiser and rate are those of its repository. It names no augmentation; the parts of its
repository's that suit CT (affine, noise, blur) are used.

    python -m train unetpp --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=12,
    batch_size=4,
    learning_rate=0.001,
    optimiser="adam",
    loss="dice_and_cross_entropy",
    augmentation="s1_lits",
)
