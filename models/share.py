"""How sure one can be of a share that was counted."""

from __future__ import annotations

import math

_Z = 1.959963984540054
"""Standard deviations of a normal distribution that hold 95 % of it."""


def share_interval(n_right: int, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share (Wilson, 1927).

    Args:
        n_right: How many are.
        n: Of how many, at least one.
    """
    share, z2 = n_right / n, _Z * _Z / n
    centre = share + z2 / 2
    spread = _Z * math.sqrt((share * (1 - share) + z2 / 4) / n)
    low, high = (centre - spread) / (1 + z2), (centre + spread) / (1 + z2)
    return max(0.0, min(low, share)), min(1.0, max(high, share))
