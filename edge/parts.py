"""Utterances of several parts: several commands, or one that is taken back.

"Make it night and stop the music" asks for two things, and "paint the boat red, no, the
kite" for one that its beginning does not say. Words that join or take back tell where
to look; what is on both sides of them tells what it is.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edge.asr import Transcript
from edge.grammar import Said, sentences_of, tokens_of
from edge.lexicon import Lexicon
from edge.nearest import Candidate
from edge.nearest import by_sound as nearest_by_sound
from edge.normalise import Token, words_of

MAX_CUTS = 6
MAX_PARTS = 4
_AND = tuple(
    words_of(phrase)
    for phrase in (
        "and then",
        "and also",
        "after that",
        "and after that",
        "and",
        "then",
        "also",
        "plus",
        "然后",
        "再",
        "并且",
        "还有",
        "同时",
        "接着",
        "和",
    )
)
_NO = tuple(
    words_of(phrase)
    for phrase in (
        "no wait no",
        "no sorry",
        "no wait",
        "no stop",
        "no hang on",
        "hang on",
        "hold on",
        "wait no",
        "oh no",
        "no no",
        "I mean",
        "I meant",
        "or rather",
        "make that",
        "scratch that",
        "on second thought",
        "sorry",
        "actually",
        "rather",
        "wait",
        "no",
        "不对",
        "不是",
        "我是说",
        "应该是",
        "等等",
    )
)
_LEADING = frozenset(("the", "a", "an", "to", "it", "in", "call", "make", "on", "by"))
"""Words that a correction may repeat."""
_TRAILING = frozenset(("one", "ones", "instead", "please", "thing"))
_BREAKS = frozenset(",.;!?，。；！？、")
_MAX_LOOKS = 4
_MAX_BEGUN = 20
"""Words of a command that is corrected, or was begun; longer ones are stories."""
_MENDED = 0.9
"""Confidence of a command that was put together."""
_Look = Callable[[Lexicon, Transcript, tuple[Token, ...]], Candidate | None]


def in_parts(
    lexicon: Lexicon, heard: Transcript, *, by_sound: bool
) -> tuple[Candidate, ...]:
    """Returns the commands that an utterance of several parts says in the end.

    None where its parts are not all commands.

    Args:
        lexicon: What can be said now.
        heard: The utterance.
        by_sound: Whether parts may be near to commands; else their words have to be
            those of commands, which is soon known.
    """
    look = _part if by_sound else _exact_part
    return _corrected(lexicon, heard, look) or _several(lexicon, heard, look)


def goes_on(lexicon: Lexicon, text: str) -> bool:
    """Returns whether words end with one that another part follows."""
    words = tuple(token.text for token in tokens_of(lexicon, text))
    return any(words[-len(phrase) :] == phrase for phrase in (*_AND, *_NO))


def swallows_parts(said: Said) -> bool:
    """Returns whether a slot that takes any words holds one that tells parts apart."""
    for filled in said.reading.slots:
        if filled.value is None:
            words = [token.text for token in said.tokens[filled.start : filled.end]]
            if next(_found(words, (*_AND, *_NO)), None):
                return True
    return False


def _found(
    words: Sequence[str], phrases: Sequence[tuple[str, ...]]
) -> Iterator[tuple[int, int]]:
    """Yields where phrases stand, the longest of those that begin at a word."""
    at = 0
    while at < len(words):
        ends = [
            at + len(phrase)
            for phrase in phrases
            if tuple(words[at : at + len(phrase)]) == phrase
        ]
        if ends:
            yield at, max(ends)
        at = max(ends, default=at + 1)


def _several(lexicon: Lexicon, heard: Transcript, look: _Look) -> tuple[Candidate, ...]:
    """Returns the parts of an utterance that asks for several things, all of them."""
    text = heard.text
    tokens = tokens_of(lexicon, text)
    words = [token.text for token in tokens]
    breaks = dict(_found(words, _AND))
    for at in range(1, len(tokens)):
        between = text[tokens[at - 1].end : tokens[at].start]
        if _BREAKS & set(between):
            breaks.setdefault(at, at)
    cuts = [(start, end) for start, end in sorted(breaks.items()) if start > 0]
    if not 0 < len(cuts) <= MAX_CUTS:
        return ()
    ways = [
        _between(((0, 0), *chosen, (len(tokens), 0)))
        for n in range(1, min(len(cuts), MAX_PARTS - 1) + 1)
        for chosen in itertools.combinations(cuts, n)
    ]
    exact = functools.cache(functools.partial(_exact_part, lexicon, heard))
    found = _all_said(ways, tokens, exact)
    if not found:
        # To look at sounds takes long: only where some part is beyond doubt.
        near = functools.cache(functools.partial(look, lexicon, heard))
        likely = [way for way in ways if any(exact(tokens[a:b]) for a, b in way)]
        found = _all_said(likely[:_MAX_LOOKS], tokens, near)
    return min(found, key=lambda parts: sum(part.cost for part in parts), default=())


def _all_said(
    ways: Sequence[Sequence[tuple[int, int]]],
    tokens: tuple[Token, ...],
    look: Callable[[tuple[Token, ...]], Candidate | None],
) -> list[tuple[Candidate, ...]]:
    """Returns what the parts say, for each way to part the words where all do."""
    found = []
    for way in ways:
        parts: list[Candidate] = []
        for start, end in way:
            part = look(tokens[start:end])
            if part is None:
                break
            parts.append(part)
        else:
            found.append(tuple(parts))
    return found


def _between(cuts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns the words from the end of each cut to the start of the next one."""
    return [(end, start) for (_, end), (start, _) in itertools.pairwise(cuts)]


def _exact_part(
    lexicon: Lexicon, heard: Transcript, tokens: tuple[Token, ...]
) -> Candidate | None:
    """Returns what the very words of a part of an utterance say."""
    for said in sentences_of(lexicon, heard.text, tokens)[:1]:
        return Candidate(said=said, cost=0.0, confidence=1.0)
    return None


def _part(
    lexicon: Lexicon, heard: Transcript, tokens: tuple[Token, ...]
) -> Candidate | None:
    """Returns what a part of an utterance says, if it is sure."""
    if not tokens:
        return None
    exact = _exact_part(lexicon, heard, tokens)
    if exact is not None:
        return exact
    start, end = tokens[0].start, tokens[-1].end
    padded = " " * start + heard.text[start:end]
    found = nearest_by_sound(lexicon, [padded], heard.confidence)
    if found and found[0].confidence >= lexicon.pack.confidence:
        return replace(found[0], said=replace(found[0].said, text=heard.text))
    return None


def _corrected(
    lexicon: Lexicon, heard: Transcript, look: _Look
) -> tuple[Candidate, ...]:
    """Returns what is meant in the end by an utterance that corrects itself."""
    tokens = tokens_of(lexicon, heard.text)
    words = [token.text for token in tokens]
    corrections = list(_found(words, _NO))
    for start, end in reversed(corrections[-_MAX_LOOKS:]):
        before, after = tokens[:start], tokens[end:]
        if not before or not after:
            continue
        meant = _exact_part(lexicon, heard, after)
        if meant is None:
            # What is neither a command nor the beginning of one takes nothing back.
            first = look(lexicon, heard, before)
            if len(first.said.tokens if first else before) > _MAX_BEGUN:
                continue
            meant = _mended(lexicon, heard, before, after, first)
            if meant is None and first is not None:
                meant = look(lexicon, heard, after)
        if meant is not None:
            return (meant,)
    return ()


def _mended(
    lexicon: Lexicon,
    heard: Transcript,
    before: tuple[Token, ...],
    after: tuple[Token, ...],
    first: Candidate | None,
) -> Candidate | None:
    """Returns a command in which a correction stands for what it corrects.

    The fewest words give way to it, and of those the last.

    Args:
        lexicon: What can be said now.
        heard: The utterance.
        before: What is corrected.
        after: The correction.
        first: The command that the former is, if it is one.
    """
    if first is not None:
        before = first.said.tokens
    while after and after[-1].text in _TRAILING:
        after = after[:-1]
    put_in = [after]
    while put_in[-1] and put_in[-1][0].text in _LEADING:
        put_in.append(put_in[-1][1:])
    for instead in filter(None, put_in):
        for n_words in range(len(before)):
            for at in range(len(before) - n_words, 0, -1):
                tokens = (*before[:at], *instead, *before[at + n_words :])
                for said in sentences_of(lexicon, heard.text, tokens)[:1]:
                    is_same = first is None or said.declared == first.said.declared
                    if is_same and _uses(said, instead):
                        return Candidate(said=said, cost=0.0, confidence=_MENDED)
    return None


def _uses(said: Said, instead: tuple[Token, ...]) -> bool:
    """Returns whether a correction is in a slot whose values are known."""
    return any(
        filled.value is not None
        and any(token in instead for token in said.tokens[filled.start : filled.end])
        for filled in said.reading.slots
    )
