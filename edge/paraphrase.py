"""The second tier: the intent by its nearest example, its slots from what was said.

What was said is compared with the pack's examples by meaning. The values come from the
words alone: each slot takes a phrase of its list that was said, and an intent for which
one is missing is not meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.grammar import MAX_WORDS, tokens_of
from edge.intent import Intent, Slot, Tier, build_intent
from edge.kept import KeptFiles
from edge.lexicon import Lexicon
from edge.normalise import Token, words_of
from edge.referents import Referents
from edge.semantic import (
    Encoder,
    Examples,
    Match,
    choose,
    named_spans,
    pack_examples,
    without_slots,
)
from edge.slot_values import Phrases
from models.pack import IntentDeclaration, Pack, SceneList, Value

_SURE = 0.8
"""Similarity of what is all but an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paraphrase:
    """What an utterance means by its nearest examples."""

    intents: tuple[Intent, ...] = ()
    """Several ways to understand it, where a word means several things."""
    matches: tuple[Match, ...] = ()
    """The nearest examples, the nearest first."""


@dataclass(slots=True, kw_only=True)
class Paraphrases:
    """Finds what was meant by examples; shared by all players of a pack."""

    encoder: Encoder
    examples: Examples
    kept: KeptFiles | None = None
    """Where vectors are kept between starts."""
    _nouns: tuple[Lexicon, dict[tuple[str, ...], str]] | None = field(
        init=False, default=None
    )

    @classmethod
    def build(
        cls, pack: Pack, encoder: Encoder, kept: KeptFiles | None = None
    ) -> Paraphrases:
        """Returns the examples of a pack, ready to be compared with.

        Args:
            pack: The experience.
            encoder: What makes vectors of sentences.
            kept: Where vectors are kept between starts.
        """
        examples = Examples.build(pack_examples(pack), encoder, kept=kept)
        return cls(encoder=encoder, examples=examples, kept=kept)

    def of(self, pack: Pack) -> Paraphrases:
        """Returns the examples of another pack, or of another language."""
        examples = Examples.build(
            pack_examples(pack), self.encoder, kept=self.kept, previous=self.examples
        )
        return Paraphrases(encoder=self.encoder, examples=examples, kept=self.kept)

    def meant(self, lexicon: Lexicon, text: str, referents: Referents) -> Paraphrase:
        """Returns what a text means.

        Intents of high risk are not found here: they have to be asked for in words that
        the pack names.
        """
        tokens = tokens_of(lexicon, text)
        words = [token.text for token in tokens]
        if not 0 < len(words) <= MAX_WORDS:
            return Paraphrase()
        said = without_slots(words, named_spans(words, self._nouns_of(lexicon)))
        matches = self.examples.nearest(self.encoder.encode([said])[0])
        possible = {
            intent.name: slots
            for intent in lexicon.intents
            if not intent.high_risk
            and (slots := _slots(lexicon, intent, tokens, text, referents)) is not None
        }
        chosen = choose(
            match
            for match in matches
            if match.intent is None or match.intent in possible
        )
        declared = lexicon.intent(chosen.intent) if chosen and chosen.intent else None
        if chosen is None or declared is None:
            return Paraphrase(matches=tuple(matches))
        intents = tuple(
            build_intent(
                lexicon,
                declared,
                slots,
                tier=Tier.SEMANTIC,
                confidence=min(1.0, max(0.0, chosen.similarity / _SURE)),
                span=(tokens[0].start, tokens[-1].end),
            )
            for slots in possible[declared.name]
        )
        return Paraphrase(intents=intents, matches=tuple(matches))

    def _nouns_of(self, lexicon: Lexicon) -> dict[tuple[str, ...], str]:
        if self._nouns is None or self._nouns[0] is not lexicon:
            nouns: dict[tuple[str, ...], str] = {}
            for name, declared in lexicon.pack.lists.items():
                words = lexicon.lists[name]
                if isinstance(declared, SceneList) and isinstance(words, Phrases):
                    for phrase in words.told:
                        nouns.setdefault(words_of(phrase), name)
            self._nouns = (lexicon, nouns)
        return self._nouns[1]


def _slots(
    lexicon: Lexicon,
    intent: IntentDeclaration,
    tokens: tuple[Token, ...],
    text: str,
    referents: Referents,
) -> list[list[Slot]] | None:
    """Returns the ways to fill an intent's slots from what was said.

    None where a slot that every sentence of it fills cannot be filled.
    """
    ways: list[list[Slot]] = [[]]
    free = [True] * len(tokens)
    # Slots that must be filled have the first choice of words.
    for slot in sorted(intent.slots, key=lambda slot: slot not in intent.required):
        found = _said_for(lexicon, intent.slots[slot], tokens, free)
        values: list[Slot] = []
        for start, end, said in found:
            heard = text[tokens[start].start : tokens[end - 1].end]
            span = (tokens[start].start, tokens[end - 1].end)
            listed = lexicon.lists[intent.slots[slot]]
            meant: tuple[Value, ...] = (said,)
            if isinstance(listed, Phrases):
                phrase = [token.text for token in tokens[start:end]]
                among = listed.meanings(phrase)
                meant = referents.meant(among, listed.values, text, span)
            values = [Slot(name=slot, value=value, text=heard) for value in meant]
            if values:
                free[start:end] = [False] * (end - start)
                break
        if values:
            ways = [[*way, value] for way in ways for value in values]
        elif slot in intent.required:
            return None
    return ways


def _said_for(
    lexicon: Lexicon, list_name: str, tokens: tuple[Token, ...], free: list[bool]
) -> Iterator[tuple[int, int, Value]]:
    """Yields where phrases of a list were said: longer ones first, then in order."""
    words = [token.text for token in tokens]
    listed = lexicon.lists[list_name]
    if listed.is_free:
        return
    found = [
        (start, end, value)
        for start in range(len(words))
        for end, value in listed.endings(words, start)
        if value is not None and all(free[start:end])
    ]
    yield from sorted(found, key=lambda span: (span[0] - span[1], span[0]))
