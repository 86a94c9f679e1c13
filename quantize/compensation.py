"""Rounding whose losses are mended by the columns that are rounded later.

A row is rounded block by block, from left to right. What a block lost is made up for as
well as can be by the columns to the right, which are not rounded yet: with E the loss
of the block's columns b and U the factor of the weight's inputs (see `factors`), these
change by -E inv(U_bb) U_b,rest. It is GPTQ with the blocks of ggml's types for its
columns, so that llama.cpp itself, given the weights that come out, rounds them so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantize.factors import Factors
from quantize.ggml import Floats, fits, rounded
from quantize.gguf import TensorType, load_header

_PART_NUMBERS = 1 << 18
"""Numbers that a thread works on at a time, about."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some rows of a weight, rounded."""

    mended: Floats
    left: Floats
    error: float


_Keep = Callable[[slice, _Part], None]


def _drop(_some: slice, _part: _Part) -> None:
    """Keeps nothing."""


class Rounding:
    """How the weights of a model are rounded.

    Args:
        importance: (columns,) by tensor; those without are rounded without.
        factors: Of those whose losses are mended.
        threads: How many work.
    """

    def __init__(
        self, importance: Mapping[str, Floats], factors: Factors, threads: int
    ) -> None:
        self._importance, self._factors = importance, factors
        self._threads = threads

    def left(self, name: str, rows: Floats, type_: TensorType) -> Floats:
        """Returns (rows, columns) what is left of a weight.

        Args:
            name: Of the weight.
            rows: (rows, columns)
            type_: The type it goes through.
        """
        found: Floats = np.empty(rows.shape, np.float32)

        def keep(some: slice, part: _Part) -> None:
            found[some] = part.left

        self._by_parts(name, rows, type_, keep)
        return found

    def mend(self, name: str, rows: Floats, type_: TensorType) -> None:
        """Changes a weight to one that, rounded as it is, leaves what `left` does.

        But for blocks that are rounded with an eye on the whole row: nearly that.

        Args:
            name: Of the weight.
            rows: (rows, columns), written over.
            type_: The type it will go through.
        """

        def keep(some: slice, part: _Part) -> None:
            rows[some] = part.mended

        self._by_parts(name, rows, type_, keep)

    def error(self, name: str, rows: Floats, type_: TensorType) -> float:
        """Returns what the loss does to the products, squared and summed.

        Up to a factor that is the weight's own, whatever the type.
        """
        return self._by_parts(name, rows, type_, _drop)

    def is_mended(self, name: str) -> bool:
        """Returns whether losses of a weight are mended."""
        return self._factors.of(name) is not None

    def _by_parts(
        self, name: str, rows: Floats, type_: TensorType, keep: _Keep
    ) -> float:
        """Rounds some rows at a time, so that little memory is taken."""
        factor, importance = self._factors.of(name), self._importance.get(name)
        if factor is not None and not fits(type_, factor.shape[1]):
            factor = None
        inverses = None if factor is None else list(_inverses(factor, type_.n_block))
        n_rows = max(1, _PART_NUMBERS // rows.shape[1])

        def work(first: int) -> float:
            some = slice(first, first + n_rows)
            if factor is None or inverses is None:
                part = _rounded(rows[some], type_, importance)
            else:
                part = _compensated(rows[some], type_, importance, factor, inverses)
            keep(some, part)
            return part.error

        with ThreadPoolExecutor(self._threads) as threads:
            return sum(threads.map(work, range(0, len(rows), n_rows)))


def write_mended(
    base: Path,
    out: Path,
    types: Mapping[str, TensorType],
    rounding: Rounding,
    tell: Callable[[int, int], None],
) -> None:
    """Writes a model whose weights are mended for the types they will be rounded to.

    Args:
        base: A GGUF file of float32.
        out: Where the other goes.
        types: By tensor.
        rounding: How.
        tell: Told how many tensors are done.
    """
    shutil.copyfile(base, out)
    tensors = [t for t in load_header(base).tensors if rounding.is_mended(t.name)]
    for n, tensor in enumerate(tensors):
        tell(n, len(tensors))
        type_ = types.get(tensor.name)
        if type_ is None or tensor.type.name != "f32":
            continue
        stored = np.memmap(out, "<f4", "r+", tensor.offset, tensor.rows)
        rounding.mend(tensor.name, stored, type_)
        stored.flush()
    tell(len(tensors), len(tensors))


def _rounded(rows: Floats, type_: TensorType, importance: Floats | None) -> _Part:
    left = rounded(rows, type_, importance)
    apart = left - rows
    by_column = np.einsum("rc,rc->c", apart, apart).astype(np.float64)
    error = by_column.sum() if importance is None else by_column @ importance
    return _Part(rows, left, float(error))


def _inverses(factor: Floats, n_block: int) -> Iterator[Floats]:
    """Yields inv(U_bb) of each block of all parts."""
    for part in factor:
        for at in range(0, len(part), n_block):
            block = part[at : at + n_block, at : at + n_block].astype(np.float64)
            yield np.linalg.inv(block).astype(np.float32)


def _compensated(
    rows: Floats,
    type_: TensorType,
    importance: Floats | None,
    factor: Floats,
    inverses: list[Floats],
) -> _Part:
    mended, left = np.array(rows), np.empty_like(rows)
    n_block, width, error = type_.n_block, factor.shape[1], 0.0
    for at, inverse in zip(range(0, rows.shape[1], n_block), inverses, strict=True):
        block = slice(at, at + n_block)
        columns = None if importance is None else importance[block]
        left[:, block] = rounded(mended[:, block], type_, columns)
        lost = (mended[:, block] - left[:, block]) @ inverse
        error += float(np.einsum("rc,rc->", lost, lost, dtype=np.float64))
        n_part, first = divmod(at, width)
        end = (n_part + 1) * width
        used = factor[n_part, first : first + n_block, first + n_block :]
        mended[:, at + n_block : end] -= lost @ used
    return _Part(mended, left, error)
