"""Recordings are read alike, whatever they come in; what is none is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantize.asr.recordings import RATE_HZ, load_recordings, read_sound, silences
from tests.quantize.conftest import refusal

TONE = (np.sin(np.arange(RATE_HZ) / 20) / 2).astype(np.float32)


def test_formats_sound_the_same(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", TONE, RATE_HZ)
    soundfile.write(tmp_path / "b.FLAC", TONE, RATE_HZ, format="FLAC")
    np.round(TONE * 32768).astype("<i2").tofile(tmp_path / "c.raw")
    both = np.stack([TONE, TONE], axis=1)
    soundfile.write(tmp_path / "d.wav", both, RATE_HZ, subtype="FLOAT")

    found = load_recordings(tmp_path)

    assert [one.name for one in found] == ["a.wav", "b.FLAC", "c.raw", "d.wav"]
    for one in found:
        np.testing.assert_allclose(read_sound(one.path), TONE, atol=1e-4)


def test_another_rate_is_brought_to_ours(tmp_path: Path) -> None:
    slow = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    soundfile.write(tmp_path / "cd.wav", slow, 44_100, subtype="FLOAT")

    samples = read_sound(tmp_path / "cd.wav")

    assert abs(len(samples) - RATE_HZ) <= 1
    assert np.argmax(np.abs(np.fft.rfft(samples[:RATE_HZ]))) == pytest.approx(
        440, abs=1
    )


def test_what_is_said_lies_beside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", TONE, RATE_HZ)
    (tmp_path / "in" / "a.txt").write_text("go forward\n", encoding="utf-8")

    (found,) = load_recordings(tmp_path)

    assert (found.name, found.said) == ("in/a.wav", "go forward")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 99])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_what_is_no_sound(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)

    error = refusal(lambda: load_recordings(tmp_path))

    assert error.code == "recording_unreadable"
    assert str(path) in error.message


def test_an_empty_recording(tmp_path: Path) -> None:
    (tmp_path / "empty.raw").touch()

    assert refusal(lambda: load_recordings(tmp_path)).code == "recording_unreadable"


def test_what_is_no_number(tmp_path: Path) -> None:
    samples = np.full(100, np.nan, np.float32)
    soundfile.write(tmp_path / "nan.wav", samples, RATE_HZ, subtype="FLOAT")

    assert refusal(lambda: load_recordings(tmp_path)).code == "recording_unreadable"


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")

    for folder in (tmp_path, tmp_path / "absent", tmp_path / "notes.txt"):
        error = refusal(partial(load_recordings, folder))
        assert error.code == "recordings_missing"
        assert str(folder) in error.message


def test_silence_is_the_same_each_time() -> None:
    found, again = silences(), silences()

    assert len(found) >= 4
    assert not found["digital silence"].any()
    for name, samples in found.items():
        assert np.array_equal(samples, again[name])
        assert np.abs(samples).max() < 0.01
