"""What a runtime has to know of a sentence encoder that pools by itself.

The file lies beside the model. Who makes an encoder writes it, who runs one reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from models.disk import write_whole
from models.errors import ModelError

ENCODER_FILE = "encoder.json"
FORMAT = 1
OUTPUT = "sentence_embedding"
POOLINGS = ("mean", "cls")
_MAX_BYTES = 1 << 16
_MOST_PIECES = 1 << 16
_HINT = "Make the encoder again: headside quantize encoder."


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFile:
    """How sentences become what an encoder reads, and what it gives."""

    output: str = OUTPUT
    """Name of the output: a vector of length 1 for each sentence, (batch, width)."""
    width: int
    pooling: str
    """``mean`` over the pieces or that of ``cls``; it is done in the graph."""
    max_pieces: int
    """Of a sentence, its beginning and end included."""
    lower_case: bool
    """Whether words are read in lower case and without accents."""
    format: int = FORMAT


def save_encoder_file(folder: Path, encoder: EncoderFile) -> None:
    """Writes what there is to know beside a model."""
    write_whole(folder / ENCODER_FILE, json.dumps(asdict(encoder), indent=1) + "\n")


def load_encoder_file(folder: Path) -> EncoderFile | None:
    """Returns what lies beside a model; None where nothing does.

    Raises:
        ModelError: ``encoder_file``: it is not such a file, or of a later Headside.
    """
    path = folder / ENCODER_FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it holds no object")
        if found.get("format") != FORMAT:
            raise ValueError(f"its format is {found.get('format')!r}, not {FORMAT}")
        encoder = EncoderFile(**found)
        _check(encoder)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            "encoder_file", f"{path} cannot be read: {error}.", _HINT
        ) from error
    return encoder


def _check(encoder: EncoderFile) -> None:
    for name, type_ in (("output", str), ("pooling", str), ("lower_case", bool)):
        if not isinstance(getattr(encoder, name), type_):
            raise TypeError(f"{name} is {getattr(encoder, name)!r}")
    for name in ("width", "max_pieces"):
        value = getattr(encoder, name)
        if type(value) is not int or not 3 <= value <= _MOST_PIECES:
            raise ValueError(f"{name} is {value!r}")
    if encoder.pooling not in POOLINGS:
        raise ValueError(f"pooling is {encoder.pooling!r}")
