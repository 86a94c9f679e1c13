"""Why a model is not published, and what would do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.disk import size_text
from quantize.errors import QuantizeError
from quantize.limits import Limit
from quantize.report import Report
from quantize.search import Goal, Sensitivity, assign

_MOST_BYTES = 2
"""Of each weight, where a size is looked for."""


class LostTooMuchError(QuantizeError):
    """A model passed a limit of the guard.

    Args:
        report: What was found.
        message: Which limits.
        hint: What would do.
    """

    def __init__(self, report: Report, message: str, hint: str) -> None:
        super().__init__("lost_too_much", message, hint)
        self.report = report


def lost_too_much(
    report: Report, page: Path, found: Sequence[Sensitivity], goal: Goal
) -> LostTooMuchError:
    """Returns what says which limits were passed, and what would do.

    Args:
        report: What was found.
        page: Where it can be read.
        found: What each tensor matters; none without a search.
        goal: What counted besides.
    """
    over = [limit for limit in report.limits if not limit.is_met]
    said = "; ".join(
        f"{limit.name} may be {limit.found:.4g}, and the limit is {limit.limit:.4g}"
        for limit in over
    )
    cures = dict.fromkeys(_cure(limit, report) for limit in over)
    factors = [factor for limit in over if (factor := _factor(limit)) is not None]
    told = " ".join(cure for cure in cures if cure)
    if factors:
        told = f"{told} {_size(report, min(factors), found, goal)}".strip()
    return LostTooMuchError(
        report,
        f"The model lost too much: {said}. Nothing was published.",
        f"{told} The report is {page}.",
    )


def _cure(limit: Limit, report: Report) -> str:
    """Returns what is to be done about a limit that other bytes do not help."""
    if limit.name.startswith("bytes"):
        room = int(limit.limit - (limit.found - report.out.n_bytes))
        if room <= 0:
            return "What the runtime keeps of a full context is too much alone."
        return f"There is room for {size_text(room)}: --budget {room}."
    if limit.name.endswith("words left out"):
        return "Keep more words with --words."
    return ""


def _factor(limit: Limit) -> float | None:
    """Returns what the divergence has to be times, so that a limit is kept.

    Actions become others about with its root: what it takes is a margin that the noise
    of rounding passes, and the divergence is that noise squared.
    """
    if limit.name == "kl_mean":
        return limit.limit / limit.found
    if limit.name.startswith("actions"):
        return float(((1 - limit.limit) / (1 - limit.found)) ** 2)
    if limit.name in {"same_top", "perplexity_ratio"}:
        return 0.5
    return None


def _size(
    report: Report, factor: float, found: Sequence[Sensitivity], goal: Goal
) -> str:
    """Returns the smallest size that is expected to do.

    What was expected is scaled by what was found.
    """
    allowed = factor * sum(one.expected_kl for one in report.tensors)
    if not found or not allowed:
        return "Give it more bytes."
    rest = report.out.n_bytes - sum(one.n_bytes for one in report.tensors)
    low, high = 0, sum(one.weight.n_numbers for one in found) * _MOST_BYTES

    def loss(n_bytes: int) -> float:
        chosen = assign(found, n_bytes, goal)
        return sum(one.loss(chosen[one.weight.name].name) for one in found)

    if loss(high) > allowed:
        return "No size is expected to do."
    while high - low > max(1, high // 1000):
        middle = (low + high) // 2
        try:
            is_enough = loss(middle) <= allowed
        except QuantizeError:  # smaller than the smallest
            is_enough = False
        low, high = (low, middle) if is_enough else (middle, high)
    n_bytes = high + rest
    return f"About {size_text(n_bytes)} are expected to do: --budget {n_bytes}."
