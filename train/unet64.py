"""U-Net (M12, S3's baseline).

The recipe of its paper: S3 in train/recipes.py.

    python -m train unet64 --data DIR [--fast]
"""

from train.recipes import S3

PAPER = S3
