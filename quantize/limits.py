"""A limit of a guard, and how it was kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of the guard, and what was found."""

    name: str
    limit: float
    found: float
    is_met: bool


def at_most(name: str, limit: float, found: float) -> Limit:
    """Returns a limit that is met by what is no larger."""
    return Limit(name=name, limit=limit, found=found, is_met=found <= limit)


def at_least(name: str, limit: float, found: float) -> Limit:
    """Returns a limit that is met by what is no smaller."""
    return Limit(name=name, limit=limit, found=found, is_met=found >= limit)
