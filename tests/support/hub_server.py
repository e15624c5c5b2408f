"""A model hub on 127.0.0.1 that speaks the protocol as huggingface_hub uses it, and can fail as a real one does.

Spoken: ``GET /api/models/ID[/revision/REV]``, ``GET /api/models/ID/tree/REV``, ``HEAD`` and ``GET
/ID/resolve/REV/FILE``. Small files are answered at once; weights are redirected to a second address, as the real hub
does with its CDN, with the metadata on the redirect. Both know byte ranges.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from tests.support.http_server import LoopbackServer

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True)
class ServedFile:
    """One file of a repository."""

    path: Path

    @property
    def is_large(self) -> bool:
        return self.path.suffix in {".safetensors", ".bin"}

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def blob_id(self) -> str:
        """git's name of the file: large ones are pointers in git, so any 40 digits will do for them."""
        if self.is_large:
            return self.sha256[:40]
        content = self.path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.blob_id


@dataclass(frozen=True)
class Repo:
    """A repository with one commit, on the branch ``main``."""

    folder: Path
    commit: str

    @cached_property
    def files(self) -> dict[str, ServedFile]:
        return {path.name: ServedFile(path) for path in sorted(self.folder.iterdir())}


@dataclass
class Faults:
    """What goes wrong; nothing does by default.

    Args:
        status: answer everything with this status.
        api_delay_seconds: before every answer of the API.
        file_delay_seconds: before every answer about a file.
        login_page: answer everything with an HTML page, as a network does that wants a password first.
        cut_to: a file really is this long, although its metadata says otherwise.
        break_at: the connection ends once this many bytes of a file are sent, as often as `breaks_left` says.
        flip: a file has the right length and a wrong byte in the middle.
        pause_seconds: between two pieces of a large file.
    """

    status: int | None = None
    api_delay_seconds: float = 0.0
    file_delay_seconds: float = 0.0
    login_page: bool = False
    cut_to: dict[str, int] = field(default_factory=dict)
    break_at: dict[str, int] = field(default_factory=dict)
    breaks_left: int = 0
    flip: set[str] = field(default_factory=set)
    pause_seconds: float = 0.0


class HubServer:
    """The running hub; a context manager.

    Args:
        repos: what it offers, by hub id.

    Attributes:
        endpoint: its address, for HF_ENDPOINT.
        faults: what goes wrong from now on.
        requests: what was asked, as ``METHOD /path``, with the byte range if there was one.
    """

    def __init__(self, repos: dict[str, Repo]) -> None:
        self.repos = repos
        self.faults = Faults()
        self.requests: list[str] = []
        self.stopping = threading.Event()
        self._front = _Server(self)
        self._cdn = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._front.server_port}"
        self.cdn = f"http://localhost:{self._cdn.server_port}"

    def __enter__(self) -> HubServer:
        for server in (self._front, self._cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        for server in (self._front, self._cdn):
            server.shutdown()
            server.server_close()

    def downloads(self, name: str) -> list[str]:
        """The requests that fetched bytes of the file `name` (or of its blob, when it is a large one)."""
        blobs = {repo.files[name].sha256 for repo in self.repos.values() if name in repo.files}
        wanted = (f"/{name}", *(f"/cdn/{blob}" for blob in blobs))
        return [line for line in self.requests if line.startswith("GET") and line.split()[1].endswith(wanted)]


def closed_endpoint() -> str:
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


class _Server(LoopbackServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, hub: HubServer) -> None:
        self.hub = hub
        super().__init__(_Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Tests read `HubServer.requests` instead of stderr."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        byte_range = self.headers.get("Range")
        hub.requests.append(f"{self.command} {path}" + (f" {byte_range}" if byte_range else ""))
        is_api = path.startswith("/api/")
        hub.stopping.wait(hub.faults.api_delay_seconds if is_api else hub.faults.file_delay_seconds)
        if hub.faults.status is not None:
            self._send(hub.faults.status, b"")
        elif hub.faults.login_page:
            self._send(
                200, b"<html>Welcome to our wireless network. Please log in.</html>", {"Content-Type": "text/html"}
            )
        elif path.startswith("/cdn/"):
            self._cdn(path.removeprefix("/cdn/"))
        elif is_api:
            self._api(path.removeprefix("/api/models/"))
        else:
            self._resolve(path.lstrip("/"))

    def _api(self, path: str) -> None:
        name, _, rest = path.partition("/revision/")
        is_tree = "/tree/" in path
        if is_tree:
            name, _, rest = path.partition("/tree/")
        repo = self._repo(name, rest or "main")
        if repo is None:
            return
        if is_tree:
            body: object = [_describe(file) | {"type": "file", "path": path} for path, file in repo.files.items()]
        else:
            siblings = [{"rfilename": path} for path in repo.files]
            body = {"_id": "0", "id": name, "modelId": name, "sha": repo.commit, "siblings": siblings, "private": False}
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        revision, _, filename = rest.partition("/")
        repo = self._repo(name, revision)
        if repo is None:
            return
        commit = {"X-Repo-Commit": repo.commit}
        file = repo.files.get(filename)
        if file is None:
            self._send(404, b"", commit | {"X-Error-Code": "EntryNotFound"})
        elif file.is_large:
            linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
            self._send(302, b"", commit | linked | {"Location": f"{self.server.hub.cdn}/cdn/{file.sha256}"})
        else:
            self._send_file(file, commit | {"ETag": f'"{file.etag}"'})

    def _cdn(self, sha256: str) -> None:
        files = [file for repo in self.server.hub.repos.values() for file in repo.files.values()]
        match = [file for file in files if file.is_large and file.sha256 == sha256]
        if match:
            self._send_file(match[0], {"ETag": f'"{sha256}"'})
        else:
            self._send(404, b"")

    def _repo(self, name: str, revision: str) -> Repo | None:
        repo = self.server.hub.repos.get(name)
        if repo is None:
            # The real hub does not tell a stranger whether a repository is private or not there.
            self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif revision not in ("main", repo.commit):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            return None
        return repo

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, file: ServedFile, headers: dict[str, str]) -> None:
        name, faults = file.path.name, self.server.hub.faults
        size = faults.cut_to.get(name, file.size)
        start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0]) if "Range" in self.headers else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        for header, value in {"Accept-Ranges": "bytes", "Content-Length": str(size - start), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_bytes(file, start, size)

    def _send_bytes(self, file: ServedFile, start: int, size: int) -> None:
        name, faults = file.path.name, self.server.hub.faults
        stop = size
        if faults.breaks_left and start < faults.break_at.get(name, 0):
            faults.breaks_left -= 1
            stop = faults.break_at[name]
            self.close_connection = True
        middle = file.size // 2 if name in faults.flip else -1
        with file.path.open("rb") as source:
            source.seek(start)
            while start < stop and (piece := source.read(min(_PIECE_BYTES, stop - start))):
                if start <= middle < start + len(piece):
                    at = middle - start
                    piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
                self.wfile.write(piece)
                start += len(piece)
                if file.is_large and faults.pause_seconds:
                    self.server.hub.stopping.wait(faults.pause_seconds)


def _describe(file: ServedFile) -> dict[str, object]:
    described: dict[str, object] = {"oid": file.blob_id, "size": file.size}
    if file.is_large:
        described["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 135}
    return described
