"""The manifest, the hash before the load, and the Hub (the genuine client against a loopback server)."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from livdemo.checkpoints import (
    FLATTERED,
    Checkpoint,
    fetch,
    find_checkpoint,
    load_model,
    read_manifest,
    write_manifest,
)
from livdemo.errors import InputError
from tests.conftest import HUB_PORT
from tests.hub import Answer, LoopbackHub
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
    with pytest.raises(InputError, match=r"not the file that the manifest pins.*git checkout"):
        fetch(checkpoint)
    published = replace(checkpoint, hub={"repo": REPO, "revision": REVISION})
    with pytest.raises(InputError, match=r"not the file .* delete .*/weights/thresholds\.ts, and it will be fetched"):
        fetch(published)


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
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client's cache for this test alone, and no waiting between its tries (it takes up to 23 s)."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(HUB_PORT) as server:
        yield server


def _published(weights: Path, hub: LoopbackHub) -> bytes:
    """Weights that are on the Hub and not in the folder; returns their content."""
    checkpoint = write_thresholds(weights, hub={"repo": REPO, "revision": REVISION})
    content = (weights / checkpoint.file).read_bytes()
    (weights / checkpoint.file).unlink()
    hub.files[REPO, REVISION] = {checkpoint.file: content}
    return content


def _flipped(content: bytes) -> bytes:
    """The same size, one bit changed."""
    return content[:-1] + bytes([content[-1] ^ 1])


def _downloads(hub: LoopbackHub) -> int:
    return sum(request.startswith("GET") for request in hub.requests)


def test_pull_from_the_hub_then_from_its_cache(weights: Path, hub: LoopbackHub) -> None:
    content = _published(weights, hub)
    assert fetch(find_checkpoint("thresholds")) == content
    assert _downloads(hub) == 1
    hub.requests.clear()
    assert fetch(find_checkpoint("thresholds")) == content
    assert hub.requests == []


def test_the_cache_is_enough_without_a_hub(weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    content = _published(weights, hub)
    fetch(find_checkpoint("thresholds"))
    hub.dead = True
    assert fetch(find_checkpoint("thresholds")) == content
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch(find_checkpoint("thresholds")) == content


def test_wrong_content_of_the_same_size_is_refused(weights: Path, hub: LoopbackHub, cache: Path) -> None:
    content = _published(weights, hub)
    hub.corrupt.add("thresholds.ts")
    with pytest.raises(InputError, match=r"not the file that the manifest pins.*its copy was deleted") as refused:
        fetch(find_checkpoint("thresholds"))
    assert f"{REPO} gave it twice at revision 0123456789ab" in str(refused.value)
    assert not [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == _flipped(content)]
    hub.corrupt.clear()
    assert fetch(find_checkpoint("thresholds")) == content


def test_a_copy_that_was_damaged_in_the_cache_is_fetched_again(weights: Path, hub: LoopbackHub, cache: Path) -> None:
    content = _published(weights, hub)
    fetch(find_checkpoint("thresholds"))
    _damage_cached(cache, content)
    assert fetch(find_checkpoint("thresholds")) == content
    assert _downloads(hub) == 2
    assert fetch(find_checkpoint("thresholds")) == content
    assert _downloads(hub) == 2


def test_a_damaged_copy_without_a_hub(weights: Path, hub: LoopbackHub, cache: Path) -> None:
    content = _published(weights, hub)
    fetch(find_checkpoint("thresholds"))
    _damage_cached(cache, content)
    hub.dead = True
    with pytest.raises(InputError, match="cannot be reached"):
        fetch(find_checkpoint("thresholds"))


def test_a_damaged_copy_in_a_cache_of_somebody_else(
    weights: Path, hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _published(weights, hub)
    fetch(find_checkpoint("thresholds"))
    _damage_cached(cache, content)

    def forbidden(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(f"not yours: {path}")

    monkeypatch.setattr(Path, "unlink", forbidden)
    with pytest.raises(InputError, match=rf"delete {cache}/\S+/blobs/\w+, and"):
        fetch(find_checkpoint("thresholds"))


def _damage_cached(cache: Path, content: bytes) -> None:
    copies = [path for path in cache.rglob("*") if path.is_file() and not path.is_symlink()]
    damaged = [path for path in copies if path.read_bytes() == content]
    assert len(damaged) == 1
    damaged[0].write_bytes(_flipped(content))


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({(REPO, "another"): {}}, "no such revision"),
        ({("livdemo/other", REVISION): {}}, "no such repository, or it is private"),
        ({(REPO, REVISION): {"other.ts": b"\0"}}, "no such file"),
    ],
)
def test_what_is_not_on_the_hub(
    weights: Path, hub: LoopbackHub, files: dict[tuple[str, str], dict[str, bytes]], why: str
) -> None:
    _published(weights, hub)
    hub.files = files
    with pytest.raises(InputError, match=f"fetched from livdemo/thresholds at revision 0123456789ab: .*{why}"):
        fetch(find_checkpoint("thresholds"))


def test_a_download_that_breaks_off_is_tried_again(weights: Path, hub: LoopbackHub) -> None:
    content = _published(weights, hub)
    hub.cut_after = 1000
    assert fetch(find_checkpoint("thresholds")) == content
    assert hub.sent == 1000 + len(content), "the client takes chunks of 10 MB, so small files come again as a whole"


def test_a_large_download_that_breaks_off_is_resumed(
    weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 256)
    content = _published(weights, hub)
    hub.cut_after = 1000
    assert fetch(find_checkpoint("thresholds")) == content
    assert hub.sent == 1000 + len(content) - 3 * 256, "from the last whole chunk"


def test_a_hub_that_dies_half_way(weights: Path, hub: LoopbackHub, cache: Path) -> None:
    content = _published(weights, hub)
    hub.die_after = len(content) // 3
    with pytest.raises(InputError, match=r"fetched from livdemo/thresholds .* the connection broke off; try again"):
        fetch(find_checkpoint("thresholds"))
    assert hub.sent == len(content) // 3
    assert not [path for path in cache.rglob("*") if path.is_file() and path.read_bytes()[:4] == content[:4]]
    hub.dead, hub.die_after = False, None
    assert fetch(find_checkpoint("thresholds")) == content


def test_a_hub_that_is_out_of_order(weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    _published(weights, hub)

    def broken(_: object) -> Answer:
        return Answer(status=500)

    monkeypatch.setattr(hub, "answer", broken)
    with pytest.raises(InputError, match="the Hub answered 500"):
        fetch(find_checkpoint("thresholds"))


def test_a_hub_that_cannot_be_reached(weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write_thresholds(weights, hub={"repo": REPO, "revision": REVISION})
    (weights / checkpoint.file).unlink()
    with pytest.raises(InputError, match=r"is not here yet .* cannot be reached"):
        fetch(checkpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"is not here yet .* cannot be reached"):
        fetch(checkpoint)


def test_a_repository_that_is_none(weights: Path, cache: Path) -> None:
    checkpoint = write_thresholds(weights, hub={"repo": "a/b/c", "revision": REVISION})
    (weights / checkpoint.file).unlink()
    with pytest.raises(InputError, match="could not be fetched from a/b/c"):
        fetch(checkpoint)


def test_writing_sorts_the_rows(weights: Path) -> None:
    first = write_thresholds(weights)
    second = write_thresholds(weights, model="another")
    write_manifest([first, second])
    assert [c.model for c in read_manifest()] == ["another", "thresholds"]


def test_who_learned_from_a_case_says_so_there_and_nowhere_else() -> None:
    shipped = find_checkpoint("unet64")
    learned = replace(shipped, learned_cases=("lits117",))
    assert learned.weak_on("chaos") == shipped.weak
    assert learned.weak_on("lits117") == f"{shipped.weak} {FLATTERED}"
    assert Checkpoint.from_row(learned.to_row()) == learned
    old = {key: value for key, value in shipped.to_row().items() if key != "learned_cases"}
    assert Checkpoint.from_row(old).learned_cases == ()
