"""The form of an answer: intents first, then the reply, as one compact JSON object.

    {"intents":[{"name":"move","slots":{"direction":"up"}}],"reply":"Mind the step."}

Intents come before words, so that an action can start before the reply is spoken. An
intent found by another tier is written into the prefix, and the model only goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.intent import Intent
from edge.llm.model import LlmError

MAX_INTENTS = 3
MAX_REPLY_CHARACTERS = 400

_HEAD = "Answer as JSON: intents, then reply. Actions:"
_OPEN = '{"intents":['
REPLY_OPENS = '],"reply":"'
"""Stands before the reply's first word."""
_CLOSE = '"}'
_STRING_UNIT = re.compile(r'[^"\\]+|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}')
_UNFINISHED_UNIT = re.compile(r"(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenIntent:
    """An intent as the model wrote it."""

    found: object
    """Its JSON, not yet checked against the lexicon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyText:
    """A stretch of the reply."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The intents a model may choose from."""

    told: str
    """As text for the prompt, one a line; empty where there are none."""
    schema: str
    """JSON Schema of the whole answer, which enforces them."""


def build_choices(
    intent_schema: Mapping[str, Any], *, actions: str, min_intents: int = 0
) -> Choices:
    """Returns what a model is told of a lexicon's intents, and held to.

    Args:
        intent_schema: JSON Schema of one intent, with an object each in ``anyOf``.
        actions: The same in words, one intent a line.
        min_intents: How many an answer must hold.
    """
    return Choices(
        told=f"{_HEAD}\n{actions}" if actions else "",
        schema=_answer_schema(intent_schema, min_intents=min_intents),
    )


def _answer_schema(intent_schema: Mapping[str, Any], *, min_intents: int = 0) -> str:
    return json.dumps(
        {
            "type": "object",
            "properties": {
                "intents": {
                    "type": "array",
                    "items": dict(intent_schema),
                    "minItems": min_intents,
                    "maxItems": MAX_INTENTS if intent_schema.get("anyOf", 1) else 0,
                },
                "reply": {"type": "string", "maxLength": MAX_REPLY_CHARACTERS},
            },
            "required": ["intents", "reply"],
            "additionalProperties": False,
        }
    )


DECIDED = Choices(told="", schema=_answer_schema({"type": "object"}))
"""For an answer whose intents stand in its prefix and are not generated."""


def reply_prefix(intents: Iterable[Intent]) -> str:
    """Returns the start of an answer whose intents are decided, up to its reply."""
    return _OPEN + ",".join(map(_write_intent, intents)) + REPLY_OPENS


def write_answer(intents: Iterable[Intent], reply: str) -> str:
    """Returns a whole answer, as the model is shown its earlier ones."""
    return reply_prefix(intents) + _quoted(reply)[1:-1] + _CLOSE


def read_answer(
    pieces: Iterable[str], prefix: str
) -> Iterator[WrittenIntent | ReplyText]:
    """Yields each intent when its object closes, and the reply as it grows.

    Args:
        pieces: What the model generates.
        prefix: How the answer began; its intents are not yielded again.

    Raises:
        LlmError: ``answer_form`` where the text is no answer.
    """
    text, at = prefix, len(prefix)
    in_reply = prefix.endswith(REPLY_OPENS)
    for piece in pieces:
        text += piece
        while not in_reply:
            item, at, in_reply = _next_item(text, at)
            if item is None:
                break
            yield item
        if in_reply:
            reply, at, closed = _next_reply(text, at)
            if reply:
                yield ReplyText(text=reply)
            if closed:
                return


def _next_item(text: str, at: int) -> tuple[WrittenIntent | None, int, bool]:
    """Returns the intent that is whole at ``at``, where to go on, and if in reply."""
    if at == 0:
        if not text.startswith(_OPEN):
            _must_grow_into(text, _OPEN)
            return None, 0, False
        at = len(_OPEN)
    rest = text[at:].lstrip(",")
    at = len(text) - len(rest)
    if rest.startswith(REPLY_OPENS):
        return None, at + len(REPLY_OPENS), True
    if not rest.startswith("{"):
        _must_grow_into(rest, REPLY_OPENS)
        return None, at, False
    try:
        written, length = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return None, at, False
    return WrittenIntent(found=written), at + length, False


def _next_reply(text: str, at: int) -> tuple[str, int, bool]:
    """Returns the reply from ``at``, where to go on, and if it is closed."""
    end = at
    while unit := _STRING_UNIT.match(text, end):
        end = unit.end()
    closed = text[end : end + 1] == '"'
    if not closed and not _UNFINISHED_UNIT.match(text, end):
        raise _bad_form(text[:end])
    if not closed and (half := _HALF_PAIR.search(text, at, end)):
        end = half.start()
    reply: str = json.loads(f'"{text[at:end]}"', strict=False)
    # A half of a pair that stayed alone is no character.
    reply = reply.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return reply, end, closed


def _write_intent(intent: Intent) -> str:
    slots = ",".join(
        f"{_quoted(name)}:{json.dumps(value, ensure_ascii=False)}"
        for name, value in intent.values.items()
    )
    return f'{{"name":{_quoted(intent.name)},"slots":{{{slots}}}}}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _must_grow_into(text: str, expected: str) -> None:
    if not expected.startswith(text):
        raise _bad_form(text)


def _bad_form(text: str) -> LlmError:
    return LlmError(
        "answer_form",
        f"The model's answer does not have the expected form (after {len(text)} "
        "characters).",
        "Use a model and a constraint that belong together.",
    )
