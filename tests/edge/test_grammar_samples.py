"""Whatever a pack's templates can say is understood as they mean it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.deixis import deictic_spots, deictic_things
from edge.grammar import claimed, match, sentences_of, tokens_of
from edge.lexicon import Lexicon, build_lexicon, default_scene
from models.pack import (
    Pack,
    RangeList,
    SceneList,
    SpotList,
    TextList,
    Value,
    ValuesList,
)
from models.pack_file import load_pack, pack_names
from models.template import AnyOrder, Choice, Node, RuleRef, Series, SlotRef, Words
from models.units import UNITS

SPEECH_TO_INTENT = Path(__file__).parents[3] / "shared" / "data" / "speech_to_intent"


@functools.cache
def lexicon_of(name: str) -> Lexicon:
    """Returns the lexicon of a pack in which every intent can be done."""
    pack = load_pack(name)
    facts = {intent.when: True for intent in pack.intents if intent.when}
    scene = dataclasses.replace(default_scene(pack), facts=MappingProxyType(facts))
    return build_lexicon(pack, scene)


# fmt: off
SHREDS = (
    "go", "the", "a", "to", "lights", "10", "m", "and", "half", ".", "-", "please", ",",
    "make", "it", "red", "boat", "on", "5", "one", "hundred", "turn", "left", "2.5",
    "'", "with", "milk", "large", "coffee", "can", "I", "get", "write", "sign",
)
# fmt: on


@dataclasses.dataclass
class Sampler:
    """Says what a template can say, choosing at random."""

    pack: Pack
    choose: random.Random
    slots: dict[str, Value | None] = dataclasses.field(default_factory=dict)
    """The value of each slot so far; None for free text."""

    def say(self, node: Node) -> str:
        match node:
            case Words():
                return node.text
            case SlotRef():
                return self._fill(node)
            case RuleRef():
                return self.say(self.pack.rules[node.name].tree)
            case Choice():
                return self.say(self.choose.choice(node.items))
            case Series():
                return "".join(map(self.say, node.items))
            case AnyOrder():
                items = self.choose.sample(node.items, len(node.items))
                return "".join(map(self.say, items))

    def _fill(self, node: SlotRef) -> str:
        declared = self.pack.lists[node.list_name]
        match declared:
            case ValuesList():
                item = self.choose.choice(declared.values)
                self.slots[node.slot] = item.value
                return self.choose.choice(item.phrases)
            case SceneList():
                named = [
                    (name, thing.id)
                    for thing in self.pack.objects
                    if declared.tag in thing.tags
                    for name in (thing.name, *thing.aliases)
                ]
                pointed = deictic_things(self.pack.language)
                return self._said(
                    node, [*named, *(pointed if declared.pointing else ())]
                )
            case SpotList():
                return self._said(node, [*deictic_spots(self.pack.language)])
            case RangeList():
                number = self.choose.randint(int(declared.low) + 1, int(declared.high))
                self.slots[node.slot] = number
                unit = UNITS[declared.unit].words[0] if declared.unit else ""
                return f"{number} {unit}"
            case TextList():
                self.slots[node.slot] = None
                return "zig zag"

    def _said(self, node: SlotRef, phrases: Sequence[tuple[str, str]]) -> str:
        """Returns one of (phrase, value) pairs."""
        phrase, self.slots[node.slot] = self.choose.choice(phrases)
        return phrase


@pytest.mark.parametrize("name", pack_names())
@given(choose=st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_every_sentence_of_a_template_is_understood(
    name: str, choose: random.Random
) -> None:
    lexicon = lexicon_of(name)
    sampler = Sampler(lexicon.pack, choose)
    intent = sampler.choose.choice(lexicon.intents)
    template = sampler.choose.choice(intent.say)
    sentence = sampler.say(template.tree)
    found = sentences_of(lexicon, sentence, tokens_of(lexicon, sentence))
    names = [said.declared.name for said in found]
    assert intent.name in names, (template.text, sentence)
    # Another intent, or another reading, may have more words of its own.
    best = found[0]
    if names[0] == intent.name and set(best.values) == {
        *sampler.slots,
        *intent.default,
    }:
        for slot, value in sampler.slots.items():
            assert value is None or best.values[slot] == value, (sentence, slot)


@pytest.mark.parametrize("name", pack_names())
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(SHREDS),
            max_size=14,
        ).map(" ".join),
    )
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_understood_or_not_and_nothing_breaks(name: str, text: str) -> None:
    lexicon = lexicon_of(name)
    claimed(lexicon, text)
    intent = match(lexicon, text)
    if intent is None:
        return
    start, end = intent.span
    assert 0 <= start < end <= len(text)
    declared = lexicon.intent(intent.name)
    assert declared is not None
    assert declared.required <= intent.values.keys() <= declared.slots.keys()
    for slot in intent.slots:
        assert lexicon.lists[declared.slots[slot.name]].accepts(slot.value)
        assert slot.text in text[start:end]


# The published grammar that the barista pack writes as one template ------------------


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311


@dataclasses.dataclass(frozen=True)
class Published:
    expressions: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]]

    def pattern(self) -> re.Pattern[str]:
        """Returns a pattern for every sentence of the grammar."""
        sentences = []
        for expression in self.expressions:
            choices = re.sub(
                r"\[([^]]*)\]",
                lambda m: f"(?:{'|'.join(map(re.escape, m[1].split(', ')))})",
                expression,
            )
            sentences.append(
                re.sub(
                    r"\$(\w+):\w+",
                    lambda m: f"(?:{'|'.join(map(re.escape, self.slots[m[1]]))})",
                    choices,
                )
            )
        return re.compile("|".join(sentences))

    def sample(self, choose: random.Random) -> tuple[str, dict[str, str]]:
        """Returns a sentence and the slots it fills."""
        slots: dict[str, str] = {}

        def fill(found: re.Match[str]) -> str:
            slots[found[1]] = choose.choice(self.slots[found[1]])
            return slots[found[1]]

        sentence = re.sub(
            r"\[([^]]*)\]",
            lambda m: choose.choice(m[1].split(", ")),
            choose.choice(self.expressions),
        )
        return re.sub(r"\$(\w+):\w+", fill, sentence), slots


@pytest.fixture(scope="module")
def published() -> Published:
    file = SPEECH_TO_INTENT / "context.yaml"
    if not file.exists():
        pytest.skip(f"{file} is absent: the published grammar cannot be compared")
    expressions: list[str] = []
    slots: dict[str, list[str]] = {}
    current = expressions
    for line in file.read_text(encoding="utf-8").splitlines():
        if item := re.fullmatch(r'\s+- "(.*)"', line):
            current.append(item[1])
        elif name := re.fullmatch(r"    (\w+):", line):
            current = slots.setdefault(name[1], [])
    return Published(
        expressions=tuple(slots.pop("orderDrink")),
        slots={name: tuple(phrases) for name, phrases in slots.items()},
    )


def test_the_barista_has_the_published_slots(published: Published) -> None:
    lists = lexicon_of("barista").pack.lists
    assert {
        name: tuple(item.value for item in found.values)
        for name, found in lists.items()
        if isinstance(found, ValuesList)
    } == published.slots


def test_the_barista_understands_every_published_sentence(published: Published) -> None:
    choose = seeded(1)
    for _ in range(3_000):
        sentence, slots = published.sample(choose)
        intent = match(lexicon_of("barista"), sentence)
        assert intent is not None, sentence
        assert intent.values == slots, sentence


def test_the_barista_understands_nothing_but_published_sentences(
    published: Published,
) -> None:
    pattern = published.pattern()
    pack = lexicon_of("barista").pack
    (template,) = pack.intents[0].say
    for seed in range(3_000):
        sentence = " ".join(Sampler(pack, seeded(seed)).say(template.tree).split())
        assert pattern.fullmatch(sentence), sentence


def wordings(slots: Mapping[str, str]) -> Iterator[str]:
    """Yields the ways to order a drink, by the order of what describes it."""
    before = [
        slots[name] for name in ("size", "roast", "numberOfShots") if name in slots
    ]
    after = [slots[name] for name in ("milkAmount", "sugarAmount") if name in slots]
    extras = f" with {' and '.join(after)}" if after else ""
    for order in itertools.permutations(before):
        drink = " ".join([*order, slots["coffeeDrink"]])
        yield f"Can I have a {drink}{extras}, please?"


def test_the_barista_understands_every_labelled_command() -> None:
    file = SPEECH_TO_INTENT / "labels.json"
    if not file.exists():
        pytest.skip(f"{file} is absent: the labelled commands cannot be tried")
    labels = json.loads(file.read_text(encoding="utf-8"))
    for clip, label in labels.items():
        for sentence in wordings(label["slots"]):
            intent = match(lexicon_of("barista"), sentence)
            assert intent is not None, (clip, sentence)
            assert (intent.name, intent.values) == (label["intent"], label["slots"])
    assert len(labels) > 100
