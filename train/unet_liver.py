"""U-Net for the liver alone (M11, S3's first stage).

The recipe of its paper: S3 in train/recipes.py.

    python -m train unet_liver --data DIR [--fast]
"""

from train.recipes import S3

PAPER = S3
