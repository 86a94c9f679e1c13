"""A model whose weights are exchanged, one or all, to see what it says then.

What a weight would be after it was quantized is written over it in memory: no file is
made and none is loaded. The products run in float, so that the rounding of what a
kernel multiplies with, in int8, is not seen; the file that is made at last is compared
as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantize.divergence import Divergence, Reference
from quantize.ggml import Floats, read_as, rounded, stored_as
from quantize.gguf import Tensor, TensorType
from quantize.llama import Llama

_PART_NUMBERS = 1 << 20
"""Numbers that a thread rounds at a time, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A tensor that can be quantized."""

    name: str
    n_rows: int
    n_columns: int

    @property
    def n_numbers(self) -> int:
        """How many it holds."""
        return self.n_rows * self.n_columns

    def n_bytes(self, type_: TensorType) -> int:
        """Returns what it takes in a type."""
        return self.n_numbers // type_.n_block * type_.block_bytes


class Trial:
    """A loaded model, the texts it is tried on, and what it says as it is.

    Args:
        model: The model.
        tensors: Those of it that can be quantized.
        chunks: Tokens of each text, each at most what the model reads at once.
        importance: (columns,) by tensor; those without are rounded without.
        threads: How many round.
    """

    def __init__(
        self,
        model: Llama,
        tensors: Sequence[Tensor],
        chunks: Sequence[Sequence[int]],
        *,
        importance: Mapping[str, Floats],
        threads: int,
    ) -> None:
        self._model, self._chunks = model, chunks
        self._importance, self._threads = importance, threads
        stored = model.weights(chunks[0])
        self._stored = {
            tensor.name: stored[tensor.name]
            for tensor in tensors
            if tensor.name in stored
        }
        self._tensors = {t.name: t for t in tensors if t.name in stored}
        self._references = [
            Reference.of(model.logits(chunk), chunk) for chunk in chunks
        ]

    @property
    def weights(self) -> list[Weight]:
        """What can be quantized, in the order of the file."""
        return [
            Weight(
                name=name,
                n_columns=tensor.shape[0],
                n_rows=tensor.n_numbers // tensor.shape[0],
            )
            for name, tensor in self._tensors.items()
        ]

    def values(self, name: str) -> Floats:
        """Returns (rows, columns) a weight as it stands."""
        tensor = self._tensors[name]
        n_columns = tensor.shape[0]
        shape = (tensor.n_numbers // n_columns, n_columns)
        return read_as(self._stored[name], tensor.type, shape)

    def rounded(self, name: str, type_: TensorType) -> Floats:
        """Returns (rows, columns) what is left of a weight that stands as it was."""
        values, importance = self.values(name), self._importance.get(name)
        n_rows = max(1, _PART_NUMBERS // values.shape[1])
        parts = [values[at : at + n_rows] for at in range(0, len(values), n_rows)]
        with ThreadPoolExecutor(self._threads) as threads:
            done = threads.map(lambda part: rounded(part, type_, importance), parts)
            return np.concatenate(list(done))

    def error(self, name: str, left: Floats) -> float:
        """Returns the squared error of a weight, weighted by its columns' use."""
        importance = self._importance.get(name)
        apart = left - self.values(name)
        by_column = np.einsum("rc,rc->c", apart, apart).astype(np.float64)
        return float(by_column.sum() if importance is None else by_column @ importance)

    def exchange(self, name: str, values: Floats) -> npt.NDArray[np.uint8]:
        """Has the model use other values, and returns the bytes that stood there."""
        kept = self._stored[name].copy()
        self._stored[name][:] = stored_as(values, self._tensors[name].type)
        return kept

    def restore(self, name: str, kept: npt.NDArray[np.uint8]) -> None:
        """Has the model use what stood there before."""
        self._stored[name][:] = kept

    def diverged(self) -> list[Divergence]:
        """Returns how far the model is from itself as it was, for each text."""
        return [
            reference.compared(self._model.logits(chunk))
            for reference, chunk in zip(self._references, self._chunks, strict=True)
        ]

    def kl(self) -> float:
        """Returns the mean divergence over all texts, in nats per token."""
        return float(np.concatenate([one.kl for one in self.diverged()]).mean())
