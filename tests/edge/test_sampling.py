"""The next token is drawn as the published rules say, fast or slow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.llm.model import Sampling
from edge.llm.sampling import Logits, choose, penalised

N_DRAWS = 4_000
scores = st.lists(
    st.floats(-30, 30, width=32) | st.just(-np.inf), min_size=1, max_size=24
).filter(lambda each: max(each) > -np.inf)
fractions = st.floats(0.01, 0.99)


def logits(*values: float) -> Logits:
    """Returns scores, shape (vocabulary,)."""
    return np.asarray(values, np.float32)


def logits_of(*probabilities: float) -> Logits:
    """Returns the scores of tokens that have these probabilities."""
    return np.log(np.asarray(probabilities, np.float64)).astype(np.float32)


def drawn(found: Logits, sampling: Sampling, n: int = N_DRAWS) -> Counter[int]:
    """Returns how often each token is drawn."""
    random = np.random.default_rng(7)
    return Counter(choose(found, sampling, random) for _ in range(n))


def reference(found: Sequence[float], sampling: Sampling) -> dict[int, float]:
    """Returns each token's probability, computed as slowly as it is defined."""
    scaled = [score / sampling.temperature for score in found]
    weights = [float(np.exp(score - max(scaled))) for score in scaled]
    total = sum(weights)
    by_rank = sorted(
        ((weight / total, -token) for token, weight in enumerate(weights) if weight),
        reverse=True,
    )
    highest = by_rank[0][0]
    likely = [each for each in by_rank if each[0] >= sampling.min_p * highest]
    total = sum(probability for probability, _ in likely)
    kept: dict[int, float] = {}
    so_far = 0.0
    for probability, token in likely:
        if so_far >= sampling.top_p and kept:
            break
        kept[-token] = probability / total
        so_far += probability / total
    return {token: each / sum(kept.values()) for token, each in kept.items()}


@given(scores)
def test_without_a_temperature_the_likeliest_is_taken(found: list[float]) -> None:
    token = choose(logits(*found), Sampling(), np.random.default_rng(0))

    assert logits(*found)[token] == max(logits(*found))


def test_top_p_keeps_the_likeliest_that_have_so_much_together() -> None:
    found = logits_of(0.1, 0.4, 0.2, 0.3)

    def kept(top_p: float) -> set[int]:
        return set(drawn(found, Sampling(temperature=1, top_p=top_p)))

    assert kept(0.3) == {1}
    assert kept(0.5) == {1, 3}
    assert kept(0.75) == {1, 2, 3}
    assert kept(0.95) == {0, 1, 2, 3}
    assert kept(1.0) == {0, 1, 2, 3}


def test_min_p_keeps_those_that_are_not_much_less_likely_than_the_first() -> None:
    found = logits_of(0.05, 0.5, 0.15, 0.3)

    def kept(min_p: float) -> set[int]:
        return set(drawn(found, Sampling(temperature=1, min_p=min_p)))

    assert kept(0.0) == {0, 1, 2, 3}
    assert kept(0.2) == {1, 2, 3}
    assert kept(0.5) == {1, 3}
    assert kept(1.0) == {1}


def test_min_p_is_of_what_the_temperature_makes() -> None:
    found = logits_of(0.8, 0.2)

    assert set(drawn(found, Sampling(temperature=1, min_p=0.4))) == {0}
    assert set(drawn(found, Sampling(temperature=2, min_p=0.4))) == {0, 1}


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1),
        Sampling(temperature=0.5),
        Sampling(temperature=2),
        Sampling(temperature=1, top_p=0.7),
        Sampling(temperature=1.3, min_p=0.2),
        Sampling(temperature=0.8, top_p=0.8, min_p=0.05),
    ],
)
def test_what_is_drawn_has_the_probability_it_should(sampling: Sampling) -> None:
    found = [1.0, -0.5, 2.0, 1.5, -np.inf, 0.0, 1.0]
    expected = reference(found, sampling)

    counts = drawn(logits(*found), sampling)

    assert set(counts) <= set(expected)
    for token, probability in expected.items():
        # Five standard deviations of a count.
        spread = 5 * (probability * (1 - probability) / N_DRAWS) ** 0.5
        assert counts[token] / N_DRAWS == pytest.approx(probability, abs=spread)


@given(
    found=scores,
    temperature=st.floats(0.05, 5),
    top_p=fractions | st.just(1.0),
    min_p=fractions | st.just(0.0),
    seed=st.integers(0, 99),
)
def test_what_is_drawn_is_among_what_is_kept(
    found: list[float], temperature: float, top_p: float, min_p: float, seed: int
) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, min_p=min_p)
    # A little wider, since two ways to add differ in the last digit.
    wider = Sampling(
        temperature=temperature, top_p=min(1, top_p + 1e-6), min_p=min_p * (1 - 1e-5)
    )

    token = choose(logits(*found), sampling, np.random.default_rng(seed))

    assert token in reference(list(map(float, logits(*found))), wider)


@given(found=scores, temperature=st.floats(0.05, 5), seed=st.integers(0, 99))
def test_what_is_not_allowed_is_never_drawn(
    found: list[float], temperature: float, seed: int
) -> None:
    sampling = Sampling(temperature=temperature)

    token = choose(logits(*found), sampling, np.random.default_rng(seed))

    assert found[token] > -np.inf


def test_the_same_seed_draws_the_same() -> None:
    found = logits(*np.linspace(0, 1, 50))

    def row(seed: int) -> list[int]:
        random = np.random.default_rng(seed)
        return [choose(found, Sampling(temperature=1), random) for _ in range(20)]

    assert row(1) == row(1)
    assert row(1) != row(2)


def test_a_penalty_lowers_what_was_said_lately_and_nothing_else() -> None:
    found = logits(2, 2, -2, -2, 0)

    lowered = penalised(found, [0, 2, 4, 0, 0], 2.0)

    assert lowered.tolist() == [1, 2, -4, -2, 0]
    assert found.tolist() == [2, 2, -2, -2, 0]


@pytest.mark.parametrize(("recent", "penalty"), [([], 1.1), ([0, 1], 1.0)])
def test_without_a_penalty_nothing_changes(recent: list[int], penalty: float) -> None:
    found = logits(1, -1)

    np.testing.assert_array_equal(penalised(found, recent, penalty), found)


@given(
    found=scores,
    recent=st.lists(st.integers(0, 23), max_size=80),
    penalty=st.floats(1, 3),
)
def test_a_penalty_makes_nothing_likelier(
    found: list[float], recent: list[int], penalty: float
) -> None:
    before: npt.NDArray[np.float32] = logits(*found)
    recent = [token for token in recent if token < len(found)]

    after = penalised(before, recent, penalty)

    assert (after <= before).all()
    others = np.setdiff1d(np.arange(len(found)), recent)
    np.testing.assert_array_equal(after[others], before[others])
