"""UNet_ASPP (M05, S1).

The recipe of its paper: S1_NESTED in train/recipes.py.

    python -m train unet_aspp --data DIR [--fast]
"""

from train.recipes import S1_NESTED

PAPER = S1_NESTED
