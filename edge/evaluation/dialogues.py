"""A pack's own sentences, as the conversations that its language model would have.

Prompts are the runtime's: schema, persona, examples, and with the words what is near.
Answers are what the grammar tier makes of the words. A model has to be right about
these in the end, so `headside quantize llm` calibrates with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from edge.asr import Transcript
from edge.build import RuntimeOptions, build_runtime
from edge.dialogue import MAX_HISTORY_TURNS
from edge.engines import ECHO
from edge.evaluation.items import scene_of
from edge.intent import Tier
from edge.llm.model import Message, Role
from edge.llm.output import write_answer
from edge.pipeline import Runtime
from models.pack import IntentDeclaration, Pack
from models.store import Store

_USUAL_REPLY = "All right."


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A conversation about one intent."""

    intent: str
    messages: tuple[Message, ...]
    """Of one role at a time."""


def dialogues(pack: Pack) -> Iterator[Dialogue]:
    """Yields a conversation for each intent that the model may choose.

    Sentences are the pack's tests and its `like` lines, as many as the runtime
    remembers; those that the grammar takes for anything else are left out.
    """
    options = RuntimeOptions(
        tiers=(Tier.GRAMMAR, Tier.LLM), vad=ECHO, asr=ECHO, llm=ECHO
    )
    runtime = build_runtime(pack, Store.default(), options)
    try:
        runtime.set_scene(scene_of(pack, None))
        for intent in pack.intents:
            messages = () if intent.high_risk else tuple(_messages(runtime, intent))
            if messages:
                yield Dialogue(intent=intent.name, messages=_joined(messages))
    finally:
        runtime.close()


def _messages(runtime: Runtime, intent: IntentDeclaration) -> Iterator[Message]:
    said = [test.sentence for test in intent.tests]
    said += [line.text for line in intent.like if "{" not in line.text]
    replies = [line for line in intent.reply if "{" not in line] or [_USUAL_REPLY]
    n_turns = 0
    for sentence in said:
        meant = runtime.understood(Transcript(text=sentence)).intents
        if n_turns == MAX_HISTORY_TURNS or [one.name for one in meant] != [intent.name]:
            continue
        *opening, asked = runtime.prompt(sentence).messages
        if n_turns == 0:
            yield from opening
        answer = write_answer(meant, replies[n_turns % len(replies)])
        yield asked
        yield Message(role=Role.ASSISTANT, text=answer)
        n_turns += 1


def _joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Returns messages with those of one role in a row as one, a line each."""
    return tuple(
        Message(role=role, text="\n".join(one.text for one in some))
        for role, some in groupby(messages, key=lambda one: one.role)
    )
