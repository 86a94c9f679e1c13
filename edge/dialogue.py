"""The character's side of a conversation: what it is told, and what it may say.

The order of a prompt is fixed: schema, persona, history, scene and words. It grows at
its end alone, so that a model's cache of the beginning stays good from turn to turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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
class Exchange:
    """One earlier turn."""

    player: str
    intents: tuple[Intent, ...]
    reply: str


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

    def messages(self, words: str, *, schema: str, n_turns: int) -> tuple[Message, ...]:
        """Returns the prompt for what the player says now.

        Args:
            words: What the player said.
            schema: The actions the model may choose from, as text; empty where it
                chooses none.
            n_turns: How many of the latest turns to include.
        """
        who = self.character
        told = [schema, who.persona, who.knowledge]
        messages = [Message(role=Role.SYSTEM, text="\n".join(filter(None, told)))]
        shown = [
            Exchange(player=player, intents=(), reply=reply)
            for player, reply in who.examples
        ]
        shown += self._exchanges[len(self._exchanges) - n_turns :]
        for exchange in shown:
            answer = write_answer(exchange.intents, exchange.reply)
            messages.append(Message(role=Role.USER, text=exchange.player))
            messages.append(Message(role=Role.ASSISTANT, text=answer))
        messages.append(Message(role=Role.USER, text=words))
        return tuple(messages)


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
