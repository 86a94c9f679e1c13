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
from quantize.search import Goal, Sensitivity, cheapest_bytes
from quantize.trial import some_rows

SHARES = (0.8, 0.6, 0.4, 0.2)
"""Of a change, that are to be left: the first, where there is room for it."""


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


def shares_left(
    found: Sequence[Sensitivity],
    merged: Path,
    bare: Path,
    importance: Mapping[str, Floats],
) -> dict[str, dict[str, float]]:
    """Returns how much each type leaves of a change, by tensor and type.

    Args:
        found: Of each tensor.
        merged: A GGUF file of float32: the base with its adapters in it.
        bare: The same without.
        importance: (columns,) by weight.
    """
    before = {tensor.name: tensor for tensor in load_header(bare).tensors}
    after = {tensor.name: tensor for tensor in load_header(merged).tensors}
    shares: dict[str, dict[str, float]] = {}
    for one in found:
        name = one.weight.name
        if name in before:
            rows = _some(bare, before[name]), _some(merged, after[name])
            columns = importance.get(name)
            shares[name] = {
                type_name: share_left(*rows, type_name, columns)
                for type_name in one.errors
            }
    return shares


def without_forgetful(
    found: Sequence[Sensitivity],
    shares: Mapping[str, Mapping[str, float]],
    budget_bytes: int,
    goal: Goal,
) -> tuple[list[Sensitivity], float]:
    """Returns sensitivities that know which types would undo an adapter.

    Args:
        found: Of each tensor.
        shares: What each type leaves.
        budget_bytes: Of all tensors together.
        goal: Which types may be chosen.

    Returns:
        The same, and the share of a change that every type leaves which may be taken:
        as much as is wanted, or as the budget has room for.
    """
    for least in SHARES:
        told = [
            replace(one, forgetful=_forgetful(shares, one, least, goal))
            for one in found
        ]
        if cheapest_bytes(told, goal) <= budget_bytes:
            return told, least
    return list(found), 0.0


def _forgetful(
    shares: Mapping[str, Mapping[str, float]],
    one: Sensitivity,
    least: float,
    goal: Goal,
) -> tuple[str, ...]:
    """Returns the types that leave less; of those that may be chosen, one stays."""
    left = {
        name: share
        for name, share in shares.get(one.weight.name, {}).items()
        if name in goal.types
    }
    most = max(left.values(), default=0.0)
    return tuple(name for name, share in left.items() if share < min(least, most))


def _some(path: Path, tensor: Tensor) -> Floats:
    return some_rows(np.memmap(path, "<f4", "r", tensor.offset, tensor.rows))
