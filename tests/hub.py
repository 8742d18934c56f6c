"""A Hugging Face Hub on loopback: as much of it as the genuine client needs to create, upload, tag and download.

What a test may look at or change:
  files[(repo, commit)][name] = content      the trees of all commits; a test may put some there itself
  heads[repo], tags[(repo, tag)]             commits by name
  objects[sha256]                            large files that were uploaded, committed or not
  requests                                   "METHOD /path" of everything asked, in order
  sent                                       bytes of files that were downloaded so far
  corrupt                                    names that are served with one bit changed, under the right hash
  cut_after                                  one download breaks off after so many bytes
  die_after                                  so many bytes into an upload or a download the Hub is dead
  die_at                                     dead after it did what a request to such a path asked, without answering
  dead                                       takes connections and closes them; False brings it back
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_loopback_writer", "hf_loopback_reader"  # tokens; any other one is not known here
FIRST_COMMIT = {".gitattributes": b"*.ts filter=lfs diff=lfs merge=lfs -text\n"}


@dataclass(frozen=True)
class Request:
    """What came in, without the transport."""

    method: str
    path: str
    body: bytes
    token: str | None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What goes out."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    download: bool = False  # may be asked for in parts, cut off or killed


class Refused(Exception):
    """An answer with an error status; `code` is the Hub's X-Error-Code."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message or code)
        self.status, self.code = status, code


class LoopbackHub:
    """Repositories of models at commits, on a port of this computer while the context is open."""

    def __init__(self, port: int) -> None:
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.heads: dict[str, str] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.private: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.sent = 0
        self.corrupt: set[str] = set()
        self.cut_after: int | None = None
        self.die_after: int | None = None
        self.die_at = ""
        self.dead = False
        self.url = f"http://127.0.0.1:{port}"
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "LoopbackHub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def uploads(self) -> list[str]:
        """Requests that brought content: large files and commits."""
        return [r for r in self.requests if r.startswith("PUT ") or "/commit/" in r]

    def answer(self, request: Request) -> Answer:
        """Find the endpoint and ask it. Raises Refused."""
        for methods, pattern, endpoint in ENDPOINTS:
            found = re.fullmatch(pattern, request.path)
            if found and request.method in methods:
                return endpoint(self, request, **found.groupdict())
        raise Refused(404, message=f"no endpoint for {request.method} {request.path}")

    def commit(self, repo: str, files: dict[str, bytes], summary: str = "") -> str:
        """Make `files` the tree of a new commit on main; its sha."""
        listing = sorted((name, hashlib.sha1(content).hexdigest()) for name, content in files.items())
        sha = hashlib.sha1(json.dumps([self.heads.get(repo), summary, listing]).encode()).hexdigest()
        self.files[repo, sha] = dict(files)
        self.heads[repo] = sha
        return sha

    def find_commit(self, repo: str, revision: str, token: str | None) -> str:
        """The sha of a branch, tag or sha. Refuses what is not there, and private things to strangers."""
        if not any(known == repo for known, _ in self.files):
            raise Refused(404, "RepoNotFound")
        if repo in self.private and token not in (WRITER, READER):
            raise Refused(401, "RepoNotFound")
        sha = self.tags.get((repo, revision)) or (self.heads.get(repo) if revision == "main" else revision)
        if sha is None or (repo, sha) not in self.files:
            raise Refused(404, "RevisionNotFound")
        return sha

    @staticmethod
    def check_writer(request: Request) -> None:
        """401 for nobody, 403 for somebody without the right."""
        if request.token not in (WRITER, READER):
            raise Refused(401, message="Invalid username or password.")
        if request.token == READER:
            raise Refused(403, message="You don't have the rights to do this.")


def _is_large(start: bytes) -> bool:
    """The Hub keeps binary files as large files, by hash, and the others in the commit."""
    return b"\0" in start[:512]


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _create(hub: LoopbackHub, request: Request) -> Answer:
    hub.check_writer(request)
    asked = request.json()
    repo = f"{asked['organization']}/{asked['name']}"
    there = {"url": f"{hub.url}/{repo}", "name": repo, "id": repo}
    if any(known == repo for known, _ in hub.files):
        return _json(there, status=409)
    hub.commit(repo, FIRST_COMMIT, "initial commit")
    if asked.get("visibility") == "private":
        hub.private.add(repo)
    return _json(there)


def _validate_yaml(hub: LoopbackHub, request: Request) -> Answer:
    good = re.match(r"---\n(?:[a-z_]+:.*\n|- .*\n)+---\n", request.json()["content"])
    errors = [] if good else [{"message": "the front matter is missing or damaged"}]
    return _json({"errors": errors, "warnings": []}, status=400 if errors else 200)


def _preupload(hub: LoopbackHub, request: Request, repo: str, revision: str) -> Answer:
    hub.check_writer(request)
    tree = hub.files[repo, hub.find_commit(repo, revision, request.token)]
    answers = []
    for asked in request.json()["files"]:
        there = tree.get(asked["path"])
        large = _is_large(base64.b64decode(asked["sample"]))
        oid = there and (hashlib.sha256(there).hexdigest() if large else _blob_id(there))
        mode = "lfs" if large else "regular"
        answers.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return _json({"files": answers})


def _lfs_batch(hub: LoopbackHub, request: Request, repo: str) -> Answer:
    hub.check_writer(request)
    answers = []
    for asked in request.json()["objects"]:
        href = f"{hub.url}/lfs/{asked['oid']}"
        actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
        answers.append({**asked, **({} if asked["oid"] in hub.objects else {"actions": actions})})
    return _json({"transfer": "basic", "objects": answers})


def _lfs_upload(hub: LoopbackHub, request: Request, oid: str) -> Answer:
    if hashlib.sha256(request.body).hexdigest() != oid:
        raise Refused(400, message="the content has another hash")
    hub.objects[oid] = request.body
    return Answer()


def _lfs_verify(hub: LoopbackHub, request: Request, oid: str) -> Answer:
    hub.check_writer(request)
    if len(hub.objects.get(oid, b"")) != request.json()["size"]:
        raise Refused(404, message="not uploaded")
    return Answer()


def _commit(hub: LoopbackHub, request: Request, repo: str, revision: str) -> Answer:
    hub.check_writer(request)
    parent = hub.find_commit(repo, revision, request.token)
    files = dict(hub.files[repo, parent])
    summary = ""
    for line in request.body.splitlines():
        what, value = json.loads(line).values()
        if what == "header":
            summary = value["summary"]
            if value.get("parentCommit", parent) != parent:
                raise Refused(412, message="A commit has happened since. Please refresh and try again.")
        elif what == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif what == "lfsFile":
            if value["oid"] not in hub.objects:
                raise Refused(400, message=f"{value['path']} was not uploaded")
            files[value["path"]] = hub.objects[value["oid"]]
        else:
            raise Refused(400, message=f"{what} is not known here")
    sha = hub.commit(repo, files, summary)
    return _json({"commitUrl": f"{hub.url}/{repo}/commit/{sha}", "commitOid": sha, "success": True})


def _info(hub: LoopbackHub, request: Request, repo: str, revision: str | None = None) -> Answer:
    sha = hub.find_commit(repo, revision or "main", request.token)
    siblings = [{"rfilename": name} for name in sorted(hub.files[repo, sha])]
    return _json({"id": repo, "sha": sha, "private": repo in hub.private, "tags": [], "siblings": siblings})


def _tree(hub: LoopbackHub, request: Request, repo: str, revision: str) -> Answer:
    rows = []
    for name, content in sorted(hub.files[repo, hub.find_commit(repo, revision, request.token)].items()):
        row: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _blob_id(content)}
        if _is_large(content):
            row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 132}
        rows.append(row)
    return _json(rows)


def _refs(hub: LoopbackHub, request: Request, repo: str) -> Answer:
    head = hub.find_commit(repo, "main", request.token)
    tags = [
        {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha}
        for (known, tag), sha in hub.tags.items()
        if known == repo
    ]
    branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": head}]
    return _json({"branches": branches, "converts": [], "tags": tags})


def _tag(hub: LoopbackHub, request: Request, repo: str, revision: str) -> Answer:
    hub.check_writer(request)
    tag = request.json()["tag"]
    if (repo, tag) in hub.tags:
        raise Refused(409, message="the tag exists already")
    hub.tags[repo, tag] = hub.find_commit(repo, revision, request.token)
    return _json({})


def _resolve(hub: LoopbackHub, request: Request, repo: str, revision: str, name: str) -> Answer:
    sha = hub.find_commit(repo, revision, request.token)
    content = hub.files[repo, sha].get(name)
    if content is None:
        raise Refused(404, "EntryNotFound")
    headers = {"X-Repo-Commit": sha, "ETag": f'"{_blob_id(content)}"', "Accept-Ranges": "bytes"}
    if _is_large(content):
        headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        headers["X-Linked-Size"] = str(len(content))
    if name in hub.corrupt:
        content = content[:-1] + bytes([content[-1] ^ 1])
    return Answer(content, headers=headers, download=True)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
MODEL = rf"/api/models/{REPO}"
REVISION = r"(?P<revision>[^/]+)"
ENDPOINTS: tuple[tuple[tuple[str, ...], str, Callable[..., Answer]], ...] = (
    (("POST",), "/api/repos/create", _create),
    (("POST",), "/api/validate-yaml", _validate_yaml),
    (("POST",), f"{MODEL}/preupload/{REVISION}", _preupload),
    (("POST",), f"/{REPO}.git/info/lfs/objects/batch", _lfs_batch),
    (("PUT",), r"/lfs/(?P<oid>\w+)", _lfs_upload),
    (("POST",), r"/lfs/(?P<oid>\w+)/verify", _lfs_verify),
    (("POST",), f"{MODEL}/commit/{REVISION}", _commit),
    (("GET",), MODEL, _info),
    (("GET",), f"{MODEL}/revision/{REVISION}", _info),
    (("GET",), f"{MODEL}/tree/{REVISION}", _tree),
    (("GET",), f"{MODEL}/refs", _refs),
    (("POST",), f"{MODEL}/tag/{REVISION}", _tag),
    (("GET", "HEAD"), f"/{REPO}/resolve/{REVISION}/(?P<name>.+)", _resolve),
)


class _Handler(BaseHTTPRequestHandler):
    """The transport: bodies in and out, parts of files, and dying."""

    hub: LoopbackHub

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        body = None if hub.dead else self._read()
        if body is None:  # the connection closes without an answer
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        try:
            answer = hub.answer(Request(self.command, path, body, token))
        except Refused as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)}
            answer = Answer(b"{}", refusal.status, {k: v for k, v in headers.items() if v})
        if hub.die_at and hub.die_at in path:
            hub.dead = True
            return
        self._send(answer)

    do_HEAD = do_POST = do_PUT = do_GET

    def _read(self) -> bytes | None:
        length = int(self.headers.get("Content-Length", 0))
        die_after = self.hub.die_after
        if self.command == "PUT" and die_after is not None and die_after < length:
            self.rfile.read(die_after)
            self.hub.dead = True
            return None
        return self.rfile.read(length)

    def _send(self, answer: Answer) -> None:
        body, status = answer.body, answer.status
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if answer.download else None
        self.send_response(206 if asked else status)
        if asked:
            start = int(asked[1])
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if answer.download:
            body = self._until_the_end(body)
            self.hub.sent += len(body)
        self.wfile.write(body)

    def _until_the_end(self, body: bytes) -> bytes:
        """As much of a download as is sent before it breaks off, which may be all of it."""
        hub = self.hub
        if hub.die_after is not None and hub.die_after < len(body):
            hub.dead = True
            return body[: hub.die_after]
        if hub.cut_after is not None:
            body, hub.cut_after = body[: hub.cut_after], None
        return body

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""
