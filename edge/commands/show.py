"""How a run is shown: as lines for machines, or as a page for people."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Protocol, TextIO

from rich.console import Console
from rich.text import Text

from edge.asr import Transcript
from edge.commands import events
from edge.dialogue import Reply
from edge.intent import Intent
from edge.pipeline import StageTiming, Turn, TurnEvent
from edge.tiers import Clarify
from models.plain import CONTROLS

_LABEL_WIDTH = 9
_BAR_WIDTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the demo found on one recording, or on a set of them."""

    name: str
    word_error: float
    """Word error rate."""
    intents: tuple[Intent, ...]
    reply: str
    ok: bool
    """All is as it should be."""
    n_turns: int


class Show(Protocol):
    """Where a run's events go."""

    def event(self, event: TurnEvent) -> None:
        """Shows one event of a turn."""

    def silence(self, name: str) -> None:
        """Says that nobody spoke in the sound `name`."""

    def summary(self, *, n_turns: int, threads: int) -> None:
        """Ends the run."""


class DemoShow(Show, Protocol):
    """Where the demo's events go."""

    def recording(self, name: str, reference: str) -> None:
        """Says which recording comes, and what is really said in it."""

    def result(self, result: Result) -> None:
        """Says what was found."""


class JsonShow:
    """One JSON object a line."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def event(self, event: TurnEvent) -> None:
        """Writes the event's line."""
        self.line(events.event_line(event))

    def silence(self, name: str) -> None:
        """Writes a `no_speech` line."""
        self.line(events.silence_line(name))

    def summary(self, *, n_turns: int, threads: int) -> None:
        """Writes the `summary` line."""
        self.line(
            events.summary_line(
                n_turns=n_turns, peak_memory_mb=peak_memory_mb(), threads=threads
            )
        )

    def recording(self, name: str, reference: str) -> None:
        """Writes the `recording` line."""
        self.line(events.recording_line(name, reference))

    def result(self, result: Result) -> None:
        """Writes the `result` line."""
        self.line(
            events.result_line(
                name=result.name,
                word_error=result.word_error,
                intents=result.intents,
                reply=result.reply,
                ok=result.ok,
            )
        )

    def line(self, text: str) -> None:
        """Writes one line at once, for whoever reads along."""
        self._out.write(text + "\n")
        self._out.flush()


class PageShow:
    """Transcript, intents, the reply as it streams, and where the time went."""

    def __init__(self, console: Console, *, character: str) -> None:
        self._console = console
        self._character = character.capitalize()
        self._replying = False

    def event(self, event: TurnEvent) -> None:
        """Shows the event as soon as it is known."""
        match event:
            case Transcript():
                self._row("heard", f"\u201c{event.text}\u201d")
            case Intent():
                self._row("intent", _describe(event), style="bold green")
            case Clarify():
                for option in event.options:
                    self._row("option", _describe(option), style="bold yellow")
            case Reply():
                self._reply(event.text)
            case Turn():
                self._finish(event)

    def silence(self, name: str) -> None:
        """Says so."""
        self._row("silence", f"no speech heard in {name}", style="yellow")

    def summary(self, *, n_turns: int, threads: int) -> None:
        """Says how much memory the run took at its peak."""
        turns = "turn" if n_turns == 1 else "turns"
        self._console.print(
            f"{n_turns} {turns}, peak memory {peak_memory_mb():.0f} MB, "
            f"{threads} threads",
            style="dim",
            highlight=False,
        )

    def recording(self, name: str, reference: str) -> None:
        """Shows a heading."""
        self._console.rule(f"[bold]{name}", align="left")
        self._row("said", f"\u201c{' '.join(reference.split())}\u201d", style="dim")

    def result(self, result: Result) -> None:
        """Says whether all is as it should be."""
        verdict = "as it should be" if result.ok else "not as it should be"
        found = ", ".join(intent.name for intent in result.intents) or "no intent"
        self._row(
            "result",
            f"{verdict}: {found}, word error {result.word_error:.1%}",
            style="bold green" if result.ok else "bold red",
        )
        self._console.print()

    def _reply(self, sentence: str) -> None:
        if self._replying:
            self._console.print(Text(f" {sentence.translate(CONTROLS)}"), end="")
        else:
            self._row(self._character, sentence, style="cyan", end="")
        self._replying = True

    def _finish(self, turn: Turn) -> None:
        if self._replying:
            self._console.print()
        self._replying = False
        whole_s = sum(timing.seconds for timing in turn.timings) or 1.0
        for timing in turn.timings:
            self._row("", _bar(timing, whole_s), style="dim")
        self._console.print()

    def _row(self, label: str, text: str, *, style: str = "", end: str = "\n") -> None:
        row = Text(f"{label:>{_LABEL_WIDTH}}  ", style="dim")
        row.append(text.translate(CONTROLS), style=style)
        self._console.print(row, end=end, soft_wrap=True)


def peak_memory_mb() -> float:
    """Returns the most memory this process has held, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def _describe(intent: Intent) -> str:
    slots = "  ".join(f"{name}={value}" for name, value in intent.values.items())
    return f"{intent.name}  {slots}".strip() + f"   ({intent.tier})"


def _bar(timing: StageTiming, whole_s: float) -> str:
    start = round(timing.start_s / whole_s * _BAR_WIDTH)
    length = max(1, round(timing.seconds / whole_s * _BAR_WIDTH))
    bar = (" " * start + "\u2588" * length)[: _BAR_WIDTH + 1]
    return f"{timing.stage:<7}{bar:<{_BAR_WIDTH + 1}} {timing.seconds * 1000:7.1f} ms"
