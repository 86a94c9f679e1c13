"""What is no sound, or a broken one, ends in a clear message and exit code 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio import SAMPLE_RATE_HZ
from models.store import Store
from tests.acceptance.conftest import HOSTILE, MOVE, Command, assert_refused

pytestmark = pytest.mark.models


def missing(_: Path) -> None:
    """Leaves the path without a file."""


def folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("RIFF is not enough; this is a shopping list.\n" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def nothing_but_a_header(path: Path) -> None:
    path.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (missing, "audio_missing"),
        (folder, "audio_folder"),
        (text, "audio_format"),
        (empty, "audio_format"),
        (nothing_but_a_header, "audio_format"),
    ],
)
def test_what_is_no_sound(
    headside: Command, tmp_path: Path, make: Callable[[Path], None], code: str
) -> None:
    path = tmp_path / "order.wav"
    make(path)

    done = headside("run", "barista", "--wav", path, "--json")

    assert_refused(done, code, str(path))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("awful.wav", "audio_rate"),
        ("bad.wav", "audio_format"),
        ("evil.wav", "audio_format"),
    ],
)
def test_headers_that_lie(
    headside: Command, store: Store, name: str, code: str
) -> None:
    path = store.path(HOSTILE) / name

    done = headside("run", "explorer", "--wav", path, "--json")

    assert_refused(done, code, str(path))


def test_a_flac_file_that_breaks_off(
    headside: Command, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "broken.flac"
    noise = np.random.default_rng(1).normal(0, 0.1, 20 * SAMPLE_RATE_HZ)
    soundfile.write(path, noise, SAMPLE_RATE_HZ)
    path.write_bytes(path.read_bytes()[:100_000])

    done = headside("run", "explorer", "--wav", path, "--json")

    assert_refused(done, "audio_damaged", str(path))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(
    headside: Command, store: Store, tmp_path: Path, value: float
) -> None:
    path = tmp_path / "odd.wav"
    samples = np.zeros((10 * SAMPLE_RATE_HZ, 2), np.float32)
    samples[7 * SAMPLE_RATE_HZ, 1] = value
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="FLOAT")

    done = headside("run", "explorer", "--wav", path, "--json")

    assert_refused(done, "audio_not_finite", str(path), "frame")


def test_what_was_said_before_the_break_counts(
    headside: Command, goforward: Path, tmp_path: Path
) -> None:
    path = tmp_path / "half.wav"
    command = np.frombuffer(goforward.read_bytes(), "<i2") / 32768
    broken = np.pad(command, (0, 10 * SAMPLE_RATE_HZ))
    broken[-1] = np.nan
    soundfile.write(path, broken, SAMPLE_RATE_HZ, subtype="FLOAT")

    done = headside("run", "explorer", "--wav", path, "--json")

    assert_refused(done, "audio_not_finite", str(path))
    assert done.intents == [MOVE]
