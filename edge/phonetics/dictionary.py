"""Pronunciations of English words, looked up in a dictionary of 135,000.

The file is the CMU Pronouncing Dictionary's own text, mapped and not read: a start
needs a few hundred of its words. An index of what each line begins with is made in some
milliseconds, so that no second copy of the file has to be kept.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from models.errors import ModelError

_PREFIX = 8
"""Characters of a word in the index; who shares them is told apart by reading."""
_MAX_VARIANTS = 4


class Dictionary:
    """The pronunciations of a file in CMUdict's format.

    Args:
        path: Lines of ``word SOUND SOUND``; further ways to say it as ``word(2)``.

    Raises:
        ModelError: ``pronunciations``: it is not such a file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as cause:
            raise ModelError(
                "pronunciations",
                f"The pronunciations in {path} cannot be read: {cause}.",
                "Run `headside models verify`.",
            ) from cause
        read = np.frombuffer(self._text, np.uint8)
        ends = np.flatnonzero(read == ord("\n"))
        if b" " not in self._text[: ends[0] if len(ends) else None]:
            raise ModelError(
                "pronunciations",
                f"{path} is no dictionary of pronunciations.",
                "A line of it is a word, a space, and its sounds.",
            )
        starts = np.concatenate(([0], ends + 1))
        starts = starts[starts < len(read)]
        read = np.append(read, np.zeros(_PREFIX, np.uint8))
        keys = _keys(read[starts[:, None] + np.arange(_PREFIX)])  # (n lines,)
        order = np.argsort(keys, kind="stable")
        self._keys, self._starts = keys[order], starts[order]

    def pronunciations(self, word: str) -> tuple[tuple[str, ...], ...]:
        """Returns the ways to say a word, in ARPAbet; none where it is not listed."""
        found: list[tuple[str, ...]] = []
        for variant in range(1, _MAX_VARIANTS + 1):
            spelled = word if variant == 1 else f"{word}({variant})"
            sounds = self._line(spelled.encode("latin-1", "ignore") + b" ")
            if sounds is None:
                break
            found.append(sounds)
        return tuple(found)

    def _line(self, begins: bytes) -> tuple[str, ...] | None:
        shown = np.frombuffer(begins[:_PREFIX].ljust(_PREFIX, b"\xff"), np.uint8)
        length = min(len(begins), _PREFIX)
        low, high = shown.copy(), shown.copy()
        low[length:], high[length:] = 0, 255
        first = np.searchsorted(self._keys, _keys(low[None])[0], "left")
        last = np.searchsorted(self._keys, _keys(high[None])[0], "right")
        for start in self._starts[first:last].tolist():
            if self._text[start : start + len(begins)] == begins:
                end = self._text.find(b"\n", start)
                line = self._text[start + len(begins) : end if end >= 0 else None]
                return tuple(line.decode("ascii", "ignore").split())
        return None


def _keys(prefixes: np.ndarray) -> np.ndarray:
    """Returns (n, 8) characters as n numbers that sort as they do."""
    return np.ascontiguousarray(prefixes, np.uint8).view(">u8")[:, 0].astype(np.uint64)
