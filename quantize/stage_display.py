"""Shows stages: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from quantize.stage import Stage

_LINE_EVERY_S = 5.0


@contextmanager
def shown() -> Iterator[Stage]:
    """Yields what shows stages: a bar on a terminal, lines elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _Bar(bars)


class _Bar(Stage):
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None)

    def begin(self, name: str) -> None:
        self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=None)

    def tell(self, done: int, of: int) -> None:
        self._bars.update(self._task, completed=done, total=of)


class _Lines(Stage):
    def __init__(self, console: Console) -> None:
        self._console, self._name, self._told_s = console, "", 0.0

    def begin(self, name: str) -> None:
        self._name, self._told_s = name, time.monotonic()
        self._console.print(f"{name} ...")

    def tell(self, done: int, of: int) -> None:
        now = time.monotonic()
        if now - self._told_s >= _LINE_EVERY_S:
            self._told_s = now
            self._console.print(f"{self._name}: {done} of {of}")
