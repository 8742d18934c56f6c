"""The manifest of trained weights, and the only place that loads one.

TorchScript files run code when they are loaded and carry no checksum that torch looks at. So a file is
read only if weights/manifest.json names it, and only after its sha256 matched. Nobody can upload one.
"""

import functools
import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from httpx2 import HTTPError  # what huggingface_hub raises when the line breaks
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from livdemo.errors import InputError
from livdemo.intensity import Preprocessing

FLATTERED = "Its livers here say little: it learned from slices of this case."


@dataclass(frozen=True)
class Checkpoint:
    """What a training run fixes, as one row of the manifest: enough to run the file without its class."""

    model: str
    title: str
    preset: str
    file: str  # name in the weights folder, and in the Hub repository
    sha256: str
    bytes: int
    parameters: int
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    input_kind: str
    size_multiple: int
    largest_component: bool  # keep only the largest connected liver of the volume
    trained_on: str  # one sentence: data, patients, split
    weak: str  # what these weights cannot do, one sentence for header, table and exports; "" if nothing
    validation: dict[str, float]  # Dice on held-out patients; of weights trained on everybody, the cross-validated mean
    seed: int
    commit: str  # of the code that trained it
    licence: str  # of the weights
    hub: dict[str, str] = field(default_factory=dict)  # repo and revision (a commit sha), if published
    margin: int = 0  # mirrored pixels on each side of a valid-padding network's input
    sequence: int = 1  # slices that a "slice sequence" network sees at once
    depth: int = 1  # slices of a block of a "3D" or "phases" network
    phases: tuple[str, ...] = ()  # contrast phases that a "phases" network reads, in the order of time
    neck_mm: float = 0.0  # what hangs on that liver by a neck thinner than this is cut off (pieces.py); 0: nothing
    speck_ml: float = 0.0  # tumours smaller than this are dropped (pieces.py); 0: none
    fat_hu: float | None = None  # where a CT is darker nothing is liver (predictor.in_tissue); None: only gas is not
    run: str = ""  # key of the run in the log of results whose figures speak for it
    learned_cases: tuple[str, ...] = ()  # cases of the catalogue of which slices were among what it learned from

    def weak_on(self, case_name: str) -> str:
        """What these weights cannot do, with what that means for one case."""
        seen = FLATTERED if case_name in self.learned_cases else ""
        return " ".join(filter(None, (self.weak, seen)))

    def to_row(self) -> dict[str, Any]:
        """Plain values for manifest.json."""
        return {**asdict(self), "preprocessing": self.preprocessing.to_dict()}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Checkpoint":
        """The reverse of to_row; TypeError or ValueError for a row that is not one."""
        row = dict(row)
        preprocessing = Preprocessing.from_dict(row.pop("preprocessing"))
        row["labels"], row["phases"] = tuple(row["labels"]), tuple(row.get("phases", ()))
        row["learned_cases"] = tuple(row.get("learned_cases", ()))
        return cls(preprocessing=preprocessing, **row)


def weights_folder() -> Path:
    """LIVDEMO_WEIGHTS, or weights/ beside the package."""
    return Path(os.environ.get("LIVDEMO_WEIGHTS") or Path(__file__).parent.parent / "weights")


def read_manifest(folder: Path | None = None) -> list[Checkpoint]:
    """All rows of manifest.json; an absent file is an empty list, a damaged one an InputError."""
    path = (folder or weights_folder()) / "manifest.json"
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text())["checkpoints"]
        return [Checkpoint.from_row(row) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); restore it with `git checkout` or export again.") from error


def write_manifest(checkpoints: list[Checkpoint], folder: Path | None = None) -> Path:
    """Write the rows, sorted by model, beside and rename."""
    path = (folder or weights_folder()) / "manifest.json"
    part = path.with_suffix(".part")
    part.write_text(manifest_text(checkpoints))
    part.replace(path)
    return path


def manifest_text(checkpoints: list[Checkpoint]) -> str:
    """The rows as manifest.json holds them, sorted by model."""
    rows = [c.to_row() for c in sorted(checkpoints, key=lambda c: c.model)]
    return json.dumps({"format": 1, "checkpoints": rows}, indent=2, ensure_ascii=False) + "\n"


def find_checkpoint(model: str) -> Checkpoint:
    """The manifest's row of a model; InputError names those that are trained."""
    rows = {c.model: c for c in read_manifest()}
    if model not in rows:
        trained = ", ".join(rows) or "none yet"
        raise InputError(f"There are no trained weights for {model!r}; trained are: {trained}.")
    return rows[model]


def fetch(checkpoint: Checkpoint) -> bytes:
    """The checkpoint's file, from the weights folder or else from the Hub, after its sha256 matched.

    The file is read once and the same bytes are hashed and loaded. What the Hub's cache holds may have been damaged
    since: it is then deleted and fetched once more. InputError says what to do when the file is nowhere, when the
    Hub cannot be reached or breaks off, or when the content is not what the manifest pins.
    """
    path = weights_folder() / checkpoint.file
    if path.exists():
        content = path.read_bytes()
        if _is_pinned(content, checkpoint):
            return content
        mend = "it will be fetched from the Hub" if checkpoint.hub else "get it back with `git checkout weights`"
        raise InputError(f"{_not_pinned(content, checkpoint)}; delete {path}, and {mend}.")
    return _pull(checkpoint)


def _pull(checkpoint: Checkpoint) -> bytes:
    """The file from the Hub or its cache; a copy with another hash never stays in the cache."""
    for _ in range(2):
        path = _download(checkpoint)
        content = path.read_bytes()
        if _is_pinned(content, checkpoint):
            return content
        _delete_cached(path, _not_pinned(content, checkpoint))
    hub = checkpoint.hub
    raise InputError(
        f"{_not_pinned(content, checkpoint)}; {hub['repo']} gave it twice at revision {hub['revision'][:12]} and its "
        f"copy was deleted, so publish it again (python -m train.publish) or put the file into {weights_folder()}."
    )


def _is_pinned(content: bytes, checkpoint: Checkpoint) -> bool:
    return hashlib.sha256(content).hexdigest() == checkpoint.sha256


def _not_pinned(content: bytes, checkpoint: Checkpoint) -> str:
    found = hashlib.sha256(content).hexdigest()
    return (
        f"{checkpoint.file} is not the file that the manifest pins (sha256 {found[:12]}… instead of "
        f"{checkpoint.sha256[:12]}…), so it was not loaded"
    )


def _delete_cached(path: Path, why: str) -> None:
    """Remove the content that a name in the Hub's cache links to; the client then fetches it again."""
    try:
        path.resolve().unlink()
    except OSError as error:  # a cache that belongs to somebody else
        raise InputError(f"{why}; delete {path.resolve()}, and it will be fetched again.") from error


def _download(checkpoint: Checkpoint) -> Path:
    if not checkpoint.hub:
        raise InputError(
            f"{checkpoint.file} is missing from {weights_folder()} and is not on the Hub; "
            f"get it back with `git checkout weights`, or train it: python -m train {checkpoint.model}."
        )
    repo, revision = checkpoint.hub["repo"], checkpoint.hub["revision"]
    try:
        return Path(huggingface_hub.hf_hub_download(repo, checkpoint.file, revision=revision))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        answered = f" ({hub_reason(error.__cause__)})" if isinstance(error.__cause__, HfHubHTTPError) else ""
        raise InputError(
            f"{checkpoint.file} is not here yet and the Hugging Face Hub cannot be reached{answered}; connect once, "
            f"or put the file into {weights_folder()}."
        ) from error
    except HUB_ERRORS as error:
        raise InputError(
            f"{checkpoint.file} could not be fetched from {repo} at revision {revision[:12]}: {hub_reason(error)}; "
            f"try again, or put the file into {weights_folder()}."
        ) from error


HUB_ERRORS = (HTTPError, OSError, ValueError)  # all that the client documents: the Hub, the line or the disk, names
_STATUS = {
    401: "the token is not valid (HF_TOKEN or `hf auth login`)",
    403: "the token has no right to do that",
    409: "that is there already",
    412: "somebody else changed the repository at the same time",
}


def hub_reason(error: BaseException) -> str:
    """Why the Hub, the line to it or the disk failed: the end of a sentence, without its full stop."""
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private and the token (HF_TOKEN) may not read it"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, RemoteEntryNotFoundError):
        return "the repository has no such file at this revision"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return _STATUS.get(status) or f"the Hub answered {status} {error.server_message or ''}".strip()
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, HTTPError | LocalEntryNotFoundError):  # the client has tried to resume before it gave up
        return "the Hub cannot be reached, or the connection broke off"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_torchscript(content: bytes, device: str = "cpu") -> torch.jit.ScriptModule:
    """The network in a file's bytes, as it was saved. It is code: only for bytes that are pinned or one's own.

    RuntimeError where the bytes are no TorchScript.
    """
    model: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(content), map_location=device)
    return model


@functools.lru_cache(maxsize=32)
def load_model(checkpoint_sha256: str, device: str) -> torch.jit.ScriptModule:
    """The model with that hash, ready to run: float32, eval, channels-last. Loaded once, never written to.

    The hash, not a path, is the key, so every visitor shares one read-only model and nobody can name a file.
    """
    checkpoint = next((c for c in read_manifest() if c.sha256 == checkpoint_sha256), None)
    if checkpoint is None:
        raise InputError(f"No checkpoint with sha256 {checkpoint_sha256[:12]}… is in the manifest.")
    try:
        model = read_torchscript(fetch(checkpoint), device)
    except RuntimeError as error:  # the pinned bytes are no TorchScript: the export went wrong
        raise InputError(f"{checkpoint.file} is no TorchScript file; export it again.") from error
    # Stored in half precision to stay small; halves are slow on a CPU and are widened here. Without gradients, or
    # TorchScript would specialise the shared model for the first caller's gradient mode and fail for the next.
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model = model.float().eval()
    in_3d = any(parameter.ndim == 5 for parameter in model.parameters())  # for them torch has another format
    if not in_3d:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists it not
    return model
