"""Attention U-Net (M15, S4).

The recipe of its paper: S4 in train/recipes.py.

    python -m train aunet --data DIR [--fast]
"""

from train.recipes import S4

PAPER = S4
