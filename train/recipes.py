"""Recipes that several models of one paper share, each written down once; train/NAME.py says what is special.

S1_NESTED, S1_TRANSUNET  S1 states 0.3 Dice + 0.7 cross-entropy, epochs and batch (12 epochs are what was left of a run
                         of 100 that ended on a missing file). Optimiser and rate are those of its repository. It names
                         no augmentation; the parts of its repository's that suit CT (affine, noise, blur) are used.
S3                       S3 states: from scratch, Adam 1e-4, weighted cross-entropy, about ten hours on a P100. It is
                         silent on epochs, batch and augmentation: 50, 8, and flips with ±10° were chosen (PAPERS.md,
                         table 1). The class weights (0.78, 0.65, 8.57) are those of S3's reference 5.
S4                       S4 states: Adagrad, cross-entropy, callbacks for checkpoint, plateau and early stopping, small
                         rotations, shifts, zooms and shears; 100 epochs are read off its Fig. 6. It is silent on the
                         rate, the batch and the patience: torch's 0.01, 4, and 5 epochs to halve the rate, 15 to stop
                         were chosen.
"""

from dataclasses import replace

from train.plan import Plan

S1_NESTED = Plan(
    recipe="paper",
    epochs=12,
    batch_size=4,
    learning_rate=1e-3,
    optimiser="adam",
    loss="dice_and_cross_entropy",
    augmentation="s1_lits",
)
S1_TRANSUNET = replace(S1_NESTED, epochs=15, batch_size=1, learning_rate=3e-3)
S3 = Plan(
    recipe="paper",
    epochs=50,
    batch_size=8,
    learning_rate=1e-4,
    optimiser="adam",
    loss="weighted_cross_entropy",
    augmentation="flips_10",
)
S4 = Plan(
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
