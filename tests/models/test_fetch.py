"""Fetching: what arrives is whole and right, or it is not there at all."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from models.errors import ModelError
from models.fetch import fetch
from models.progress import Progress, Step
from models.store import State, Store

if TYPE_CHECKING:
    from tests.models.conftest import CommandLine, LoopbackServer, Maker


def contents(folder: Path) -> dict[str, bytes]:
    """Return what a model's folder holds, without what is the store's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def leftovers(store: Store) -> list[Path]:
    """Return what lies about in the store beside complete models."""
    return [
        path
        for place in ("staging", "downloads")
        for path in (store.root / place).rglob("*")
        if path.is_file()
    ]


def failure(store: Store, *names: str) -> ModelError:
    """Return the error that a fetch ends with."""
    with pytest.raises(ModelError) as caught:
        fetch(store, *names)
    return caught.value


def test_brings_a_model_made_of_several_archives(store: Store, maker: Maker) -> None:
    boat = maker.boat()

    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat
    assert store.path("boat") == folder
    assert leftovers(store) == []


def test_needs_no_server_for_what_is_there(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    maker.boat()
    fetch(store, "boat")
    index.requests.clear()

    fetch(store, "boat")

    assert index.requests == []


def test_tells_bytes_total_and_speed(store: Store, maker: Maker) -> None:
    maker.boat()
    told: list[Progress] = []

    fetch(store, "boat", progress=told.append)

    last = [entry for entry in told if entry.step is Step.DOWNLOADING][-1]
    assert last.done_bytes == last.total_bytes > 0
    assert last.speed_bytes_per_s > 0
    assert told[-1] == Progress(step=Step.READY, subject="boat")


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_goes_on_after_a_broken_connection(
    store: Store, maker: Maker, index: LoopbackServer, knows_ranges: bool
) -> None:
    boat = maker.boat()
    index.knows_ranges = knows_ranges
    index.break_after_bytes = [100_000]

    (folder,) = fetch(store, "boat")

    broken, again = index.downloads()[:2]
    assert contents(folder) == boat
    assert broken.path == again.path
    assert again.headers["Range"] == "bytes=100000-"
    assert (again.sent_bytes < 210_000) == knows_ranges


def test_goes_on_where_an_earlier_run_stopped(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    boat = maker.boat()
    index.break_after_bytes = [100_000, 0]
    error = failure(store, "boat")
    assert error.code == "network"
    assert "stopped at 100.0 kB of 300." in error.message
    index.requests.clear()

    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat
    assert index.downloads()[0].headers["Range"] == "bytes=100000-"


def test_starts_over_where_a_leftover_turns_out_wrong(
    store: Store, maker: Maker
) -> None:
    boat = maker.boat()
    for download in store.manifest("boat").downloads:
        path = store.download_path(download.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)

    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat


def test_uses_of_a_staged_file_what_is_right(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    boat = maker.boat()
    half = len(boat["hull.bin"]) // 2
    staged = store.staging_folder("boat") / "hull.bin"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(boat["hull.bin"][:half] + b"x" * half)

    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat
    assert [Path(entry.path).name for entry in index.downloads()] == [
        "boat_two-1.0-py3-none-any.whl",
        "boat_three-1.0.tar.gz",
    ]


@pytest.mark.parametrize("size_bytes", [10, 299_000, 900_000])
def test_refuses_an_archive_that_is_another_one(
    store: Store, maker: Maker, index: LoopbackServer, size_bytes: int
) -> None:
    maker.boat()
    index.publish("boat_one-1.0-py3-none-any.whl", b"x" * size_bytes)

    error = failure(store, "boat")

    assert error.code == "archive_mismatch"
    assert "boat_one-1.0-py3-none-any.whl" in error.message
    assert leftovers(store) == []
    assert store.state("boat") is State.MISSING


def test_refuses_a_member_with_another_sum(store: Store, maker: Maker) -> None:
    wheel = maker.wheel("oar", {"oar/blade": b"what the archive holds"})
    promised = ("pypi:oar==1.0!oar/blade", b"what the manifest said")
    maker.manifest("oar", {"blade": (promised,)}, (wheel,))

    error = failure(store, "oar")

    assert error.code == "member_mismatch"
    assert "pypi:oar==1.0!oar/blade" in error.message
    assert leftovers(store) == []
    assert store.state("oar") is State.MISSING


def test_never_runs_what_an_sdist_brings(
    store: Store, maker: Maker, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    script = f"open({str(marker)!r}, 'w').close()"
    backend = "[build-system]\nrequires = []\nbuild-backend = 'setup'\nbackend-path='.'"
    sdist = maker.sdist(
        "trap",
        {
            "trap-1.0/setup.py": script.encode(),
            "trap-1.0/pyproject.toml": backend.encode(),
            "trap-1.0/data": b"cheese",
        },
    )
    source = ("pypi:trap==1.0!trap-1.0/data", b"cheese")
    maker.manifest("trap", {"data": (source,)}, (sdist,))

    (folder,) = fetch(store, "trap")

    assert contents(folder) == {"data": b"cheese"}
    assert not marker.exists()


def test_keeps_odd_names(store: Store, maker: Maker) -> None:
    odd = "vöices/Ünï 測試 (1) & 50% #2 'q'.bin"
    wheel = maker.wheel("odd", {odd: b"sound"})
    source = (f"pypi:odd==1.0!{odd}", b"sound")
    maker.manifest("odd", {odd: (source,)}, (wheel,))

    (folder,) = fetch(store, "odd")

    assert contents(folder) == {odd: b"sound"}


def test_downloads_a_shared_archive_once(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    wheel = maker.wheel("fleet", {"fleet/a": b"first", "fleet/b": b"second"})
    first = ("pypi:fleet==1.0!fleet/a", b"first")
    second = ("pypi:fleet==1.0!fleet/b", b"second")
    maker.manifest("one", {"a": (first,), "copy": (first,)}, (wheel,))
    maker.manifest("two", {"a": (first,), "b": (second,)}, (wheel,))

    one, two = fetch(store, "one", "two")

    assert contents(one) == {"a": b"first", "copy": b"first"}
    assert contents(two) == {"a": b"first", "b": b"second"}
    assert len(index.downloads()) == 1
    assert leftovers(store) == []


def test_mends_only_what_was_altered(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    boat = maker.boat()
    (folder,) = fetch(store, "boat")
    (folder / "cloth/sail.bin").write_bytes(b"torn")
    (folder / "stowaway").write_bytes(b"should not be here")
    index.requests.clear()

    fetch(store, "boat")

    assert contents(store.path("boat")) == boat
    assert [Path(entry.path).name for entry in index.downloads()] == [
        "boat_three-1.0.tar.gz"
    ]
    assert leftovers(store) == []


def test_a_model_that_fails_does_not_take_another_with_it(
    store: Store, maker: Maker, index: LoopbackServer
) -> None:
    boat = maker.boat()
    wheel = maker.wheel("oar", {"oar/blade": b"wood"})
    source = ("pypi:oar==1.0!oar/blade", b"wood")
    maker.manifest("oar", {"blade": (source,)}, (wheel,))
    del index.files[f"/files/{wheel}"]

    assert failure(store, "boat", "oar").code == "not_offered"

    assert contents(store.path("boat")) == boat


def test_takes_files_of_this_machine(store: Store, maker: Maker) -> None:
    wood = store.root / "manifests" / "wood.bin"
    maker.manifest("raft", {"logs": (("file:wood.bin", b"logs"),)})
    assert failure(store, "raft").code == "source_missing"
    wood.write_bytes(b"twigs")
    assert failure(store, "raft").code == "member_mismatch"
    wood.write_bytes(b"logs")
    offline = Store(store.root, manifest_folders=(wood.parent,), offline=True)

    (folder,) = fetch(offline, "raft")

    assert contents(folder) == {"logs": b"logs"}
    assert wood.exists()


def test_takes_files_of_the_hub(
    store: Store,
    maker: Maker,
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    weights = b"weights" * 20_000
    asked = "/harbour/boats/resolve/0123abc/deep/model.gguf"
    server.redirects[asked] = "/elsewhere/blob"
    server.files["/elsewhere/blob"] = weights
    server.break_after_bytes = [50_000]
    source = "hf:harbour/boats@0123abc/deep/model.gguf"
    maker.manifest("hub", {"model.gguf": ((source, weights),)})

    (folder,) = fetch(store, "hub")

    assert contents(folder) == {"model.gguf": weights}
    first, blob, _, again = server.requests
    assert first.path == asked
    assert first.headers["Authorization"] == "Bearer hf_secret"
    assert again.headers["Range"] == "bytes=50000-"
    assert blob.sent_bytes == 50_000
    assert leftovers(store) == []


def test_offline_names_the_model_and_asks_no_one(
    maker: Maker, store: Store, index: LoopbackServer
) -> None:
    maker.boat()
    offline = Store(
        store.root, manifest_folders=(store.root / "manifests",), offline=True
    )

    error = failure(offline, "boat")

    assert error.code == "offline"
    assert "headside models fetch boat" in error.hint
    assert index.requests == []


def test_offline_by_the_environment(
    maker: Maker, headside_models: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.boat()
    monkeypatch.setenv("HEADSIDE_OFFLINE", "1")

    done = headside_models.run("fetch", "boat")

    assert done.returncode == 1
    assert "Fetching is forbidden" in done.stderr
    assert "Traceback" not in done.stderr


def test_says_what_was_asked_for_when_the_network_is_down(
    store: Store, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.boat()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")

    error = failure(store, "boat")

    assert error.code == "network"
    assert "boat_one-1.0-py3-none-any.whl" in error.message
    assert "your own setting" in error.hint


def test_a_dead_index_does_not_hide_another(
    store: Store,
    maker: Maker,
    index: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boat = maker.boat()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index.index_url)

    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat


def test_uses_a_folder_of_packages(
    store: Store,
    maker: Maker,
    index: LoopbackServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boat = maker.boat()
    for path, content in index.files.items():
        (tmp_path / Path(path).name).write_bytes(content)
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat
    assert index.requests == []


def test_shows_the_index_the_users_password_and_no_one_else(
    store: Store,
    maker: Maker,
    index: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boat = maker.boat()
    index.password = "cGlsb3Q6c2VjcmV0"  # pilot:secret  # noqa: S105
    private = index.index_url.replace("//", "//pilot:wrong@")
    monkeypatch.setenv("PIP_INDEX_URL", private)
    error = failure(store, "boat")
    assert error.code == "not_offered"
    assert "401" in error.message
    assert "wrong" not in str(error)

    monkeypatch.setenv("PIP_INDEX_URL", private.replace("wrong", "secret"))
    (folder,) = fetch(store, "boat")

    assert contents(folder) == boat


def test_two_processes_fetch_once(
    maker: Maker, index: LoopbackServer, headside_models: CommandLine
) -> None:
    maker.boat()
    index.bytes_per_s = 300_000
    first = headside_models.start("fetch", "boat")
    while not index.downloads():
        time.sleep(0.01)
    second = headside_models.start("fetch", "boat")

    outputs = [process.communicate() for process in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert "boat: waiting for another process" in outputs[1][1]
    assert len(index.downloads()) == 3


def test_an_interrupt_leaves_nothing_that_could_be_taken_for_good(
    store: Store, maker: Maker, index: LoopbackServer, headside_models: CommandLine
) -> None:
    boat = maker.boat()
    index.bytes_per_s = 200_000
    process = headside_models.start("fetch", "boat")
    while not index.downloads() or index.downloads()[-1].sent_bytes < 100_000:
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()

    assert process.returncode == 130
    assert "Traceback" not in errors
    assert store.state("boat") is State.MISSING
    index.bytes_per_s = 0
    index.requests.clear()
    (folder,) = fetch(store, "boat")
    assert contents(folder) == boat
    assert "Range" in index.downloads()[0].headers


def test_says_how_much_room_is_needed(
    store: Store, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.boat(size_bytes=300_000)
    usage = SimpleNamespace(free=700_000)
    monkeypatch.setattr("models.disk.shutil.disk_usage", lambda _: usage)

    error = failure(store, "boat")

    # The whole model and, in the end, the last of its archives beside it.
    needed = 900_000 + store.manifest("boat").downloads[-1].size_bytes
    assert error.code == "no_space"
    assert f"({needed} bytes)" in error.message
    assert "(700000 bytes)" in error.message
