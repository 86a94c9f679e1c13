"""The intents of one session: numbered, asked about, and answered for by the game."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge.asr import Transcript
from edge.dialogue import Outcome
from edge.intent import Intent
from edge.serve.fields import intent_fields, option_fields
from edge.serve.metrics import Metrics
from edge.serve.outgoing import Outgoing
from edge.serve.wire import Message, WireError
from edge.tiers import Clarify

RESULT_WAIT_S = 0.3
"""How long a reply waits for the game to say what became of its intents."""
MAX_UNCONFIRMED = 8
MAX_RESULTS = 64
"""Of the latest intents."""
MAX_OPTIONS = 16
"""Of one question."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the player was asked to choose from."""

    utterance: int
    options: tuple[Intent, ...]
    heard: Transcript


class Actions:
    """What a session asks its game to do, and what came of it.

    ``result``, ``wake`` and ``withdraw`` may be called by the connection's thread, too;
    the rest by the inference thread.

    Args:
        out: Where intents go.
        metrics: Counts them.
        scene_revision: Returns that of the scene in which they are understood.
        wants_results: Whether replies wait for the game's ``result``.
    """

    def __init__(
        self,
        out: Outgoing,
        metrics: Metrics,
        scene_revision: Callable[[], int],
        *,
        wants_results: bool,
    ) -> None:
        self._out = out
        self._metrics = metrics
        self._scene_revision = scene_revision
        self._wants_results = wants_results
        self._changed = threading.Condition()
        self._n_intents = 0
        self._results: dict[int, tuple[bool, str]] = {}
        self._numbers: list[tuple[int, Intent]] = []
        """Intents of the turn that is being made."""
        self._unconfirmed: dict[int, tuple[int, Intent]] = {}
        self._asked: Asked | None = None
        """What the latest utterance left open."""

    def begin(self) -> None:
        """A turn begins; what was asked before is no longer open."""
        with self._changed:
            self._numbers.clear()
            self._asked = None

    def ask(self, utterance: int, clarify: Clarify, heard: Transcript) -> None:
        """Asks which of several intents was meant."""
        options = clarify.options[:MAX_OPTIONS]
        with self._changed:
            self._asked = Asked(utterance, options, heard)
        self._out.send(
            "clarify",
            utterance=utterance,
            question=clarify.question[:400],
            options=[option_fields(n, option) for n, option in enumerate(options)],
        )

    def withdraw(self) -> None:
        """Nothing can be chosen any more."""
        with self._changed:
            self._asked = None

    def choose(
        self, utterance: int, n: int, can_be_done: Callable[[Intent], bool]
    ) -> Intent:
        """Takes and returns the player's choice.

        Args:
            utterance: The one that was asked about.
            n: Of the option.
            can_be_done: Whether an option is still there.

        Raises:
            WireError: ``nothing_to_choose``; ``option_unknown`` or ``option_gone``,
                after which another option may be chosen.
        """
        with self._changed:
            asked = self._asked
            if asked is None or asked.utterance != utterance:
                raise WireError(
                    "nothing_to_choose",
                    f"There is nothing to choose about utterance {utterance}.",
                    "Answer a clarify once, before the player says something else.",
                )
            if n >= len(asked.options):
                raise WireError(
                    "option_unknown",
                    f"Utterance {utterance} has no option {n}.",
                    f"Choose one from 0 to {len(asked.options) - 1}.",
                )
            chosen = asked.options[n]
            if not can_be_done(chosen):
                raise WireError(
                    "option_gone",
                    f"Option {n} of utterance {utterance} can no longer be done.",
                    "Its object has left the scene, or a fact has changed.",
                )
            self._asked = None
        self.send(utterance, chosen, asked.heard)
        return chosen

    def send(self, utterance: int, intent: Intent, heard: Transcript) -> None:
        """Sends an intent, or the question that it needs an answer to first."""
        with self._changed:
            self._n_intents += 1
            own = self._n_intents
            self._numbers.append((own, intent))
        if not intent.confirm:
            self._emit(utterance, own, intent, heard)
            return
        self._unconfirmed[own] = (utterance, intent)
        while len(self._unconfirmed) > MAX_UNCONFIRMED:
            del self._unconfirmed[next(iter(self._unconfirmed))]
        self._out.send(
            "confirm",
            utterance=utterance,
            intent=own,
            name=intent.name,
            slots=intent.values,
            question=intent.confirm[:400],
        )

    def confirm(self, own: int, yes: bool) -> None:  # noqa: FBT001 - as on the wire
        """Takes the player's answer to a question.

        Raises:
            WireError: ``nothing_to_confirm``.
        """
        asked = self._unconfirmed.pop(own, None)
        if asked is None:
            raise WireError(
                "nothing_to_confirm",
                f"Nothing was asked about intent {own}.",
                "Answer each confirm once.",
            )
        if yes:
            utterance, intent = asked
            self._emit(utterance, own, replace(intent, confirm=""), None)

    def result(self, message: Message) -> None:
        """Takes what became of an intent.

        Raises:
            WireError: ``result_unknown``.
        """
        number = message["intent"]
        with self._changed:
            if number > self._n_intents:
                raise WireError(
                    "result_unknown",
                    f"There was no intent {number}.",
                    "Answer intents by their number.",
                )
            self._results[number] = (message["ok"], message.get("reason", ""))
            while len(self._results) > MAX_RESULTS:
                del self._results[next(iter(self._results))]
            self._changed.notify_all()

    def wake(self) -> None:
        """Has who waits for results look whether the turn is over."""
        with self._changed:
            self._changed.notify_all()

    def outcomes(
        self, intents: Sequence[Intent], is_over: Callable[[], bool]
    ) -> tuple[Outcome, ...]:
        """Returns what became of intents, waiting a moment for the game to tell.

        Args:
            intents: Of the turn that is being made.
            is_over: Whether nobody wants to know any more.
        """
        with self._changed:
            numbers = {
                number: intent
                for number, intent in self._numbers
                if any(intent is asked for asked in intents)
            }
            done = {n for n, intent in numbers.items() if not intent.confirm}
            if self._wants_results:
                self._changed.wait_for(
                    lambda: done <= self._results.keys() or is_over(),
                    timeout=RESULT_WAIT_S,
                )
            found = {n: self._results.pop(n, (True, "")) for n in numbers}
        return tuple(
            Outcome(intent=intent, ok=found[n][0], reason=found[n][1])
            for n, intent in numbers.items()
        )

    def _emit(
        self, utterance: int, own: int, intent: Intent, heard: Transcript | None
    ) -> None:
        self._metrics.intents.labels(tier=intent.tier).inc()
        self._out.send(
            "intent",
            utterance=utterance,
            intent=own,
            scene_rev=self._scene_revision(),
            **intent_fields(intent, heard),
        )
