"""Sentences in, vectors out: as the runtime reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from quantize.encoder.building import TYPES, Floats
from quantize.encoder.pieces import Feeds, Pieces, feeds
from quantize.onnx_session import open_session, run

N_TOGETHER = 16
"""Sentences of as many pieces that the runtime reads at once."""


class Reader:
    """An encoder that is open.

    Args:
        model: A file, or a model in memory.
        pieces: What it reads.
        threads: How many work on a sentence.
    """

    def __init__(
        self, model: Path | onnx.ModelProto, pieces: Pieces, *, threads: int
    ) -> None:
        if not isinstance(model, Path):
            model = model.SerializeToString(deterministic=True)
        self._session = open_session(model, threads=threads)
        self._pieces = pieces
        self._has_types = TYPES in [one.name for one in self._session.get_inputs()]

    def feeds(self, texts: Sequence[str]) -> Feeds:
        """Returns what the encoder reads of sentences with as many pieces."""
        found = [self._pieces.numbers(text) for text in texts]
        return feeds(found, has_types=self._has_types)

    def read(self, fed: Feeds) -> Floats:
        """Returns the vectors of what was fed, (n, d)."""
        (vectors,) = run(self._session, fed)
        return vectors

    def alone(self, texts: Sequence[str]) -> Floats:
        """Returns vectors of sentences that are read one by one, (n, d)."""
        return np.concatenate([self.read(self.feeds([text])) for text in texts])

    def together(self, texts: Sequence[str]) -> Floats:
        """Returns vectors of sentences, those with as many pieces read at once."""
        groups = by_length(texts, self._pieces)
        found: dict[int, Floats] = {}
        for group in groups:
            vectors = self.read(self.feeds([texts[n] for n in group]))
            found |= dict(zip(group, vectors, strict=True))
        return np.array([found[n] for n in range(len(texts))], np.float32)


def by_length(texts: Sequence[str], pieces: Pieces) -> list[list[int]]:
    """Returns the places of sentences that have as many pieces, 16 at most."""
    groups: dict[int, list[int]] = {}
    for n, text in enumerate(texts):
        groups.setdefault(len(pieces.numbers(text)), []).append(n)
    return [
        group[at : at + N_TOGETHER]
        for _, group in sorted(groups.items())
        for at in range(0, len(group), N_TOGETHER)
    ]
