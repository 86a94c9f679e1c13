"""What the player wants done: transcript in, typed intents out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SlotValue = str | float | int


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
