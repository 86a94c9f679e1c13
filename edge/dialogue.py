"""The character's side of a conversation: what it is told, and what it may say.

The order of a prompt is fixed: schema, persona, history, scene and words. It grows at
its end alone, so that what a model has read of the beginning stays good from turn to
turn, and across runs up to the persona's end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from edge.intent import Intent
from edge.llm.model import Message, Role
from edge.llm.output import write_answer
from models.pack import Character

MAX_HISTORY_TURNS = 8
_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"')\]]*(?=\s)")
_FINISHED = re.compile(r"[.!?\u2026][\"')\]]*$")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|e\.g|i\.e)\.$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Something the character says: one sentence of it, or all of it."""

    text: str
    emotion: str = ""
    """How it is said, where the pack or the model tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the game made of an intent."""

    intent: Intent
    ok: bool
    reason: str = ""
    """Why not, where the game says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the character is told beside the player's words."""

    near: tuple[str, ...] = ()
    """Names of things in the scene, the most relevant first."""
    refused: tuple[Outcome, ...] = ()
    """What the game did not do."""

    @property
    def text(self) -> str:
        """The situation in brackets, a line each; empty where there is none."""
        lines = [f"[near: {', '.join(self.near)}]"] if self.near else []
        lines += [
            f"[not done: {outcome.intent.name}{': ' * bool(outcome.reason)}"
            f"{outcome.reason}]"
            for outcome in self.refused
        ]
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One earlier turn."""

    player: str
    intents: tuple[Intent, ...]
    reply: str


NOTHING_SPECIAL = Situation()
CUT = "\u2014"
"""Stands where a reply was cut."""


@dataclass(slots=True)
class Conversation:
    """What one character and the player have said so far."""

    character: Character
    _exchanges: list[Exchange] = field(init=False, default_factory=list)

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """The turns still remembered, oldest first."""
        return tuple(self._exchanges)

    def remember(self, exchange: Exchange) -> None:
        """Adds a turn; beyond ``MAX_HISTORY_TURNS`` the older half is forgotten.

        Half at once, since what follows a forgotten turn is read by the model anew.
        """
        self._exchanges.append(exchange)
        if len(self._exchanges) > MAX_HISTORY_TURNS:
            del self._exchanges[: MAX_HISTORY_TURNS // 2]

    def decide(self, intent: Intent) -> None:
        """Notes what the player chose when the latest turn asked for it."""
        if self._exchanges:
            last = self._exchanges[-1]
            self._exchanges[-1] = replace(last, intents=(*last.intents, intent))

    def forget(self) -> None:
        """Forgets every turn."""
        self._exchanges.clear()

    def cut(self, n_characters: int) -> None:
        """Notes that the player heard no more than this of the latest reply."""
        if self._exchanges and n_characters < len(self._exchanges[-1].reply):
            last = self._exchanges[-1]
            heard = last.reply[:n_characters].rstrip() + CUT
            self._exchanges[-1] = replace(last, reply=heard)

    def opening(self, schema: str) -> tuple[Message, ...]:
        """Returns how every prompt begins: schema, persona, examples."""
        who = self.character
        persona = "\n".join(filter(None, (who.persona, who.knowledge)))
        messages = [Message(role=Role.SYSTEM, text=schema, keep=True)] * bool(schema)
        messages.append(Message(role=Role.SYSTEM, text=persona))
        for said, answered in who.examples:
            messages += _shown(Exchange(player=said, intents=(), reply=answered))
        messages[-1] = replace(messages[-1], keep=True)
        return tuple(messages)

    def messages(
        self,
        words: str,
        *,
        schema: str,
        n_turns: int,
        situation: Situation = NOTHING_SPECIAL,
    ) -> tuple[Message, ...]:
        """Returns the prompt for what the player says now.

        Args:
            words: What the player said.
            schema: The actions the model may choose from, as text; empty where it
                chooses none.
            n_turns: How many of the latest turns to include.
            situation: What is told with the words, and not remembered.
        """
        messages = list(self.opening(schema))
        for exchange in self._exchanges[len(self._exchanges) - n_turns :]:
            messages += _shown(exchange)
        messages.append(Message(role=Role.USER, text=f"{situation.text}{words}"))
        return tuple(messages)


def _shown(exchange: Exchange) -> list[Message]:
    answer = write_answer(exchange.intents, exchange.reply)
    return [
        Message(role=Role.USER, text=exchange.player),
        Message(role=Role.ASSISTANT, text=answer),
    ]


def sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Yields the sentences of a text that arrives in pieces, as soon as each is whole.

    What is left unfinished at the end is yielded only where nothing came before it.
    """
    text, n_whole = "", 0
    for piece in pieces:
        text += piece
        start = 0
        for end in _SENTENCE_END.finditer(text):
            if _ABBREVIATION.search(text, start, end.end()):
                continue
            yield text[start : end.end()].strip()
            n_whole += 1
            start = end.end()
        text = text[start:]
    rest = text.strip()
    if rest and (n_whole == 0 or _FINISHED.search(rest)):
        yield rest


@dataclass(slots=True)
class ReplyGuard:
    """Lets no reply claim an action that was not done.

    A sentence that claims one is replaced by a neutral line of the pack's, once per
    reply; further ones are dropped.
    """

    claims: Callable[[str], frozenset[str]]
    """Names of the intents that a sentence claims were done."""
    neutral: Sequence[str]
    _n_replaced: int = field(init=False, default=0)

    def checked(self, spoken: Iterable[str], done: frozenset[str]) -> Iterator[str]:
        """Yields the sentences that may be said.

        Args:
            spoken: Sentences of one reply.
            done: Names of the intents of this turn.
        """
        replaced = False
        for sentence in spoken:
            if self.claims(sentence) <= done:
                yield sentence
            elif not replaced:
                replaced = True
                yield self.line()

    def line(self) -> str:
        """Returns the next neutral line, in turn."""
        line = self.neutral[self._n_replaced % len(self.neutral)]
        self._n_replaced += 1
        return line
