"""A speech model that is being made: what is asked for, and its files' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize.asr.recordings import Recording
    from quantize.asr.source import Source

MODEL, CONFIG, TOKENIZER = "model.bin", "config.json", "tokenizer.json"
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
"""Either one; converters of old wrote the second."""
PREPROCESSOR = "preprocessor_config.json"
"""How sound becomes what the model hears; not all models need one."""
RECORDINGS = "speech-pocketsphinx"
"""In the store: what is listened to where nothing else is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be made of what."""

    source: Path
    out: Path
    """A folder that is not there yet."""
    threads: int
    adapters: tuple[Path, ...] = ()
    evaluation: Path | None = None
    """A folder of recordings; those of the store where None."""
    language: str = "en"
    """ISO 639-1, of what is said."""
    guard_wer: float = 0.003
    """Errors that are allowed, by word that the source hears."""
    guard_shift_ms: float = 40.0
    """How far the beginnings of 95 of 100 words may move: two frames of the encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A model that is being made, once its source is there as floats."""

    request: Request
    source: Source
    floats: Path
    """The source in CTranslate2's format."""
    recordings: Sequence[Recording]
