"""What an evaluation is about: items, their labels, and who answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from edge.asr import Word
from edge.audio import Samples
from edge.intent import Intent
from edge.lexicon import default_scene
from edge.scene import Ray, Scene, Vector
from models.disk import hash_region
from models.pack import Pack, Problem, ProblemsError, Value

CLEAN = "clean"
"""The condition without noise; the others are called by their SNR in dB."""


class EvalError(ProblemsError):
    """What was to be evaluated is wrong, or could not be evaluated whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A wanted place: right is whatever is close to it."""

    position: Vector
    """Metres."""


WantedValue = Value | Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedIntent:
    """An intent as a label has it."""

    name: str
    slots: Mapping[str, WantedValue] = field(
        default_factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What should come of an item: intents, a question back, or nothing."""

    intents: tuple[WantedIntent, ...] = ()
    clarify: tuple[str, ...] = ()
    """Values that the player should be asked to choose from."""

    @property
    def is_command(self) -> bool:
        """Whether anything is wanted."""
        return bool(self.intents or self.clarify)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A sound file."""

    id: str
    """Its name in the labels."""
    file: Path
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextItem:
    """Words as if recognised, and the scene they are said in; without the label."""

    id: str
    text: str
    language: str = ""
    """ISO 639-1; empty where the line does not say."""
    kind: str = ""
    """What the item tries, as its author calls it."""
    words: tuple[Word, ...] = ()
    """With times, where they are given."""
    scene: Scene | None = None
    """As the line tells it, without rays; see ``scene_of``."""
    rays: tuple[Ray, ...] = ()
    """In order of time."""
    focus: tuple[str, ...] = ()
    """Ids of what was spoken of last, the latest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One item and its label."""

    item: Recording | TextItem
    wanted: Wanted
    line: int
    """Of the label in its file, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """Everything that one evaluation is about."""

    file: Path
    """The labels, or the lines."""
    cases: tuple[Case, ...]
    sha256: str
    """Of the file and of every sound."""
    is_sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was understood."""

    intents: tuple[Intent, ...]
    clarify: tuple[Intent, ...] = ()
    """What the player would be asked to choose from."""
    transcript: str
    tier: str | None
    """Who decided; None where nobody did."""
    asr_ms: float
    intent_ms: float


class Understander(Protocol):
    """What is evaluated."""

    def hear(self, samples: Samples) -> Result:
        """Returns what one utterance means.

        Args:
            samples: Shape (n,), mono, 16 kHz, in [-1, 1].
        """

    def read(self, item: TextItem) -> Result:
        """Returns what words mean in their scene."""


def scene_of(pack: Pack, item: TextItem | None) -> Scene:
    """Returns the scene that a line is said in, with its rays; None for a recording.

    What the line does not tell, objects or facts, is the pack's own, with every fact
    true that an intent waits for.
    """
    own = default_scene(pack)
    waited = {intent.when: True for intent in pack.intents if intent.when}
    told = item.scene if item is not None and item.scene is not None else own
    facts = told.facts if told is not own else {}
    return replace(
        told,
        facts=MappingProxyType(dict(facts) or {**own.facts, **waited}),
        rays=item.rays if item is not None else (),
    )


def refuse(file: Path, problems: Sequence[Problem]) -> None:
    """Raises the error for a file with mistakes; does nothing where there are none.

    Raises:
        EvalError: ``eval_labels``; it is the mistake itself where there is only one.
    """
    found = tuple(sorted(problems, key=lambda problem: problem.line))
    if len(found) == 1:
        message = f"{file}:{found[0].line}: {found[0].message}"
        raise EvalError("eval_labels", message, found[0].hint, found)
    if found:
        raise EvalError(
            "eval_labels",
            f"{file} has {len(found)} mistakes, the first in line {found[0].line}: "
            f"{found[0].message}",
            "Mend them all; nothing was run.",
            found,
        )


def sound_sha256(file: Path) -> str:
    """Returns the sha256 of a file.

    Raises:
        EvalError: ``eval_input``: it cannot be read.
    """
    try:
        return hash_region(file, 0, file.stat().st_size)
    except OSError as error:
        raise EvalError(
            "eval_input",
            f"{file} cannot be read: {error.strerror or error}.",
            "Make it readable, or drop its label.",
        ) from error
