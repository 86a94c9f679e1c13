"""The store: what is opened is what its manifest says, at little cost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.errors import ModelError
from models.fetch import fetch
from models.stamp import STAMPS_FILE
from models.store import State, Store

if TYPE_CHECKING:
    from tests.models.conftest import Maker


@pytest.fixture
def raft(store: Store, maker: Maker) -> Path:
    """Return the folder of a model of two files that is ready."""
    manifests = store.root / "manifests"
    maker.manifest(
        "raft",
        {
            "logs.bin": (("file:logs", b"ten logs"),),
            "deep/rope.bin": (("file:rope", b"a rope"),),
        },
    )
    (manifests / "logs").write_bytes(b"ten logs")
    (manifests / "rope").write_bytes(b"a rope")
    (folder,) = fetch(store, "raft")
    return folder


def stamps(folder: Path) -> dict[str, dict[str, object]]:
    """Return the stamps of a model as they are written."""
    found: dict[str, dict[str, object]] = json.loads((folder / STAMPS_FILE).read_text())
    return found


def altered_files(store: Store) -> str:
    """Return how the store refuses the raft."""
    with pytest.raises(ModelError) as caught:
        store.path("raft")
    assert caught.value.code == "model_altered"
    assert "headside models fetch raft" in caught.value.hint
    return caught.value.message


def test_a_missing_model_names_the_command_that_brings_it(
    store: Store, maker: Maker
) -> None:
    maker.boat()

    with pytest.raises(ModelError) as caught:
        store.path("boat")

    assert caught.value.code == "model_missing"
    assert "headside models fetch boat" in caught.value.hint


def test_an_unknown_model_names_the_known_ones(store: Store, maker: Maker) -> None:
    maker.boat()

    with pytest.raises(ModelError) as caught:
        store.path("bo4t")

    assert caught.value.code == "model_unknown"
    assert "boat" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", "", ".", "..", "a/b", "raft.toml"]
)
def test_a_name_is_never_a_path(store: Store, raft: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        store.path(name)
    assert raft.is_dir()
    assert caught.value.code == "model_unknown"


def test_an_alteration_of_the_same_size_is_refused(store: Store, raft: Path) -> None:
    (raft / "logs.bin").write_bytes(b"two logs")

    message = altered_files(store)

    assert "logs.bin" in message
    assert "rope.bin" not in message


def test_a_truncated_file_is_refused(store: Store, raft: Path) -> None:
    os.truncate(raft / "deep/rope.bin", 3)

    assert "deep/rope.bin" in altered_files(store)


def test_a_removed_file_is_refused(store: Store, raft: Path) -> None:
    (raft / "logs.bin").unlink()

    assert "logs.bin" in altered_files(store)


def test_a_file_too_many_is_refused(store: Store, raft: Path) -> None:
    (raft / "deep" / "preprocessor_config.json").write_text("{}")

    assert "deep/preprocessor_config.json" in altered_files(store)


def test_a_link_is_refused_whatever_it_leads_to(
    store: Store, raft: Path, tmp_path: Path
) -> None:
    (tmp_path / "logs.bin").write_bytes(b"ten logs")
    (raft / "logs.bin").unlink()
    (raft / "logs.bin").symlink_to(tmp_path / "logs.bin")

    assert "logs.bin" in altered_files(store)


def test_a_copy_is_hashed_once_and_stamped_anew(store: Store, raft: Path) -> None:
    before = stamps(raft)
    copy = raft / "copy"
    copy.write_bytes(b"ten logs")
    copy.replace(raft / "logs.bin")

    assert store.path("raft") == raft

    after = stamps(raft)
    assert after["logs.bin"]["inode"] == (raft / "logs.bin").stat().st_ino
    assert after["logs.bin"] != before["logs.bin"]
    assert after["deep/rope.bin"] == before["deep/rope.bin"]


def test_a_cache_that_cannot_be_read_is_named(store: Store, raft: Path) -> None:
    del raft
    root = store.root / ("n" * 300)  # no file system takes so long a name
    nowhere = Store(root, manifest_folders=(store.root / "manifests",))

    with pytest.raises(ModelError) as caught:
        nowhere.path("raft")

    assert caught.value.code == "cache_unreadable"
    assert str(root) in caught.value.message


def test_a_stamp_that_holds_spares_the_reading(store: Store, raft: Path) -> None:
    logs = raft / "logs.bin"
    status = logs.stat()
    with logs.open("r+b") as file:
        file.write(b"two")
    os.utime(logs, ns=(status.st_atime_ns, status.st_mtime_ns))

    # The file was not read again: this is what a stamp cannot see ...
    assert store.path("raft") == raft

    # ... and what verify is for; from then on the store knows.
    found = {str(check.path): check.state for check in store.verify("raft")}
    assert found == {"logs.bin": State.ALTERED, "deep/rope.bin": State.READY}
    assert "logs.bin" in altered_files(store)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"logs.bin": {"sha256": 1}}', "\x00"])
def test_damaged_stamps_cost_a_hash_and_no_more(
    store: Store, raft: Path, text: str
) -> None:
    before = stamps(raft)
    (raft / STAMPS_FILE).write_text(text)

    assert store.path("raft") == raft
    assert stamps(raft) == before


def test_stamps_of_another_manifest_do_not_count(
    store: Store, raft: Path, maker: Maker
) -> None:
    maker.manifest("raft", {"logs.bin": (("file:logs", b"six logs"),)})

    assert store.state("raft") is State.ALTERED
    (store.root / "manifests" / "logs").write_bytes(b"six logs")
    fetch(store, "raft")

    assert store.path("raft") == raft
    assert (raft / "logs.bin").read_bytes() == b"six logs"
    assert not (raft / "deep").exists()


def test_removing_tells_what_it_frees(store: Store, raft: Path) -> None:
    size_bytes = sum(path.stat().st_size for path in raft.rglob("*") if path.is_file())

    assert store.remove("raft") == size_bytes

    assert store.state("raft") is State.MISSING
    assert store.remove("raft") == 0


def test_removing_takes_along_what_was_made_of_it(store: Store, maker: Maker) -> None:
    maker.boat()
    (download, *_) = store.manifest("boat").downloads
    for path in (
        store.download_path(download.sha256),
        store.staging_folder("boat") / "hull.bin",
        store.prepared_folder("boat") / "hull.bin",
    ):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 1000)

    assert store.remove("boat") == 3000

    assert list((store.root / "downloads").iterdir()) == []
    assert not store.staging_folder("boat").exists()


def test_the_cache_is_where_the_user_wants_it(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setattr("sys.platform", "linux")
    settings.delenv("XDG_CACHE_HOME", raising=False)
    assert Store.default().root == tmp_path / "home" / ".cache" / "headside"
    settings.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Store.default().root == tmp_path / "xdg" / "headside"
    settings.setenv("HEADSIDE_CACHE", str(tmp_path / "chosen"))
    assert Store.default().root == tmp_path / "chosen"


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_offline_is_a_variable(
    settings: pytest.MonkeyPatch, value: str, offline: bool
) -> None:
    settings.setenv("HEADSIDE_OFFLINE", value)

    assert Store.default().offline is offline


def test_a_manifest_of_ones_own_needs_a_name_of_its_own(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setenv("HEADSIDE_CACHE", str(tmp_path))
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "whisper-base.toml").write_text("")

    with pytest.raises(ModelError) as caught:
        Store.default().names()

    assert caught.value.code == "manifest_invalid"
    assert "whisper-base" in caught.value.message
