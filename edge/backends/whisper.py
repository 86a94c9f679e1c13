"""Whisper through faster-whisper and CTranslate2, int8 on the CPU.

The stock pipeline pads every utterance to 30 s, which costs about ten times the
encoder time that a command needs. Here the window is the utterance plus a margin. A
window much shorter than what the model was trained on makes the decoder repeat itself;
a repeated or improbable result is therefore decoded again on the full window.
"""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from edge.asr import AsrError, Transcript, is_loop
from edge.backends.failures import vendor_errors
from edge.vad import Utterance

_FRAMES_PER_S = 100
_FULL_WINDOW_S = 30.0
_MIN_WINDOW_S = 8.0
"""Below this the decoder starts to loop (``numbers.raw`` at 5 s does)."""
_MARGIN_S = 1.0
_MIN_LOG_PROBABILITY = -1.0
_NO_SPEECH_PROBABILITY = 0.6
"""Both as published with Whisper."""
_BEAM_SIZE = 5
_MAX_TOKENS = 200


class Whisper:
    """A Whisper model in CTranslate2's format, loaded from a folder."""

    def __init__(self, folder: Path, *, threads: int, language: str = "en") -> None:
        with vendor_errors(
            AsrError,
            "asr_model",
            f"The speech model in {folder} could not be loaded.",
            "Run `headside models verify`.",
        ):
            self._model = WhisperModel(
                str(folder),
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

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Returns what was said; the text is empty where there was no speech."""
        window_s = min(
            max(utterance.seconds + _MARGIN_S, _MIN_WINDOW_S), _FULL_WINDOW_S
        )
        with vendor_errors(AsrError, "asr_failed", "The speech recogniser failed."):
            transcript = self._decode(utterance, window_s)
            if window_s < _FULL_WINDOW_S and _is_doubtful(transcript):
                transcript = self._decode(utterance, _FULL_WINDOW_S)
        return transcript

    def close(self) -> None:
        """Frees the model."""
        self._model.model.unload_model()

    def _decode(self, utterance: Utterance, window_s: float) -> Transcript:
        features = self._model.feature_extractor(utterance.samples)  # (80, frames)
        n_frames = round(window_s * _FRAMES_PER_S)
        encoded = self._model.encode(pad_or_trim(features, n_frames))
        result = self._model.model.generate(
            encoded,
            [self._prompt],
            beam_size=_BEAM_SIZE,
            max_length=len(self._prompt) + _MAX_TOKENS,
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
        )


def _is_doubtful(transcript: Transcript) -> bool:
    return is_loop(transcript.text) or transcript.confidence < np.exp(
        _MIN_LOG_PROBABILITY
    )


def describe() -> str:
    """Returns what the engine can compute with here."""
    types = ctranslate2.get_supported_compute_types("cpu")
    return f"CTranslate2 {ctranslate2.__version__}, {' '.join(sorted(types))}"
