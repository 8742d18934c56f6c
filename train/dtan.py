"""DTAN (M01, S0).

S0 states neither loss nor optimiser nor augmentation: 0.3 Dice + 0.7 cross-entropy, Adam 1e-3 on the head alone, 30
epochs of batch 8, flips with ±10° were chosen (PAPERS.md, table 1). Its encoder is pre-trained and then frozen; where
no ImageNet weights can be had (and they fit the paper preset alone), by the task of train/pretext.py.

    python -m train dtan --data DIR [--fast]
"""

from typing import Any

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=30,
    batch_size=8,
    learning_rate=0.001,
    optimiser="adam",
    loss="dice_and_cross_entropy",
    augmentation="flips_10",
    pretext_slices=16384,
)

# What the third course does otherwise here. No photographs' weights can be had for the preset, and frozen after the
# pretext task the encoder is no better than a random one (the study "encoder"), so in the end it learns as well.
THIRD_COURSE: dict[str, Any] = {"thawed": True}
