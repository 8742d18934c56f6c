"""Publishing with the genuine client to a Hub on loopback, and pulling back what was published."""

import csv
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import nibabel
import numpy as np
import pytest
import torch

from livdemo.checkpoints import Checkpoint, fetch, find_checkpoint, load_model, read_manifest, write_manifest
from livdemo.cli import main as livdemo
from livdemo.errors import InputError
from livdemo.models import get_model
from tests.conftest import HUB_PORT
from tests.hub import READER, WRITER, Answer, LoopbackHub, Request
from tests.made_up import block_case
from tests.small_model import write_thresholds
from train.__main__ import main as train
from train.card import weakness
from train.export import golden_logits
from train.export import main as export
from train.publish import main

# What huggingface_hub 2.4 does with its HTTP library when it uploads a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

REPO = "livdemo/weights"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small models, as an export leaves it."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(folder))
    first = _export(folder)
    second = _export(folder, model="other", title="Other", file="other.ts", validation={"liver_dice": 0.5})
    write_manifest([first, second])
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client waits up to 23 s between its tries
    with LoopbackHub(HUB_PORT) as server:
        yield server


def _export(folder: Path, **changes: object) -> Checkpoint:
    """The file, the manifest (of this row alone), the golden slice and the card."""
    checkpoint = write_thresholds(folder, **changes)
    if checkpoint.model == "other":
        network = torch.jit.load(str(folder / "thresholds.ts"))
        network.sharpness.data.fill_(40)
        network.save(str(folder / "other.ts"))
        content = (folder / "other.ts").read_bytes()
        checkpoint = replace(checkpoint, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        write_manifest([checkpoint])
    np.savez_compressed(folder / f"{checkpoint.model}.golden.npz", logits=_logits(checkpoint))
    (folder / f"{checkpoint.model}.md").write_text(f"# {checkpoint.title}\n")
    return checkpoint


def _logits(checkpoint: Checkpoint) -> np.ndarray:
    """What the file gives on a ramp of greys: (3, 32, 32)."""
    ramp = torch.linspace(0, 1, 32 * 32).reshape(1, 1, 32, 32)
    with torch.inference_mode():
        return load_model(checkpoint.sha256, "cpu")(ramp)[0].numpy()


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Publishing must fail with one sentence and leave the manifest alone; the sentence."""
    before = read_manifest()
    assert main(["--repo-id", REPO, *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1, "one sentence"
    assert "Traceback" not in error
    assert read_manifest() == before
    return error


def _empty(weights: Path, tmp_path: Path) -> None:
    """Leave the manifest alone in the folder, and nothing in any cache: another computer."""
    load_model.cache_clear()
    for path in weights.iterdir():
        if path.name != "manifest.json":
            path.unlink()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def test_publish_then_pull_on_another_computer(weights: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    golden = np.load(weights / "thresholds.golden.npz")["logits"]
    content = (weights / "thresholds.ts").read_bytes()
    assert main(["--repo-id", REPO, "--tag", "v1"]) == 0

    commit = hub.tags[REPO, "v1"]
    assert commit == hub.heads[REPO]
    assert {(row.hub["repo"], row.hub["revision"]) for row in read_manifest()} == {(REPO, commit)}
    assert sorted(hub.files[REPO, commit]) == [
        ".gitattributes",
        "README.md",
        "manifest.json",
        *(f"{model}{end}" for model in ("other", "thresholds") for end in (".golden.npz", ".md", ".ts")),
    ]
    _empty(weights, tmp_path)
    hub.requests.clear()
    checkpoint = find_checkpoint("thresholds")
    assert fetch(checkpoint) == content
    assert hub.requests == [f"{how} /{REPO}/resolve/{commit}/thresholds.ts" for how in ("HEAD", "GET")]
    assert np.array_equal(_logits(checkpoint), golden)


def test_train_export_publish_pull(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way of a student's model: one short epoch on two phantoms, then the Hub, then another computer."""
    weights, run = tmp_path / "weights", tmp_path / "run"
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(weights))
    for shape in ("train.__main__.PHANTOM_SHAPE", "train.export.GOLDEN_SHAPE"):
        monkeypatch.setattr(shape, (16, 64, 64))  # quick to render
    asked = ["unet64", "--data", "phantom:0-1", "--size", "32", "--epochs", "1"]
    assert train([*asked, "--out", str(run), "--cache", str(tmp_path / "slices")]) == 0
    assert export(["unet64", str(run)]) == 0
    assert main(["--repo-id", REPO]) == 0
    golden = dict(np.load(weights / "unet64.golden.npz"))
    _empty(weights, tmp_path)
    checkpoint = find_checkpoint("unet64")
    assert golden_logits(checkpoint, golden["hu"]) == pytest.approx(golden["logits"], abs=1e-5)
    assert f"GET /{REPO}/resolve/{hub.heads[REPO]}/unet64.ts" in hub.requests
    assert checkpoint.weak in hub.files[REPO, hub.heads[REPO]]["README.md"].decode()


def test_compare_pulls_what_is_missing(weights: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    case = block_case()
    assert case.reference is not None
    grid = case.volume.grid
    nibabel.Nifti1Image(grid.from_display(case.volume.hu), grid.affine).to_filename(tmp_path / "ct.nii.gz")
    nibabel.Nifti1Image(grid.from_display(case.reference), grid.affine).to_filename(tmp_path / "seg.nii.gz")
    asked = ["compare", str(tmp_path / "ct.nii.gz"), "--reference", str(tmp_path / "seg.nii.gz"), "--device", "cpu"]
    assert livdemo([*asked, "--out", str(tmp_path / "before")]) == 0
    assert main(["--repo-id", REPO]) == 0
    _empty(weights, tmp_path)
    hub.requests.clear()
    assert livdemo([*asked, "--out", str(tmp_path / "after")]) == 0
    first, second = _scores(tmp_path / "before"), _scores(tmp_path / "after")
    assert first == second
    assert {row["model"] for row in first} == {"thresholds", "other"}


def _scores(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k in ("model", "label", "dice", "hd95_mm")} for row in csv.DictReader(file)
        ]


def test_second_time_nothing_is_uploaded(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repo-id", REPO, "--tag", "v1"]) == 0
    before = (weights / "manifest.json").read_bytes()
    hub.requests.clear()
    capsys.readouterr()
    assert main(["--tag", "v1"]) == 0, "the repository is known from the manifest"
    assert hub.uploads() == []
    assert "nothing was uploaded" in capsys.readouterr().out
    assert (weights / "manifest.json").read_bytes() == before


def test_only_what_changed_is_uploaded(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repo-id", REPO]) == 0
    first = hub.heads[REPO]
    (weights / "other.md").write_text("# Another card\n")
    hub.requests.clear()
    capsys.readouterr()
    assert main(["--repo-id", REPO]) == 0
    assert "To upload: 1 of 8 files" in capsys.readouterr().out
    assert hub.uploads() == [f"POST /api/models/{REPO}/commit/main"]
    assert hub.heads[REPO] != first
    assert {row.hub["revision"] for row in read_manifest()} == {hub.heads[REPO]}


def test_one_model_leaves_the_others_listed(weights: Path, hub: LoopbackHub) -> None:
    assert main(["--repo-id", REPO, "--models", "thresholds"]) == 0
    assert find_checkpoint("other").hub == {}
    first = find_checkpoint("thresholds").hub
    assert main(["--repo-id", REPO, "--models", "other"]) == 0
    assert find_checkpoint("thresholds").hub == first
    there = hub.files[REPO, hub.heads[REPO]]
    assert [row["model"] for row in json.loads(there["manifest.json"])["checkpoints"]] == ["other", "thresholds"]
    assert re.findall(r"^\| \[(\w+)\]", there["README.md"].decode(), re.MULTILINE) == ["Other", "Thresholds"]


def test_front_page(weights: Path, hub: LoopbackHub) -> None:
    assert main(["--repo-id", REPO]) == 0
    page = hub.files[REPO, hub.heads[REPO]]["README.md"].decode()
    assert page.startswith("---\nlibrary_name: pytorch\n")
    assert "For teaching only, not for clinical use." in page
    assert re.search(r"\| \[Other\]\(other\.md\) \| `other\.ts` \| 0\.\d\d \| 1 \| 0\.500 \|", page)
    assert re.search(r"\| \[Thresholds\]\(thresholds\.md\) .* \| n/a \|", page)
    assert "It only looks at the grey. Nothing: written by hand." in page


@pytest.mark.parametrize("name", ["other.safetensors", "other.curves.png"])
def test_what_goes_along_if_it_is_there(weights: Path, hub: LoopbackHub, name: str) -> None:
    (weights / name).write_bytes(b"\0" * 100)
    assert main(["--repo-id", REPO]) == 0
    assert name in hub.files[REPO, hub.heads[REPO]]


def test_private(weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["--repo-id", REPO, "--private"]) == 0
    assert hub.private == {REPO}
    _empty(weights, tmp_path)
    assert fetch(find_checkpoint("other"))
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="private and the token"):
        fetch(find_checkpoint("other"))


def test_dry_run_changes_nothing(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    before = (weights / "manifest.json").read_bytes()
    assert main(["--repo-id", REPO, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "new public repository" in out
    assert "To upload: 8 of 8 files" in out
    assert {request.split()[0] for request in hub.requests} == {"GET"}
    assert hub.files == {}
    assert (weights / "manifest.json").read_bytes() == before


def test_the_token_is_never_printed(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repo-id", REPO]) == 0
    hub.die_at = "/commit/"
    (weights / "other.md").write_text("# Another card\n")
    assert main(["--repo-id", REPO]) == 2
    assert WRITER not in "".join(capsys.readouterr())


def test_no_token(
    weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "There is no Hugging Face token; run `hf auth login`" in _refused(capsys)
    assert {request.split()[0] for request in hub.requests} == {"GET"}


@pytest.mark.parametrize(("token", "why"), [(READER, "no right"), ("hf_nobody", "not valid")])
def test_a_token_that_may_not_write(
    weights: Path,
    hub: LoopbackHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    why: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert why in _refused(capsys), "a new repository"
    hub.commit(REPO, {})
    assert why in _refused(capsys), "a repository that is there"
    assert hub.objects == {}


def test_no_hub(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.dead = True
    assert "cannot be reached" in _refused(capsys)


def test_switched_offline(
    weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    assert "HF_HUB_OFFLINE is set" in _refused(capsys)


@pytest.mark.parametrize("name", ["thresholds.ts", "thresholds.md", "thresholds.golden.npz"])
def test_a_missing_file(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (weights / name).unlink()
    assert f"{name} is missing; export thresholds again" in _refused(capsys)
    assert hub.requests == []


def test_a_file_that_the_manifest_does_not_pin(
    weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (weights / "other.ts").read_bytes()
    (weights / "other.ts").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "other.ts is not the file that the manifest pins" in _refused(capsys)
    assert hub.requests == []


def test_nothing_is_trained(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path))
    assert "no trained weights yet" in _refused(capsys)


def test_names_that_are_none(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--repo-id ORG/NAME" in capsys.readouterr().err
    assert main(["--repo-id", "weights"]) == 2
    assert "must look like ORG/NAME" in capsys.readouterr().err
    assert "'v 1' is no tag" in _refused(capsys, "--tag", "v 1")
    assert "no trained weights for 'nobody'" in _refused(capsys, "--models", "nobody")


def test_a_tag_that_is_taken(weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repo-id", REPO, "--tag", "v1"]) == 0
    first = hub.heads[REPO]
    (weights / "other.md").write_text("# Another card\n")
    assert f"a tag v1 already, at commit {first[:12]}" in _refused(capsys, "--tag", "v1")
    assert hub.heads[REPO] == first
    assert main(["--repo-id", REPO, "--tag", "v2"]) == 0
    assert hub.tags == {(REPO, "v1"): first, (REPO, "v2"): hub.heads[REPO]}


# Bytes into a file's upload; the commit itself; the answer to the tag.
@pytest.mark.parametrize(
    "death", [{"die_after": 500}, {"die_at": "/preupload/"}, {"die_at": "/commit/"}, {"die_at": "/tag/"}]
)
def test_a_hub_that_dies_half_way(
    weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str], death: dict[str, object]
) -> None:
    vars(hub).update(death)
    error = _refused(capsys, "--tag", "v1")
    assert "run it again to go on" in error
    vars(hub).update({"dead": False, "die_after": None, "die_at": ""})
    there = len(hub.objects)
    hub.requests.clear()
    assert main(["--repo-id", REPO, "--tag", "v1"]) == 0
    assert hub.tags == {(REPO, "v1"): hub.heads[REPO]}
    assert {row.hub["revision"] for row in read_manifest()} == {hub.heads[REPO]}
    sent = [request for request in hub.requests if request.startswith("PUT ")]
    assert len(sent) == len(hub.objects) - there, "what arrived before is not sent again"


def test_somebody_else_was_faster(
    weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.commit(REPO, {})
    uploaded = hub.answer

    def meanwhile(request: Request) -> Answer:
        if "/commit/" in request.path:
            hub.commit(REPO, {"README.md": b"by somebody else"})
        return uploaded(request)

    monkeypatch.setattr(hub, "answer", meanwhile)
    assert "somebody else changed the repository" in _refused(capsys)
    assert hub.files[REPO, hub.heads[REPO]] == {"README.md": b"by somebody else"}


def test_a_hub_that_kept_something_else(
    weights: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.commit

    def careless(repo: str, files: dict[str, bytes], summary: str = "") -> str:
        return commit(repo, {k: v[:-1] + b"?" if k == "other.ts" else v for k, v in files.items()}, summary)

    monkeypatch.setattr(hub, "commit", careless)
    assert re.search(r"has other content at \w+ than was sent: other\.ts", _refused(capsys, "--tag", "v1"))
    assert hub.tags == {}


def test_a_manifest_of_another_version_on_the_hub(
    weights: Path, hub: LoopbackHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.commit(REPO, {"manifest.json": b'{"checkpoints": [{"model": "x"}]}'})
    assert "not written by this version of livdemo" in _refused(capsys)
    assert list(hub.files[REPO, hub.heads[REPO]]) == ["manifest.json"]


def test_who_learned_from_phantoms_says_which_and_how_well() -> None:
    described = {"split": {"kind": "patient"}, "sources": ["phantom"]}
    drawn = {"train": ["phantom 0", "phantom 1"], "validation": ["phantom 2"]}
    told = weakness(get_model("clstm4d"), described | {"drawn_patients": drawn}, {"tumour_dice": 0.25})
    assert "the built-in one among them" in told
    assert told.endswith("Tumour Dice on 1 held-out phantom was 0.25.")
    drawn = {"train": ["phantom 1"], "validation": []}
    told = weakness(get_model("clstm4d"), described | {"drawn_patients": drawn}, {})
    assert told.endswith("alone and has never seen a real scan: its answers on one mean nothing.")
