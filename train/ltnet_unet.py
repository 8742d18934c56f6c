"""LT-Net as trained (M08, S2).

S2 states: Adam with weight decay 0.1, cross-entropy, batch 16, 10 epochs, the model of the "highest validation
performance" kept (read here as the least validation loss).
The rest is fastai's fine_tune, which its code family uses: one more epoch first with the encoder frozen, at 2e-3;
then one cycle up to 1e-3, the encoder at a hundredth of it. fastai's Adam decouples weight decay: AdamW here. S2
split at random by slice, which leaks; here patients are split (--split slice shows the leak).

    python -m train ltnet_unet --data DIR [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=11,
    frozen_epochs=1,
    batch_size=16,
    learning_rate=0.001,
    encoder_rate=0.01,
    optimiser="adamw",
    weight_decay=0.1,
    loss="cross_entropy",
    augmentation="s2",
    schedule="one-cycle",
    warm_up=0.3,
    keep="best",
)
