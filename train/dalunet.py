"""DALU-Net (M17, S4).

The recipe of its paper: S4 in train/recipes.py. The loss counts all slices of a sequence, at four levels.

    python -m train dalunet --data DIR [--fast]
"""

from train.recipes import S4

PAPER = S4
