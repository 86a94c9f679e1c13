"""What waits to be done on the inference thread: a queue with bounds.

At most `MAX_WAITING` utterances wait; the oldest is dropped for another. Speech that
goes on takes the place of its own beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.serve.wire import WireError
from edge.vad import Speech

MAX_WAITING = 4
"""Utterances."""
MAX_CALLS = 64
"""Other tasks; a client that sends more is refused."""


@dataclass(frozen=True, slots=True)
class Typed:
    """Words that were typed, accepted when they came."""

    utterance: int
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Anything else to be done between two turns."""

    run: Callable[[], None]
    name: str
    of: int = 0
    """Id of the client's message."""


Task = Speech | Typed | Call


class Tasks:
    """The tasks of one session, in order; its owner keeps threads apart."""

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()

    def __len__(self) -> int:
        """Returns how many wait."""
        return len(self._waiting)

    def add(self, task: Task) -> Speech | Typed | None:
        """Returns the utterance that was dropped to make room, if any.

        Raises:
            WireError: ``too_much``: too many calls wait.
        """
        if isinstance(task, Call):
            n_calls = sum(isinstance(each, Call) for each in self._waiting)
            if n_calls >= MAX_CALLS:
                raise WireError(
                    "too_much",
                    f"{n_calls} messages wait for the turn that is being made.",
                    "Send fewer at once.",
                )
        elif isinstance(task, Speech):
            begun = [t for t in self._waiting if isinstance(t, Speech)][-1:]
            if begun and not begun[0].is_over:
                self._waiting.remove(begun[0])
        self._waiting.append(task)
        whole = [each for each in self._waiting if _is_whole(each)]
        if len(whole) <= MAX_WAITING:
            return None
        self._waiting.remove(whole[0])
        return whole[0] if not isinstance(whole[0], Call) else None

    def take(self) -> Task:
        """Returns the task that waits longest."""
        return self._waiting.popleft()

    def has_call(self, name: str) -> bool:
        """Returns whether a call of this name waits."""
        return any(isinstance(t, Call) and t.name == name for t in self._waiting)

    def drop_utterances(self) -> list[Typed]:
        """Returns those that were accepted; the calls stay."""
        typed = [task for task in self._waiting if isinstance(task, Typed)]
        self._waiting = deque(t for t in self._waiting if isinstance(t, Call))
        return typed

    def drop_calls(self) -> None:
        """Forgets the calls."""
        self._waiting = deque(t for t in self._waiting if not isinstance(t, Call))


def _is_whole(task: Task) -> bool:
    return isinstance(task, Typed) or (isinstance(task, Speech) and task.is_over)
