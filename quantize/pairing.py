"""Times two things by turns, so that what else the machine does meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from quantize.artifact import Timing

_N_WARM = 3


def paired(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    threads: int,
    n: int = 40,
) -> Timing:
    """Returns how long one takes beside the other.

    Args:
        ours: Once.
        theirs: Once; the reference.
        threads: That both were given.
        n: Pairs, after a few that are not counted. Who goes first alternates.
    """
    for _ in range(_N_WARM):
        ours()
        theirs()
    ours_ms: list[float] = []
    theirs_ms: list[float] = []
    for at in range(n):
        for is_ours in ((True, False), (False, True))[at % 2]:
            began = time.perf_counter()
            (ours if is_ours else theirs)()
            took = 1000 * (time.perf_counter() - began)
            (ours_ms if is_ours else theirs_ms).append(took)
    pairs = zip(ours_ms, theirs_ms, strict=True)
    return Timing(
        threads=threads,
        n=n,
        median_ms=statistics.median(ours_ms),
        p95_ms=_p95(ours_ms),
        reference_median_ms=statistics.median(theirs_ms),
        reference_p95_ms=_p95(theirs_ms),
        ratio=statistics.median(mine / other for mine, other in pairs),
    )


def _p95(values: list[float]) -> float:
    return sorted(values)[round(0.95 * (len(values) - 1))]
