"""What an encoder lost: how far its vectors moved, and what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantize.artifact import Finding
from quantize.encoder.building import Floats
from quantize.intervals import Interval, interval

_Values = npt.NDArray[np.floating[Any]] | npt.NDArray[np.bool_]
_Choice = npt.NDArray[np.bool_]
_LOWEST = 0.01
"""The share of sentences that fare worst, whose best is told."""
CLEAR = 0.02
"""Lead of the nearest example over the next; with less the runtime settles for none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standard:
    """What the source makes of sentences and of the examples."""

    sentences: Floats
    """(n, d), of length 1."""
    examples: Floats
    """(m, d), of length 1."""
    groups: Sequence[str]
    """(n,) what a sentence shares with others."""
    intents: Sequence[str]
    """(m,) of the examples."""

    def loss(self, sentences: Floats, examples: Floats) -> Loss:
        """Returns what another encoder lost.

        Args:
            sentences: Its vectors of the same, (n, d).
            examples: The same, (m, d).
        """
        cosines = (sentences * self.sentences).sum(axis=1)  # (n,)
        before, after = self.sentences @ self.examples.T, sentences @ examples.T
        was, is_ = before.argmax(axis=1), after.argmax(axis=1)  # (n,)
        intents = np.array(self.intents)
        ordered = np.sort(before, axis=1)
        is_clear = ordered[:, -1] - ordered[:, -2] >= CLEAR
        moved = np.abs(after - before).mean(axis=1)
        return Loss(
            cosine=self._mean(cosines),
            cosine_low=float(np.quantile(cosines, _LOWEST)),
            nearest=self._mean(was == is_),
            nearest_clear=self._mean((was == is_)[is_clear], is_clear),
            n_clear=int(is_clear.sum()),
            intent=self._mean(intents[was] == intents[is_]),
            drift=self._mean(moved),
            n=len(cosines),
        )

    def _mean(self, values: _Values, kept: _Choice | None = None) -> Interval:
        """Returns a mean over sentences, its interval over what they share."""
        groups = np.array(self.groups)
        groups = groups if kept is None else groups[kept]
        if not len(groups):
            return Interval(mean=1.0, low=0.0, high=1.0)
        _, at = np.unique(groups, return_inverse=True)
        sums = np.bincount(at, weights=values)
        return interval(sums.astype(np.float64), np.bincount(at).astype(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How far vectors are from the source's."""

    cosine: Interval
    """Between both vectors of a sentence."""
    cosine_low: float
    """The same, of the lowest hundredth."""
    nearest: Interval
    """Share of sentences for which the nearest example stays the same."""
    nearest_clear: Interval
    """The same, of those whose nearest example leads by 0.02 or more."""
    n_clear: int
    intent: Interval
    """Share of sentences for which the intent of the nearest example stays the same."""
    drift: Interval
    """Mean change of a similarity between a sentence and an example."""
    n: int

    def findings(self) -> list[Finding]:
        """Returns it as figures for a report."""
        of = Finding.of
        return [
            of(
                "cosine",
                self.cosine,
                n=self.n,
                told="between the vectors that both make of a sentence",
            ),
            Finding(
                name="cosine_low",
                value=self.cosine_low,
                n=self.n,
                told="the same, where one sentence of a hundred is lower",
            ),
            of(
                "nearest_agreement",
                self.nearest,
                unit="share",
                n=self.n,
                told="sentences whose nearest example stays the same",
            ),
            of(
                "nearest_agreement_clear",
                self.nearest_clear,
                unit="share",
                n=self.n_clear,
                told=f"the same, of those whose nearest leads by {CLEAR} or more: "
                "with less the runtime does nothing",
            ),
            of(
                "intent_agreement",
                self.intent,
                unit="share",
                n=self.n,
                told="sentences whose nearest example is of the same intent",
            ),
            of(
                "similarity_drift",
                self.drift,
                n=self.n,
                told="mean change of a similarity to an example; thresholds are 0.02 "
                "to 0.55",
            ),
        ]
