"""The chat format of a model: what stands between the messages of a conversation.

A model file carries a Jinja template, which is somebody else's program. It is rendered
once, over marks instead of text, by a process with limits (``edge.llm.render``); what
stands between the marks is all the runtime keeps. Prompts are put together from those
pieces, so that a conversation grows at its end alone, and no text, whoever wrote it,
can open a role: only the pieces are tokenised with special tokens.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import zip_longest

from edge.child import ChildError, ChildLimits, run_child
from edge.kept import KeptFiles
from edge.llm.model import LlmError, Message, Role

_MARKS = ("xqSYSTEMqx", "xqPLAYERqx", "xqANSWERqx", "xqAGAINqx")
_LIMITS = ChildLimits(cpu_s=2, memory_bytes=512 << 20, output_bytes=64 << 10)
MAX_TEMPLATE_BYTES = 64 << 10
_FORM = 1
"""Of what is kept; a change of this module's rules makes it another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of prompt."""

    text: str
    is_markup: bool
    """Written by the chat format, so that special tokens count as such."""
    keep: bool = False
    """As of the message that ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """What stands around the messages."""

    start: str
    """Before the first message."""
    after_system: str
    """Between system and player; empty where the format knows no system role."""
    after_user: str
    """Between player and answer."""
    after_assistant: str
    """Between answer and player."""
    has_system: bool = True

    def pieces(self, messages: tuple[Message, ...]) -> list[Piece]:
        """Returns a conversation, ready for the answer, as pieces.

        System messages that follow on each other become one, a line each. They go in
        front of the player's first words where the format has no place for them.
        """
        after = {
            Role.SYSTEM: self.after_system if self.has_system else "\n\n",
            Role.USER: self.after_user,
            Role.ASSISTANT: self.after_assistant,
        }
        pieces = [Piece(text=self.start, is_markup=True)]
        for message, following in zip_longest(messages, messages[1:]):
            more_of_system = following is not None and (
                message.role is Role.SYSTEM is following.role
            )
            between = (
                Piece(text="\n", is_markup=False, keep=message.keep)
                if more_of_system
                else Piece(text=after[message.role], is_markup=True, keep=message.keep)
            )
            pieces += [Piece(text=message.text, is_markup=False), between]
        return [piece for piece in pieces if piece.text]


CHATML = ChatFormat(
    start="<|im_start|>system\n",
    after_system="<|im_end|>\n<|im_start|>user\n",
    after_user="<|im_end|>\n<|im_start|>assistant\n",
    after_assistant="<|im_end|>\n<|im_start|>user\n",
)


def parse_chat_format(
    template: str, *, bos: str, eos: str, kept: KeptFiles | None = None
) -> ChatFormat:
    """Returns the chat format that a model's Jinja template writes.

    Args:
        template: As the model file carries it.
        bos: Text of the token that begins a prompt, for templates that write it.
        eos: Text of the token that ends an answer.
        kept: Where the result lasts, so that a start need not render it again.

    Raises:
        LlmError: The template is too large, takes too long, or is no chat template.
    """
    if len(template.encode()) > MAX_TEMPLATE_BYTES:
        raise _rejected(f"It is larger than {MAX_TEMPLATE_BYTES >> 10} KiB.")
    asked = json.dumps([_FORM, template, bos, eos])
    name = f"chat {hashlib.sha256(asked.encode()).hexdigest()}"
    if kept is not None and (known := kept.read(name)):
        return ChatFormat(**json.loads(bytes(known)))
    found = _parsed(template, bos=bos, eos=eos)
    if kept is not None:
        kept.write(name, json.dumps(asdict(found)).encode())
    return found


def _parsed(template: str, *, bos: str, eos: str) -> ChatFormat:
    system, player, answer, again = _MARKS
    conversation = [
        (Role.SYSTEM, system),
        (Role.USER, player),
        (Role.ASSISTANT, answer),
        (Role.USER, again),
    ]
    with_system, without = _render(
        [conversation, conversation[1:]], template=template, bos=bos, eos=eos
    )
    if _is_in_order(with_system, system, player):
        start, after_system, _, after_assistant, end = _split(with_system, _MARKS)
        has_system = True
    else:
        start, _, after_assistant, end = _split(without, _MARKS[1:])
        after_system, has_system = "", False
    if not end:
        raise _rejected("It does not open the answer.")
    return ChatFormat(
        start=start,
        after_system=after_system,
        # What opens the answer that is to come; an answer already given may be written
        # differently (templates of thinking models do so).
        after_user=end,
        after_assistant=after_assistant,
        has_system=has_system,
    )


def _render(
    conversations: list[list[tuple[Role, str]]], *, template: str, bos: str, eos: str
) -> list[str]:
    """Returns what the template writes for each, nothing where it refuses one."""
    payload = {
        "template": template,
        "bos": bos,
        "eos": eos,
        "conversations": [
            [{"role": role, "content": text} for role, text in conversation]
            for conversation in conversations
        ],
    }
    try:
        rendered = run_child("edge.llm.render", payload, _LIMITS)
    except ChildError as cause:
        raise _rejected(cause.message) from cause
    texts: list[str] = rendered["texts"]
    if not any(texts) and rendered["error"]:
        raise _rejected(f"It fails: {rendered['error'].rstrip('.')}.")
    return texts


def _is_in_order(text: str, first: str, second: str) -> bool:
    return 0 <= text.find(first) < text.find(second)


def _split(text: str, marks: tuple[str, ...]) -> list[str]:
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        if not found:
            raise _rejected("It leaves out a message.")
        pieces.append(piece)
    return [*pieces, text]


def _rejected(why: str) -> LlmError:
    return LlmError(
        "chat_template",
        f"The model's chat template cannot be used. {why}",
        "Use a model with a chat template of the usual form.",
    )
