"""How far what a model says is from what its reference says, token by token.

The Kullback-Leibler divergence of the distributions over the next token, in nats:
KL(p || q) = sum p (log p - log q). A reference is kept as logits, so that one is run
once for all that are compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantize.ggml import Floats
from quantize.intervals import Interval, Numbers, interval

_BLOCK = 64
"""Tokens that are compared at once: what the cache of a core holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the reference says over some tokens."""

    logits: Floats
    """(tokens, words)"""
    log_sums: Numbers
    """(tokens,) log of the sum of exp(logits)."""
    following: npt.NDArray[np.int64]
    """(tokens,) the token that really follows; -1 after the last one."""

    @classmethod
    def of(cls, logits: Floats, tokens: Sequence[int]) -> Reference:
        """Returns the reference of logits over a text's tokens."""
        following = np.append(np.array(tokens[1:], np.int64), -1)
        return cls(logits.copy(), _log_sums(logits), following)

    def compared(self, logits: Floats) -> Divergence:
        """Returns how far other logits over the same tokens are.

        Args:
            logits: (tokens, words)
        """
        n = len(self.logits)
        log_sums = _log_sums(logits)
        kl = np.empty(n)
        for first in range(0, n, _BLOCK):
            block = slice(first, first + _BLOCK)
            ours = self.logits[block]
            p = np.exp(ours - self.log_sums[block, None].astype(np.float32))
            apart = np.einsum("tv,tv->t", p, ours - logits[block])
            kl[block] = apart - self.log_sums[block] + log_sums[block]
        known = np.flatnonzero(self.following >= 0)
        said = self.following[known]
        return Divergence(
            kl=np.maximum(kl, 0),
            is_same_top=self.logits.argmax(axis=1) == logits.argmax(axis=1),
            loss=log_sums[known] - logits[known, said],
            reference_loss=self.log_sums[known] - self.logits[known, said],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """How far two models are apart over a text."""

    kl: Numbers
    """(tokens,) nats."""
    is_same_top: npt.NDArray[np.bool_]
    """(tokens,)"""
    loss: Numbers
    """(tokens - 1,) minus the log of the probability of what follows."""
    reference_loss: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Several documents, together."""

    n_documents: int
    n_tokens: int
    kl_mean: Interval
    kl_median: float
    kl_p99: float
    same_top: Interval
    """Share of tokens after which both would say the same."""
    perplexity_ratio: Interval
    """Of the model by that of the reference."""


def summary(documents: Sequence[Divergence], *, seed: int = 1) -> Summary:
    """Returns means over documents, with intervals bootstrapped by document.

    Args:
        documents: At least one.
        seed: Of the choices.
    """
    every = np.concatenate([one.kl for one in documents])
    n_tokens = np.array([len(one.kl) for one in documents], np.float64)
    n_losses = np.array([len(one.loss) for one in documents], np.float64)
    kl = np.array([one.kl.sum() for one in documents])
    same = np.array([one.is_same_top.sum() for one in documents], np.float64)
    excess = np.array([(one.loss - one.reference_loss).sum() for one in documents])
    ratio = interval(excess, n_losses, seed=seed)
    return Summary(
        n_documents=len(documents),
        n_tokens=len(every),
        kl_mean=interval(kl, n_tokens, seed=seed),
        kl_median=float(np.median(every)),
        kl_p99=float(np.quantile(every, 0.99)),
        same_top=interval(same, n_tokens, seed=seed),
        perplexity_ratio=Interval(
            mean=float(np.exp(ratio.mean)),
            low=float(np.exp(ratio.low)),
            high=float(np.exp(ratio.high)),
        ),
    )


def _log_sums(logits: Floats) -> Numbers:
    found = np.empty(len(logits))
    for first in range(0, len(logits), _BLOCK):
        block = logits[first : first + _BLOCK]
        most = block.max(axis=1, keepdims=True)
        sums = np.exp(block - most).sum(axis=1, dtype=np.float64)
        found[first : first + _BLOCK] = most[:, 0] + np.log(sums)
    return found
