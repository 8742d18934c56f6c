"""TransUNet with spatial and channel attention (M07, S1).

S1 states: 0.3 Dice + 0.7 cross-entropy, 15 epochs, batch 1 on LiTS17 (train/polyps.py has Kvasir-SEG). Optimiser and
rate are those of its repository. It names no augmentation; the parts of its repository's that suit CT (affine, noise,
blur) are used.

    python -m train transunet_sca --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=15,
    batch_size=1,
    learning_rate=0.003,
    optimiser="adam",
    loss="dice_and_cross_entropy",
    augmentation="s1_lits",
)
