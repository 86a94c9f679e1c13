"""Every phrase the player can sensibly say now: pack and scene in, lexicon out.

Whoever recognises intents works from one lexicon, so that the grammar, the values of
slots and the language model's schema never disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge.asr import Bias
from edge.deixis import deictic_spots, deictic_things
from edge.normalise import words_of
from edge.phonetics.sounds import Sounds
from edge.scene import Scene, SceneObject
from edge.slot_values import AnyWords, Numbers, Phrases, SlotWords
from edge.sound_graph import SoundGraph, SoundGraphs, Vocabulary
from edge.template_graph import build_graph
from edge.word_graph import WordGraph
from models.pack import (
    IntentDeclaration,
    Pack,
    RangeList,
    SceneList,
    SlotList,
    SpotList,
    TextList,
    ValuesList,
)

MAX_WORDS = 20_000
"""That were in the scene once, before those that are not any more are forgotten."""
_POLITE = {
    "en": (
        "please",
        "can you",
        "can you please",
        "could you",
        "could you please",
        "would you",
        "will you",
        "i want",
        "i want to",
        "i would like to",
        "okay",
        "thank you",
        "thanks",
    ),
    "zh": ("请", "可以吗", "谢谢", "好的"),
}
"""Said for itself, it asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentences:
    """Templates, ready to be matched, and whose they are."""

    graph: WordGraph
    intents: tuple[IntentDeclaration, ...]
    """The intent of each sentence of the graph."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lexicon:
    """What can be said and done now; a change of the scene makes a new one."""

    pack: Pack
    version: str
    """Changes whenever something else can be said, or means something else."""
    intents: tuple[IntentDeclaration, ...]
    """Those whose condition holds, in order of declaration."""
    lists: Mapping[str, SlotWords]
    names: Mapping[str, str]
    """What players call each object of the scene, by id."""
    commands: Sentences
    """What asks for an intent."""
    claims: Sentences
    """What claims that an intent was done."""
    sound: SoundGraph
    """The commands and what must not be taken for one, by their sounds."""
    bias: Bias
    """Phrases that the recogniser is told of."""
    graphs: SoundGraphs
    """Builds the graph of the next scene."""

    @property
    def sounds(self) -> Sounds:
        """How words are said."""
        return self.graphs.vocabulary.sounds

    def intent(self, name: str) -> IntentDeclaration | None:
        """Returns the intent of this name, if it can be done now."""
        return next((found for found in self.intents if found.name == name), None)

    def llm_intents(self) -> tuple[IntentDeclaration, ...]:
        """Returns the intents that the language model may choose.

        Those of high risk are not among them, nor those that need a value of which
        there is none now.
        """
        return tuple(
            intent
            for intent in self.intents
            if not intent.high_risk
            and all(
                self.lists[intent.slots[slot]].schema() is not None
                for slot in intent.required
            )
        )

    @property
    def actions(self) -> str:
        """The intents the language model may choose, one a line, with their slots.

        As in ``move(direction: forward|back, distance_m: 0.1-100)``; a question mark
        follows slots that may be left out. Objects of the scene are not listed: what is
        told here stays the same while they come and go.
        """
        return "\n".join(
            f"{intent.name}({', '.join(self._arguments(intent))})"
            for intent in self.llm_intents()
        )

    def _arguments(self, intent: IntentDeclaration) -> list[str]:
        return [
            f"{slot}{'' if slot in intent.required else '?'}: {shown}"
            for slot, list_name in intent.slots.items()
            if (shown := self._shown(list_name))
        ]

    def _shown(self, list_name: str) -> str:
        declared = self.pack.lists[list_name]
        if isinstance(declared, SceneList) and self.lists[list_name].summary:
            return f"{declared.tag} that is near"
        return self.lists[list_name].summary

    def schema(self) -> dict[str, object]:
        """Returns the JSON schema of one intent, as the language model may write it.

        ``anyOf`` holds one object per intent; it is empty where no intent may come
        from the language model.
        """
        return {"anyOf": [self._schema(intent) for intent in self.llm_intents()]}

    def _schema(self, intent: IntentDeclaration) -> dict[str, object]:
        slots = {
            slot: schema
            for slot, list_name in intent.slots.items()
            if (schema := self.lists[list_name].schema()) is not None
        }
        return {
            "type": "object",
            "properties": {
                "name": {"const": intent.name},
                "slots": {
                    "type": "object",
                    "properties": slots,
                    "required": [slot for slot in slots if slot in intent.required],
                    "additionalProperties": False,
                },
            },
            "required": ["name", "slots"],
            "additionalProperties": False,
        }


def default_scene(pack: Pack) -> Scene:
    """Returns the scene a pack declares, for when no game tells its own."""
    return Scene(
        objects=tuple(
            SceneObject(
                id=item.id,
                name=item.name,
                aliases=item.aliases,
                tags=item.tags,
                position=item.position,
                size=item.size,
            )
            for item in pack.objects
        ),
        facts=pack.facts,
    )


def build_lexicon(
    pack: Pack,
    scene: Scene,
    *,
    previous: Lexicon | None = None,
    sounds: Sounds | None = None,
) -> Lexicon:
    """Returns what can be said now.

    Args:
        pack: The experience.
        scene: What the game tells now.
        previous: The lexicon of the scene before; what has not changed is taken over.
        sounds: How words are said; those of the lexicon before, or else as they are
            spelled.

    Raises:
        PackError: The templates make too many words.
    """
    intents = tuple(
        intent
        for intent in pack.intents
        if not intent.when or scene.facts.get(intent.when) is True
    )
    sounds = sounds or (previous.sounds if previous else Sounds())
    sounds = sounds.speaking(pack.language)
    if previous is not None and previous.pack is not pack:
        previous = None
    lists = {
        name: _slot_words(found, scene, pack.language)
        for name, found in pack.lists.items()
    }
    if previous is not None:  # what is the same is taken over, with what was made of it
        lists = {
            name: previous.lists[name] if previous.lists[name] == words else words
            for name, words in lists.items()
        }
    commands = (
        previous.commands
        if previous is not None and previous.intents == intents
        else _sentences(pack, intents)
    )
    graphs = previous.graphs if previous else None
    if graphs is None or len(graphs.vocabulary.words) > MAX_WORDS:
        graphs = SoundGraphs(Vocabulary(sounds))
    return Lexicon(
        pack=pack,
        version=_version(pack, scene, intents),
        intents=intents,
        lists=MappingProxyType(lists),
        names=MappingProxyType({thing.id: thing.name for thing in scene.objects}),
        commands=commands,
        # Of all intents: what cannot be done now cannot have been done either.
        claims=previous.claims if previous is not None else _claims(pack),
        sound=graphs.build(
            commands.graph,
            [intent.name for intent in commands.intents],
            lists,
            [
                words_of(said)
                for said in (
                    *_POLITE[pack.language],
                    *(line.text for line in pack.never),
                )
            ],
        ),
        bias=_bias(lists),
        graphs=graphs,
    )


def _bias(lists: Mapping[str, SlotWords]) -> Bias:
    """Returns what players name: what they ask for is said in common words."""
    return tuple(
        phrase
        for words in lists.values()
        if isinstance(words, Phrases)
        for phrase in words.told
    )


def _sentences(pack: Pack, intents: tuple[IntentDeclaration, ...]) -> Sentences:
    templates = [template for intent in intents for template in intent.say]
    return Sentences(
        graph=build_graph(templates, rules=pack.rules, file=pack.file),
        intents=tuple(intent for intent in intents for _ in intent.say),
    )


def _claims(pack: Pack) -> Sentences:
    templates = [template for intent in pack.intents for template in intent.claims]
    return Sentences(
        graph=build_graph(templates, rules=pack.rules, file=pack.file),
        intents=tuple(intent for intent in pack.intents for _ in intent.claims),
    )


def _slot_words(declared: SlotList, scene: Scene, language: str) -> SlotWords:
    match declared:
        case ValuesList():
            return Phrases.build(
                (phrase, item.value)
                for item in declared.values
                for phrase in item.phrases
            )
        case RangeList():
            return Numbers.build(declared, language)
        case SceneList():
            named = (
                (name, thing.id)
                for thing in scene.tagged(declared.tag)
                for name in (thing.name, *thing.aliases)
            )
            pointed = deictic_things(language) if declared.pointing else ()
            return Phrases.build((*named, *pointed))
        case SpotList():
            return Phrases.build(deictic_spots(language))
        case TextList():
            return AnyWords()


def _version(pack: Pack, scene: Scene, intents: tuple[IntentDeclaration, ...]) -> str:
    said = repr(
        (
            pack.version,
            [intent.name for intent in intents],
            [(o.id, o.name, o.aliases, sorted(o.tags)) for o in scene.objects],
        )
    )
    return hashlib.sha256(said.encode()).hexdigest()[:16]
