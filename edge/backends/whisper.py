"""Whisper through faster-whisper and CTranslate2, int8 on the CPU.

The stock pipeline pads every utterance to 30 s, which costs about ten times the
encoder time that a command needs. Here the window is the utterance plus a margin. A
window much shorter than what the model was trained on makes the decoder repeat itself;
a repeated or improbable result is therefore decoded again, on a longer window and at
last on the full one.

A greedy draft takes half the time of the beam search. On accented speech the beam is
right more often, so a draft is for those who can check it: a grammar can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from edge.asr import AsrError, Transcript, Word, is_loop, unlooped
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.backends.failures import vendor_errors
from edge.backends.whisper_int8 import int8_copy
from edge.vad import Utterance
from models.lean_import import without

# PyAV decodes files, which nothing here does with it: 18 MB, and codecs under the GPL.
with without("av"):
    from faster_whisper import WhisperModel
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import get_suppressed_tokens

_FRAMES_PER_S = 100
_FULL_WINDOW_S = 30.0
_MIN_WINDOW_S = 8.0
"""Below this the decoder starts to loop (``numbers.raw`` at 5 s does)."""
_MIDDLE_WINDOW_S = 15.0
_MARGIN_S = 1.0
_TAIL_S = 0.3
_MIN_LOG_PROBABILITY = -1.0
_NO_SPEECH_PROBABILITY = 0.6
"""Both as published with Whisper."""
_SURE_LOG_PROBABILITY = -0.25
"""Mean of a token. Of 183 accented commands, the greedy result was above this for 69 %,
and the beam search agreed with 98 % of those."""
_BEAM_SIZE = 5
_MIN_TOKENS, _TOKENS_PER_S = 12, 8
"""English has four to six tokens a second; a decoder that repeats itself ends here."""
_HOP_SAMPLES = 160
_ALIGNED_S = 0.02
"""Of one frame of the encoder's output."""
_MEDIAN_FRAMES = 7
"""As published with Whisper."""


class Whisper:
    """A Whisper model in CTranslate2's format, loaded from a folder.

    Args:
        folder: The model.
        threads: For encoder and decoder alike.
        language: ISO 639-1, of what is said.
        kept: Where to keep its weights in eight bits, for a faster start; None for
            nowhere.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int,
        language: str = "en",
        kept: Path | None = None,
    ) -> None:
        with vendor_errors(
            AsrError,
            "asr_model",
            f"The speech model in {folder} could not be loaded.",
            "Run `headside models verify`.",
        ):
            self._model = WhisperModel(
                str(int8_copy(folder, kept) if kept else folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=threads,
                local_files_only=True,
            )
            self._tokenizer = Tokenizer(
                self._model.hf_tokenizer,
                self._model.model.is_multilingual,
                task="transcribe",
                language=language,
            )
        self._language = language
        self._prompt = self._model.get_prompt(
            self._tokenizer, [], without_timestamps=True
        )
        self._suppressed = get_suppressed_tokens(self._tokenizer, [-1])
        self._recent: tuple[tuple[Utterance, float], Any] | None = None

    def draft(self, utterance: Utterance) -> Transcript:
        """Returns the likeliest words, one by one, on the short window alone."""
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            draft = self._decode(utterance, _window_s(utterance), 1)
        return replace(draft, text=unlooped(draft.text))

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Returns the best of several hypotheses; no text where there was no speech."""
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            short, *longer = _windows_s(utterance)
            transcript = self._decode(utterance, short, _BEAM_SIZE)
            for n_before, window_s in enumerate(longer, start=1):
                if not _is_doubtful(transcript):
                    break
                again = self._decode(utterance, window_s, _BEAM_SIZE)
                transcript = replace(again, n_windows=n_before + 1)
        return replace(transcript, text=unlooped(transcript.text))

    def words(self, utterance: Utterance, transcript: Transcript) -> tuple[Word, ...]:
        """Returns a transcript's words, timed by the decoder's attention.

        Tokens are aligned to the sound by dynamic time warping over the heads that
        follow it (Radford et al. 2022, as in ``whisper.timing``).
        """
        tokens = self._tokenizer.encode(f" {transcript.text}")
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            encoded = self._encoded(utterance, _window_s(utterance))
            n_frames = min(
                len(utterance.samples) // _HOP_SAMPLES,
                round(_window_s(utterance) * _FRAMES_PER_S),
            )
            aligned = self._model.model.align(
                encoded,
                self._tokenizer.sot_sequence,
                [tokens],
                [n_frames],
                median_filter_width=_MEDIAN_FRAMES,
            )[0]
        starts = _token_starts(aligned.alignments, len(tokens))
        texts, groups = self._tokenizer.split_to_word_tokens(tokens)
        return tuple(
            _words(
                _between_spaces(zip(texts, map(len, groups), strict=True)),
                starts,
                aligned.text_token_probs,
                utterance,
            )
        )

    def close(self) -> None:
        """Frees the model."""
        self._recent = None
        self._model.model.unload_model()

    def _encoded(self, utterance: Utterance, window_s: float) -> Any:
        """Returns the encoder's output; the latest one is kept."""
        key = (utterance, window_s)
        if self._recent is None or self._recent[0] != key:
            features = self._model.feature_extractor(_with_tail(utterance))  # (80, n)
            padded = pad_or_trim(features, round(window_s * _FRAMES_PER_S))
            self._recent = (key, self._model.encode(padded))
        return self._recent[1]

    def _decode(
        self, utterance: Utterance, window_s: float, beam_size: int
    ) -> Transcript:
        result = self._model.model.generate(
            self._encoded(utterance, window_s),
            [self._prompt],
            beam_size=beam_size,
            max_length=len(self._prompt) + _max_tokens(utterance),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
        )[0]
        log_probability = float(result.scores[0])
        silent = (
            result.no_speech_prob > _NO_SPEECH_PROBABILITY
            and log_probability < _MIN_LOG_PROBABILITY
        )
        text = self._tokenizer.decode(result.sequences_ids[0]).strip()
        return Transcript(
            text="" if silent else text,
            language=self._language,
            confidence=float(np.exp(log_probability)),
            is_draft=beam_size == 1
            and (log_probability < _SURE_LOG_PROBABILITY or is_loop(text)),
        )


def _with_tail(utterance: Utterance) -> Samples:
    """Returns the sound with silence after the voice, which words need to be whole.

    What pads the window is no silence to the model: cut off 64 ms after its last sound,
    "go forward ten meters" became "ten meters", and with 0.3 s of silence it did not.
    """
    silence_s = utterance.start_s + utterance.seconds - utterance.speech_end_s
    n_missing = round((_TAIL_S - silence_s) * SAMPLE_RATE_HZ)
    return np.pad(utterance.samples, (0, max(0, n_missing)))


def _window_s(utterance: Utterance) -> float:
    return min(max(utterance.seconds + _MARGIN_S, _MIN_WINDOW_S), _FULL_WINDOW_S)


def _windows_s(utterance: Utterance) -> list[float]:
    """Returns the windows to try, in turn.

    Between the short one and the full one, one in the middle: it mends most of what the
    short one fails at, in a third of the time and memory of the full one.
    """
    windows = {
        _window_s(utterance),
        max(_window_s(utterance), _MIDDLE_WINDOW_S),
        _FULL_WINDOW_S,
    }
    return sorted(windows)


def _max_tokens(utterance: Utterance) -> int:
    """Returns more tokens than anyone can say in the time; a loop ends there."""
    return round(_MIN_TOKENS + utterance.seconds * _TOKENS_PER_S)


def _is_doubtful(transcript: Transcript) -> bool:
    return is_loop(transcript.text) or transcript.confidence < np.exp(
        _MIN_LOG_PROBABILITY
    )


def _token_starts(alignments: Sequence[tuple[int, int]], n_tokens: int) -> list[float]:
    """Returns where each token begins, and where the last one ends, in seconds."""
    starts: dict[int, int] = {}
    last = 0
    for token, frame in alignments:
        starts.setdefault(token, max(0, frame))
        last = max(last, frame)
    return [starts.get(n, last) * _ALIGNED_S for n in range(n_tokens + 1)]


def _between_spaces(pieces: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Yields words as a reader sees them: a full stop belongs to the one before."""
    word, n_tokens = "", 0
    for text, n in pieces:
        if word and text[:1].isspace():
            yield word, n_tokens
            word, n_tokens = "", 0
        word, n_tokens = word + text, n_tokens + n
    if word:
        yield word, n_tokens


def _words(
    words: Iterable[tuple[str, int]],
    starts: Sequence[float],
    probabilities: Sequence[float],
    utterance: Utterance,
) -> Iterator[Word]:
    at = 0
    for text, n_tokens in words:
        span = slice(at, at + n_tokens)
        at += n_tokens
        if at >= len(starts) or not text.strip():
            continue  # the token that ends the text
        end_s = min(starts[at], utterance.seconds)
        yield Word(
            text=text.strip(),
            start_s=utterance.start_s + min(starts[span.start], end_s),
            end_s=utterance.start_s + end_s,
            confidence=float(np.mean(probabilities[span] or [0.0])),
        )


def describe() -> str:
    """Returns what the engine can compute with here."""
    types = ctranslate2.get_supported_compute_types("cpu")
    return f"CTranslate2 {ctranslate2.__version__}, {' '.join(sorted(types))}"
