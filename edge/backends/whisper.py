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

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge.asr import AsrError, Bias, Transcript, Word, is_loop, unlooped
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.backends.failures import vendor_errors
from edge.backends.whisper_bias import BiasTokens
from edge.backends.whisper_int8 import int8_copy
from edge.backends.whisper_tokens import SpecialTokens, text_of, words_of_tokens
from edge.vad import Utterance
from models.lean_import import modules_of

# The engine and the features alone. The rest decodes files, which nothing here does, by
# way of PyAV: 18 MB, and codecs under the GPL.
with modules_of("ctranslate2"):
    from ctranslate2 import _ext as ctranslate2
with modules_of("faster_whisper"):
    from faster_whisper.feature_extractor import FeatureExtractor

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
_BEAM_SIZE = 5
_MIN_TOKENS, _TOKENS_PER_S = 12, 8
"""English has four to six tokens a second; a decoder that repeats itself ends here."""
_N_TEXTS = 8
"""Whose tokens are remembered, to tell the times of their words."""
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
            self._folder = int8_copy(folder, kept) if kept else folder
            self._model = ctranslate2.Whisper(
                str(self._folder),
                device="cpu",
                compute_type="int8",
                intra_threads=threads,
            )
            self._special = SpecialTokens(
                self._folder, language if self._model.is_multilingual else None
            )
            self._bias = BiasTokens(self._folder)
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        self._language = language
        self._tokens: OrderedDict[str, _Tokens] = OrderedDict()
        """Of the latest texts."""
        self._tokenizer: Any = None
        self._recent: tuple[tuple[Utterance, float], Any] | None = None

    def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        """Returns the likeliest words, one by one, on the short window alone."""
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            draft = self._decode(utterance, _window_s(utterance), 1, bias)
        return replace(draft, text=unlooped(draft.text))

    def transcribe(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        """Returns the best of several hypotheses; no text where there was no speech."""
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            short, *longer = _windows_s(utterance)
            transcript = self._decode(utterance, short, _BEAM_SIZE, bias)
            for n_before, window_s in enumerate(longer, start=1):
                if not _is_doubtful(transcript):
                    break
                again = self._decode(utterance, window_s, _BEAM_SIZE, bias)
                transcript = replace(again, n_windows=n_before + 1)
        return replace(transcript, text=unlooped(transcript.text))

    def words(self, utterance: Utterance, transcript: Transcript) -> tuple[Word, ...]:
        """Returns a transcript's words, timed by the decoder's attention.

        Tokens are aligned to the sound by dynamic time warping over the heads that
        follow it (Radford et al. 2022, as in ``whisper.timing``).
        """
        text = transcript.text
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            tokens = self._tokens.get(text) or self._tokenised(text)
            encoded = self._encoded(utterance, _window_s(utterance))
            n_frames = min(
                len(utterance.samples) // _HOP_SAMPLES,
                round(_window_s(utterance) * _FRAMES_PER_S),
            )
            aligned = self._model.align(
                encoded,
                self._special.begin,
                [tokens.numbers],
                [n_frames],
                median_filter_width=_MEDIAN_FRAMES,
            )[0]
        starts = _token_starts(aligned.alignments, len(tokens.numbers))
        return tuple(
            _words(
                words_of_tokens(tokens.names),
                starts,
                aligned.text_token_probs,
                utterance,
            )
        )

    def speaking(self, language: str) -> Whisper:
        """Returns what recognises another language on the same model."""
        if language == self._language:
            return self
        if not self._model.is_multilingual:
            raise AsrError(
                "asr_language",
                f"The speech model in {self._folder} knows English only.",
                "Name a multilingual one in the pack, such as whisper-base.",
            )
        other = copy(self)
        other._special = SpecialTokens(self._folder, language)  # noqa: SLF001
        other._language = language  # noqa: SLF001
        other._tokens = OrderedDict()  # noqa: SLF001
        other._recent = None  # noqa: SLF001
        return other

    def _tokenised(self, text: str) -> _Tokens:
        """Returns a text that the decoder did not write, as it would write it."""
        if self._tokenizer is None:
            from tokenizers import Tokenizer  # noqa: PLC0415 - it takes long to load

            self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        encoded = self._tokenizer.encode(f" {text}", add_special_tokens=False)
        return _Tokens(numbers=encoded.ids, names=encoded.tokens)

    def close(self) -> None:
        """Frees the model."""
        self._recent = None
        self._model.unload_model()

    def _encoded(self, utterance: Utterance, window_s: float) -> Any:
        """Returns the encoder's output; the latest one is kept."""
        key = (utterance, window_s)
        if self._recent is None or self._recent[0] != key:
            features = self._features(_with_tail(utterance))  # (80, n)
            n_frames = round(window_s * _FRAMES_PER_S)
            padded = np.zeros((1, len(features), n_frames), np.float32)
            heard = features[:, :n_frames]
            padded[0, :, : heard.shape[1]] = heard
            view = ctranslate2.StorageView.from_array(padded)
            self._recent = (key, self._model.encode(view))
        return self._recent[1]

    def _decode(
        self, utterance: Utterance, window_s: float, beam_size: int, bias: Bias
    ) -> Transcript:
        prompt = [*self._bias.tokens(bias), *self._special.prompt]
        result = self._model.generate(
            self._encoded(utterance, window_s),
            [prompt],
            beam_size=beam_size,
            num_hypotheses=beam_size,
            max_length=len(prompt) + _max_tokens(utterance),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        log_probability = float(result.scores[0])
        silent = (
            result.no_speech_prob > _NO_SPEECH_PROBABILITY
            and log_probability < _MIN_LOG_PROBABILITY
        )
        text, *others = (text_of(tokens).strip() for tokens in result.sequences)
        self._tokens[text] = _Tokens.spoken(result)
        self._tokens.move_to_end(text)
        while len(self._tokens) > _N_TEXTS:
            self._tokens.popitem(last=False)
        return Transcript(
            text="" if silent else text,
            alternatives=() if silent else tuple(others),
            language=self._language,
            confidence=float(np.exp(log_probability)),
            is_draft=beam_size == 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """A text as the decoder writes it."""

    numbers: list[int]
    names: list[str]

    @classmethod
    def spoken(cls, result: Any) -> _Tokens:
        """Returns the tokens of a result that stand for words."""
        both = zip(result.sequences_ids[0], result.sequences[0], strict=True)
        said = [(number, name) for number, name in both if text_of([name])]
        return cls(numbers=[n for n, _ in said], names=[name for _, name in said])


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

    Between the short one and the full one, one in the middle, which takes 0.5 s where
    the full one takes 1.3 s and another 100 MB: of 196 recordings the short one failed
    at two, and the middle one mended one of them.
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
        if not text.strip():
            continue
        end_s = min(starts[at], utterance.seconds)
        yield Word(
            text=text.strip(),
            start_s=utterance.start_s + min(starts[span.start], end_s),
            end_s=utterance.start_s + end_s,
            confidence=float(np.mean(probabilities[span] or [0.0])),
        )


def use_once(folder: Path) -> None:
    """Loads a model and has it hear silence; for files nobody vouches for."""
    model = Whisper(folder, threads=1)
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    utterance = Utterance(samples=silence, start_s=0.0, speech_end_s=0.5)
    model.draft(utterance)


def describe() -> str:
    """Returns what the engine can compute with here."""
    types = ctranslate2.get_supported_compute_types("cpu")
    return f"CTranslate2 {version('ctranslate2')}, {' '.join(sorted(types))}"
