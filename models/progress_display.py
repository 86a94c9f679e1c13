"""Showing a fetch on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from models.disk import size_text
from models.progress import Progress, Step, Tell

_LINE_EVERY_S = 2.0


@contextmanager
def displayed() -> Iterator[Tell]:
    """Yield what shows the progress of a fetch."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    with Bars(*columns, console=console) as bars:
        yield _TerminalBars(bars)


class _TerminalBars:
    """One bar per download, a line for everything else."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.step is not Step.DOWNLOADING:
            self._bars.console.print(_line(progress), highlight=False)
            return
        if progress.subject not in self._tasks:
            self._tasks[progress.subject] = self._bars.add_task(
                progress.subject, total=progress.total_bytes, speed=""
            )
        self._bars.update(
            self._tasks[progress.subject],
            completed=progress.done_bytes,
            speed=f"{size_text(progress.speed_bytes_per_s)}/s",
        )


class _Lines:
    """A line per step, and every two seconds of a download."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step: tuple[Step, str] | None = None
        self._shown_s = 0.0

    def __call__(self, progress: Progress) -> None:
        step, now_s = (progress.step, progress.subject), time.monotonic()
        if step != self._step or now_s - self._shown_s >= _LINE_EVERY_S:
            self._step, self._shown_s = step, now_s
            self._console.print(_line(progress), highlight=False, soft_wrap=True)


def _line(progress: Progress) -> str:
    text = f"{progress.subject}: {progress.step}"
    if progress.step is Step.DOWNLOADING:
        text += (
            f" {size_text(progress.done_bytes)} of {size_text(progress.total_bytes)}, "
            f"{size_text(progress.speed_bytes_per_s)}/s"
        )
    return text
