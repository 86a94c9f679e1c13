"""The sentences that an encoder is calibrated, searched and judged on, kept apart.

Without files they are what players may say to the packs: their templates, written out a
few times each. A template is for one use only, as its hash decides, so that what
judges is no variant of what calibrated. The examples that the semantic tier compares
with, a pack's `like` lines and tests, stand aside: a held-out sentence is near to one.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from models.pack import Pack, RangeList, SceneList, ValuesList
from models.pack_file import load_pack
from models.template import AnyOrder, Choice, Node, RuleRef, Series, SlotRef, Words
from models.units import UNITS
from quantize.errors import QuantizeError
from quantize.texts import Use, load_documents

LEAST = {Use.CALIBRATION: 30, Use.SEARCH: 30, Use.EVALUATION: 100}
"""Sentences of each use."""
MOST = {Use.CALIBRATION: 400, Use.SEARCH: 200, Use.EVALUATION: 400}
_SHARES = (Use.CALIBRATION,) * 3 + (Use.SEARCH,) * 2 + (Use.EVALUATION,) * 5
"""Of ten templates."""
_N_WRITTEN = 5
"""Sentences of each template."""
_NUMBERS = ("two", "five", "ten", "twenty")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"\w+(?:'\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence, and what it is one of."""

    text: str
    group: str
    """What it shares with others: a template, or the sentence itself. Intervals are
    over these."""
    source: str
    """The pack or the file it is from."""

    @property
    def key(self) -> str:
        """The hash of its words, however they are written."""
        words = " ".join(_WORD.findall(self.text.casefold()))
        return hashlib.sha256(words.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A sentence that a pack gives for an intent."""

    text: str
    intent: str
    """With the pack's name before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """All sentences by use, none in two of them, and the examples."""

    by_use: dict[Use, tuple[Sentence, ...]]
    examples: tuple[Example, ...]

    @property
    def sha256(self) -> str:
        """Of everything."""
        told = json.dumps(
            [
                [[use, one.text, one.group] for use in Use for one in self.by_use[use]],
                [[one.text, one.intent] for one in self.examples],
            ]
        )
        return hashlib.sha256(told.encode()).hexdigest()

    def sha256_of(self, use: Use) -> str:
        """Returns the hash of the sentences of a use."""
        return hashlib.sha256("\n".join(self.texts(use)).encode()).hexdigest()

    def texts(self, use: Use) -> list[str]:
        """Returns the sentences of a use."""
        return [one.text for one in self.by_use[use]]


def load_sentences(
    packs: Sequence[str],
    *,
    calibration: Path | None = None,
    evaluation: Path | None = None,
) -> Sentences:
    """Returns all sentences.

    Args:
        packs: Whose examples are compared with, and whose templates are written out.
        calibration: A sentence a line, instead of the packs'.
        evaluation: The same.

    Raises:
        HeadsideError: ``sentences_overlap``, ``sentences_few``, ``texts_unreadable``,
            or as `load_pack`.
    """
    loaded = [load_pack(name) for name in packs]
    examples = tuple(dict.fromkeys(chain.from_iterable(map(_examples, loaded))))
    found: dict[Use, list[Sentence]] = {use: [] for use in Use}
    for sentence in chain.from_iterable(map(_said, loaded)):
        share = hashlib.sha256(sentence.group.encode()).digest()[0] % len(_SHARES)
        found[_SHARES[share]].append(sentence)
    given = {Use.CALIBRATION: calibration, Use.EVALUATION: evaluation}
    files = {use: list(_lines(path)) for use, path in given.items() if path is not None}
    _refuse_overlap(files)
    of_files = {one.key for one in chain.from_iterable(files.values())}
    for use in files:
        found[use] = []
    seen = {_plain(one) for one in examples} | of_files
    by_use = {}
    # What judges comes first: a sentence of two templates is among those.
    for use in (Use.EVALUATION, Use.SEARCH, Use.CALIBRATION):
        kept = list({one.key: one for one in files.get(use, ())}.values())
        for sentence in found[use]:
            if sentence.key not in seen:
                seen.add(sentence.key)
                kept.append(sentence)
        by_use[use] = _drawn(kept, use)
    return Sentences(by_use=by_use, examples=examples)


def _plain(example: Example) -> str:
    return Sentence(text=example.text, group="", source="").key


def _drawn(sentences: Sequence[Sentence], use: Use) -> tuple[Sentence, ...]:
    """Returns so many of them as are of use, the same each time."""
    if len(sentences) < LEAST[use]:
        raise QuantizeError(
            "sentences_few",
            f"There are {len(sentences)} sentences for {use}, and {LEAST[use]} are the "
            "least that say anything.",
            "Give more of them, one a line, or a pack with more templates.",
        )
    ordered = sorted(sentences, key=lambda one: one.key)
    return tuple(ordered[: MOST[use]])


def _refuse_overlap(files: dict[Use, list[Sentence]]) -> None:
    known = {one.key: one.text for one in files.get(Use.CALIBRATION, ())}
    for one in files.get(Use.EVALUATION, ()):
        if one.key in known:
            raise QuantizeError(
                "sentences_overlap",
                f'"{one.text:.80}" of {one.source} calibrates, too: what was adjusted '
                "on a sentence says nothing of what was lost.",
                "Give --eval sentences of its own.",
            )


def _lines(path: Path) -> Iterator[Sentence]:
    """Yields the sentences of a file: lines, or ``text`` of a ``.jsonl``."""
    if path.suffix == ".jsonl":
        texts: Iterable[str] = (one.text for one in load_documents(path))
    else:
        texts = "\n".join(one.text for one in load_documents(path)).splitlines()
    for text in texts:
        line = " ".join(text.split())
        if line:
            yield Sentence(text=line, group=line, source=path.name)


def _examples(pack: Pack) -> Iterator[Example]:
    """Yields what the semantic tier compares with, each line written out once."""
    for intent in pack.intents:
        name = f"{pack.name}.{intent.name}"
        for line in intent.like:
            text = _PLACEHOLDER.sub(
                lambda at, slots=intent.slots: _phrases(pack, slots[at[1]])[0],  # type: ignore[misc]
                line.text,
            )
            yield Example(text=text, intent=name)
        for test in intent.tests:
            yield Example(text=test.sentence, intent=name)


def _said(pack: Pack) -> Iterator[Sentence]:
    """Yields what players may say to a pack."""
    source = f"pack {pack.name}"
    for intent in pack.intents:
        for template in intent.say:
            chance = random.Random(template.text)  # noqa: S311 - no secret
            for _ in range(_N_WRITTEN):
                text = " ".join(_written(pack, template.tree, chance).split())
                yield Sentence(text=text, group=template.text, source=source)
    others = [line.text for line in pack.never]
    others += [said for one in pack.characters for said, _ in one.examples]
    for text in others:
        yield Sentence(text=text, group=text, source=source)


def _written(pack: Pack, node: Node, chance: random.Random) -> str:
    match node:
        case Words():
            return node.text
        case Series():
            return "".join(_written(pack, item, chance) for item in node.items)
        case AnyOrder():
            items = chance.sample(node.items, len(node.items))
            return "".join(_written(pack, item, chance) for item in items)
        case Choice():
            return _written(pack, chance.choice(node.items), chance)
        case RuleRef():
            return _written(pack, pack.rules[node.name].tree, chance)
        case SlotRef():
            return chance.choice(_phrases(pack, node.list_name))


def _phrases(pack: Pack, list_name: str) -> list[str]:
    """Returns what may be said for a slot; never nothing."""
    match pack.lists[list_name]:
        case ValuesList(values=values) if values:
            return [phrase for value in values for phrase in value.phrases]
        case RangeList(unit=unit):
            word = f" {UNITS[unit].words[0]}" if unit else ""
            return [f"{number}{word}" for number in _NUMBERS]
        case SceneList(tag=tag):
            names = [thing.name for thing in pack.objects if tag in thing.tags]
            return names or [list_name]
        case _:
            return ["something"]
