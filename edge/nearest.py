"""The sentences of the grammar that are nearest to what was heard.

What is exactly a sentence of the grammar is that. Of anything else the hypotheses are
compared with every sentence by their sounds, and how likely a sentence was meant
follows from how far it is.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.alignment import MAX_SOUNDS, Alignment, align
from edge.grammar import MAX_WORDS, Said, around, sentences_of, tokens_of
from edge.lexicon import Lexicon
from edge.normalise import Token
from edge.sound_windows import Hypothesis

LIMIT = 0.3
"""Cost per sound, free text counted, above which a sentence is not looked at."""
NEAR = 0.015
"""Cost per sound, above that of the nearest, by which others are near, too."""
RANK_COST = 0.002
"""Cost per sound of each hypothesis that is more likely than one."""
HALF_SURE = 0.24
"""Cost per sound at which a long sentence is as likely meant as not."""
SHORT_COST = 0.6
"""Cost that every sentence has to carry, so that a short one may differ less."""
NOISE = 0.15
"""Confidence of a recogniser that heard no words: less, and nothing is near."""
UNSURE = 0.6
"""Confidence of a recogniser that may have heard anything."""
SURE_COST = 0.2
"""Cost per sound that a sentence has to carry, for each unit of confidence above that:
where the recogniser is sure of other words, those were said."""
STEEPNESS = 28.0
"""How fast certainty falls with the cost."""
_N_REMEMBERED = 4
"""Utterances, with their lexicons: no more than are being heard."""
_N_ALIGNED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing that may have been meant, and how sure that is."""

    said: Said
    """The sentence of the grammar."""
    cost: float
    """Per sound; 0 where the very words were heard."""
    confidence: float
    """In [0, 1]: how likely this was meant."""

    @property
    def words(self) -> str:
        """The sentence."""
        return " ".join(token.text for token in self.said.tokens)

    @property
    def n_spelled(self) -> int:
        """How many of its words were heard as they are spelled."""
        text = self.said.text.lower()
        return sum(
            text[token.start : token.end] == token.text for token in self.said.tokens
        )


def candidates(
    lexicon: Lexicon, texts: Sequence[str], confidence: float
) -> list[Candidate]:
    """Returns what may have been meant, the nearest first; nothing twice.

    Args:
        lexicon: What can be said now.
        texts: What may have been heard, the likeliest first.
        confidence: Of the recogniser in the first.
    """
    exact = sentences_of(lexicon, texts[0], tokens_of(lexicon, texts[0]))
    if exact:
        return [Candidate(said=said, cost=0.0, confidence=1.0) for said in exact]
    return by_sound(lexicon, texts, confidence)


def by_sound(
    lexicon: Lexicon, texts: Sequence[str], confidence: float, *, near: float = NEAR
) -> list[Candidate]:
    """Returns what may have been meant by texts that are no sentences themselves.

    Args:
        lexicon: What can be said now.
        texts: What may have been heard, the likeliest first.
        confidence: Of the recogniser in the first.
        near: Cost per sound above that of the nearest one, up to which none is left
            out.
    """
    return list(_by_sound(lexicon, tuple(texts), confidence, near))


@functools.lru_cache(maxsize=_N_REMEMBERED)
def _by_sound(
    lexicon: Lexicon, texts: tuple[str, ...], confidence: float, near: float
) -> tuple[Candidate, ...]:
    """Returns the same; an utterance is asked for when it may end, and when it has."""
    if confidence < NOISE:
        return ()
    tokens = [tokens_of(lexicon, text) for text in texts]
    hypotheses = [
        hypothesis_of(lexicon, found, RANK_COST * rank)
        for rank, found in enumerate(tokens)
    ]
    used = [n for n, one in enumerate(hypotheses) if 0 < len(one.sounds) <= MAX_SOUNDS]
    if not used:
        return ()
    found: dict[str, Candidate] = {}
    sentences: set[tuple[str, ...]] = set()
    for alignment in align(
        lexicon.sound,
        [hypotheses[n] for n in used],
        limit=LIMIT,
        n_best=_N_ALIGNED,
        near=near,
    ):
        if not alignment.intent:
            break  # it is nearer to what means nothing
        sentence = tuple(word.word for word in alignment.words)
        if sentence in sentences:
            continue  # of another hypothesis, at a higher cost
        if all(sentence):
            sentences.add(sentence)
        heard = used[alignment.hypothesis]
        text = texts[heard]
        meant = _as_meant(alignment, hypotheses[heard], tokens[heard])
        for said in sentences_of(lexicon, text, meant)[:1]:
            key = repr((said.declared.name, said.values))
            if key not in found:
                found[key] = Candidate(
                    said=said,
                    cost=alignment.per_sound,
                    confidence=_confidence(alignment, confidence),
                )
    return tuple(sorted(found.values(), key=lambda one: (one.cost, -one.n_spelled)))


def hypothesis_of(
    lexicon: Lexicon, tokens: tuple[Token, ...], penalty: float
) -> Hypothesis:
    """Returns how words sound, and where a sentence may begin and end in them."""
    forms = [lexicon.sounds.of(token.text) for token in tokens[:MAX_WORDS]]
    spoken = [form[0] if form else np.zeros(0, np.int16) for form in forms]
    starts = itertools.accumulate((len(form) for form in spoken), initial=0)
    begins, ends = around(lexicon, tuple(token.text for token in tokens[:MAX_WORDS]))
    return Hypothesis(
        sounds=np.concatenate(spoken) if spoken else np.zeros(0, np.int16),
        starts=tuple(starts),
        begins=tuple(begins),
        ends=tuple(ends),
        penalty=penalty,
    )


def _as_meant(
    alignment: Alignment, hypothesis: Hypothesis, tokens: tuple[Token, ...]
) -> tuple[Token, ...]:
    """Returns the words that were meant, each where it was heard."""
    starts = hypothesis.starts
    meant: list[Token] = []
    for heard in alignment.words:
        first = min(
            int(np.searchsorted(starts, heard.start, "right")) - 1, len(tokens) - 1
        )
        last = max(int(np.searchsorted(starts, heard.end, "left")), first + 1)
        within = tokens[first:last]
        if heard.word:
            meant.append(
                Token(text=heard.word, start=within[0].start, end=within[-1].end)
            )
        else:
            meant += within
    return tuple(meant)


def _confidence(alignment: Alignment, heard: float) -> float:
    """Returns how likely a sentence was meant that costs so much.

    A short sentence is like many others, so that it may differ less; and so may one
    that was heard clearly.

    Args:
        alignment: The sentence.
        heard: Confidence of the recogniser in other words.
    """
    n = max(1, sum(heard.end - heard.start for heard in alignment.words if heard.word))
    allowed = HALF_SURE - SHORT_COST / n - SURE_COST * max(0.0, heard - UNSURE)
    excess = STEEPNESS * (alignment.per_sound - allowed)
    return 1 / (1 + math.exp(min(50.0, excess)))
