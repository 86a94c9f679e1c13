"""Sentences as numbers of word pieces, as the runtime reads them: BERT's, uncased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from quantize.encoder.building import IDS, MASK, TYPES
from quantize.errors import QuantizeError
from quantize.hf_folder import TOKENIZER_CONFIG, load_json

VOCABULARY, TOKENIZER = "vocab.txt", "tokenizer.json"
_SPECIAL = ("[UNK]", "[CLS]", "[SEP]")

Feeds = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """A vocabulary of word pieces."""

    vocabulary: tuple[str, ...]
    """In order of their numbers."""
    max_pieces: int
    _tokenizer: Any

    def numbers(self, text: str) -> list[int]:
        """Returns the numbers of a sentence, between those of beginning and end."""
        found: list[int] = self._tokenizer.encode(text).ids
        return found

    def save(self, folder: Path) -> None:
        """Writes the vocabulary, one piece a line."""
        text = "".join(f"{piece}\n" for piece in self.vocabulary)
        (folder / VOCABULARY).write_text(text, encoding="utf-8")


def feeds(rows: list[list[int]], *, has_types: bool) -> Feeds:
    """Returns what an encoder reads of sentences of as many pieces each."""
    ids = np.array(rows, np.int64)  # (b, t)
    found = {IDS: ids, MASK: np.ones_like(ids)}
    return {**found, TYPES: np.zeros_like(ids)} if has_types else found


def load_pieces(folder: Path, *, n_words: int, max_pieces: int) -> Pieces:
    """Returns the word pieces of a folder.

    Args:
        folder: Of the encoder; ``vocab.txt`` or ``tokenizer.json`` lie in it.
        n_words: Rows of its embedding.
        max_pieces: Of a sentence.

    Raises:
        QuantizeError: ``tokenizer_missing`` or ``tokenizer_unknown``.
    """
    path, in_json = folder / VOCABULARY, folder / TOKENIZER
    if path.is_file():
        text = _read(path)
        vocabulary = tuple(text.removesuffix("\n").split("\n"))
    elif in_json.is_file():
        vocabulary = _of_json(in_json)
    else:
        raise QuantizeError(
            "tokenizer_missing",
            f"{folder} holds no tokenizer: neither {VOCABULARY} nor {TOKENIZER}.",
            "Copy it from the model that this was trained from.",
        )
    if missing := [one for one in _SPECIAL if one not in vocabulary]:
        raise _unknown(folder, f"its vocabulary has no {' and no '.join(missing)}")
    if len(vocabulary) > n_words:
        raise _unknown(
            folder, f"it has {len(vocabulary)} pieces, and the model knows {n_words}"
        )
    if _is_cased(folder):
        raise _unknown(folder, "it tells capital letters apart")
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = BertWordPieceTokenizer(numbers, lowercase=True)
    tokenizer.enable_truncation(max_pieces)
    return Pieces(vocabulary=vocabulary, max_pieces=max_pieces, _tokenizer=tokenizer)


def check_pieces(folder: Path, pieces: Pieces, texts: list[str]) -> None:
    """Raises unless a folder's own tokenizer reads sentences the same.

    Raises:
        QuantizeError: ``tokenizer_unknown``.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        return
    try:
        own = Tokenizer.from_file(str(path))
    except Exception as error:  # its errors have no root of their own
        if type(error) is not Exception:
            raise
        raise _unknown(folder, f"{TOKENIZER} cannot be read: {error}") from error
    own.no_padding()
    own.enable_truncation(pieces.max_pieces)
    for text in texts:
        if own.encode(text).ids != pieces.numbers(text):
            raise _unknown(folder, f'{TOKENIZER} reads "{text:.60}" in other pieces')


def _of_json(path: Path) -> tuple[str, ...]:
    model = load_json(path).get("model")
    words = model.get("vocab") if isinstance(model, Mapping) else None
    if not isinstance(words, Mapping) or sorted(words.values()) != list(
        range(len(words))
    ):
        raise _unknown(path.parent, f"{TOKENIZER} is no numbered list of word pieces")
    return tuple(sorted(words, key=lambda piece: int(words[piece])))


def _is_cased(folder: Path) -> bool:
    path = folder / TOKENIZER_CONFIG
    return path.is_file() and load_json(path).get("do_lower_case", True) is False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unknown(path.parent, f"{path.name} cannot be read: {error}") from error


def _unknown(folder: Path, why: str) -> QuantizeError:
    return QuantizeError(
        "tokenizer_unknown",
        f"The tokenizer in {folder} is not BERT's uncased one: {why}.",
        "The runtime reads word pieces in lower case; take an uncased encoder.",
    )
