"""Attention U-Net with deep supervision (M16, S4).

The recipe of its paper: S4 in train/recipes.py. The loss is summed over four levels, weights (1, ½, ¼, ⅛) / 1.875.

    python -m train aunet_ds --data DIR [--fast]
"""

from train.recipes import S4

PAPER = S4
