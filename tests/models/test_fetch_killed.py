"""A fetch that is killed: nothing half-written counts, and the next run goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from models.errors import ModelError
from models.fetch import fetch
from models.store import State, Store

if TYPE_CHECKING:
    from tests.models.conftest import CommandLine, LoopbackServer, Maker

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
"""Audit events of what changes the disk; files opened for writing do so too."""


def assert_absent_or_whole(store: Store, boat: dict[str, bytes]) -> None:
    """Assert that a model is not to be seen, or is right to the last byte."""
    if store.state("boat") is not State.MISSING:
        folder = store.path("boat")
        assert {name: (folder / name).read_bytes() for name in boat} == boat


def kill_at_random(
    store: Store, index: LoopbackServer, command: CommandLine, n_kills: int
) -> None:
    """Kill fetches of the boat, each within the time that a whole one takes."""
    moments = random.Random(20260101)  # noqa: S311
    n_died = 0
    for _ in range(n_kills):
        n_requests = len(index.requests)
        process = command.start("fetch", "boat")
        while len(index.requests) == n_requests and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.4))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            n_died += 1
        process.communicate()
        if store.state("boat") is not State.MISSING:
            store.path("boat")  # fails where it is not whole
            store.remove("boat")
    assert n_died > n_kills / 3


def fetch_after_kills(
    maker: Maker, index: LoopbackServer, command: CommandLine, n_kills: int
) -> None:
    """Kill a fetch many times, then let one come to its end."""
    boat = maker.boat(size_bytes=600_000)
    index.bytes_per_s = 1_500_000
    kill_at_random(maker.store, index, command, n_kills)
    index.bytes_per_s = 0

    fetch(maker.store, "boat")

    assert_absent_or_whole(maker.store, boat)
    assert maker.store.state("boat") is State.READY
    assert any("Range" in request.headers for request in index.downloads())


def test_killed_at_ten_random_moments(
    maker: Maker, index: LoopbackServer, headside_models: CommandLine
) -> None:
    fetch_after_kills(maker, index, headside_models, n_kills=10)


@pytest.mark.slow
def test_killed_at_a_hundred_random_moments(
    maker: Maker, index: LoopbackServer, headside_models: CommandLine
) -> None:
    fetch_after_kills(maker, index, headside_models, n_kills=100)


def test_killed_before_every_change_of_the_disk(
    store: Store, maker: Maker, settings: pytest.MonkeyPatch
) -> None:
    boat = maker.boat(size_bytes=60_000)
    skip_slow_settings(settings)
    n_kills = 0

    while fetch_dies(store, before_change=n_kills + 1):
        n_kills += 1
        assert_absent_or_whole(store, boat)
        fetch(store, "boat")
        assert_absent_or_whole(store, boat)
        assert store.state("boat") is State.READY
        for folder in ("models", "staging", "downloads", "locks"):
            shutil.rmtree(store.root / folder, ignore_errors=True)

    assert n_kills > 30
    assert store.state("boat") is State.READY


def test_killed_while_an_altered_model_is_mended(
    store: Store, maker: Maker, settings: pytest.MonkeyPatch
) -> None:
    boat = maker.boat(size_bytes=60_000)
    skip_slow_settings(settings)
    fetch(store, "boat")
    n_kills = 0

    while alter(store) and fetch_dies(store, before_change=n_kills + 1):
        n_kills += 1
        try:
            assert_absent_or_whole(store, boat)
        except ModelError as error:
            assert error.code == "model_altered"  # noqa: PT017
        fetch(store, "boat")
        assert_absent_or_whole(store, boat)

    assert n_kills > 20
    assert_absent_or_whole(store, boat)


def skip_slow_settings(settings: pytest.MonkeyPatch) -> None:
    """Leave out what takes long at the start of a fetch and changes nothing."""
    settings.setattr("models.index._pip_files", lambda _: {})
    settings.setattr("models.index.IndexSettings.tls_context", lambda _: False)


def alter(store: Store) -> bool:
    """Alter one file of the boat."""
    (store.path("boat") / "cloth" / "sail.bin").write_bytes(b"torn")
    return True


def fetch_dies(store: Store, *, before_change: int) -> bool:
    """Return whether a fetch in a forked process is killed before that many changes."""
    child = os.fork()
    if child == 0:
        _die_before_change(before_change)
        try:
            fetch(store, "boat")
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _die_before_change(n_changes: int) -> None:
    n_left = n_changes

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal n_left
        opens = event == "open" and "/cache/" in str(arguments[0])
        writes = opens and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if writes or event in CHANGES:
            n_left -= 1
            if n_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
