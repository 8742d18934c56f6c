"""The networks of the five papers, one file a family. Importing this package fills the registry."""

from livdemo.models import (
    aunet,
    clstm4d,
    dalunet,
    deeplabv3,
    dpcnet,
    dtan,
    ltnet_full,
    ltnet_unet,
    sfan,
    transunet,
    unet,
    unetpp,
)
from livdemo.models.registry import ModelSpec, Preset, Recipe, Reported, get_model, list_models

__all__ = [
    "ModelSpec",
    "Preset",
    "Recipe",
    "Reported",
    "aunet",
    "clstm4d",
    "dalunet",
    "deeplabv3",
    "dpcnet",
    "dtan",
    "get_model",
    "list_models",
    "ltnet_full",
    "ltnet_unet",
    "sfan",
    "transunet",
    "unet",
    "unetpp",
]
