"""How the next token is chosen from its scores: penalty, temperature, top-p, min-p."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.llm.model import Sampling

Logits = npt.NDArray[np.float32]


def penalised(logits: Logits, recent: Sequence[int], penalty: float) -> Logits:
    """Returns scores with recent tokens made less likely (Keskar et al. 2019).

    Args:
        logits: Shape (vocabulary,); not changed.
        recent: Tokens.
        penalty: Divides a positive score and multiplies a negative one.
    """
    if penalty == 1.0 or not recent:
        return logits
    changed = logits.copy()
    seen = np.unique(np.asarray(recent))
    scores = logits[seen]
    changed[seen] = np.where(scores > 0, scores / penalty, scores * penalty)
    return changed


def choose(logits: Logits, sampling: Sampling, random: np.random.Generator) -> int:
    """Returns the likeliest token, or one drawn where there is a temperature.

    Args:
        logits: Shape (vocabulary,); -inf for what must not be chosen.
        sampling: Temperature, then min-p, then top-p.
        random: Draws.
    """
    if sampling.temperature <= 0.0:
        return int(logits.argmax())
    highest = float(logits.max())
    scaled = (logits.astype(np.float64) - highest) / sampling.temperature
    # Below this no token is drawn within the life of the universe.
    floor = max(np.log(sampling.min_p) if sampling.min_p > 0 else -40.0, -40.0)
    kept = np.flatnonzero(scaled >= floor)  # (n,)
    weights = np.exp(scaled[kept])
    weights /= weights.sum()
    if sampling.top_p < 1.0:
        order = np.argsort(-weights, kind="stable")
        before = np.cumsum(weights[order]) - weights[order]
        chosen = order[before < sampling.top_p]
        kept, weights = kept[chosen], weights[chosen] / weights[chosen].sum()
    return int(random.choice(kept, p=weights))
