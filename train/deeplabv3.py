"""DeepLabv3 (M13, compared by S3).

S3 states: from scratch, Adam 1e-4, weighted cross-entropy, about ten hours on a P100. It is silent on epochs, batch
and augmentation: 50, 8, and flips with ±10° were chosen (PAPERS.md, table 1). The class weights (0.78, 0.65, 8.57)
are those of S3's reference 5.

    python -m train deeplabv3 --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=50,
    batch_size=8,
    learning_rate=1e-4,
    optimiser="adam",
    loss="weighted_cross_entropy",
    augmentation="flips_10",
)
