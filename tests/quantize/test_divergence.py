"""Divergence of distributions, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.divergence import Divergence, Reference, summary

RNG = np.random.default_rng(3)


def logits(n: int = 70, n_words: int = 300) -> np.ndarray:
    return (RNG.normal(size=(n, n_words)) * 4).astype(np.float32)


def softmax(values: np.ndarray) -> np.ndarray:
    exact = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
    found: np.ndarray = exact / exact.sum(axis=1, keepdims=True)
    return found


def test_it_is_that_of_the_definition() -> None:
    ours, theirs = logits(), logits()
    tokens = RNG.integers(300, size=70).tolist()

    found = Reference.of(ours, tokens).compared(theirs)

    p, q = softmax(ours), softmax(theirs)
    kl = (p * (np.log(p) - np.log(q))).sum(axis=1)
    assert found.kl == pytest.approx(kl, rel=1e-4)
    assert (found.is_same_top == (p.argmax(axis=1) == q.argmax(axis=1))).all()
    said = np.array(tokens[1:])
    rows = np.arange(69)
    assert found.loss == pytest.approx(-np.log(q[rows, said]), rel=1e-4)
    assert found.reference_loss == pytest.approx(-np.log(p[rows, said]), rel=1e-4)


def test_a_model_is_not_apart_from_itself() -> None:
    ours = logits()

    found = Reference.of(ours, [0] * 70).compared(ours + np.float32(3))

    assert found.kl.max() < 1e-5
    assert found.is_same_top.all()


def test_what_was_kept_stays_when_the_model_goes_on() -> None:
    ours = logits()
    reference = Reference.of(ours, [0] * 70)
    before = ours.copy()
    ours[:] = 0

    assert reference.compared(before).kl.max() < 1e-5


def document(kl: float, n: int) -> Divergence:
    return Divergence(
        kl=np.full(n, kl),
        is_same_top=np.full(n, kl < 0.5),
        loss=np.full(n - 1, 2.0 + kl),
        reference_loss=np.full(n - 1, 2.0),
    )


def test_documents_count_by_their_tokens() -> None:
    found = summary([document(0.1, 30), document(0.7, 10)])

    assert found.n_documents == 2
    assert found.n_tokens == 40
    assert found.kl_mean.mean == pytest.approx(0.25)
    assert found.kl_median == pytest.approx(0.1)
    assert found.kl_p99 == pytest.approx(0.7)
    assert found.same_top.mean == pytest.approx(0.75)
    assert found.kl_mean.low == pytest.approx(0.1)
    assert found.kl_mean.high == pytest.approx(0.7)


def test_perplexity_is_by_what_follows() -> None:
    found = summary([document(0.1, 30)])

    assert found.perplexity_ratio.mean == pytest.approx(np.exp(0.1))


def test_intervals_are_the_same_each_time() -> None:
    documents = [document(kl, 20) for kl in (0.1, 0.2, 0.3, 0.9)]

    assert summary(documents) == summary(documents)
