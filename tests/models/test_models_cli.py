"""`headside models`: what people and machines read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from models.cli import app
from models.errors import ModelError
from models.fetch import fetch
from models.store import State, Store

if TYPE_CHECKING:
    from tests.models.conftest import Maker


def run(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments)


def parsed(*arguments: str) -> list[dict[str, object]]:
    """Return what a command prints for machines."""
    found: list[dict[str, object]] = json.loads(run(*arguments, "--json").stdout)
    return found


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "path", "rm"])
def test_help_teaches_by_example(command: str) -> None:
    help_text = " ".join(run(command, "--help").stdout.split())

    assert f"headside models {command}" in help_text.partition("Example:")[2]
    assert "--json" in help_text


def test_list_tells_what_is_here(store: Store, maker: Maker) -> None:
    boat = maker.boat()
    size_bytes = sum(len(content) for content in boat.values())
    (row,) = [row for row in parsed("list") if row["name"] == "boat"]
    assert row["state"] == "missing"
    assert row["path"] is None

    fetch(store, "boat")

    (row,) = [row for row in parsed("list") if row["name"] == "boat"]
    assert row == {
        "name": "boat",
        "kind": "test",
        "format": "bytes",
        "size_bytes": size_bytes,
        "licence": "CC0-1.0",
        "upstream": "a test",
        "state": "ready",
        "path": str(store.folder("boat")),
    }
    assert "boat" in run("list").stdout
    assert {"whisper-base", "silero-vad"} <= {
        str(row["name"]) for row in parsed("list")
    }


def test_fetch_path_verify_and_rm(store: Store, maker: Maker) -> None:
    maker.boat()
    folder = store.folder("boat")

    fetched = run("fetch", "boat")
    assert fetched.stdout == f"{folder}\n"
    assert "boat_one-1.0-py3-none-any.whl: downloading" in fetched.stderr
    assert parsed("fetch", "boat") == [{"name": "boat", "path": str(folder)}]
    assert run("path", "boat").stdout == f"{folder}\n"
    assert parsed("verify") == [
        {"model": "boat", "file": "hull.bin", "state": "ready"},
        {"model": "boat", "file": "cloth/sail.bin", "state": "ready"},
    ]
    freed = parsed("rm", "boat")
    assert freed[0]["name"] == "boat"
    assert int(str(freed[0]["freed_bytes"])) > 900_000
    assert not folder.exists()


def test_verify_fails_and_names_every_file(store: Store, maker: Maker) -> None:
    maker.boat()
    (folder,) = fetch(store, "boat")
    (folder / "hull.bin").write_bytes(b"leak")

    result = run("verify", "boat")

    assert [line.split() for line in result.stdout.splitlines()] == [
        ["state", "model", "file"],
        ["altered", "boat", "hull.bin"],
        ["ready", "boat", "cloth/sail.bin"],
    ]
    assert isinstance(result.exception, ModelError)
    assert "headside models fetch boat" in result.exception.hint


def test_a_wrong_name_removes_nothing(store: Store, maker: Maker) -> None:
    maker.boat()
    fetch(store, "boat")

    result = run("rm", "boat", "ghost")

    assert isinstance(result.exception, ModelError)
    assert result.exception.code == "model_unknown"
    assert store.state("boat") is State.READY


def test_offline_option_forbids(store: Store, maker: Maker) -> None:
    maker.boat()

    result = run("fetch", "boat", "--offline")

    assert isinstance(result.exception, ModelError)
    assert result.exception.code == "offline"
    assert not store.folder("boat").exists()


@pytest.mark.models
def test_the_voice_activity_model_comes_from_the_users_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path))
    monkeypatch.delenv("HEADSIDE_OFFLINE", raising=False)

    result = run("fetch", "silero-vad")

    folder = Path(result.stdout.strip())
    assert (folder / "silero_vad_v6.onnx").stat().st_size == 1_245_151
    assert folder == Store.default().path("silero-vad")
