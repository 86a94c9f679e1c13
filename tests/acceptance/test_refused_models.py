"""Models that are missing, altered or no models, and disks that refuse."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from models.store import Store
from tests.acceptance.conftest import (
    MOVE,
    SPEECH,
    Command,
    Done,
    assert_refused,
    default_models,
)

pytestmark = pytest.mark.models

ECHO = {"--vad": "echo", "--asr": "echo", "--llm": "echo"}
*CHOSEN, PRONUNCIATIONS = default_models()
OPTIONS = dict(zip(ECHO, CHOSEN, strict=True))
"""The option that chooses each of the models."""


@pytest.fixture
def lent(store: Store, tmp_path: Path) -> Store:
    """Returns a store with the same models in it, that may be spoilt."""
    mine = Store(tmp_path / "cache")
    for name in (*default_models(), SPEECH):
        shutil.copytree(store.path(name), mine.folder(name), copy_function=_lend)
    return mine


def _lend(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)


def spoil(path: Path, change: Callable[[Path], None]) -> None:
    """Changes a file that other folders may share."""
    own = path.with_name("own copy")
    shutil.copy2(path, own)
    status = own.stat()
    change(own)
    os.utime(own, ns=(status.st_atime_ns, status.st_mtime_ns))
    own.replace(path)


def flip_one_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        [byte] = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def largest_file(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def run(
    headside: Command, store: Store, chosen: Mapping[str, str] | None = None
) -> Done:
    """Returns a run on typed words, with the models that the options choose."""
    options = [text for pair in (chosen or {}).items() for text in pair]
    words = ["--text", "go forward ten metres", "--json"]
    cache = str(store.root)
    return headside("run", "explorer", *words, *options, HEADSIDE_CACHE=cache)


def test_lent_models_work(headside: Command, lent: Store) -> None:
    assert run(headside, lent).intents == [MOVE]


@pytest.mark.parametrize("change", [flip_one_bit, cut_short])
@pytest.mark.parametrize("option", OPTIONS)
def test_a_spoilt_model_is_not_opened(
    headside: Command, lent: Store, option: str, change: Callable[[Path], None]
) -> None:
    name = OPTIONS[option]
    path = largest_file(lent.folder(name))
    spoil(path, change)

    done = run(headside, lent, {**ECHO, option: name})

    assert_refused(done, "model_altered", path.name, f"headside models fetch {name}")


def test_spoilt_pronunciations_are_not_read(headside: Command, lent: Store) -> None:
    path = largest_file(lent.folder(PRONUNCIATIONS))
    spoil(path, flip_one_bit)

    done = run(headside, lent, {"--vad": "echo", "--llm": "echo"})

    fetch = f"headside models fetch {PRONUNCIATIONS}"
    assert_refused(done, "model_altered", path.name, fetch)


def test_a_spoilt_model_is_found_by_all_that_look(
    headside: Command, lent: Store
) -> None:
    name = "silero-vad"
    spoil(largest_file(lent.folder(name)), flip_one_bit)
    cache = str(lent.root)

    demo = headside("demo", "--json", "--offline", HEADSIDE_CACHE=cache)
    assert_refused(demo, "offline", name)
    for arguments in (["models", "verify"], ["models", "path", name], ["doctor"]):
        done = headside(*arguments, HEADSIDE_CACHE=cache)
        assert done.code == 1
        assert name in done.stderr
        assert "Traceback" not in done.stderr


def test_missing_models_while_offline(
    headside: Command, goforward: Path, tmp_path: Path
) -> None:
    empty = {"HEADSIDE_CACHE": str(tmp_path / "empty"), "HEADSIDE_OFFLINE": "1"}
    command = replace(headside, environ={**headside.environ, **empty})

    heard = command("run", "explorer", "--wav", goforward, "--json")
    demo = command("demo", "--json")

    assert_refused(heard, "model_missing", str(tmp_path / "empty"), "models fetch")
    assert_refused(demo, "offline", *default_models(), SPEECH, "headside models fetch")
    assert not (tmp_path / "empty" / "models").exists()


@pytest.mark.parametrize("option", ["--llm", "--vad"])
def test_a_file_that_is_no_model(
    headside: Command, store: Store, tmp_path: Path, option: str
) -> None:
    suffix = {"--llm": ".gguf", "--vad": ".onnx"}[option]
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(b"GGUF\x03\0\0\0" + bytes(range(256)) * 400)

    done = run(headside, store, {**ECHO, option: str(path)})

    assert_refused(done, "model_file_bad", str(path))


def in_own_mounts(headside: Command, mount: str) -> Command:
    """Returns the command in a namespace where something else is mounted.

    Args:
        headside: The command.
        mount: Arguments of `mount`, as a shell reads them.
    """
    script = f'mount --options-mode ignore {mount} && exec "$@"'
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]
    return replace(headside, program=(*unshare, *headside.program))


@pytest.mark.requires_system("util-linux")
def test_models_on_a_disk_that_is_only_read(headside: Command, lent: Store) -> None:
    bound = f'--bind "{lent.root}" "{lent.root}"'
    remounted = f'mount --options-mode ignore -o remount,bind,ro "{lent.root}"'
    command = in_own_mounts(headside, f"{bound} && {remounted}")

    assert run(command, lent).intents == [MOVE]


@pytest.mark.requires_system("util-linux")
@pytest.mark.parametrize(
    ("options", "code", "told"),
    [("ro", "cache_unwritable", "Cannot write"), ("size=1m", "no_space", "bytes")],
)
def test_a_disk_that_takes_nothing(
    headside: Command, tmp_path: Path, options: str, code: str, told: str
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    command = in_own_mounts(headside, f'-t tmpfs -o {options} tmpfs "{cache}"')

    demo = command("demo", "--json", HEADSIDE_CACHE=str(cache))
    fetch = command("models", "fetch", "whisper-base", HEADSIDE_CACHE=str(cache))

    assert_refused(demo, code, str(cache), told, "HEADSIDE_CACHE")
    assert fetch.code == 1
    assert told in fetch.stderr
    assert "Traceback" not in fetch.stderr
