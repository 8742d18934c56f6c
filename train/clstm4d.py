"""C-LSTM 4D (M03, compared by S0; our reading).

Loss, optimiser and schedule are not known: 0.3 Dice + 0.7 cross-entropy, Adam 1e-3 and 30 epochs were chosen
(PAPERS.md, table 1). It reads the contrast phases of one body, which no data set here has: train it with --data
phantom:0-9.

    python -m train clstm4d --data phantom:0-9 [--fast]
"""

from train.plan import Plan

PAPER = Plan(
    recipe="paper",
    epochs=30,
    batch_size=1,
    learning_rate=0.001,
    optimiser="adam",
    loss="dice_and_cross_entropy",
    augmentation="flips_10",
)
