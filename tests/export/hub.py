"""A small Hub on loopback: the protocol of the real one, as huggingface_hub speaks it to push, list and download.

Repositories, LFS objects and commits are kept in memory. A test can make it busy (429 with Retry-After), read-only, or
hang while a file is uploaded, so that the client can be killed there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml

TOKEN = "hf_of_the_test"


@dataclass
class Repository:
    """Files of the only branch, and how many commits made them."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub:
    """The state of the server, and how it behaves."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.uploaded: list[str] = []
        self.busy = 0
        self.read_only = False
        self.hang_after: int | None = None
        self.hanging = threading.Event()
        self.started, self.lock = 0, threading.Lock()
        self.endpoint = ""

    def hangs(self) -> bool:
        """Return whether an upload that begins now hangs; a client sends several at once."""
        with self.lock:
            if self.hang_after is not None and self.started >= self.hang_after:
                return True
            self.started += 1
            return False

    def files(self, name: str, kind: str = "dataset") -> dict[str, bytes]:
        """Return the files of a repository."""
        return self.repositories[kind, name].files


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _answer(self, status: int, body: Any = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _allowed(self, repository: Repository | None) -> bool:
        """Return whether the token is right; without it, public repositories can be read."""
        return self.headers.get("Authorization") == f"Bearer {TOKEN}" or bool(
            repository and not repository.private and self.command in ("GET", "HEAD")
        )

    def _found(self, kind: str, name: str) -> Repository | None:
        repository = self.hub.repositories.get((kind, name))
        if not self._allowed(repository):
            self._answer(
                401, {"error": "Invalid username or password."}, X_Error_Message="Invalid username or password."
            )
            return None
        if repository is None:
            self._answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        return repository

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        path, deep = unquote(path), "recursive=true" in query.lower()
        if match := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?", path):
            kind, name, what, _, below = match.groups()
            if repository := self._found(kind, name):
                self._tree(repository, below or "", deep) if what == "tree" else self._info(kind, name, repository)
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path):
            prefix, name, _, file = match.groups()
            if repository := self._found("dataset" if prefix else "model", name):
                self._resolve(repository, file)
        else:
            self._answer(404, {"error": f"no such address: {path}"})

    def _info(self, kind: str, name: str, repository: Repository) -> None:
        info = {
            "id": name,
            "sha": repository.sha,
            "private": repository.private,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "disabled": False,
        }
        self._answer(
            200,
            info | {"gated": False, "siblings": [{"rfilename": file} for file in repository.files], f"{kind}Id": name},
        )

    def _tree(self, repository: Repository, below: str, deep: bool) -> None:
        root = f"{below}/" if below else ""
        inside = {name: blob for name, blob in repository.files.items() if name.startswith(root)}
        if below and not inside:
            return self._answer(404, {"error": "no such entry"}, X_Error_Code="EntryNotFound")
        folders = {"/".join(name.split("/")[:depth]) for name in inside for depth in range(1, name.count("/") + 1)}
        entries = [_entry(name, blob) for name, blob in inside.items()]
        entries += [
            {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
            for name in sorted(folders)
            if name.startswith(root)
        ]
        return self._answer(200, [entry for entry in entries if deep or "/" not in entry["path"].removeprefix(root)])

    def _resolve(self, repository: Repository, file: str) -> None:
        blob = repository.files.get(file)
        if blob is None:
            return self._answer(
                404, {"error": "no such entry"}, X_Error_Code="EntryNotFound", X_Repo_Commit=repository.sha
            )
        headers = {"ETag": f'"{_oid(blob)}"', "X_Repo_Commit": repository.sha, "Accept_Ranges": "bytes"}
        requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if requested is None:
            return self._answer(200, blob, **headers)
        start, end = int(requested[1]), int(requested[2] or len(blob) - 1)
        return self._answer(
            206, blob[start : end + 1], Content_Range=f"bytes {start}-{min(end, len(blob) - 1)}/{len(blob)}", **headers
        )

    def do_POST(self) -> None:
        body, path = self._body(), self.path.split("?")[0]
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if not self._allowed(None):
            return self._answer(401, {"error": "Invalid username or password."})
        if self.hub.busy:
            self.hub.busy -= 1
            return self._answer(429, {"error": "Too many requests"}, Retry_After="1")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if match := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)/(preupload|commit|paths-info)/[^/]+", path):
            kind, name, what = match.groups()
            if (repository := self._found(kind, name)) is None:
                return None
            if what == "commit":
                return self._commit(
                    repository, body, f"{self.hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"
                )
            return {"preupload": self._preupload, "paths-info": self._paths}[what](repository, body)
        return self._answer(404, {"error": f"no such address: {path}"})

    def _validate(self, content: str) -> None:
        """Check the metadata of a card, as the Hub does: there must be a block, and it must be a mapping."""
        block = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        valid = bool(block) and isinstance(yaml.safe_load(block[1]), dict)
        self._answer(200 if valid else 400, {"errors": [] if valid else [{"message": "no metadata"}], "warnings": []})

    def _create(self, request: dict[str, Any]) -> None:
        if self.hub.read_only:
            return self._answer(
                403, {"error": "You do not have the rights to create a repository under this namespace"}
            )
        name = f"{request.get('organization') or 'someone'}/{request['name']}"
        key = (request.get("type") or "model", name)
        url = f"{self.hub.endpoint}/{'datasets/' if key[0] == 'dataset' else ''}{name}"
        if key in self.hub.repositories:
            return self._answer(409, {"error": "You already created this repo", "url": url})
        self.hub.repositories[key] = Repository(
            private=bool(request.get("private") or request.get("visibility") == "private")
        )
        return self._answer(200, {"url": url, "id": name, "name": name})

    def _preupload(self, repository: Repository, body: bytes) -> None:
        files = [
            {"path": file["path"], "shouldIgnore": False, "uploadMode": _mode(file["path"])}
            for file in json.loads(body)["files"]
        ]
        self._answer(200, {"files": files})

    def _batch(self, request: dict[str, Any]) -> None:
        objects = []
        for file in request["objects"]:
            action = {"upload": {"href": f"{self.hub.endpoint}/lfs/{file['oid']}", "header": {}}}
            objects.append(file | ({} if file["oid"] in self.hub.objects else {"actions": action}))
        self._answer(200, {"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def do_PUT(self) -> None:
        blob = self._body()
        hub = self.hub
        if hub.hangs():
            hub.hanging.set()
            threading.Event().wait(60)  # until the client is killed
            return
        oid = self.path.rsplit("/", 1)[-1]
        assert hashlib.sha256(blob).hexdigest() == oid
        hub.objects[oid] = blob
        hub.uploaded.append(oid)
        self._answer(200)

    def _commit(self, repository: Repository, body: bytes, url: str) -> None:
        if self.hub.read_only:
            return self._answer(403, {"error": "read only"})
        files = dict(repository.files)
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repository.files, repository.commits = files, repository.commits + 1
        return self._answer(200, {"commitUrl": f"{url}/commit/{repository.sha}", "commitOid": repository.sha})

    def _paths(self, repository: Repository, body: bytes) -> None:
        request = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode()).get("paths", [])
        files = [_entry(name, repository.files[name]) for name in request if name in repository.files]
        folders = [name for name in request if any(file.startswith(f"{name}/") for file in repository.files)]
        self._answer(200, files + [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders])


def _mode(path: str) -> str:
    return "lfs" if path.endswith((".parquet", ".safetensors", ".flac")) else "regular"


def _oid(blob: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()


def _entry(name: str, blob: bytes) -> dict[str, Any]:
    info: dict[str, Any] = {"type": "file", "path": name, "size": len(blob), "oid": _oid(blob)}
    if _mode(name) == "lfs":
        info["lfs"] = {"oid": hashlib.sha256(blob).hexdigest(), "size": len(blob), "pointerSize": 130}
    return info


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a Hub on a free port of loopback."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
