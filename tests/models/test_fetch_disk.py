"""Fetching onto disks that are full, small or not to be written to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.errors import ModelError
from models.fetch import fetch
from models.stamp import STAMPS_FILE
from models.store import Store

if TYPE_CHECKING:
    from tests.models.conftest import LoopbackServer, Maker

RUN = "from edge.cli import main; main()"
BLIND = "import shutil; shutil.disk_usage = lambda _: type('', (), {'free': 1 << 40})"
"""Makes a process believe in any amount of room: another one may take what was free."""


AS_TOLD = "--options-mode ignore"
"""Keeps `mount` from adding the owner, whom a user namespace of its own cannot name."""


def in_own_mounts(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount over what only it sees."""
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-ec", script],
        capture_output=True,
        text=True,
        check=False,
    )


def on_small_disk(store: Store, size: str) -> str:
    """Return the beginning of a script that puts the store on a disk of that size."""
    kept = store.root.with_name("kept")
    return (
        f"cp -r {store.root} {kept}\n"
        f"mount -t tmpfs -o size={size} tmpfs {store.root}\n"
        f"cp -r {kept}/manifests {store.root}\n"
    )


def headside(*arguments: str, code: str = RUN) -> str:
    """Return the line of a script that runs the command."""
    return f'{sys.executable} -c "{code}" models {" ".join(arguments)}\n'


@pytest.mark.requires_system("util-linux")
def test_a_small_disk_is_seen_before_anything_is_asked_for(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    maker.boat(size_bytes=1_000_000)

    done = in_own_mounts(on_small_disk(store, "2m") + headside("fetch", "boat"))

    assert done.returncode == 1
    assert "4.0 MB (4" in done.stderr
    assert "are needed" in done.stderr
    assert "are free" in done.stderr
    assert "Traceback" not in done.stderr
    assert index.requests == []


@pytest.mark.requires_system("util-linux")
@pytest.mark.parametrize("size", ["900k", "2500k"])  # while downloading, unpacking
def test_a_disk_that_fills_up_loses_nothing(
    store: Store, maker: Maker, index: LoopbackServer, size: str
) -> None:
    maker.boat(size_bytes=1_000_000)

    done = in_own_mounts(
        on_small_disk(store, size)
        + f"if {headside('fetch', 'boat', code=f'{BLIND}; {RUN}')}"
        + "then exit 99; fi\n"
        + f"mount {AS_TOLD} -o remount,size=16m {store.root}\n"
        + headside("fetch", "boat")
        + headside("verify", "boat")
    )

    assert done.returncode == 0, done.stderr
    assert "The disk filled up" in done.stderr
    assert "Traceback" not in done.stderr
    sent = sum(request.sent_bytes for request in index.downloads())
    assert sent < 3_500_000  # the archives once, and not one of them again


@pytest.mark.requires_system("util-linux")
def test_a_read_only_disk_is_named(store: Store, maker: Maker) -> None:
    maker.boat()

    done = in_own_mounts(
        on_small_disk(store, "16m")
        + f"mount {AS_TOLD} -o remount,ro {store.root}\n"
        + headside("fetch", "boat")
    )

    assert done.returncode == 1
    assert f"Cannot write {store.root}" in done.stderr
    assert "HEADSIDE_CACHE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.requires_system("util-linux")
def test_models_on_a_read_only_disk_are_used(store: Store, maker: Maker) -> None:
    maker.boat()
    (folder,) = fetch(store, "boat")
    (folder / STAMPS_FILE).unlink()

    done = in_own_mounts(
        f"mount --bind {store.root} {store.root}\n"
        f"mount -o remount,bind,ro {store.root}\n"
        + headside("path", "boat")
        + headside("fetch", "boat")
    )

    assert done.stdout == f"{folder}\n{folder}\n", done.stderr


def test_a_cache_beneath_a_file_is_named(
    store: Store, maker: Maker, tmp_path: Path
) -> None:
    maker.boat()
    (tmp_path / "file").write_bytes(b"")
    root = tmp_path / "file" / "cache"
    blocked = Store(root, manifest_folders=(store.root / "manifests",))

    with pytest.raises(ModelError) as caught:
        fetch(blocked, "boat")

    assert caught.value.code == "cache_unwritable"
    assert str(root) in caught.value.message
