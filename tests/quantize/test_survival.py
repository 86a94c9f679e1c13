"""What an adapter taught is not rounded away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.ggml import Floats, named, rounded
from quantize.gguf_file import write_gguf
from quantize.job import GOALS
from quantize.search import Sensitivity, assign
from quantize.survival import SHARES, share_left, shares_left, without_forgetful
from quantize.trial import Weight

N_ROWS, N_COLUMNS = 64, 256
NAME = "blk.0.attn_q.weight"
ERRORS = {"q4_1": 0.001, "q5_1": 0.01, "q8_0": 0.0001}


def pair() -> tuple[Floats, Floats]:
    """Returns a weight on the grid of Q4_1, and what a small adapter makes of it."""
    chance = np.random.default_rng(3)
    drawn = chance.standard_normal((N_ROWS, N_COLUMNS), np.float32)
    before = rounded(drawn, named("q4_1"))
    low, high = (chance.standard_normal(n, np.float32) for n in (N_ROWS, N_COLUMNS))
    return before, before + 0.02 * np.outer(low, high)


@pytest.mark.parametrize("type_name", ["q5_1", "q8_0"])
def test_another_grid_leaves_a_change(type_name: str) -> None:
    assert 0.8 < share_left(*pair(), type_name, None) < 1.4


def test_the_same_grid_undoes_it() -> None:
    assert share_left(*pair(), "q4_1", None) < 0.5


def test_what_did_not_change_is_left() -> None:
    before, _ = pair()

    assert share_left(before, before, "q4_1", None) == 1


def test_a_type_that_undoes_it_is_not_chosen(tmp_path: Path) -> None:
    files = tmp_path / "bare.gguf", tmp_path / "merged.gguf"
    for path, rows in zip(files, pair(), strict=True):
        write_gguf(path, {"general.architecture": "llama"}, {NAME: rows})
    weight = Weight(name=NAME, n_rows=N_ROWS, n_columns=N_COLUMNS)
    found = [Sensitivity(weight=weight, probe="q5_1", kl=0.1, errors=ERRORS)]
    budget = weight.n_bytes(named("q5_1"))
    bare, merged = files

    shares = shares_left(found, merged, bare, {})
    known, least = without_forgetful(found, shares, budget, GOALS["size"])

    assert least == SHARES[0]
    assert list(known[0].forgetful) == ["q4_1"]
    assert assign(found, budget, GOALS["size"])[NAME].name == "q4_1"
    assert assign(known, budget, GOALS["size"])[NAME].name == "q5_1"


def test_without_room_for_it_what_leaves_less_is_chosen() -> None:
    weight = Weight(name=NAME, n_rows=N_ROWS, n_columns=N_COLUMNS)
    found = [Sensitivity(weight=weight, probe="q5_1", kl=0.1, errors=ERRORS)]
    shares = {NAME: {"q4_1": 0.5, "q5_1": 0.9, "q8_0": 1.0}}

    for type_name, at_least in (("q8_0", 0.8), ("q5_1", 0.8), ("q4_1", 0.4)):
        budget = weight.n_bytes(named(type_name))
        known, least = without_forgetful(found, shares, budget, GOALS["size"])

        assert least == at_least
        assert weight.n_bytes(assign(known, budget, GOALS["size"])[NAME]) <= budget


def test_where_every_type_undoes_it_the_best_one_stays() -> None:
    weight = Weight(name=NAME, n_rows=N_ROWS, n_columns=N_COLUMNS)
    found = [Sensitivity(weight=weight, probe="q5_1", kl=0.1, errors=ERRORS)]
    shares = {NAME: {"q4_1": 0.1, "q5_1": 0.2, "q8_0": 0.3}}
    budget = weight.n_bytes(named("q8_0"))

    known, least = without_forgetful(found, shares, budget, GOALS["size"])

    assert least == SHARES[0]
    assert assign(known, budget, GOALS["size"])[NAME].name == "q8_0"
