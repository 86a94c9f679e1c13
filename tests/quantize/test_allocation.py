"""The budget: nothing over it, and as little lost as can be."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.allocation import Choice, allocate
from quantize.errors import QuantizeError
from quantize.gguf import TYPES

TYPE = TYPES[2]

choices_of = st.lists(
    st.tuples(st.integers(1, 30), st.floats(0, 10)), min_size=1, max_size=4
)


def choices(found: list[tuple[int, float]]) -> list[Choice]:
    return [Choice(type=TYPE, cost=cost, loss=loss) for cost, loss in found]


@given(st.lists(choices_of, min_size=1, max_size=4), st.integers(0, 120))
def test_the_budget_holds_and_nothing_cheaper_is_better(
    tensors: list[list[tuple[int, float]]], budget: int
) -> None:
    table = {f"t{n}": choices(found) for n, found in enumerate(tensors)}
    ways = [
        (sum(one.cost for one in way), sum(one.loss for one in way))
        for way in itertools.product(*table.values())
    ]
    best = min((loss for cost, loss in ways if cost <= budget), default=math.inf)
    if math.isinf(best):
        with pytest.raises(QuantizeError) as failed:
            allocate(table, budget)
        assert failed.value.code == "budget_too_small"
        assert f"{min(cost for cost, _ in ways):,}" in failed.value.message
        return

    found = allocate(table, budget)

    assert set(found) == set(table)
    assert sum(one.cost for one in found.values()) <= budget
    # A relaxation is off by the last step alone.
    step = max(
        (abs(a.loss - b.loss) for of in table.values() for a in of for b in of),
        default=0,
    )
    assert sum(one.loss for one in found.values()) <= best + step + 1e-9


@given(st.lists(choices_of, min_size=1, max_size=5))
def test_with_room_for_all_nothing_is_lost_needlessly(
    tensors: list[list[tuple[int, float]]],
) -> None:
    table = {f"t{n}": choices(found) for n, found in enumerate(tensors)}

    found = allocate(table, 10_000)

    for name, one in found.items():
        assert one.loss == min(other.loss for other in table[name])


def test_the_tensor_that_matters_gets_the_bytes() -> None:
    table = {
        "dull": choices([(10, 1.0), (20, 0.9)]),
        "dear": choices([(10, 5.0), (20, 0.5)]),
    }

    found = allocate(table, 30)

    assert (found["dull"].cost, found["dear"].cost) == (10, 20)
