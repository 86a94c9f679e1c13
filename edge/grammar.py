"""The first tier: a transcript that says exactly what a template says.

The whole utterance must match, apart from words of politeness around it and the name
of whoever is addressed. Of several readings the one with most words of its own in the
template wins, then most words in lists, then the intent declared first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from enum import StrEnum

from edge.intent import Intent, Slot, Tier, build_intent
from edge.lexicon import Lexicon
from edge.normalise import Token, normalise, words_of
from edge.word_graph import Reading, can_go_on, readings
from models.pack import IntentDeclaration, Value

MAX_WORDS = 200
"""Longer utterances are stories, not commands."""
BEFORE = ("please", "okay", "alright", "so", "well", "and", "then", "oh", "hey", "yes")
"""What may stand before a command without a template for it."""
AFTER = ("please", "thanks", "thank you", "now", "okay")
"""What may stand after it."""


def match(lexicon: Lexicon, text: str) -> Intent | None:
    """Returns the intent that a transcript says; None where it says none."""
    found = candidates(lexicon, text)
    return found[0][1] if found else None


def candidates(lexicon: Lexicon, text: str) -> list[tuple[Reading, Intent]]:
    """Returns every intent whose templates accept a transcript, the best first."""
    tokens = normalise(text)
    words = tuple(token.text for token in tokens)
    if not 0 < len(words) <= MAX_WORDS:
        return []
    before, after = _around(lexicon)
    found = readings(
        lexicon.commands.graph,
        words,
        _endings(lexicon, words),
        starts=_skipped(words, before),
        ends=frozenset(
            len(words) - n for n in _skipped(words[::-1], [w[::-1] for w in after])
        ),
    )
    found.sort(key=lambda r: (-r.n_literal, -r.n_listed, r.sentence))
    best: dict[str, tuple[Reading, Intent]] = {}
    for reading in found:
        declared = lexicon.commands.intents[reading.sentence]
        if declared.name not in best:
            intent = _intent(lexicon, declared, reading, tokens, text)
            best[declared.name] = (reading, intent)
    return list(best.values())


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
    if match(lexicon, text) is None:
        return Completeness.OPEN
    words = words_of(text)
    before, _ = _around(lexicon)
    goes_on = can_go_on(
        lexicon.commands.graph,
        words,
        _endings(lexicon, words),
        starts=_skipped(words, before),
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
    return (
        [words_of(phrase) for phrase in (*BEFORE, *names)],
        [words_of(phrase) for phrase in (*AFTER, *names)],
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


def _intent(
    lexicon: Lexicon,
    declared: IntentDeclaration,
    reading: Reading,
    tokens: tuple[Token, ...],
    text: str,
) -> Intent:
    slots = []
    for filled in reading.slots:
        said = text[tokens[filled.start].start : tokens[filled.end - 1].end]
        value = said if filled.value is None else filled.value
        slots.append(Slot(name=filled.slot, value=value, text=said))
    return build_intent(
        lexicon,
        declared,
        slots,
        tier=Tier.GRAMMAR,
        span=(tokens[reading.start].start, tokens[reading.end - 1].end),
    )
