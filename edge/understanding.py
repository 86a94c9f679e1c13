"""What the player wants done: hypotheses in; intents out, or none, or a question.

The first tier: the grammar. The whole utterance is looked at first; where it is no
sentence, its parts may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge.asr import Transcript
from edge.grammar import Completeness, sentences_of, tokens_of
from edge.grammar import completeness as exact_completeness
from edge.intent import Intent
from edge.lexicon import Lexicon
from edge.nearest import Candidate, by_sound, candidates
from edge.parts import goes_on, in_parts, swallows_parts
from edge.referents import MAX_MEANT, Referents

N_HYPOTHESES = 5
AMBIGUOUS = 0.006
"""Cost per sound by which one sentence may be nearer and another be meant as well. Of
228 recordings that were not heard word by word, it asks for 2 of 9 that would be wrong,
and for none that is right."""
TALK = 0.2
"""Cost per sound from which on something else was said than the nearest sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """What was made of an utterance."""

    intents: tuple[Intent, ...] = ()
    options: tuple[Intent, ...] = ()
    """Several things it can mean, of which the player is asked; then no intents."""
    sentences: tuple[str, ...] = ()
    """How each of them is said, where it sounds like several sentences."""
    candidates: tuple[Candidate, ...] = ()
    """What was looked at, the nearest first."""


NOTHING = Understanding()


def understand(
    lexicon: Lexicon, transcript: Transcript, referents: Referents
) -> Understanding:
    """Returns what the first tier makes of an utterance.

    Args:
        lexicon: What can be said now.
        transcript: What was heard.
        referents: What "that" and "it" may mean.
    """
    texts = texts_of(lexicon, transcript)
    if not texts:
        return NOTHING
    whole = candidates(lexicon, texts, transcript.confidence)
    sure = [one for one in whole if one.confidence >= lexicon.pack.confidence]
    is_clear = bool(sure) and not swallows_parts(sure[0].said)
    if not is_clear or sure[0].cost > 0:
        parts = in_parts(lexicon, transcript, by_sound=not is_clear)
        cost = max((part.cost for part in parts), default=math.inf)
        if parts and (not sure or cost <= sure[0].cost):
            return _meaning(lexicon, parts, referents, (*parts, *whole), texts[0])
    return _either(lexicon, sure, referents, whole) or _meaning(
        lexicon, tuple(sure[:1]), referents, tuple(whole), texts[0]
    )


def _either(
    lexicon: Lexicon,
    sure: Sequence[Candidate],
    referents: Referents,
    looked_at: Sequence[Candidate],
) -> Understanding | None:
    """Returns the question which of several sentences was said; None if one was."""
    if not sure or sure[0].confidence == 1:
        return None  # its very words were heard
    best = sure[0]
    near = [
        one
        for one in sure[:MAX_MEANT]
        if one.cost - best.cost <= AMBIGUOUS and one.n_spelled >= best.n_spelled
    ]
    meanings = [one.said.meanings(lexicon, referents, one.confidence) for one in near]
    options = [meant[0] for meant in meanings if len(meant) == 1]
    if len(options) < max(2, len(meanings)):
        return None
    return Understanding(
        options=tuple(options),
        sentences=tuple(one.words for one in near),
        candidates=tuple(looked_at),
    )


def settles(lexicon: Lexicon, transcript: Transcript, *, sure: float) -> bool:
    """Returns whether a draft will do: the grammar knows it, or it is surely talk.

    Args:
        lexicon: What can be said now.
        transcript: The draft.
        sure: Confidence of a draft in whose words there is no doubt.
    """
    if not transcript.text:
        return True
    if sentences_of(lexicon, transcript.text, tokens_of(lexicon, transcript.text)):
        return True
    if transcript.confidence < sure:
        return False
    near = by_sound(lexicon, [transcript.text], transcript.confidence)
    return all(one.cost >= TALK for one in near)


def completeness(lexicon: Lexicon, heard: Transcript) -> Completeness:
    """Returns whether the words so far are a command, and whether it can go on.

    Of a draft, only where they are its very words: more may be understood of the better
    result.
    """
    how = exact_completeness(lexicon, heard.text)
    if how is not Completeness.OPEN or heard.is_draft:
        return how
    if goes_on(lexicon, heard.text):
        return Completeness.OPEN
    found = by_sound(lexicon, texts_of(lexicon, heard), heard.confidence)
    is_sure = bool(found) and found[0].confidence >= lexicon.pack.confidence
    return Completeness.COMPLETE if is_sure else Completeness.OPEN


def texts_of(lexicon: Lexicon, transcript: Transcript) -> list[str]:
    """Returns the hypotheses that differ in words; none where nothing was heard."""
    texts: dict[tuple[str, ...], str] = {}
    for text in (transcript.text, *transcript.alternatives)[:N_HYPOTHESES]:
        words = tuple(token.text for token in tokens_of(lexicon, text))
        texts.setdefault(words, text)
    texts.pop((), None)
    return list(texts.values())


def _meaning(
    lexicon: Lexicon,
    chosen: tuple[Candidate, ...],
    referents: Referents,
    looked_at: tuple[Candidate, ...],
    text: str,
) -> Understanding:
    """Returns the intents of sentences, or the question which of several was meant."""
    intents: list[Intent] = []
    for candidate in chosen:
        confidence = candidate.confidence
        meanings = candidate.said.meanings(lexicon, referents, confidence)
        if len(meanings) > 1:
            return Understanding(options=meanings, candidates=looked_at)
        if not meanings:
            return Understanding(candidates=looked_at)
        # "Move the boat and paint it": what a part speaks of, the next ones may mean.
        spoken_of = (slot.value for slot in meanings[0].slots)
        known = tuple(value for value in spoken_of if value in lexicon.names)
        referents = replace(referents, focus=(*map(str, known), *referents.focus))
        # The words of another hypothesis are not those of the transcript.
        is_own = candidate.said.text == text
        intents += (
            meanings
            if is_own
            else (replace(intent, span=(0, len(text))) for intent in meanings)
        )
    return Understanding(intents=tuple(intents), candidates=looked_at)
