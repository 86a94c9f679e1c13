"""The recogniser writes what real people say, and nothing where nobody speaks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel

from edge.asr import AsrError, Transcript, is_loop
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.backends.silero import Silero
from edge.backends.whisper import Whisper
from edge.build import open_sound
from edge.evaluate import word_errors
from edge.pipeline import SURE
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


def heard(silero: Silero, file: Path) -> Utterance:
    """Returns what is said in a recording."""
    (utterance,) = utterances(open_sound(file), silero)
    return utterance


def moved(utterance: Utterance, by_s: float) -> Utterance:
    """Returns the same words, said later."""
    return Utterance(
        samples=utterance.samples,
        start_s=utterance.start_s + by_s,
        speech_end_s=utterance.speech_end_s + by_s,
    )


def test_a_draft_of_a_clear_command_is_right_and_sure(
    whisper: Whisper, silero: Silero, recordings: Path
) -> None:
    utterance = heard(silero, recordings / "something.raw")

    draft = whisper.draft(utterance)

    assert word_errors("go somewhere and do something", draft.text).n_errors == 0
    assert draft.is_draft
    assert draft.confidence > SURE
    assert draft.words == ()


def test_a_draft_that_may_be_wrong_says_so(whisper: Whisper) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, SAMPLE_RATE_HZ)
    for samples in (noise.astype(np.float32), np.zeros(8_000, np.float32)):
        draft = whisper.draft(whole(samples))
        assert draft.is_draft
        assert draft.confidence < SURE or not draft.text
        assert not is_loop(draft.text)


def test_what_is_asked_of_one_utterance_shares_its_sound(
    whisper: Whisper,
    silero: Silero,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    utterance = heard(silero, recordings / "goforward.raw")
    features, n_encoded = whisper._features, []

    def counted(samples: Samples) -> Any:
        n_encoded.append(1)
        return features(samples)

    monkeypatch.setattr(whisper, "_features", counted)

    whisper.draft(utterance)
    transcript = whisper.transcribe(utterance)
    whisper.words(utterance, transcript)

    assert len(n_encoded) == transcript.n_windows == 1


@pytest.mark.parametrize("name", ["something.raw", "cards/002.wav", "numbers.raw"])
def test_words_come_one_after_another_within_the_utterance(
    whisper: Whisper, silero: Silero, recordings: Path, name: str
) -> None:
    utterance = moved(heard(silero, recordings / name), 100)
    transcript = whisper.transcribe(utterance)

    words = whisper.words(utterance, transcript)

    assert "".join(word.text for word in words) == transcript.text.replace(" ", "")
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    for word in words:
        assert utterance.start_s <= word.start_s <= word.end_s
        assert word.end_s <= utterance.start_s + utterance.seconds + 1e-9
        assert 0 <= word.confidence <= 1
    for before, after in pairwise(words):
        assert before.end_s <= after.start_s + 1e-9
    assert words[-1].end_s > words[0].start_s


def test_words_are_those_between_the_spaces(
    whisper: Whisper, silero: Silero, recordings: Path
) -> None:
    utterance = heard(silero, recordings / "something.raw")

    for text in ("Go somewhere, and do something.", "two point 2.5, don't-know"):
        words = whisper.words(utterance, Transcript(text=text))
        assert [word.text for word in words] == text.split()


@pytest.mark.parametrize("name", ["goforward.raw", "something.raw"])
def test_words_are_where_the_stock_pipeline_finds_them(
    whisper: Whisper, silero: Silero, recordings: Path, name: str
) -> None:
    utterance = heard(silero, recordings / name)
    transcript = whisper.transcribe(utterance)
    stock_model = WhisperModel(str(whisper._folder), compute_type="int8", cpu_threads=1)
    segments, _ = stock_model.transcribe(
        utterance.samples, language="en", word_timestamps=True
    )
    stock = [word for segment in segments for word in segment.words or ()]

    words = [
        word
        for word in whisper.words(utterance, transcript)
        if any(map(str.isalnum, word.text))
    ]

    assert len(words) == len(stock)
    apart = [
        abs(word.start_s - utterance.start_s - other.start)
        for word, other in zip(words, stock, strict=True)
    ]
    # The stock pipeline moves first words, and words after a pause, by rules of thumb.
    assert np.median(apart) < 0.15
    assert max(apart[1:]) < 0.4


def test_no_words_have_no_times(whisper: Whisper) -> None:
    silence = whole(np.zeros(SAMPLE_RATE_HZ, np.float32))

    assert whisper.words(silence, Transcript(text="")) == ()


def test_of_hardly_any_sound_no_time_leaves_the_utterance(whisper: Whisper) -> None:
    for n_samples in (160, 320, 1_600, 4_000):
        utterance = whole(np.zeros(n_samples, np.float32))
        for word in whisper.words(utterance, Transcript(text="go forward now")):
            assert 0 <= word.start_s <= word.end_s <= utterance.seconds + 1e-9


@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.5])
def test_what_is_cut_out_of_speech_makes_nothing_loop(
    whisper: Whisper, recordings: Path, seconds: float
) -> None:
    n_samples = round(seconds * SAMPLE_RATE_HZ)
    for name in ("numbers.raw", "something.raw"):
        samples = np.concatenate(
            [chunk.samples for chunk in open_sound(recordings / name)]
        )
        for start in (SAMPLE_RATE_HZ // 2, len(samples) // 2):
            utterance = whole(samples[start : start + n_samples])
            for look in (whisper.draft, whisper.transcribe):
                text = look(utterance).text
                assert not is_loop(text)
                # Nobody says more than that in the time.
                assert len(text.split()) <= 4 + 6 * seconds


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing", Path("base.en")):
        with pytest.raises(AsrError) as caught:
            Whisper(folder, threads=1)
        assert caught.value.code == "asr_model"
        assert str(folder) in caught.value.message
