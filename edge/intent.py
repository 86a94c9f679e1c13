"""What the player wants done: transcript in, typed intents out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.lexicon import Lexicon
from models.pack import IntentDeclaration
from models.pack import Value as SlotValue

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Tier(StrEnum):
    """Who recognised an intent."""

    GRAMMAR = "grammar"
    SEMANTIC = "semantic"
    LLM = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One typed argument of an intent."""

    name: str
    value: SlotValue
    """A list's value, a number in the list's unit, a scene object's id, or text."""
    text: str = ""
    """The words it was spoken as; empty where the pack's default filled it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A typed action for the game."""

    name: str
    slots: tuple[Slot, ...] = ()
    confidence: float = 1.0
    """In [0, 1]."""
    tier: Tier
    span: tuple[int, int] = (0, 0)
    """Start and end of the words it came from, as characters of the transcript."""
    confirm: str = ""
    """Question to put to the player before acting; empty where none is needed."""

    @property
    def values(self) -> dict[str, SlotValue]:
        """Slot values by name."""
        return {slot.name: slot.value for slot in self.slots}


def build_intent(
    lexicon: Lexicon,
    declared: IntentDeclaration,
    slots: Sequence[Slot],
    *,
    tier: Tier,
    confidence: float = 1.0,
    span: tuple[int, int] = (0, 0),
) -> Intent:
    """Returns the intent with defaults filled in and its question worded.

    Slots come in the order in which the pack's templates name them.
    """
    filled = {slot.name: slot for slot in slots}
    for name, value in declared.default.items():
        filled.setdefault(name, Slot(name=name, value=value))
    ordered = tuple(filled[name] for name in declared.slots if name in filled)
    return Intent(
        name=declared.name,
        slots=ordered,
        confidence=confidence,
        tier=tier,
        span=span,
        confirm=fill_line(lexicon, declared.confirm, ordered),
    )


def read_intent(
    lexicon: Lexicon,
    found: object,
    *,
    confidence: float = 1.0,
    span: tuple[int, int] = (0, 0),
) -> Intent | None:
    """Returns the intent that the language model wrote as an object of the schema.

    None where the object does not keep to ``lexicon.schema()``, whatever it is.
    """
    match found:
        case {"name": str(name), "slots": dict(values), **others} if not others:
            pass
        case _:
            return None
    allowed = {intent.name: intent for intent in lexicon.llm_intents()}
    declared = allowed.get(name)
    if declared is None or not _keeps_to(lexicon, declared, values):
        return None
    return build_intent(
        lexicon,
        declared,
        [Slot(name=slot, value=value) for slot, value in values.items()],
        tier=Tier.LLM,
        confidence=confidence,
        span=span,
    )


def fill_line(lexicon: Lexicon, line: str, slots: Sequence[Slot]) -> str:
    """Returns a line of the pack with each ``{slot}`` as it was said.

    An object of the scene is called by its name. A slot that is not there is left out.
    """
    said = {slot.name: _said(lexicon, slot) for slot in slots}
    return _PLACEHOLDER.sub(lambda found: said.get(found.group(1), ""), line)


def _said(lexicon: Lexicon, slot: Slot) -> str:
    if isinstance(slot.value, str) and slot.value in lexicon.names:
        return lexicon.names[slot.value]
    return slot.text or str(slot.value)


def _keeps_to(
    lexicon: Lexicon, declared: IntentDeclaration, values: Mapping[str, object]
) -> bool:
    return declared.required <= values.keys() <= declared.slots.keys() and all(
        lexicon.lists[declared.slots[slot]].accepts(value)
        for slot, value in values.items()
    )
