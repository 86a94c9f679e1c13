"""The importance matrix: how strongly each column of a weight is used.

For each weight it holds the sum of the squares of what its columns were multiplied
with, and over how many rows, as llama.cpp's `llama-imatrix` gathers it. Files are those
of that tool, in GGUF (`general.type` "imatrix"; `NAME.in_sum2` and `NAME.counts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quantize.errors import QuantizeError
from quantize.ggml import Floats, read_as
from quantize.gguf import Header, Tensor, load_header
from quantize.gguf_file import Entry, write_gguf
from quantize.llama import Llama, shared_beginnings

Sums = npt.NDArray[np.float64]
_SUM, _COUNT = ".in_sum2", ".counts"
_DATASETS, _N_CHUNKS, _CHUNK = (
    "imatrix.datasets",
    "imatrix.chunk_count",
    "imatrix.chunk_size",
)


@dataclass(slots=True)
class Importance:
    """What was gathered so far."""

    sums: dict[str, Sums] = field(default_factory=dict)
    """(columns,) of each weight."""
    counts: dict[str, int] = field(default_factory=dict)
    """Rows that went into it."""
    n_chunks: int = 0
    chunk_tokens: int = 0
    """Tokens of each chunk, at most."""
    datasets: tuple[str, ...] = ()
    """Names of what was read."""

    def hear(self, name: str, values: Floats, _heard: int = 0) -> None:
        """Adds what a weight is multiplied with.

        Args:
            name: Of the weight.
            values: (rows, columns)

        Raises:
            QuantizeError: ``model_not_finite``.
        """
        sums = np.square(values, dtype=np.float64).sum(axis=0)
        if not np.isfinite(sums).all():
            raise QuantizeError(
                "model_not_finite",
                f"The model computes numbers that are none, before {name}.",
                "Its weights are broken, or too large for their type.",
            )
        known = self.sums.get(name)
        self.sums[name] = sums if known is None else known + sums
        self.counts[name] = self.counts.get(name, 0) + len(values)

    def means(self) -> dict[str, Floats]:
        """Returns (columns,) mean squares by weight, of those that were used."""
        return {
            name: (sums / count).astype(np.float32)
            for name, sums in self.sums.items()
            if (count := self.counts[name])
        }

    def save(self, path: Path) -> None:
        """Writes a file that llama.cpp's tools read, whole or not at all."""
        tensors: dict[str, Floats] = {}
        for name in sorted(self.sums):
            tensors[name + _SUM] = self.sums[name].astype(np.float32)[None]
            tensors[name + _COUNT] = np.array([[self.counts[name]]], np.float32)
        metadata: dict[str, Entry] = {
            "general.type": "imatrix",
            _DATASETS: self.datasets,
            _N_CHUNKS: self.n_chunks,
            _CHUNK: self.chunk_tokens,
        }
        write_gguf(path, metadata, tensors)


def gather(
    model: Llama,
    chunks: Sequence[Sequence[int]],
    importance: Importance,
    chunk_done: Callable[[Importance], None],
) -> None:
    """Reads the chunks that were not read yet.

    Args:
        model: The model.
        chunks: Tokens of each; how one begins as the one before it counts once.
        importance: What was gathered from the first ones; added to.
        chunk_done: Called after each.
    """
    importance.chunk_tokens = max(map(len, chunks), default=0)
    n_shared = shared_beginnings(chunks)
    for n in range(importance.n_chunks, len(chunks)):
        model.listen(chunks[n], importance.hear, n_before=n_shared[n])
        importance.n_chunks += 1
        chunk_done(importance)


def load_importance(path: Path) -> Importance:
    """Returns what a file of llama.cpp's or ours holds.

    Raises:
        QuantizeError: ``imatrix_broken``.
        GgufError: The file is none.
    """
    header = load_header(path)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    found = Importance(
        n_chunks=header.number(_N_CHUNKS) or 0,
        chunk_tokens=header.number(_CHUNK) or 0,
        datasets=_texts(header, _DATASETS),
    )
    for name in _weights(tensors):
        sums, counts = tensors[name + _SUM], tensors.get(name + _COUNT)
        if counts is None or counts.n_numbers != 1 or len(sums.shape) > 2:
            raise _broken(path, f'"{name}" has no single count')
        values = _read(path, sums).reshape(-1)
        n = float(_read(path, counts).reshape(-1)[0])
        if not np.isfinite(values).all() or values.min() < 0 or not 0 <= n < 1e15:
            raise _broken(path, f'"{name}" holds numbers that are no sums of squares')
        found.sums[name] = values.astype(np.float64)
        found.counts[name] = round(n)
    if not found.sums:
        raise _broken(path, "it holds no sums")
    return found


def _weights(names: Mapping[str, Tensor]) -> Iterable[str]:
    return (name.removesuffix(_SUM) for name in names if name.endswith(_SUM))


def _texts(header: Header, key: str) -> tuple[str, ...]:
    found = header.metadata.get(key, ())
    texts = found if isinstance(found, tuple) else (found,)
    return tuple(text for text in texts if isinstance(text, str))


def _read(path: Path, tensor: Tensor) -> Floats:
    if tensor.type.name != "f32":
        raise _broken(path, f'"{tensor.name}" is {tensor.type.name}, not f32')
    stored = np.fromfile(path, np.uint8, tensor.n_bytes, offset=tensor.offset)
    return read_as(stored, tensor.type, tensor.shape[::-1])


def _broken(path: Path, what: str) -> QuantizeError:
    return QuantizeError(
        "imatrix_broken",
        f"{path} is no importance matrix: {what}.",
        "Leave it out, and a new one is made; or name one that llama.cpp wrote.",
    )
