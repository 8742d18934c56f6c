"""The manifest, the hash before the load, and the Hub (the genuine client against a loopback server)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from livdemo.checkpoints import fetch, find_checkpoint, load_model, read_manifest, write_manifest
from livdemo.errors import InputError
from tests.conftest import HUB_PORT
from tests.hub import LoopbackHub
from tests.small_model import write_thresholds

REPO, REVISION = "livdemo/thresholds", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def test_manifest_and_back(weights: Path) -> None:
    written = write_thresholds(weights)
    assert read_manifest() == [written]
    assert find_checkpoint("thresholds") == written


def test_no_manifest_means_nothing_is_trained(weights: Path) -> None:
    assert read_manifest() == []
    with pytest.raises(InputError, match="none yet"):
        find_checkpoint("unet64")


def test_unknown_model_names_the_trained_ones(weights: Path) -> None:
    write_thresholds(weights)
    with pytest.raises(InputError, match=r"'unet65'.*thresholds"):
        find_checkpoint("unet65")


@pytest.mark.parametrize("damage", ["{", '{"rows": []}', '{"checkpoints": [{"model": "x"}]}', '{"checkpoints": 3}'])
def test_damaged_manifest_is_said(weights: Path, damage: str) -> None:
    weights.mkdir()
    (weights / "manifest.json").write_text(damage)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        read_manifest()


def test_a_loaded_model_is_float32_and_in_eval(weights: Path) -> None:
    model = load_model(write_thresholds(weights).sha256, "cpu")
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model(torch.full((1, 1, 2, 2), 0.5)).argmax(1).eq(1).all()


def test_one_changed_byte_is_refused_before_loading(weights: Path) -> None:
    checkpoint = write_thresholds(weights)
    path = weights / checkpoint.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not the file that the manifest pins"):
        fetch(checkpoint)


def test_pinned_bytes_that_are_no_torchscript(weights: Path) -> None:
    content = b"not a network"
    checkpoint = write_thresholds(weights, sha256=hashlib.sha256(content).hexdigest())
    (weights / checkpoint.file).write_bytes(content)
    with pytest.raises(InputError, match="no TorchScript file"):
        load_model(checkpoint.sha256, "cpu")


def test_a_hash_outside_the_manifest_is_never_loaded(weights: Path) -> None:
    write_thresholds(weights)
    with pytest.raises(InputError, match="No checkpoint with sha256"):
        load_model("0" * 64, "cpu")


def test_missing_file_without_a_hub_row(weights: Path) -> None:
    checkpoint = write_thresholds(weights)
    (weights / checkpoint.file).unlink()
    with pytest.raises(InputError, match="python -m train thresholds"):
        fetch(checkpoint)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with LoopbackHub(HUB_PORT) as server:
        yield server


def _published(weights: Path, hub: LoopbackHub) -> bytes:
    """Weights that are on the Hub and not in the folder; returns their content."""
    checkpoint = write_thresholds(weights, hub={"repo": REPO, "revision": REVISION})
    content = (weights / checkpoint.file).read_bytes()
    (weights / checkpoint.file).unlink()
    hub.files[REPO, REVISION] = {checkpoint.file: content}
    return content


def test_pull_from_the_hub_then_from_its_cache(weights: Path, hub: LoopbackHub) -> None:
    content = _published(weights, hub)
    assert fetch(find_checkpoint("thresholds")) == content
    assert any(request.startswith("GET") for request in hub.requests)
    hub.requests.clear()
    assert fetch(find_checkpoint("thresholds")) == content
    assert not any(request.startswith("GET") for request in hub.requests)


def test_wrong_content_of_the_same_size_is_refused(weights: Path, hub: LoopbackHub) -> None:
    content = _published(weights, hub)
    hub.files[REPO, REVISION]["thresholds.ts"] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(InputError, match="not the file that the manifest pins"):
        fetch(find_checkpoint("thresholds"))


def test_a_revision_that_is_not_there(weights: Path, hub: LoopbackHub) -> None:
    _published(weights, hub)
    hub.files = {(REPO, "another"): {}}
    with pytest.raises(InputError, match="could not be fetched from livdemo/thresholds at revision 0123456789ab"):
        fetch(find_checkpoint("thresholds"))


def test_a_hub_that_cannot_be_reached(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # saves the client's 20 s of retries
    checkpoint = write_thresholds(weights, hub={"repo": REPO, "revision": REVISION})
    (weights / checkpoint.file).unlink()
    with pytest.raises(InputError, match="cannot be reached"):
        fetch(checkpoint)


def test_writing_sorts_the_rows(weights: Path) -> None:
    first = write_thresholds(weights)
    second = write_thresholds(weights, model="another")
    write_manifest([first, second])
    assert [c.model for c in read_manifest()] == ["another", "thresholds"]
