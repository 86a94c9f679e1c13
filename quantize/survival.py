"""Whether what an adapter taught outlives rounding.

A base that was quantized once lies on the grid of a type, and an adapter moves its
weights by less than a step of it. Rounded to that grid again they fall back to where
they were: the error is as small as it can be, and what was taught is gone. What is left
of it is seen in the direction of the change itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantize.ggml import Floats, named, rounded
from quantize.gguf import Tensor, load_header
from quantize.search import Sensitivity
from quantize.trial import some_rows

_LEAST = 0.8
"""Share of a change that has to be left."""


def share_left(
    before: Floats, after: Floats, type_name: str, importance: Floats | None
) -> float:
    """Returns how much of a change is left once its result is rounded, 1 for all.

    The projection of what is left on the change: <round(after) - before, change> by
    the square of the change.

    Args:
        before: (rows, columns)
        after: (rows, columns)
        type_name: What it is rounded to.
        importance: (columns,)
    """
    change = (after - before).astype(np.float64)
    square = float(np.einsum("rc,rc->", change, change))
    if square == 0:
        return 1.0
    left = rounded(after, named(type_name), importance) - before
    return float(np.einsum("rc,rc->", left.astype(np.float64), change)) / square


def without_forgetful(
    found: Sequence[Sensitivity],
    merged: Path,
    bare: Path,
    importance: Mapping[str, Floats],
) -> list[Sensitivity]:
    """Returns sensitivities that know which types would undo an adapter.

    Args:
        found: Of each tensor.
        merged: A GGUF file of float32: the base with its adapters in it.
        bare: The same without.
        importance: (columns,) by weight.
    """
    before = {tensor.name: tensor for tensor in load_header(bare).tensors}
    after = {tensor.name: tensor for tensor in load_header(merged).tensors}
    told = []
    for one in found:
        name = one.weight.name
        forgetful: list[str] = []
        if name in before:
            rows = _some(bare, before[name]), _some(merged, after[name])
            columns = importance.get(name)
            forgetful = [
                type_name
                for type_name in one.errors
                if share_left(*rows, type_name, columns) < _LEAST
            ]
        is_all = len(forgetful) == len(one.errors)
        told.append(replace(one, forgetful=() if is_all else tuple(forgetful)))
    return told


def _some(path: Path, tensor: Tensor) -> Floats:
    return some_rows(np.memmap(path, "<f4", "r", tensor.offset, tensor.rows))
