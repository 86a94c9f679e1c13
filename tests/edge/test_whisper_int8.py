"""The kept copy in eight bits computes the same, and is never in the way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.backends.silero import Silero
from edge.backends.whisper import Whisper
from edge.backends.whisper_int8 import int8_copy
from edge.build import open_sound
from edge.vad import utterances
from models.pack import PackModels
from models.store import Store

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def source(store: Store) -> Path:
    """Returns the folder of the speech model."""
    return store.path(PackModels().asr)


@pytest.fixture(scope="module")
def copy(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a copy of it in eight bits."""
    return int8_copy(source, tmp_path_factory.mktemp("prepared") / "whisper")


def test_it_hears_the_same_to_the_last_bit(
    whisper: Whisper, silero: Silero, recordings: Path, source: Path, copy: Path
) -> None:
    small = Whisper(source, threads=1, kept=copy)
    for name in ("goforward.raw", "numbers.raw"):
        (utterance,) = utterances(open_sound(recordings / name), silero)

        assert small.draft(utterance) == whisper.draft(utterance)
        assert small.transcribe(utterance) == whisper.transcribe(utterance)
    small.close()


def test_it_is_half_as_large_and_made_once(source: Path, copy: Path) -> None:
    made = (copy / "model.bin").stat()

    assert copy != source
    assert made.st_size < 0.55 * (source / "model.bin").stat().st_size
    assert int8_copy(source, copy) == copy
    assert (copy / "model.bin").stat().st_mtime_ns == made.st_mtime_ns


@pytest.mark.parametrize("harm", ["cut", "removed", "unstamped", "left over"])
def test_what_was_harmed_is_made_again(
    source: Path, copy: Path, tmp_path: Path, harm: str
) -> None:
    target = tmp_path / "whisper"
    shutil.copytree(copy, target)
    if harm == "cut":
        (target / "model.bin").write_bytes(b"\x06\0\0\0")
    elif harm == "removed":
        (target / "tokenizer.json").unlink()
    elif harm == "unstamped":
        (target / ".stamps.json").write_text("{")
    else:
        shutil.rmtree(target)
        (tmp_path / "whisper.making").mkdir()
        (tmp_path / "whisper.making" / "model.bin").write_bytes(b"half")

    assert int8_copy(source, target) == target
    assert sorted(p.name for p in target.iterdir()) == sorted(
        p.name for p in copy.iterdir()
    )
    assert (target / "model.bin").read_bytes() == (copy / "model.bin").read_bytes()
    assert not (tmp_path / "whisper.making").exists()


def test_integers_are_left_as_they_are(copy: Path, tmp_path: Path) -> None:
    assert int8_copy(copy, tmp_path / "again") == copy
    assert not (tmp_path / "again").exists()


def test_a_disk_that_keeps_nothing_is_no_failure(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.backends.whisper_int8.save_ctranslate2", full)

    assert int8_copy(source, tmp_path / "whisper") == source
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_a_broken_model_is_left_to_its_engine(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"no model")

    assert int8_copy(folder, tmp_path / "whisper") == folder
