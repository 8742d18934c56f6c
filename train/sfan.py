"""SFAN (M10, S3).

The recipe of its paper: S3 in train/recipes.py.

    python -m train sfan --data DIR [--fast]
"""

from train.recipes import S3

PAPER = S3
