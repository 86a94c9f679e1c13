"""What was measured of a model, kept for its next budget and for after a kill.

Everything lies in a folder that the hash of all it depends on names, so that nothing
old is ever taken for new. Floats are kept whole: what is resumed comes out the same,
bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.store import cache_root
from quantize.imatrix import Importance

_TOOLS = ("headside", "llama-cpp-python")
"""That may measure something else in another version."""
_SUMS, _COUNTS, _DONE = "sums/", "counts/", "n_chunks"


class Kept:
    """The folder of one model and its texts.

    Args:
        depends_on: Hashes and settings that decide what is measured.
    """

    def __init__(self, *depends_on: str) -> None:
        tools = [f"{name} {version(name)}" for name in _TOOLS]
        told = json.dumps([*depends_on, *tools])
        key = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.folder = cache_root() / "quantize" / key
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Returns a file in it, that may not be there."""
        return self.folder / name

    def importance(self, datasets: Sequence[str]) -> Importance:
        """Returns what was gathered before a kill; nothing otherwise."""
        found = Importance(datasets=tuple(datasets))
        try:
            with np.load(self._gathered, allow_pickle=False) as stored:
                for name in stored.files:
                    if name.startswith(_SUMS):
                        found.sums[name.removeprefix(_SUMS)] = stored[name]
                    elif name.startswith(_COUNTS):
                        found.counts[name.removeprefix(_COUNTS)] = int(stored[name])
                found.n_chunks = int(stored[_DONE])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return Importance(datasets=tuple(datasets))
        return found

    def keep(self, importance: Importance) -> None:
        """Keeps what was gathered so far."""
        beside = self.folder / "gathered.part.npz"
        arrays: dict[str, Any] = {_DONE: np.int64(importance.n_chunks)}
        for name, sums in importance.sums.items():
            arrays[_SUMS + name] = sums
            arrays[_COUNTS + name] = np.int64(importance.counts[name])
        np.savez(beside, **arrays)
        beside.replace(self._gathered)

    @property
    def _gathered(self) -> Path:
        return self.folder / "gathered.npz"
