"""ImageNet weights: a small file that the test writes, and a Hub on loopback."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from livdemo.errors import InputError
from livdemo.models import pretrained
from livdemo.models.blocks import ResNet
from livdemo.models.pretrained import load_imagenet
from tests.conftest import HUB_PORT
from tests.hub import LoopbackHub

REVISION = "0123456789abcdef0123456789abcdef01234567"


def small(channels: int = 3, width: int = 4, layers: tuple[int, int, int, int] = (1, 1, 1, 1)) -> ResNet:
    return ResNet(channels, width, layers)


def weights() -> dict[str, torch.Tensor]:
    """What a file of the Hub holds: an encoder's tensors, no batch counters, and a classifier on top."""
    torch.manual_seed(3)
    there = {k: torch.randn_like(v) for k, v in small().state_dict().items() if not k.endswith("tracked")}
    return {**there, "fc.weight": torch.randn(10, 128), "fc.bias": torch.randn(10)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(weights(), tmp_path / "resnet.safetensors")
    return tmp_path / "resnet.safetensors"


def test_a_local_file_fills_the_encoder(file: Path):
    encoder = small()
    assert load_imagenet(encoder, file) == str(file)
    for key, value in encoder.state_dict().items():
        if not key.endswith("tracked"):
            assert torch.equal(value, weights()[key]), key


def test_a_grey_stem_sees_what_a_colour_stem_would(file: Path):
    colour, grey = small().eval(), small(channels=1).eval()
    load_imagenet(colour, file)
    load_imagenet(grey, file)
    x = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(grey.conv1(x), colour.conv1(x.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        (small(layers=(2, 1, 1, 1)), r"layer1\.1\..*same number of layers"),
        (small(width=8), r"does not fit this encoder: .*only the paper preset is as wide"),
    ],
    ids=["layers", "width"],
)
def test_a_file_of_another_network_is_refused(file: Path, encoder: ResNet, sentence: str):
    with pytest.raises(InputError, match=f"(?i){sentence}"):
        load_imagenet(encoder, file)


def test_a_missing_and_a_broken_file_are_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.safetensors cannot be read"):
        load_imagenet(small(), tmp_path / "nowhere.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(InputError, match=r"text\.safetensors cannot be read"):
        load_imagenet(small(), tmp_path / "text.safetensors")


def test_without_a_pinned_revision_nothing_is_fetched():
    if pretrained.REVISION is not None and pretrained.SHA256 is not None:
        pytest.skip("the revision is pinned")
    with pytest.raises(InputError, match=r"timm/resnet50\.a1_in1k are not pinned .* name that file"):
        load_imagenet(small())


def test_the_pinned_file_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = save(weights())
    monkeypatch.setattr(pretrained, "REVISION", REVISION)
    monkeypatch.setattr(pretrained, "SHA256", hashlib.sha256(content).hexdigest())
    with LoopbackHub(HUB_PORT) as hub:
        hub.files["timm/resnet50.a1_in1k", REVISION] = {"model.safetensors": content}
        encoder = small()
        assert load_imagenet(encoder, cache=tmp_path) == f"timm/resnet50.a1_in1k at {REVISION}"
        assert torch.equal(encoder.conv1.weight, weights()["conv1.weight"])

        monkeypatch.setattr(pretrained, "SHA256", "0" * 64)
        with pytest.raises(InputError, match="is not the pinned file"):
            load_imagenet(small(), cache=tmp_path)

        monkeypatch.setattr(pretrained, "REVISION", "f" * 40)
        with pytest.raises(InputError, match=r"cannot be had from the Hub .*: go online, or download it"):
            load_imagenet(small(), cache=tmp_path)
