"""How an evaluation is shown: its progress, and what it found, for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from edge.evaluation.items import CLEAN
from edge.evaluation.run import (
    Progress,
    Tell,
)
from edge.evaluation.score import Score
from edge.evaluation.summary import (
    About,
    condition_text,
    got_text,
    interval_text,
    percent,
    wanted_text,
)
from models.pack import Problem
from models.plain import CONTROLS

_LINE_EVERY_S = 5.0
_MAX_TOLD = 20
"""Of mistakes; nobody reads more at once."""


@contextmanager
def displayed(console: Console, n_all: int) -> Iterator[Tell]:
    """Yields what shows the progress: a bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description:>6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(CLEAN, total=n_all)
        yield lambda progress: bars.update(
            task,
            completed=progress.n_done,
            description=condition_text(progress.condition),
        )


def _lines(console: Console) -> Tell:
    shown_s = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s >= _LINE_EVERY_S:
            shown_s = time.monotonic()
            console.print(
                f"{condition_text(progress.condition)}: "
                f"{progress.n_done} of {progress.n_all}"
            )

    return tell


def stderr() -> Console:
    """Returns where people are told what is going on."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def show_score(found: Score, about: About) -> None:
    """Prints a table, and every failure."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    rows = [
        (
            condition_text(level.condition),
            percent(level.commands.exact),
            interval_text(level.commands),
            f"{level.commands.n_right} of {level.commands.n}",
            f"{level.accepted.n_right} of {level.accepted.n}"
            if level.accepted.n
            else "\u2013",
        )
        for level in found.levels
    ]
    heads = (about.pack, "exact", "95 %", "right", "acted on without a command")
    _columns(console, heads, rows)
    if len(found.noise) > 1:
        console.print(f"mean over noise  {percent(found.noise_mean)}")
    if found.kinds:
        console.print()
        _columns(
            console,
            ("kind", "right", "95 %", "lines"),
            [
                (kind, percent(share.exact), interval_text(share), str(share.n))
                for kind, share in found.kinds.items()
            ],
        )
    console.print()
    tiers = ", ".join(f"{name} {percent(n)}" for name, n in found.tiers.items())
    if tiers:
        console.print(f"decided by  {tiers}")
    for what, latency in (("speech to text", found.asr), ("to intents", found.intent)):
        if latency is not None:
            console.print(
                f"{what}  median {latency.p50:.1f} ms, 95 % within {latency.p95:.1f} ms"
            )
    _show_failures(console, found)


def _show_failures(console: Console, found: Score) -> None:
    for failure in found.failures:
        answer = failure.answer
        console.print()
        where = f"{answer.id} ({condition_text(answer.condition)})"
        console.print(Text(where.translate(CONTROLS), style="bold red"))
        for label, told in (
            ("heard", f"\u201c{answer.heard}\u201d"),
            ("wanted", wanted_text(failure.wanted)),
            ("came", got_text(answer)),
        ):
            row = Text(f"{label:>8}  ", style="dim")
            row.append(told.translate(CONTROLS), style="not dim")
            console.print(row)


def _columns(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for at, row in enumerate((heads, *rows)):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = "  ".join(cells).rstrip().translate(CONTROLS)
        console.print(Text(line, style="bold" if at == 0 else ""))


def show_problems(problems: Sequence[Problem]) -> None:
    """Prints the mistakes of a file, the first of them."""
    for problem in problems[:_MAX_TOLD]:
        stderr().print(Text(str(problem).translate(CONTROLS)))
