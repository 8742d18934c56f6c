"""ImageNet weights for a ResNet encoder of paper width: from a local file, or from the Hub by name.

    load_imagenet(model.encoder, Path("resnet50.safetensors"))     a file that you have
    load_imagenet(model.encoder)                                    the pinned file of the Hub

S0 (DTAN) and S2 (LT-Net as trained) start from ImageNet. The file is timm/resnet50.a1_in1k (Wightman et al.
2021, Apache 2.0), whose keys are those of torchvision's ResNet-50 and of blocks.ResNet.

Nothing is fetched from the Hub before someone has pinned what is to be fetched: REVISION is the commit of
the Hub repository, SHA256 the checksum of the file (both stand on the file's page). A local file always
works.
"""

import hashlib
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from livdemo.errors import InputError
from livdemo.models.blocks import ResNet

REPOSITORY = "timm/resnet50.a1_in1k"
FILE = "model.safetensors"
REVISION: str | None = None  # not pinned yet: look it up on the Hub, never guess it
SHA256: str | None = None


def load_imagenet(encoder: ResNet, path: Path | None = None, cache: Path | None = None) -> str:
    """Fill the encoder with ImageNet weights and say in a few words where they came from.

    path: a safetensors file with torchvision's key names; None: the pinned file of the Hub, kept in `cache`
    (the Hub's own cache when None). A stem for one channel gets the sum of the three colour kernels, which
    is what a grey slice repeated three times would see. The classifier's weights are left out.
    Raises InputError when there is no file, when it is not that file, or when it does not fit the encoder.
    """
    source = str(path)
    if path is None:
        path = _from_hub(cache)
        source = f"{REPOSITORY} at {REVISION}"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a safetensors file ({error}); name another one.") from error
    _fill(encoder, weights, source)
    return source


def _from_hub(cache: Path | None) -> Path:
    if REVISION is None or SHA256 is None:
        raise InputError(
            f"The revision and checksum of {REPOSITORY} are not pinned in livdemo/models/pretrained.py yet: "
            f"download its {FILE} yourself and name that file."
        )
    try:
        path = Path(hf_hub_download(REPOSITORY, FILE, revision=REVISION, cache_dir=cache))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(
            f"{FILE} of {REPOSITORY} cannot be had from the Hub ({type(error).__name__}): "
            "go online, or download it elsewhere and name that file."
        ) from error
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise InputError(f"{path} is not the pinned file (its checksum is {found}): delete it and try again.")
    return path


def _fill(encoder: ResNet, weights: dict[str, Tensor], source: str) -> None:
    """Copy the weights; each of the encoder must be there with its shape (batch counters may be missing)."""
    wanted = encoder.state_dict()
    weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    stem = weights.get("conv1.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3 and wanted["conv1.weight"].shape[1] == 1:
        weights["conv1.weight"] = stem.sum(dim=1, keepdim=True)
    for key in wanted:
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, torch.tensor(0))
    strange = sorted(set(weights) ^ set(wanted))
    if strange:
        raise InputError(
            f"{source} does not hold this encoder's weights: {len(strange)} names differ, the first is "
            f"{strange[0]}. It must be a ResNet with the same number of layers."
        )
    for key, value in weights.items():
        if value.shape != wanted[key].shape:
            raise InputError(
                f"{source} does not fit this encoder: {key} is {tuple(value.shape)}, "
                f"but {tuple(wanted[key].shape)} is needed. Only the paper preset is as wide as a ResNet-50."
            )
    encoder.load_state_dict(weights)
