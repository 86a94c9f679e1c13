"""The second tier: what was said in other words than the templates, by its meaning.

A sentence encoder makes a vector of what was said and of every example that the pack
declares; the nearest examples tell the intent. Among them are sentences that are no
commands: what is nearest to those is left to dialogue.

Names of things tell nothing about what is to be done with them, and a game brings names
that no model knows. On both sides they are put aside for a noun, which is the name of
the pack's list that holds them. Values such as colours stay: they tell a lot.

This module knows neither what can be said now nor how slots are filled.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.kept import KeptFiles
from edge.normalise import words_of
from models.errors import HeadsideError
from models.pack import IntentDeclaration, Pack, RangeList, SceneList, ValuesList
from models.units import UNITS

THRESHOLD = 0.55
"""Of similarity. With the margins, and with intents left out whose values were not
said: on the development split of benchmarks/xr the intent of 51 of 74 commands in new
words is found and 56 of 58 other utterances are left alone, and 411 of 415 sentences of
benchmarks/null_speech."""
MARGIN = 0.06
"""By which a command must be nearer than what is no command."""
RIVAL_MARGIN = 0.02
"""By which it must be nearer than any other command."""
N_NEAREST = 2
"""Examples of an intent that count: one alone may be odd, and more are rarely near."""
MAX_VALUES = 8
"""Of each list that an example is written out with."""
_TALK_FILE = Path(__file__).with_name("ordinary_talk.txt")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

Vectors = npt.NDArray[np.float32]
Span = tuple[int, int, str]
"""First word, the word after the last one, and the noun to put there."""


class SemanticError(HeadsideError):
    """The sentence encoder could not be loaded or failed."""


class Encoder(Protocol):
    """Makes vectors of sentences."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same sentence may get another vector."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Returns a vector of length 1 for each text, (n, d).

        Raises:
            SemanticError: ``encoder_closed`` or ``encoder_failed``.
        """

    def close(self) -> None:
        """Gives the model's memory back."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence and what it asks for."""

    text: str
    intent: str | None
    """None: it is no command."""


@dataclass(frozen=True, slots=True)
class Match:
    """An intent and how near to what was said its examples are."""

    intent: str | None
    """None: no command."""
    similarity: float
    """Mean cosine with the nearest of them, in [-1, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Examples with their vectors."""

    rows: Mapping[str | None, slice]
    """Of each intent's vectors."""
    vectors: Vectors
    """(n, d), of length 1."""
    fingerprint: str
    """Of the encoder that made them."""
    _known: Mapping[str, int] = field(repr=False)

    @classmethod
    def build(
        cls,
        examples: Iterable[Example],
        encoder: Encoder,
        *,
        kept: KeptFiles | None = None,
        previous: Examples | None = None,
    ) -> Examples:
        """Returns examples with their vectors.

        Args:
            examples: In any order; the same twice counts once.
            encoder: What makes vectors of them.
            kept: Where vectors are kept between starts.
            previous: Examples of before; vectors of what has not changed are taken
                over.

        Raises:
            SemanticError: ``encoder_closed`` or ``encoder_failed``.
        """
        grouped: dict[str | None, dict[str, None]] = {}
        for example in examples:
            grouped.setdefault(example.intent, {})[example.text] = None
        rows: dict[str | None, slice] = {}
        texts: list[str] = []
        for intent, group in grouped.items():
            rows[intent] = slice(len(texts), len(texts) + len(group))
            texts += group
        return cls(
            rows=rows,
            vectors=_vectors(texts, encoder, kept, previous),
            fingerprint=encoder.fingerprint,
            _known={text: row for row, text in enumerate(texts)},
        )

    def nearest(self, vector: Vectors) -> list[Match]:
        """Returns every intent, and None for no command, the nearest first.

        Args:
            vector: Of what was said, (d,), of length 1.
        """
        if not len(self.vectors):
            return []
        cosines = self.vectors @ vector  # (n,)
        found = [
            Match(intent, float(np.sort(cosines[rows])[-N_NEAREST:].mean()))
            for intent, rows in self.rows.items()
        ]
        return sorted(found, key=lambda match: -match.similarity)

    def known(self, text: str) -> Vectors | None:
        """Returns the vector of one of the examples, (d,); None for other texts."""
        row = self._known.get(text)
        return None if row is None else self.vectors[row]


def choose(
    matches: Iterable[Match],
    *,
    threshold: float = THRESHOLD,
    margin: float = MARGIN,
    rival_margin: float = RIVAL_MARGIN,
) -> Match | None:
    """Returns the intent that was meant; None where that is none, or unclear.

    Args:
        matches: Of intents that can be meant; what cannot (for want of a value, for
            instance) is best left out before.
        threshold: Least similarity.
        margin: Least lead over what is no command.
        rival_margin: Least lead over any other intent.
    """
    ordered = sorted(matches, key=lambda match: -match.similarity)
    commands = [match for match in ordered if match.intent is not None]
    if not commands or commands[0].similarity < threshold:
        return None
    best = commands[0]
    for match in ordered:
        lead = margin if match.intent is None else rival_margin
        if match is not best and best.similarity - match.similarity < lead:
            return None
    return best


def without_slots(words: Sequence[str], spans: Iterable[Span]) -> str:
    """Returns what was said with a noun in place of each span, in order of words.

    Spans do not overlap.
    """
    said: list[str] = []
    at = 0
    for start, end, noun in sorted(spans):
        said += [*words[at:start], noun]
        at = end
    return " ".join([*said, *words[at:]])


def named_spans(
    words: Sequence[str], nouns: Mapping[tuple[str, ...], str]
) -> list[Span]:
    """Returns where something is named, from left to right, the longest name first.

    Args:
        words: Normalised.
        nouns: The noun for each name, in normalised words.
    """
    longest = max(map(len, nouns), default=0)
    spans: list[Span] = []
    at = 0
    while at < len(words):
        for end in range(min(len(words), at + longest), at, -1):
            noun = nouns.get(tuple(words[at:end]))
            if noun is not None:
                spans.append((at, end, noun))
                at = end
                break
        else:
            at += 1
    return spans


def scene_nouns(
    pack: Pack, things: Iterable[tuple[Iterable[str], frozenset[str]]]
) -> dict[tuple[str, ...], str]:
    """Returns the noun for each name of the things there are.

    It is the name of the first list of the pack that takes the thing.

    Args:
        pack: The experience.
        things: Names and tags of each.
    """
    lists = [found for found in pack.lists.values() if isinstance(found, SceneList)]
    nouns: dict[tuple[str, ...], str] = {}
    for names, tags in things:
        noun = next((found.name for found in lists if found.tag in tags), None)
        for name in names:
            words = words_of(name)
            if noun is not None and words:
                nouns.setdefault(words, noun)
    return nouns


def pack_examples(pack: Pack) -> tuple[Example, ...]:
    """Returns what a pack says by way of example, names put aside.

    Those are the lines of ``like`` with values put in, the sentences of its tests and,
    as no commands, its ``never`` lines, what players say in a character's examples, and
    ordinary talk.
    """
    nouns = scene_nouns(
        pack, (((thing.name, *thing.aliases), thing.tags) for thing in pack.objects)
    )

    def example(sentence: str, intent: str | None) -> Example:
        words = words_of(sentence)
        return Example(without_slots(words, named_spans(words, nouns)), intent)

    found = [
        example(sentence, intent.name)
        for intent in pack.intents
        for sentence in (
            *itertools.chain.from_iterable(
                _written_out(pack, intent, line.text) for line in intent.like
            ),
            *(test.sentence for test in intent.tests),
        )
    ]
    found += [example(line.text, None) for line in pack.never]
    found += [
        example(said, None)
        for character in pack.characters
        for said, _ in character.examples
    ]
    asked = {each.text for each in found if each.intent is not None}
    talk = (example(line, None) for line in _ordinary_talk(pack.language))
    found += [each for each in talk if each.text not in asked]
    return tuple(dict.fromkeys(found))


def _ordinary_talk(language: str) -> list[str]:
    """Returns what people say who ask for nothing; none in languages without a list."""
    if language != "en":
        return []
    return _TALK_FILE.read_text(encoding="utf-8").splitlines()


def _written_out(pack: Pack, intent: IntentDeclaration, line: str) -> Iterator[str]:
    """Yields a line with values in place of its slots, a few for each of them."""
    phrases = {
        slot: _phrases(pack, intent.slots[slot]) for slot in _PLACEHOLDER.findall(line)
    }
    for n in range(max(map(len, phrases.values()), default=1)):
        put_in = {slot: said[n % len(said)] for slot, said in phrases.items()}
        yield _PLACEHOLDER.sub(
            lambda found, put_in=put_in: put_in[found.group(1)],  # type: ignore[misc]
            line,
        )


def _phrases(pack: Pack, list_name: str) -> list[str]:
    """Returns a few things that may be said for a slot; never none."""
    match pack.lists[list_name]:
        case ValuesList(values=values) if values:
            step = max(1, len(values) // MAX_VALUES)
            return [value.phrases[0] for value in values[::step][:MAX_VALUES]]
        case RangeList(unit=unit):
            return [f"ten {UNITS[unit].words[0]}" if unit else "ten"]
        case SceneList(tag=tag):
            names = [thing.name for thing in pack.objects if tag in thing.tags]
            return names or [list_name]
        case _:
            return ["something"]


def _vectors(
    texts: Sequence[str],
    encoder: Encoder,
    kept: KeptFiles | None,
    previous: Examples | None,
) -> Vectors:
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    name = f"examples {encoder.fingerprint} {digest}"
    stored = kept.read(name) if kept is not None and texts else None
    if stored is not None and len(stored) % (4 * len(texts)) == 0:
        return np.frombuffer(stored, np.float32).reshape(len(texts), -1)
    if previous is not None and previous.fingerprint != encoder.fingerprint:
        previous = None
    known = {
        text: vector
        for text in texts
        if previous is not None and (vector := previous.known(text)) is not None
    }
    new = [text for text in dict.fromkeys(texts) if text not in known]
    known |= dict(zip(new, encoder.encode(new), strict=True))
    vectors: Vectors = np.array([known[text] for text in texts], np.float32)
    if kept is not None and texts:
        kept.write(name, vectors.tobytes())
    return vectors
