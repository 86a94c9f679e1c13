"""What is being done, who is told of it, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class Stage:
    """Told what is being done and how far it is."""

    def begin(self, name: str) -> None:
        """A stage begins."""

    def tell(self, done: int, of: int) -> None:
        """So much of it is done."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells stages, and keeps how long they took."""

    stage: Stage
    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Tells that a stage begins, and keeps how long the block takes."""
        self.stage.begin(name)
        began = time.monotonic()
        yield
        self.seconds.append((name, round(time.monotonic() - began, 1)))
