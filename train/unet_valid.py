"""U-Net with valid padding (M14, S4's baseline).

The recipe of its paper: S4 in train/recipes.py.

    python -m train unet_valid --data DIR [--fast]
"""

from train.recipes import S4

PAPER = S4
