"""A model whose weights are exchanged, one or all, to see what it says then.

What a weight would be after it was quantized takes its place in memory: no file is made
and none is loaded. The products run in float, so that the rounding of what a
kernel multiplies with, in int8, is not seen; the file that is made at last is compared
as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.compensation import Rounding
from quantize.divergence import Divergence, Reference
from quantize.ggml import Floats, read_as, stored_as
from quantize.gguf import Tensor, TensorType
from quantize.llama import Llama

_SAMPLE_NUMBERS = 1 << 17
"""Of a weight, about, that tell the errors of types."""


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


def some_rows(rows: Floats) -> Floats:
    """Returns some rows of a weight, from all over it."""
    n_apart = max(1, rows.size // _SAMPLE_NUMBERS)
    return np.ascontiguousarray(rows[::n_apart])


class Trial:
    """A loaded model, the texts it is tried on, and what it says as it is.

    Args:
        model: The model.
        tensors: Those of it that can be quantized.
        chunks: Tokens of each text, each at most what the model reads at once.
        rounding: How weights are rounded.
    """

    def __init__(
        self,
        model: Llama,
        tensors: Sequence[Tensor],
        chunks: Sequence[Sequence[int]],
        *,
        rounding: Rounding,
    ) -> None:
        self._model, self._chunks, self._rounding = model, chunks, rounding
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
            Weight(name=name, n_rows=n_rows, n_columns=n_columns)
            for name, tensor in self._tensors.items()
            for n_rows, n_columns in [tensor.rows]
        ]

    def values(self, name: str) -> Floats:
        """Returns (rows, columns) a weight as it stands."""
        tensor = self._tensors[name]
        return read_as(self._stored[name], tensor.type, tensor.rows)

    def errors(self, name: str, types: Sequence[TensorType]) -> dict[str, float]:
        """Returns the weighted squared error by type, over some rows of a weight."""
        some = some_rows(self.values(name))
        return {type_.name: self._rounding.error(name, some, type_) for type_ in types}

    def kl_of(self, name: str, type_: TensorType) -> float:
        """Returns the mean divergence with one weight alone in a type, nats."""
        left = self._rounding.left(name, self.values(name), type_)
        stored = stored_as(left, self._tensors[name].type)
        with self._model.exchanged(name, stored):
            return self.kl()

    def diverged(self) -> list[Divergence]:
        """Returns how far the model is from itself as it was, for each text."""
        return [
            reference.compared(self._model.logits(chunk))
            for reference, chunk in zip(self._references, self._chunks, strict=True)
        ]

    def kl(self) -> float:
        """Returns the mean divergence over all texts, in nats per token."""
        return float(np.concatenate([one.kl for one in self.diverged()]).mean())
