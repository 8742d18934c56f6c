"""DeepLabv3 (M13, compared by S3).

The recipe of its paper: S3 in train/recipes.py.

    python -m train deeplabv3 --data DIR [--fast]
"""

from train.recipes import S3

PAPER = S3
