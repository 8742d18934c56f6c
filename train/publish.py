"""python -m train.publish --repo-id ORG/NAME: the weights folder as one model repository of the Hugging Face Hub.

    hf auth login                                              once, or set HF_TOKEN (a token that may write)
    python -m train.publish --repo-id ORG/NAME --dry-run       says what would be done
    python -m train.publish --repo-id ORG/NAME --tag v1

Uploads of every model NAME.ts, NAME.md and NAME.golden.npz (NAME.curves.png and NAME.safetensors too, if they lie
there), a manifest.json of all models that the repository holds and a README.md made from it, as one commit; files that
the Hub already has stay as they are. The new commit is written into the rows of weights/manifest.json only after the
Hub was asked for the size and hash of every file at it. Until then nothing local changes, and running it again
completes what broke off.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from livdemo.checkpoints import (
    HUB_ERRORS,
    Checkpoint,
    find_checkpoint,
    hub_reason,
    manifest_text,
    read_manifest,
    weights_folder,
    write_manifest,
)
from livdemo.errors import InputError

NEEDED = (".md", ".golden.npz")  # beside a model's weights
WELCOME = (".curves.png", ".safetensors")  # sent along where they are

README = """---
library_name: pytorch
pipeline_tag: image-segmentation
tags: [medical, ct, liver, torchscript]
license: other
---
# {name}

**For teaching only, not for clinical use.** Networks that outline the liver and its tumours on CT slices, each the
model of a paper, trained and exported with livdemo as TorchScript in half precision.

{table}

The figures were measured on held-out patients; the cards explain them. What each model learned from, and cannot do:

{limits}

## Use

TorchScript files run code when they are loaded, so compare the sha256 of `manifest.json` before `torch.jit.load`, as
livdemo does. The manifest also has the preprocessing and the labels; `NAME.golden.npz` holds a slice in HU and every
fourth logit that the file must give on it.

```python
from huggingface_hub import hf_hub_download

path = hf_hub_download("{repo}", "{file}")
```

## Licence of the weights

{licences}
"""


@dataclass(frozen=True)
class Repository:
    """What the Hub has; head is None when the repository is not there (or not to be seen with this token)."""

    name: str
    head: str | None = None
    private: bool = False
    files: dict[str, RepoFile] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # commit of each


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 after one plain sentence on stderr."""
    about, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m train.publish",
        description=about,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repo-id", help="ORG/NAME (default: where the weights were published before)")
    parser.add_argument("--models", default="all", help="names with commas, or all (the trained ones)")
    parser.add_argument("--tag", help="name for the commit, such as v1")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    asked = parser.parse_args(arguments)
    try:
        rows = _chosen(asked.models)
        publish(asked.repo_id or _published_before(rows), rows, asked.tag, asked.private, asked.dry_run)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def publish(
    repo: str, rows: Sequence[Checkpoint], tag: str | None = None, private: bool = False, dry_run: bool = False
) -> str | None:
    """Bring the rows' files to the Hub repository `repo` and pin its commit in the manifest; returns the commit.

    None after a dry run. InputError when a local file is missing or not what the manifest pins, when there is no
    token or no right, when the tag is taken, or when the Hub cannot be reached or breaks off; the manifest is then
    as it was.
    """
    _check_names(repo, tag)
    files = _local_files(rows)
    api = HfApi()
    there = _look_up(api, repo)
    listed = [*rows, *_other_models(there, {row.model for row in rows})]
    listed = [replace(row, hub={}) for row in sorted(listed, key=lambda row: row.model)]
    files["manifest.json"] = manifest_text(listed).encode()
    files["README.md"] = readme(repo, listed).encode()
    changed = {name: content for name, content in files.items() if not _same(content, there.files.get(name))}
    _check_tag(there, tag, bool(changed))
    _announce(there, files, changed, tag, private)
    if dry_run:
        print("Nothing was changed (--dry-run).")
        return None
    if huggingface_hub.get_token() is None:
        raise InputError("There is no Hugging Face token; run `hf auth login` or set HF_TOKEN to one that may write.")
    commit = _upload(api, there, changed, private, [row.model for row in rows])
    _verify(api, repo, commit, files)
    if tag and tag not in there.tags:
        with _plain_errors(f"{repo} has the files at {commit[:12]} but was not tagged {tag}"):
            api.create_tag(repo, tag=tag, revision=commit)
        print(f"Tagged {tag}.")
    _pin(repo, commit, rows)
    return commit


def _chosen(models: str) -> list[Checkpoint]:
    if models != "all":
        names = dict.fromkeys(part.strip() for part in models.split(","))
        return [find_checkpoint(name) for name in names]
    rows = read_manifest()
    if not rows:
        raise InputError(f"{weights_folder()} holds no trained weights yet; export some: python -m train.export.")
    return rows


def _published_before(rows: Sequence[Checkpoint]) -> str:
    repos = {row.hub["repo"] for row in rows if row.hub}
    if len(repos) != 1:
        raise InputError("Name the repository to publish to: --repo-id ORG/NAME.")
    return repos.pop()


def _check_names(repo: str, tag: str | None) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, re.ASCII):
        raise InputError(f"{repo!r} is no name of a Hub repository; it must look like ORG/NAME.")
    if tag is not None and not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII):
        raise InputError(f"{tag!r} is no tag; use letters, digits, dots and dashes, such as v1.")


def _local_files(rows: Sequence[Checkpoint]) -> dict[str, bytes]:
    """Content by name. The bytes that were checked against the manifest are the bytes that are sent."""
    files = {}
    for row in rows:
        for name in (row.file, *(row.model + ending for ending in (*NEEDED, *WELCOME))):
            path = weights_folder() / name
            if path.is_file():
                files[name] = path.read_bytes()
            elif not name.endswith(WELCOME):
                raise InputError(f"{path} is missing; export {row.model} again, or leave it out with --models.")
        found = hashlib.sha256(files[row.file]).hexdigest()
        if found != row.sha256:
            raise InputError(
                f"{weights_folder() / row.file} is not the file that the manifest pins (sha256 {found[:12]}… instead "
                f"of {row.sha256[:12]}…); export {row.model} again, or get it back with `git checkout weights`."
            )
    return files


def _look_up(api: HfApi, repo: str) -> Repository:
    with _plain_errors(f"{repo} could not be looked up"):
        try:
            info = api.model_info(repo)
        except RepositoryNotFoundError:
            return Repository(repo)
        tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(repo).tags}
        return Repository(repo, info.sha, bool(info.private), _files_at(api, repo, str(info.sha)), tags)


def _files_at(api: HfApi, repo: str, revision: str) -> dict[str, RepoFile]:
    tree = api.list_repo_tree(repo, revision=revision, recursive=True)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _same(content: bytes, there: RepoFile | None) -> bool:
    """Has the Hub this very content? It knows large files by their sha256 and small ones by git's own hash."""
    if there is None or there.size != len(content):
        return False
    if there.lfs is not None:
        return there.lfs.sha256 == hashlib.sha256(content).hexdigest()
    return there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _other_models(there: Repository, chosen: set[str]) -> list[Checkpoint]:
    """The rows of the Hub's own manifest for models that are not published this time."""
    if there.head is None or "manifest.json" not in there.files:
        return []
    with _plain_errors(f"manifest.json of {there.name} could not be read"):
        path = Path(huggingface_hub.hf_hub_download(there.name, "manifest.json", revision=there.head))
    try:
        return [row for row in read_manifest(path.parent) if row.model not in chosen]
    except InputError as error:
        raise InputError(
            f"manifest.json of {there.name} was not written by this version of livdemo ({error.__cause__}); "
            f"delete it on the Hub, or publish to another repository."
        ) from error


def _check_tag(there: Repository, tag: str | None, changing: bool) -> None:
    if tag in there.tags and (changing or there.tags[tag] != there.head):
        raise InputError(
            f"{there.name} has a tag {tag} already, at commit {there.tags[tag][:12]}; choose another --tag."
        )


def _announce(
    there: Repository, files: dict[str, bytes], changed: dict[str, bytes], tag: str | None, private: bool
) -> None:
    """Say what is going to be done."""
    if there.head is None:
        print(f"{there.name} is not on the Hub yet: a new {'private' if private else 'public'} repository.")
    elif private and not there.private:
        print(f"{there.name} is on the Hub already and stays public; --private is for new repositories.")
    for name, content in files.items():
        what = ("changed" if name in there.files else "new") if name in changed else "unchanged"
        print(f"  {what:<10} {name:<32} {len(content) / 1e6:8.3f} MB")
    total = sum(map(len, changed.values())) / 1e6
    print(f"To upload: {len(changed)} of {len(files)} files, {total:.2f} MB" + (f", tag {tag}." if tag else "."))


def _upload(api: HfApi, there: Repository, changed: dict[str, bytes], private: bool, models: list[str]) -> str:
    """The changed files as one commit on main, made after the commit that was looked at; the repository if needed."""
    if there.head is not None and not changed:
        print("The Hub has everything already; nothing was uploaded.")
        return there.head
    with _plain_errors(f"Publishing to {there.name} failed"):
        head = there.head
        if head is None:
            api.create_repo(there.name, private=private)
            head = api.model_info(there.name).sha
        made = api.create_commit(
            there.name,
            [CommitOperationAdd(name, content) for name, content in changed.items()],
            commit_message=f"Weights of {', '.join(models)}",
            parent_commit=head,
        )
    print(f"Uploaded as commit {made.oid}.")
    return made.oid


def _verify(api: HfApi, repo: str, commit: str, files: dict[str, bytes]) -> None:
    """Ask the Hub for the size and hash of every file at the commit."""
    with _plain_errors(f"{repo} could not be checked at {commit[:12]}"):
        there = _files_at(api, repo, commit)
    wrong = [name for name, content in files.items() if not _same(content, there.get(name))]
    if wrong:
        raise InputError(f"{repo} has other content at {commit[:12]} than was sent: {', '.join(wrong)}; run it again.")
    print(f"Checked: the Hub has all {len(files)} files with the same hashes.")


def _pin(repo: str, commit: str, rows: Sequence[Checkpoint]) -> None:
    """Write the commit into the manifest's rows and say what to do next."""
    published = {row.model: row.sha256 for row in rows}
    before = read_manifest()  # again: an export may have finished meanwhile
    hub = {"repo": repo, "revision": commit}
    after = [replace(row, hub=hub) if published.get(row.model) == row.sha256 else row for row in before]
    path = weights_folder() / "manifest.json"
    if after == before:
        print(f"{path} pins this commit already.")
        return
    write_manifest(after)
    print(f"{path} now pins {', '.join(published)} to {repo} at {commit}.")
    print("Next: commit the manifest; a weights file that is not in the folder is then fetched when it is first used.")


@contextmanager
def _plain_errors(what: str) -> Iterator[None]:
    """Turn what the Hub's client raises into one sentence that begins with `what`."""
    try:
        yield
    except (RuntimeError, *HUB_ERRORS) as error:
        # The client wraps the failure of one file's upload into a RuntimeError.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        mend = "" if isinstance(cause, HfHubHTTPError) else "; run it again to go on where it stopped"
        raise InputError(f"{what}: {hub_reason(cause)}{mend}.") from error


def readme(repo: str, rows: Sequence[Checkpoint]) -> str:
    """The repository's front page in Markdown: what is in it, how good, under which licence, how to get it."""
    figures = list(dict.fromkeys(key for row in rows for key in row.validation))
    header = ["model", "file", "MB", "parameters", *(key.replace("_", " ") for key in figures)]
    cells = [header, ["---"] * len(header), *(_table_row(row, figures) for row in rows)]
    return README.format(
        name=repo.split("/")[1],
        table="\n".join("| " + " | ".join(row) + " |" for row in cells),
        limits="\n".join(f"- **{row.title}**: {row.weak or 'Not studied.'} {row.trained_on}" for row in rows),
        repo=repo,
        file=rows[0].file,
        licences="\n".join(dict.fromkeys(f"- {row.licence}" for row in rows)),
    )


def _table_row(row: Checkpoint, figures: Sequence[str]) -> list[str]:
    values = [f"{row.validation[key]:.3f}" if key in row.validation else "n/a" for key in figures]
    return [f"[{row.title}]({row.model}.md)", f"`{row.file}`", f"{row.bytes / 1e6:.2f}", f"{row.parameters:,}", *values]


if __name__ == "__main__":
    sys.exit(main())
