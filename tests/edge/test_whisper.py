"""The recogniser writes what real people say, and nothing where nobody speaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.asr import AsrError, is_loop
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.backends.silero import Silero
from edge.backends.whisper import Whisper
from edge.build import open_sound
from edge.evaluate import word_errors
from edge.vad import Utterance, utterances

pytestmark = pytest.mark.models


def whole(samples: Samples) -> Utterance:
    """Returns a whole sound as one utterance."""
    seconds = len(samples) / SAMPLE_RATE_HZ
    return Utterance(samples=samples, start_s=0, speech_end_s=seconds)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("goforward.raw", "go forward ten meters"),
        ("something.raw", "go somewhere and do something"),
    ],
)
def test_a_command_is_understood(
    whisper: Whisper, silero: Silero, recordings: Path, name: str, said: str
) -> None:
    (utterance,) = utterances(open_sound(recordings / name), silero)

    transcript = whisper.transcribe(utterance)

    assert word_errors(said, transcript.text).n_errors == 0
    assert transcript.text == transcript.text.strip()
    assert transcript.language == "en"
    assert transcript.confidence > 0.5


def test_digits_do_not_make_it_loop(
    whisper: Whisper, silero: Silero, recordings: Path
) -> None:
    (utterance,) = utterances(open_sound(recordings / "numbers.raw"), silero)

    text = whisper.transcribe(utterance).text

    assert text
    assert not is_loop(text)


def test_long_speech_fills_the_window(whisper: Whisper, recordings: Path) -> None:
    books = sorted((recordings / "librivox").glob("*.wav"))
    said = " ".join(book.with_suffix(".txt").read_text() for book in books)
    samples = np.concatenate(
        [chunk.samples for book in books for chunk in open_sound(book)]
    )
    assert 20 < len(samples) / SAMPLE_RATE_HZ < 30

    transcript = whisper.transcribe(whole(samples))

    assert word_errors(said, transcript.text).rate < 0.1


@pytest.mark.parametrize("loudness", [0, 0.01])
def test_nobody_speaks_in_silence_and_noise(whisper: Whisper, loudness: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, SAMPLE_RATE_HZ)
    samples = (loudness * noise).astype(np.float32)

    assert whisper.transcribe(whole(samples)).text == ""


def test_no_sound_at_all_is_no_words(whisper: Whisper) -> None:
    assert whisper.transcribe(whole(np.zeros(0, np.float32))).text == ""


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing", Path("base.en")):
        with pytest.raises(AsrError) as caught:
            Whisper(folder, threads=1)
        assert caught.value.code == "asr_model"
        assert str(folder) in caught.value.message
