"""LT-Net as claimed (M09, S2; our reading).

S2 never trained it. Its noise-aware loss as PAPERS.md defines it, Adam 1e-3 from scratch, batch, epochs, one cycle
and augmentation of LT-Net as trained.

    python -m train ltnet_full --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=10,
    batch_size=16,
    learning_rate=0.001,
    optimiser="adam",
    loss="noise_aware",
    augmentation="s2",
    schedule="one-cycle",
    warm_up=0.3,
    keep="best",
)
