"""What a fetch tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """What a fetch is doing."""

    WAITING = "waiting for another process"
    LOOKING_UP = "looking up"
    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch has come."""

    step: Step
    subject: str
    """The model or the file that the step is about."""
    done_bytes: int = 0
    total_bytes: int = 0
    """0 where the step has no length."""
    speed_bytes_per_s: float = 0.0
    """Mean since this run began to receive the file."""


Tell = Callable[[Progress], None]
"""Called with every step and, while downloading, with every piece that arrives."""


def in_silence(progress: Progress) -> None:
    """Tell no one."""
