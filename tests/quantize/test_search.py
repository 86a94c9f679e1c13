"""Which type each tensor gets, by what it loses, its bytes and its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from quantize.errors import QuantizeError
from quantize.job import GOALS
from quantize.kernels import key
from quantize.search import Goal, Sensitivity, assign
from quantize.trial import Weight

N_ROWS, N_COLUMNS = 64, 256
ERRORS = {"q4_0": 100.0, "q5_0": 25.0, "q6_K": 6.0, "q8_0": 0.4}


def tensors(n: int = 6) -> list[Sensitivity]:
    """Returns tensors, each twice as sensitive as the one before."""
    return [
        Sensitivity(
            weight=Weight(name=f"t{at}", n_rows=N_ROWS, n_columns=N_COLUMNS),
            probe="q4_0",
            kl=0.01 * 2**at,
            errors=ERRORS,
        )
        for at in range(n)
    ]


def timed(goal: Goal, **seconds: float) -> Goal:
    return replace(
        goal,
        seconds={key(name, N_COLUMNS, N_ROWS): took for name, took in seconds.items()},
    )


def n_bytes(found: Sequence[Sensitivity], types: object) -> int:
    assert isinstance(types, dict)
    return sum(one.weight.n_bytes(types[one.weight.name]) for one in found)


BUDGET = int(6 * N_ROWS * N_COLUMNS * 6.0 / 8)


def test_what_is_more_sensitive_gets_more_bits() -> None:
    found = tensors()

    types = assign(found, BUDGET, GOALS["size"])

    bits = [8 * types[f"t{n}"].block_bytes / types[f"t{n}"].n_block for n in range(6)]
    assert bits == sorted(bits)
    assert bits[0] < bits[-1]
    assert n_bytes(found, types) <= BUDGET


def test_a_slow_type_is_left_out_where_time_counts() -> None:
    found = tensors()
    times = {"q4_0": 1.0, "q5_0": 9.0, "q6_K": 9.0, "q8_0": 1.5}

    by_bytes = assign(found, BUDGET, GOALS["size"])
    by_time = assign(found, BUDGET, timed(GOALS["balanced"], **times))

    assert {one.name for one in by_bytes.values()} & {"q5_0", "q6_K"}
    assert {one.name for one in by_time.values()} == {"q4_0", "q8_0"}
    assert n_bytes(found, by_time) <= BUDGET


def test_for_speed_types_are_those_a_headset_is_fast_with() -> None:
    times = {"q4_0": 1.0, "q5_0": 0.1, "q6_K": 1.0, "q8_0": 1.0}

    types = assign(tensors(), BUDGET, timed(GOALS["speed"], **times))

    assert "q5_0" not in {one.name for one in types.values()}


def test_where_the_fastest_do_not_fit_bytes_decide() -> None:
    found = tensors()
    smallest = n_bytes(
        found, assign(found, BUDGET, replace(GOALS["size"], types=["q4_0"]))
    )
    times = {"q4_0": 100.0, "q5_0": 100.0, "q6_K": 100.0, "q8_0": 0.1}

    types = assign(found, smallest, timed(GOALS["speed"], **times))

    assert {one.name for one in types.values()} == {"q4_0"}


def test_too_few_bytes_for_anything_are_refused() -> None:
    with pytest.raises(QuantizeError, match="smallest possible"):
        assign(tensors(), 1000, GOALS["size"])
