"""Means with intervals: how far a figure depends on what was drawn to find it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
_BOOTSTRAPS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean, and where it would lie in 95 of 100 choices of documents."""

    mean: float
    low: float
    high: float


def interval(sums: Numbers, counts: Numbers, *, seed: int = 1) -> Interval:
    """Returns a mean over all that some items hold, bootstrapped by item.

    Args:
        sums: (items,)
        counts: (items,) how many each sum is of.
        seed: Of the choices of items.
    """
    n = len(sums)
    choices = np.random.default_rng(seed).integers(n, size=(_BOOTSTRAPS, n))
    means = sums[choices].sum(axis=1) / counts[choices].sum(axis=1).clip(min=1)
    low, high = np.quantile(means, [0.025, 0.975])
    mean = float(sums.sum() / max(1.0, counts.sum()))
    return Interval(mean=mean, low=float(low), high=float(high))
