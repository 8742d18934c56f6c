"""UNet++ (M04, S1's baseline).

The recipe of its paper: S1_NESTED in train/recipes.py.

    python -m train unetpp --data DIR [--fast]
"""

from train.recipes import S1_NESTED

PAPER = S1_NESTED
