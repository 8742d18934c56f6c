"""UNet_ASPP (M05, S1).

S1 states: 0.3 Dice + 0.7 cross-entropy, 12 epochs, batch 4. Optimiser and rate are those of its repository. It names
no augmentation; the parts of its repository's that suit CT (affine, noise, blur) are used.

    python -m train unet_aspp --data DIR [--fast]
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
