"""A package index and a model hub on loopback, and models made up on the spot."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from models.store import Store

CHUNK_BYTES = 16_384


@dataclass(kw_only=True)
class Request:
    """What a client asked for and got."""

    path: str
    headers: Mapping[str, str]
    sent_bytes: int = 0


@dataclass(kw_only=True)
class LoopbackServer:
    """Serves files, and pages that list them as a package index does."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """By path."""
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    knows_ranges: bool = True
    bytes_per_s: float = 0.0
    """0 for as fast as it goes."""
    break_after_bytes: list[int] = field(default_factory=list)
    """After how many bytes the next transfers break off, first one first."""
    password: str = ""
    """Asked for where it is set."""

    @property
    def index_url(self) -> str:
        return f"{self.url}/simple/"

    def publish(self, filename: str, content: bytes) -> None:
        """Put an archive into the index."""
        self.files[f"/files/{filename}"] = content

    def downloads(self) -> list[Request]:
        """Return the requests for files, without those for pages."""
        return [request for request in self.requests if request.path in self.files]

    def page(self, project: str) -> bytes | None:
        """Return the page of a project, None where it has no files."""
        names = [path.removeprefix("/files/") for path in self.files]
        wanted = [name for name in names if _project(name) == project]
        links = "".join(f'<a href="/files/{quote(name)}">{name}</a>' for name in wanted)
        return f"<!DOCTYPE html><html>{links}</html>".encode() if links else None


def _project(filename: str) -> str:
    stem = filename.removesuffix(".tar.gz")
    name = stem.rpartition("-")[0] if stem != filename else stem.partition("-")[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def _build_handler(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # clients are killed
                super().handle()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path)
            request = Request(path=path, headers=dict(self.headers.items()))
            server.requests.append(request)
            if server.password and server.password not in self.headers.get(
                "Authorization", ""
            ):
                self._answer(401, b"")
            elif path in server.redirects:
                self.send_response(302)
                self.send_header("Location", server.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path in server.files:
                self._send_file(request, server.files[path])
            elif page := server.page(path.removeprefix("/simple/").strip("/")):
                self._answer(200, page)
            else:
                self._answer(404, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send_file(self, request: Request, content: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked and server.knows_ranges else 0
            if start and start >= len(content):
                self._answer(416, b"")
                return
            self.send_response(206 if start else 200)
            if start:
                span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            left = server.break_after_bytes.pop(0) if server.break_after_bytes else -1
            for position in range(start, len(content), CHUNK_BYTES):
                chunk = content[position : position + CHUNK_BYTES]
                if 0 <= left < len(chunk):
                    chunk = chunk[:left]
                try:
                    self.wfile.write(chunk)
                except OSError:  # the client is gone
                    self.close_connection = True
                    return
                request.sent_bytes += len(chunk)
                left -= len(chunk)
                if left == 0:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                if server.bytes_per_s:
                    time.sleep(len(chunk) / server.bytes_per_s)

    return Handler


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """Yield a server on loopback."""
    described = LoopbackServer()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _build_handler(described))
    listening.daemon_threads = True
    described.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    yield described
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Return the settings of a user with an empty home who has set nothing yet."""
    for key in list(os.environ):
        if (
            key.startswith(("PIP_", "UV_", "HF_", "HEADSIDE_"))
            or "proxy" in key.lower()
        ):
            monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # pip then reads no other file
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return monkeypatch


@pytest.fixture
def index(server: LoopbackServer, settings: pytest.MonkeyPatch) -> LoopbackServer:
    """Return a loopback server that is the user's package index."""
    settings.setenv("PIP_INDEX_URL", server.index_url)
    return server


@pytest.fixture
def store(settings: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """Return the user's store, empty; its manifests are the test's own."""
    root = tmp_path / "cache"
    settings.setenv("HEADSIDE_CACHE", str(root))
    return Store(root, manifest_folders=(root / "manifests",))


def build_wheel(members: Mapping[str, bytes]) -> bytes:
    """Return a wheel with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def build_sdist(members: Mapping[str, bytes]) -> bytes:
    """Return an sdist with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


Parts = tuple[tuple[str, bytes], ...]
"""Where the parts of a file come from, and the bytes that its manifest promises."""


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes archives, publishes them, and writes the manifests that name them."""

    store: Store
    server: LoopbackServer

    def wheel(self, project: str, members: Mapping[str, bytes]) -> str:
        """Publish a wheel, version 1.0; return its file name."""
        filename = f"{project}-1.0-py3-none-any.whl"
        self.server.publish(filename, build_wheel(members))
        return filename

    def sdist(self, project: str, members: Mapping[str, bytes]) -> str:
        """Publish an sdist, version 1.0; return its file name."""
        filename = f"{project}-1.0.tar.gz"
        self.server.publish(filename, build_sdist(members))
        return filename

    def manifest(
        self, name: str, files: Mapping[str, Parts], archives: tuple[str, ...] = ()
    ) -> None:
        """Write the manifest of a model made of published archives."""
        lines = [f'name = "{name}"', 'kind = "test"', 'format = "bytes"']
        lines += [
            'licence = "CC0-1.0"',
            'upstream = "a test"',
            'provenance = "made up"',
        ]
        for filename in archives:
            content = self.server.files[f"/files/{filename}"]
            lines += ["[[archives]]", f'project = "{_project(filename)}"']
            lines += ['version = "1.0"', f"filename = {json.dumps(filename)}"]
            lines += _sums(content)
        for path, parts in files.items():
            whole = b"".join(content for _, content in parts)
            lines += ["[[files]]", f"path = {json.dumps(path)}", *_sums(whole)]
            if len(parts) == 1:
                lines.append(f"source = {json.dumps(parts[0][0])}")
                continue
            for source, content in parts:
                lines += ["[[files.parts]]", f"source = {json.dumps(source)}"]
                lines += _sums(content)
        folder = self.store.root / "manifests"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")

    def boat(self, size_bytes: int = 300_000) -> dict[str, bytes]:
        """Publish the model `boat`; return its files.

        One file comes in two packages, one from an sdist; they are not compressible.
        """
        hull, mast, sail = (_noise(seed, size_bytes) for seed in range(3))
        one = self.wheel("boat_one", {"boat_one/hull.1": hull})
        two = self.wheel("boat_two", {"boat_two/hull.2": mast})
        three = self.sdist("boat_three", {"boat_three-1.0/data/sail": sail})
        first = ("pypi:boat-one==1.0!boat_one/hull.1", hull)
        second = ("pypi:boat-two==1.0!boat_two/hull.2", mast)
        third = ("pypi:boat-three==1.0!boat_three-1.0/data/sail", sail)
        files = {"hull.bin": (first, second), "cloth/sail.bin": (third,)}
        self.manifest("boat", files, (one, two, three))
        return {"hull.bin": hull + mast, "cloth/sail.bin": sail}


def _sums(content: bytes) -> list[str]:
    sha256 = hashlib.sha256(content).hexdigest()
    return [f'sha256 = "{sha256}"', f"size_bytes = {len(content)}"]


def _noise(seed: int, size_bytes: int) -> bytes:
    return hashlib.shake_256(bytes([seed])).digest(size_bytes)


@pytest.fixture
def maker(store: Store, index: LoopbackServer) -> Maker:
    """Return a maker of models for the user's store and index."""
    return Maker(store=store, server=index)


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """Runs `headside models` in a process of its own."""

    command: tuple[str, ...]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [*self.command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, check=False
        )


@pytest.fixture
def headside_models() -> CommandLine:
    """Return the command line, which finds the test's store by its environment."""
    code = "from edge.cli import main; main()"
    return CommandLine(command=(sys.executable, "-c", code, "models"))
