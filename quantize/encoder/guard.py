"""What a small encoder may lose at most, before it is not published."""

from __future__ import annotations

from dataclasses import dataclass

from quantize.encoder.losses import Loss
from quantize.limits import Limit, at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Limits.

    Of the cosine the lower end of the interval is judged. Of the nearest examples the
    share itself is: to show 99 % at the lower end takes some 300 sentences of which
    none changes, and the report tells the interval. Only sentences whose nearest
    example leads clearly are judged: where two are as near, less than what int8 rounds
    away decides between them, and the runtime does nothing with so small a lead.
    """

    cosine: float = 0.99
    nearest: float = 0.99

    def judged(self, found: Loss) -> list[Limit]:
        """Returns every limit and how it was kept."""
        return [
            at_least("cosine", self.cosine, found.cosine.low),
            at_least("nearest_agreement_clear", self.nearest, found.nearest_clear.mean),
        ]

    def is_met(self, found: Loss) -> bool:
        """Returns whether every limit is kept."""
        return all(limit.is_met for limit in self.judged(found))
