"""What a quantized model may lose at most, before it is not published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantize.divergence import Summary
from quantize.limits import Limit, at_least, at_most
from quantize.task import TaskSummary

_LARGE = 500_000_000
"""Weights from which on 4 bits are expected to lose little."""
_KL_LARGE, _KL_SMALL = 0.05, 0.12
"""Mean divergence, nats. A model of 135 million weights in 4 bits is near 0.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Limits; the interval's worse end is judged."""

    kl_mean: float
    same_top: float = 0.0
    perplexity_ratio: float = 2.0
    actions: float = 0.97
    """Share of a task's items for which the same is done."""

    @classmethod
    def for_model(cls, n_weights: int, **given: float | None) -> Guard:
        """Returns the limits of a model of this size, and those that were given."""
        limits = {name: value for name, value in given.items() if value is not None}
        usual = _KL_LARGE if n_weights >= _LARGE else _KL_SMALL
        return cls(**{"kl_mean": usual, **limits})

    def judged(self, found: Summary, tasks: Sequence[TaskSummary]) -> list[Limit]:
        """Returns every limit and how it was kept."""
        kl, top, ratio = found.kl_mean, found.same_top, found.perplexity_ratio
        return [
            at_most("kl_mean", self.kl_mean, kl.high),
            at_most("perplexity_ratio", self.perplexity_ratio, ratio.high),
            at_least("same_top", self.same_top, top.low),
            *(
                at_least(
                    f"actions ({task.kv_bits} bits)", self.actions, task.agreement.low
                )
                for task in tasks
            ),
        ]

    def of_words(self, kl: float) -> Limit:
        """Returns the limit of what goes with words that are left out."""
        return at_most("kl_mean of the words left out", self.kl_mean, kl)
