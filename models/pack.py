"""What an experience pack is: persona, intents, words of the scene, model choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from models.errors import HeadsideError
from models.template import Node

Value = str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a pack, or something worth a look."""

    file: str
    """As given, so that a terminal can open it."""
    line: int
    """From 1."""
    message: str
    hint: str = ""
    is_warning: bool = False
    """The pack works all the same."""

    def __str__(self) -> str:
        kind = "warning: " if self.is_warning else ""
        text = f"{self.file}:{self.line}: {kind}{self.message}"
        return f"{text} {self.hint}".strip()


class ProblemsError(HeadsideError):
    """Something that an author wrote, and every mistake in it.

    Args:
        code: Stable name of the failure.
        message: What happened, and where.
        hint: What to do about it.
        problems: Every mistake that was found, in order of file and line.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(code, message, hint)
        self.problems = problems


class PackError(ProblemsError):
    """A pack that cannot be found or is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A sentence of the pack and where it stands."""

    text: str
    line: int
    """In ``pack.toml``, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A sentence template and where it stands."""

    text: str
    line: int
    """In ``pack.toml``, from 1."""
    tree: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ListValue:
    """One value of a list."""

    value: str
    """What the game gets."""
    phrases: tuple[str, ...]
    """What players say for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesList:
    """A slot that takes one of a few values."""

    name: str
    line: int
    values: tuple[ListValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeList:
    """A slot that takes a number."""

    name: str
    line: int
    low: float
    high: float
    """Included."""
    unit: str = ""
    """Symbol of the unit that is spoken with the number and that it is converted to;
    empty for a bare number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneList:
    """A slot that takes an object of the scene; its value is the object's id."""

    name: str
    line: int
    tag: str
    pointing: bool = False
    """Whether "that", "this" and "it" stand for one, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotList:
    """A slot that takes a place in space, which is pointed at."""

    name: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextList:
    """A slot that takes whatever is said."""

    name: str
    line: int


SlotList = ValuesList | RangeList | SceneList | SpotList | TextList


@dataclass(frozen=True, slots=True, kw_only=True)
class PackTest:
    """A sentence the pack promises to understand."""

    sentence: str
    line: int
    slots: Mapping[str, Value]
    """What it must yield; slots the pack's defaults fill may be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentDeclaration:
    """One action the game can do, and how players ask for it."""

    name: str
    line: int
    say: tuple[Template, ...]
    slots: Mapping[str, str]
    """Name of the list each slot takes its value from."""
    required: frozenset[str]
    """Slots that every sentence fills."""
    default: Mapping[str, Value]
    """Values of slots that were not said."""
    like: tuple[Line, ...] = ()
    """What players may say for it in other words; ``{slot}`` stands for any value."""
    reply: tuple[str, ...] = ()
    """Canned answers; ``{slot}`` stands for what was said."""
    claims: tuple[Template, ...] = ()
    """Phrases by which a reply claims that it was done."""
    tests: tuple[PackTest, ...] = ()
    high_risk: bool = False
    """Taken from nobody but the grammar, and always confirmed."""
    confirm: str = ""
    """Question to put before acting; ``{slot}`` stands for what was said."""
    when: str = ""
    """Key of the fact that must be true; empty where there is no condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """Somebody who answers."""

    name: str
    persona: str
    fallback: tuple[str, ...]
    """Neutral lines, for when a reply cannot be used."""
    examples: tuple[tuple[str, str], ...] = ()
    """What a player says and what the character answers."""
    knowledge: str = ""
    """Text of the files the character knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackModels:
    """Store names of the models the pack runs on."""

    vad: str = "silero-vad"
    asr: str = "whisper-base"
    llm: str = "smollm2-135m-instruct-q4_1"
    encoder: str = "minilm-l6-v2-int8"
    """Used by the tier ``semantic`` only."""
    pronunciations: str = "cmudict-en-us"
    lines: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Line of each name in ``pack.toml``, by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """When the player is heard."""

    mode: str = "push_to_talk"
    """``push_to_talk``: while a button is held. ``open_mic``: speech begins and ends by
    itself. ``wake_phrase``: the same, but it must begin with one of ``wake``."""
    endpoint_ms: tuple[int, int] = (250, 700)
    """Silence that ends a finished phrase, and one that may go on."""
    instant: bool = True
    """Whether a command that nothing can follow is accepted without a silence."""
    wake: tuple[str, ...] = ()
    """Phrases that wake the listener."""
    barge_in: bool = False
    """Whether the microphone stays open while a character speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackObject:
    """A thing of the pack's default scene."""

    id: str
    line: int
    name: str
    aliases: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    position: tuple[float, float, float] | None = None
    """Metres."""
    size: tuple[float, float, float] | None = None
    """Width, height and depth of its box in metres, centred on ``position``."""


def _nothing() -> Mapping[str, bool | int | float | str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """An experience, read and checked."""

    name: str
    title: str
    file: str
    """Its ``pack.toml``, for messages."""
    version: str
    """Changes whenever a file of the pack does."""
    languages: tuple[str, ...]
    """ISO 639-1."""
    language: str = "en"
    """The one among them that this is in."""
    models: PackModels
    listening: Listening
    tiers: tuple[str, ...]
    """Who may recognise intents, in order: ``grammar``, ``semantic``, ``llm``."""
    characters: tuple[Character, ...]
    """The first answers unless another is asked for."""
    lists: Mapping[str, SlotList]
    rules: Mapping[str, Template]
    intents: tuple[IntentDeclaration, ...]
    """In order of declaration, which settles ties."""
    never: tuple[Line, ...] = ()
    """Sentences that must not be understood as any intent."""
    objects: tuple[PackObject, ...] = ()
    facts: Mapping[str, bool | int | float | str] = field(default_factory=_nothing)
    confidence: float = 0.5
    """An intent that is less likely meant than this is none."""

    @property
    def model_names(self) -> tuple[str, ...]:
        """Store names of the models that it takes to run it."""
        found = self.models
        encoder = (found.encoder,) if "semantic" in self.tiers else ()
        return (found.vad, found.asr, found.llm, found.pronunciations, *encoder)

    def character(self, name: str | None = None) -> Character:
        """Returns the character of this name; the first without a name.

        Raises:
            PackError: There is no such character.
        """
        for character in self.characters:
            if name is None or character.name == name:
                return character
        known = ", ".join(character.name for character in self.characters)
        raise PackError(
            "character_unknown",
            f'Pack "{self.name}" has no character "{name}".',
            f"It has: {known}.",
        )
