"""TransUNet without attention blocks (M06, S1).

The recipe of its paper: S1_TRANSUNET in train/recipes.py. On LiTS17; train/polyps.py has Kvasir-SEG.

    python -m train transunet --data DIR [--fast]
"""

from train.recipes import S1_TRANSUNET

PAPER = S1_TRANSUNET
