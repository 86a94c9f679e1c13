"""`headside serve` as a process of its own, for a benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A service that listens."""

    port: int
    secret: bytes
    ready_s: float
    """Since its process was started."""


def _ignored(_pid: int) -> None:
    pass


@contextmanager
def serving(
    pack: str, *, threads: int, started: Callable[[int], None] = _ignored
) -> Iterator[Served]:
    """Serves a pack while the block runs.

    Args:
        pack: Its name.
        threads: For each engine.
        started: Told the process, before it is ready.
    """
    # Python keeps what it compiles, as it does where nobody says otherwise.
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        secret_file = Path(folder) / "secret"
        command = [
            *(sys.executable, "-m", "edge.cli", "serve", pack, "--port", "0"),
            *("--json", "--secret-file", str(secret_file), "--threads", str(threads)),
        ]
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        ) as server:
            started(server.pid)
            assert server.stdout is not None  # noqa: S101 - it is a pipe
            told = json.loads(server.stdout.readline())
            ready_s = time.perf_counter() - began
            try:
                yield Served(
                    port=told["port"],
                    secret=secret_file.read_bytes(),
                    ready_s=ready_s,
                )
            finally:
                server.terminate()
