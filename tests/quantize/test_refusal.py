"""Why a model is not published: each limit has its own cure."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from quantize.job import GOALS
from quantize.limits import Limit
from quantize.refusal import lost_too_much
from quantize.report import Report
from quantize.search import Sensitivity, assign
from quantize.trial import Weight
from tests.quantize.test_report import made_up

PAGE = Path("out.refused/report.html")
N_TENSORS, N_ROWS, N_COLUMNS = 30, 128, 256
ERRORS = {"q4_0": 1.0, "q8_0": 0.004}


def sensitivities() -> list[Sensitivity]:
    return [
        Sensitivity(
            weight=Weight(name=f"t{at}", n_rows=N_ROWS, n_columns=N_COLUMNS),
            probe="q4_0",
            kl=0.002,
            errors=ERRORS,
        )
        for at in range(N_TENSORS)
    ]


def report(*limits: Limit, n_bytes: int = 700_000) -> Report:
    """Returns one of a model that is all in 4 bits."""
    bare = made_up(1)
    (tensor, *_) = bare.tensors
    tensors = [
        replace(tensor, name=f"t{at}", type="q4_0", n_bytes=18_432, expected_kl=0.002)
        for at in range(N_TENSORS)
    ]
    out = replace(bare.out, n_bytes=n_bytes)
    return replace(bare, tensors=tensors, limits=list(limits), out=out)


def limit(name: str, most: float, found: float) -> Limit:
    return Limit(name=name, limit=most, found=found, is_met=False)


def budget(hint: str) -> int:
    (found,) = re.findall(r"--budget (\d+)", hint)
    return int(found)


@pytest.mark.parametrize(
    ("over", "share"),
    [
        (limit("kl_mean", 0.03, 0.06), 0.5),
        (limit("actions (16 bits)", 0.97, 0.94), 0.25),
        (limit("same_top", 0.9, 0.8), 0.5),
    ],
)
def test_more_bytes_are_named(over: Limit, share: float) -> None:
    found = sensitivities()
    made = report(over)

    error = lost_too_much(made, PAGE, found, GOALS["size"])

    rest = made.out.n_bytes - sum(one.n_bytes for one in made.tensors)
    chosen = assign(found, budget(error.hint) - rest, GOALS["size"])
    loss = sum(one.loss(chosen[one.weight.name].name) for one in found)
    assert loss <= share * 0.002 * N_TENSORS
    assert error.code == "lost_too_much"
    assert error.report is made
    assert over.name in error.message


def test_what_is_too_large_has_to_be_smaller() -> None:
    made = report(limit("bytes on quest3", 900_000, 1_000_000))

    error = lost_too_much(made, PAGE, sensitivities(), GOALS["size"])

    assert budget(error.hint) == 600_000
    assert "more" not in error.hint


def test_what_no_size_mends_is_said() -> None:
    made = report(limit("kl_mean", 1e-9, 0.06))

    error = lost_too_much(made, PAGE, sensitivities(), GOALS["size"])

    assert "No size" in error.hint


def test_words_have_a_cure_of_their_own() -> None:
    made = report(limit("kl_mean of the words left out", 0.1, 0.3))

    error = lost_too_much(made, PAGE, (), GOALS["size"])

    assert "--words" in error.hint
    assert "--budget" not in error.hint
