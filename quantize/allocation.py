"""Which type each tensor gets, so that the divergence is least within a budget.

Divergences of single tensors add up while they are small, as each is a quadratic form
of errors that have nothing to do with one another. What is left is a knapsack with a
choice of types for each tensor: its relaxation by a price for a byte is exact on the
lower convex hull of each tensor's choices, and what the last step leaves of the budget
is filled with what gains most.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantize.errors import QuantizeError
from quantize.gguf import TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A tensor in a type."""

    type: TensorType
    cost: float
    """What counts against the budget: bytes, or bytes and time."""
    loss: float
    """Divergence that it is expected to add, nats per token."""


def allocate(
    choices: Mapping[str, Sequence[Choice]], budget: float
) -> dict[str, Choice]:
    """Returns the choice for each tensor that loses least within a budget.

    Args:
        choices: By tensor; at least one each.
        budget: Of all costs together.

    Raises:
        QuantizeError: ``budget_too_small``.
    """
    hulls = {name: _hull(found) for name, found in choices.items()}
    chosen = dict.fromkeys(hulls, 0)
    spent = sum(hull[0].cost for hull in hulls.values())
    if spent > budget:
        raise QuantizeError(
            "budget_too_small",
            f"The smallest possible takes {spent:,.0f}, more than {budget:,.0f}.",
            "Give a larger budget.",
        )
    steps = sorted(
        (
            ((before.loss - after.loss) / (after.cost - before.cost), name, at)
            for name, hull in hulls.items()
            for at, (before, after) in enumerate(itertools.pairwise(hull), 1)
        ),
        key=lambda step: (-step[0], step[1], step[2]),
    )
    for _, name, at in steps:
        hull = hulls[name]
        more = hull[at].cost - hull[chosen[name]].cost
        # A step on a hull is only of use after the one before it.
        if chosen[name] == at - 1 and spent + more <= budget:
            chosen[name] = at
            spent += more
    found = {name: hulls[name][at] for name, at in chosen.items()}
    return _filled(choices, found, budget - spent)


def _hull(choices: Sequence[Choice]) -> list[Choice]:
    """Returns the choices on the lower convex hull, the cheapest first."""
    ordered = sorted(choices, key=lambda one: (one.cost, one.loss))
    hull: list[Choice] = []
    for one in ordered:
        if hull and one.loss >= hull[-1].loss:
            continue
        while len(hull) > 1 and _is_above(hull[-2], hull[-1], one):
            hull.pop()
        hull.append(one)
    return hull


def _is_above(first: Choice, middle: Choice, last: Choice) -> bool:
    """Returns whether a choice lies on or above the line between two others."""
    return (middle.loss - first.loss) * (last.cost - first.cost) >= (
        last.loss - first.loss
    ) * (middle.cost - first.cost)


def _filled(
    choices: Mapping[str, Sequence[Choice]], found: dict[str, Choice], left: float
) -> dict[str, Choice]:
    """Spends what is left of a budget on what gains most, on the hulls or not."""
    while True:
        gains = [
            (found[name].loss - one.loss, name, one)
            for name, of in choices.items()
            for one in of
            if one.cost - found[name].cost <= left and one.loss < found[name].loss
        ]
        if not gains:
            return found
        _, name, one = max(gains, key=lambda gain: (gain[0], gain[1]))
        left -= one.cost - found[name].cost
        found[name] = one
