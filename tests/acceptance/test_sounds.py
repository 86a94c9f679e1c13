"""Sound of every usual kind is heard; sound without speech is said to be so."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import samplerate
import soundfile

from edge.audio import SAMPLE_RATE_HZ, Samples
from models.store import Store
from tests.acceptance.conftest import HOSTILE, MOVE, Command

pytestmark = pytest.mark.models

TWO_HOURS_S = 7200
MORE_MEMORY_MB = 100
"""What two hours may take beyond what four seconds take."""


@pytest.fixture(scope="module")
def command(goforward: Path) -> Samples:
    """Returns "go forward ten meters", 16 kHz mono."""
    pcm = np.frombuffer(goforward.read_bytes(), "<i2")
    return (pcm / 32768).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a recording is written down."""

    name: str
    rate_hz: int
    n_channels: int
    subtype: str


FORMS = [
    Form(name="8khz.wav", rate_hz=8_000, n_channels=2, subtype="PCM_24"),
    Form(name="11khz.WAV", rate_hz=11_025, n_channels=1, subtype="DOUBLE"),
    Form(name="16khz.wav", rate_hz=16_000, n_channels=1, subtype="PCM_U8"),
    Form(name="22khz.flac", rate_hz=22_050, n_channels=1, subtype="PCM_16"),
    Form(name="44khz.wav", rate_hz=44_100, n_channels=1, subtype="FLOAT"),
    Form(name="48khz.wav", rate_hz=48_000, n_channels=6, subtype="PCM_16"),
    Form(name="96khz.wav", rate_hz=96_000, n_channels=2, subtype="PCM_32"),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_recording_of_any_form_is_understood(
    headside: Command, store: Store, command: Samples, tmp_path: Path, form: Form
) -> None:
    path = tmp_path / form.name
    resampled = samplerate.resample(command, form.rate_hz / SAMPLE_RATE_HZ, "sinc_best")
    frames = np.repeat(resampled[:, None], form.n_channels, axis=1)  # (n, channels)
    soundfile.write(path, frames.clip(-1, 1), form.rate_hz, subtype=form.subtype)

    done = headside("run", "explorer", "--wav", path, "--json")

    assert (done.code, done.stderr) == (0, "")
    assert done.intents == [MOVE]


def test_a_voice_in_one_channel_of_six_is_understood(
    headside: Command, store: Store, command: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "cinema.wav"
    frames = np.zeros((len(command), 6), np.float32)
    frames[:, 2] = command
    soundfile.write(path, frames, SAMPLE_RATE_HZ)

    assert headside("run", "explorer", "--wav", path, "--json").intents == [MOVE]


def test_raw_sound_is_read_at_the_rate_it_is_said_to_have(
    headside: Command, store: Store, command: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "command.pcm"
    slower = samplerate.resample(command, 0.5, "sinc_best").clip(-1, 1)
    path.write_bytes((slower * 32767).astype("<i2").tobytes())

    done = headside("run", "explorer", "--wav", path, "--raw-rate", "8000", "--json")

    assert (done.code, done.intents) == (0, [MOVE])


def test_a_command_after_two_hours_of_silence_is_heard_in_little_memory(
    headside: Command, goforward: Path, command: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "evening.flac"
    minute = np.zeros(60 * SAMPLE_RATE_HZ, np.float32)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, "PCM_16") as evening:
        for _ in range(TWO_HOURS_S // 60):
            evening.write(minute)
        evening.write(command)

    short = headside("run", "explorer", "--wav", goforward, "--json")
    long = headside("run", "explorer", "--wav", path, "--json")

    assert (long.code, long.stderr) == (0, "")
    assert long.intents == [MOVE]
    [turn] = long.of("turn")
    assert TWO_HOURS_S <= turn["start_s"] < TWO_HOURS_S + 1
    peaks_mb = [done.of("summary")[0]["peak_memory_mb"] for done in (short, long)]
    assert 50 < peaks_mb[1] < peaks_mb[0] + MORE_MEMORY_MB


def silence(n: int) -> Samples:
    return np.zeros(n, np.float32)


def white_noise(n: int) -> Samples:
    noise = np.random.default_rng(20260205).normal(0, 0.1, n)
    return noise.clip(-1, 1).astype(np.float32)


def pink_noise(n: int) -> Samples:
    """Returns noise whose power falls with frequency, as loud as the white."""
    spectrum = np.fft.rfft(white_noise(n))
    shaped = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0), n)
    noise: Samples = (shaped * 0.1 / shaped.std()).clip(-1, 1).astype(np.float32)
    return noise


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("silence.wav", silence(5 * SAMPLE_RATE_HZ)),
        ("white.flac", white_noise(10 * SAMPLE_RATE_HZ)),
        ("pink.wav", pink_noise(10 * SAMPLE_RATE_HZ)),
        ("ten_ms.wav", white_noise(SAMPLE_RATE_HZ // 100)),
        ("nothing.wav", silence(0)),
    ],
)
def test_a_sound_in_which_nobody_speaks_is_said_to_be_so(
    headside: Command, store: Store, tmp_path: Path, name: str, sound: Samples
) -> None:
    path = tmp_path / name
    soundfile.write(path, sound, SAMPLE_RATE_HZ)

    assert_silent(headside, path)


def test_a_raw_file_of_no_bytes_is_silence(
    headside: Command, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "nothing.raw"
    path.write_bytes(b"")

    assert_silent(headside, path)


def test_a_wav_file_without_a_sample_is_silence(
    headside: Command, store: Store, tmp_path: Path
) -> None:
    assert_silent(headside, store.path(HOSTILE) / "null.wav")


def assert_silent(headside: Command, path: Path) -> None:
    done = headside("run", "explorer", "--wav", path, "--json")
    assert (done.code, done.stderr) == (0, "")
    silence_event, summary = done.events
    assert silence_event == {"type": "no_speech", "source": str(path)}
    assert summary["turns"] == 0


def test_people_are_told_too(headside: Command, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "[quiet] room.wav"
    soundfile.write(path, silence(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)

    done = headside("run", "explorer", "--wav", path)

    assert done.code == 0
    assert f"no speech heard in {path}" in done.stdout


def test_a_folder_may_have_any_name(
    headside: Command, goforward: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "d\u00e9j\u00e0 vu \U0001f3a7 [1]"
    folder.mkdir()
    shutil.copy(goforward, folder / "sp ch.raw")

    done = headside("run", "explorer", "--wav", folder / "sp ch.raw", "--json")

    assert done.intents == [MOVE]
