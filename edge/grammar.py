"""The first tier: a transcript that says exactly what a template says.

The whole utterance must match, apart from words of politeness around it and the name
of whoever is addressed. Of several readings the one with most words of its own in the
template wins, then most words in lists, then the intent declared first.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from edge import mandarin
from edge.intent import Intent, Slot, Tier, build_intent
from edge.lexicon import Lexicon
from edge.normalise import Token, normalise, words_of
from edge.referents import MAX_MEANT, Referents
from edge.slot_values import Phrases
from edge.word_graph import Filled, Reading, can_go_on, readings
from models.pack import IntentDeclaration, Value

MAX_WORDS = 200
"""Longer utterances are stories, not commands."""
BEFORE = ("please", "okay", "alright", "so", "well", "and", "then", "oh", "hey", "yes")
"""What may stand before a command without a template for it."""
AFTER = ("please", "thanks", "thank you", "now", "okay")
"""What may stand after it."""
_POLITE = {"en": (BEFORE, AFTER), "zh": (mandarin.BEFORE, mandarin.AFTER)}
NOTHING_SHOWN = Referents()
_words_of = functools.lru_cache(maxsize=1024)(words_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Words that are a sentence of the grammar."""

    text: str
    """What was heard, or typed."""
    tokens: tuple[Token, ...]
    """Words of the grammar, each with the characters it was heard in."""
    reading: Reading
    declared: IntentDeclaration

    @property
    def values(self) -> dict[str, Value]:
        """Slot values by name as the words have them, defaults filled in.

        A word such as "that" is its own value, and a name that things share the first.
        """
        said = {
            filled.slot: self._heard(filled.start, filled.end)
            if filled.value is None
            else filled.value
            for filled in self.reading.slots
        }
        return {**self.declared.default, **said}

    def meanings(
        self, lexicon: Lexicon, referents: Referents, confidence: float = 1.0
    ) -> tuple[Intent, ...]:
        """Returns the intents it can mean: several, where a word means several things.

        None where a word means nothing, as "that" where nothing is pointed at.
        """
        ways: list[tuple[Slot, ...]] = []
        for filled in self.reading.slots:
            said = self._heard(filled.start, filled.end)
            ways.append(
                tuple(
                    Slot(name=filled.slot, value=value, text=said)
                    for value in self._values(lexicon, referents, filled)
                )
            )
        span = self._span(self.reading.start, self.reading.end)
        return tuple(
            build_intent(
                lexicon,
                self.declared,
                slots,
                tier=Tier.GRAMMAR,
                confidence=confidence,
                span=span,
            )
            for slots in itertools.islice(itertools.product(*ways), MAX_MEANT)
        )

    def _values(
        self, lexicon: Lexicon, referents: Referents, filled: Filled
    ) -> tuple[Value, ...]:
        if filled.value is None:
            return (self._heard(filled.start, filled.end),)
        listed = lexicon.lists[self.declared.slots[filled.slot]]
        if not isinstance(listed, Phrases):
            return (filled.value,)
        words = [token.text for token in self.tokens[filled.start : filled.end]]
        said = listed.meanings(words)
        span = self._span(filled.start, filled.end)
        return referents.meant(said, listed.values, self.text, span)

    def _heard(self, start: int, end: int) -> str:
        first, last = self._span(start, end)
        return self.text[first:last]

    def _span(self, start: int, end: int) -> tuple[int, int]:
        """Returns the characters of some words."""
        within = self.tokens[start:end]
        return min(t.start for t in within), max(t.end for t in within)


def match(
    lexicon: Lexicon, text: str, referents: Referents = NOTHING_SHOWN
) -> Intent | None:
    """Returns the intent that a transcript says; None where that is not clear."""
    found = sentences_of(lexicon, text, tokens_of(lexicon, text))
    meanings = found[0].meanings(lexicon, referents) if found else ()
    return meanings[0] if len(meanings) == 1 else None


def tokens_of(lexicon: Lexicon, text: str) -> tuple[Token, ...]:
    """Returns the words of what was said, in the language of the lexicon."""
    return _tokens_of(lexicon.pack.language, text)


@functools.lru_cache(maxsize=32)
def _tokens_of(language: str, text: str) -> tuple[Token, ...]:
    """Returns the same; an utterance is looked at whole and in parts."""
    return mandarin.normalise_zh(text) if language == "zh" else normalise(text)


def sentences_of(lexicon: Lexicon, text: str, tokens: tuple[Token, ...]) -> list[Said]:
    """Returns how each intent's templates accept some words, the best first."""
    words = tuple(token.text for token in tokens)
    if not 0 < len(words) <= MAX_WORDS:
        return []
    begins, ends = around(lexicon, words)
    found = readings(
        lexicon.commands.graph,
        words,
        _endings(lexicon, words),
        starts=begins,
        ends=frozenset(ends),
    )
    found.sort(key=lambda r: (-r.n_literal, -r.n_listed, r.sentence))
    best: dict[str, Said] = {}
    for reading in found:
        declared = lexicon.commands.intents[reading.sentence]
        if declared.name not in best:
            best[declared.name] = Said(
                text=text, tokens=tokens, reading=reading, declared=declared
            )
    return list(best.values())


def around(lexicon: Lexicon, words: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Returns where a sentence may begin, and where it may end, politeness skipped."""
    before, after = _around(lexicon)
    backwards = _skipped(words[::-1], [w[::-1] for w in after])
    return _skipped(words, before), [len(words) - n for n in reversed(backwards)]


class Completeness(StrEnum):
    """Whether more is to be expected of the player."""

    OPEN = "open"
    """The words are no command, or not yet."""
    COMPLETE = "complete"
    """They are a command, and the beginning of a longer one."""
    CLOSED = "closed"
    """They are a command that nothing can follow."""


def completeness(lexicon: Lexicon, text: str) -> Completeness:
    """Returns whether the words so far are a command, and whether it can go on."""
    tokens = tokens_of(lexicon, text)
    if not sentences_of(lexicon, text, tokens):
        return Completeness.OPEN
    words = tuple(token.text for token in tokens)
    begins, _ = around(lexicon, words)
    goes_on = can_go_on(
        lexicon.commands.graph,
        words,
        _endings(lexicon, words),
        starts=begins,
        goes_on=lambda name, start: lexicon.lists[name].goes_on(words, start),
    )
    return Completeness.COMPLETE if goes_on else Completeness.CLOSED


def claimed(lexicon: Lexicon, sentence: str) -> frozenset[str]:
    """Returns the names of the intents that a sentence claims were done.

    A phrase of ``claims`` counts wherever in the sentence it stands.
    """
    words = words_of(sentence)
    found = readings(
        lexicon.claims.graph,
        words,
        _endings(lexicon, words),
        starts=range(len(words)),
        ends=frozenset(range(len(words) + 1)),
    )
    return frozenset(lexicon.claims.intents[reading.sentence].name for reading in found)


def _endings(
    lexicon: Lexicon, words: tuple[str, ...]
) -> Callable[[str, int], list[tuple[int, Value | None, bool]]]:
    """Returns the look-up of phrases in lists, which asks each list once a word."""

    @functools.cache
    def endings(list_name: str, start: int) -> list[tuple[int, Value | None, bool]]:
        found = lexicon.lists[list_name]
        return [(*ending, found.is_free) for ending in found.endings(words, start)]

    return endings


def _around(
    lexicon: Lexicon,
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Returns the phrases that may stand before and after what is said."""
    names = [character.name for character in lexicon.pack.characters]
    before, after = _POLITE[lexicon.pack.language]
    return (
        [_words_of(phrase) for phrase in (*before, *names)],
        [_words_of(phrase) for phrase in (*after, *names)],
    )


def _skipped(words: tuple[str, ...], phrases: Iterable[tuple[str, ...]]) -> list[int]:
    """Returns how many words may be skipped: none, or any row of the phrases."""
    reached = [0]
    for at in reached:
        for phrase in phrases:
            end = at + len(phrase)
            if phrase and words[at:end] == phrase and end not in reached:
                reached.append(end)
    return sorted(reached)
