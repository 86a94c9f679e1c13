"""What the character says in one session, and how much of it the player heard."""

from __future__ import annotations

from edge.dialogue import Conversation, Reply
from edge.normalise import words_of
from edge.serve.outgoing import Outgoing
from edge.serve.wire import Message

_UNTIL_TOLD_S = 3600.0
"""A reply plays until the client says that it ended."""


class Replies:
    """The latest reply of a session.

    ``played`` is called by the connection's thread, the rest by the inference thread.

    Args:
        out: Where replies go.
        conversation: Where the first one is remembered.
    """

    def __init__(self, out: Outgoing, conversation: Conversation) -> None:
        self._out = out
        self._said: tuple[int, str, Conversation] = (0, "", conversation)
        """The latest reply's utterance, its text, and where it is remembered."""
        self._heard: tuple[int, int] = (0, 0)
        """The latest played one's utterance, and how much of it was played."""
        self._playing_until_s = -1.0

    def send(self, utterance: int, reply: Reply, conversation: Conversation) -> None:
        """Sends a sentence, which goes on the reply to an utterance or begins one."""
        number, said, _ = self._said
        before = said if number == utterance else ""
        self._said = (utterance, f"{before} {reply.text}".strip(), conversation)
        self._out.send(
            "reply.delta",
            utterance=utterance,
            character=conversation.character.name,
            text=reply.text[:2000],
            emotion=reply.emotion,
        )

    def end(self, utterance: int, *, was_cut: bool) -> bool:
        """Returns whether there was a reply to an utterance, whose end is told then."""
        number, said, _ = self._said
        if number != utterance:
            return False
        played, characters = self._heard
        heard = characters if played == utterance else 0
        self._out.send(
            "reply.end",
            utterance=utterance,
            characters=len(said),
            cut_at=min(heard, len(said)) if was_cut else None,
        )
        return True

    def played(self, message: Message, now_s: float) -> None:
        """Takes how far a reply was played."""
        lasts_s = 0.0 if message["ended"] else _UNTIL_TOLD_S
        self._playing_until_s = now_s + lasts_s
        self._heard = (message["utterance"], message["characters"])

    def note_cut(self, utterance: int, characters: int) -> None:
        """Has the conversation remember no more than was heard."""
        number, said, conversation = self._said
        latest = conversation.exchanges[-1:]
        if (
            utterance == number
            and characters < len(said)
            and latest
            and latest[0].reply.startswith(said)
        ):
            conversation.cut(characters)

    def is_echo(self, text: str, start_s: float) -> bool:
        """Returns whether the microphone heard the character's own voice."""
        if start_s >= self._playing_until_s:
            return False
        heard, said = words_of(text), words_of(self._said[1])
        return any(
            said[at : at + len(heard)] == heard
            for at in range(len(said) - len(heard) + 1)
        )
