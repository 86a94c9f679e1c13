"""The voice detector hears people, where they speak, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.audio import SAMPLE_RATE_HZ, AudioChunk, Samples
from edge.backends.silero import Silero
from edge.build import open_sound
from edge.vad import Utterance, VadError, utterances

pytestmark = pytest.mark.models


def sound(path: Path) -> Samples:
    """Returns a whole recording, shape (n,)."""
    return np.concatenate([chunk.samples for chunk in open_sound(path)])


def heard(samples: Samples, silero: Silero) -> list[Utterance]:
    """Returns what is said in a sound."""
    return list(utterances([AudioChunk(samples=samples, start_s=0)], silero))


def silence(seconds: float) -> Samples:
    """Returns digital silence, shape (n,)."""
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


@pytest.mark.parametrize("name", ["goforward.raw", "something.raw"])
def test_a_command_is_one_utterance(
    silero: Silero, recordings: Path, name: str
) -> None:
    (found,) = heard(sound(recordings / name), silero)

    # The recordings begin and end with a little silence.
    assert 0 < found.start_s < 0.4
    assert 2.0 < found.speech_end_s < 2.4


def test_reading_aloud_is_heard_from_end_to_end(
    silero: Silero, recordings: Path
) -> None:
    books = sorted((recordings / "librivox").glob("*.wav"))

    for book in books:
        samples = sound(book)
        found = heard(samples, silero)

        n_heard = sum(len(utterance.samples) for utterance in found)
        assert n_heard > 0.85 * len(samples), book.name


def test_commands_with_silence_between_are_two(
    silero: Silero, recordings: Path
) -> None:
    command = sound(recordings / "goforward.raw")
    samples = np.concatenate([silence(5), command, silence(2), command])

    first, second = heard(samples, silero)

    assert 5 < first.start_s < 5.4
    again_s = len(command) / SAMPLE_RATE_HZ + 2
    assert second.start_s - first.start_s == pytest.approx(again_s, abs=0.1)


@pytest.mark.parametrize("loudness", [0, 1e-4, 0.01, 0.1, 1])
def test_nobody_speaks_in_noise(silero: Silero, loudness: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 5 * SAMPLE_RATE_HZ)
    samples = np.clip(loudness * noise, -1, 1).astype(np.float32)

    assert heard(samples, silero) == []


def test_a_click_and_a_hum_are_no_speech(silero: Silero) -> None:
    click = silence(3)
    click[SAMPLE_RATE_HZ] = 1
    times_s = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    hum = (0.5 * np.sin(2 * np.pi * 50 * times_s)).astype(np.float32)

    assert heard(click, silero) == []
    assert heard(hum, silero) == []


def test_speech_is_found_in_a_quiet_recording(silero: Silero, recordings: Path) -> None:
    quiet = sound(recordings / "goforward.raw") * np.float32(0.1)

    assert len(heard(quiet, silero)) == 1


def test_what_is_heard_lies_where_it_was_spoken(
    silero: Silero, recordings: Path
) -> None:
    samples = np.concatenate(
        [sound(book) for book in sorted((recordings / "librivox").glob("*.wav"))]
    )

    found = heard(samples, silero)

    for utterance in found:
        first = round(utterance.start_s * SAMPLE_RATE_HZ)
        there = samples[first : first + len(utterance.samples)]
        np.testing.assert_array_equal(utterance.samples[: len(there)], there)
    for before, after in pairwise(found):
        assert before.start_s + before.seconds < after.start_s + 1e-6


def test_frames_of_another_length_are_an_error(silero: Silero) -> None:
    with pytest.raises(VadError, match=r"\(1, 480\)"):
        silero.probabilities(np.zeros((1, 480), np.float32))


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VadError) as caught:
        Silero(tmp_path / "nothing.onnx")

    assert caught.value.code == "vad_model"
    assert "nothing.onnx" in caught.value.message
