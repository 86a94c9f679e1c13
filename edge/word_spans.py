"""Where each word that can be said may have been heard, and at what cost.

A glance at every word tells which are worth it; those are aligned to every stretch of
sounds at once, by weighted edit distance (Wagner and Fischer 1974).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.sound_graph import NO_WORD, FormTable, SoundGraph, Vocabulary

Floats = npt.NDArray[np.float32]
Sounds = npt.NDArray[np.int16]
NEVER = np.float32(1e4)
SLACK = 3
"""Sounds more than its own that a word may stretch over."""
_MOST_PER_SOUND = 0.75
"""Cost of a word, per sound of it, above which it was not heard."""
_NEAR = 0.5
"""Cost per sound, at a glance, by which a window may be worse than the best one."""
_MAX_WINDOWS = 10
"""That a way to say something is aligned to."""
_WORSE = 3.0
"""Cost by which a word may be worse in one place than in the best one."""
_DROPPED = np.float32(1.0)
"""Cost of a word that a phrase can do without."""
_MAX_FORMS = 120
"""Ways to say words that are looked at closely: those of which most was heard."""
_MAX_PHRASES = 12
"""Phrases of a list that are looked at closely."""
_LENGTHS = ((0, 2), (3, 4), (5, 6), (7, 9), (10, 14), (15, 1000))
"""Of forms that are aligned together; the arrays are as wide as the longest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What the recogniser heard, as sounds."""

    sounds: npt.NDArray[np.int16]
    """(n,)"""
    starts: tuple[int, ...]
    """First sound of each word, and the number of sounds."""
    begins: tuple[int, ...] = (0,)
    """Words at which a sentence may begin."""
    ends: tuple[int, ...] = ()
    """Words before which it may end; after the last one where there are none."""
    penalty: float = 0.0
    """Added to the cost per sound: how much less likely it is than the best one."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """All hypotheses, side by side."""

    hypotheses: Sequence[Hypothesis]
    sounds: Sounds
    """(hypotheses, longest), -1 after the end."""
    lengths: npt.NDArray[np.int32]

    @classmethod
    def build(cls, hypotheses: Sequence[Hypothesis]) -> Heard:
        """Returns hypotheses side by side."""
        lengths = np.array([len(one.sounds) for one in hypotheses], np.int32)
        sounds = np.full((len(hypotheses), max(lengths, default=0)), -1, np.int16)
        for row, one in enumerate(hypotheses):
            sounds[row, : len(one.sounds)] = one.sounds
        return cls(hypotheses, sounds, lengths)


@dataclass(frozen=True, slots=True, eq=False)
class _Edits:
    """The costs of changes, with a last row for what is after the end."""

    substitute: Floats
    delete: Floats
    insert: Floats

    @classmethod
    def build(cls, vocabulary: Vocabulary) -> _Edits:
        """Returns the costs for the sounds of a vocabulary."""
        costs = vocabulary.sounds.costs
        return cls(
            substitute=np.pad(
                costs.substitute, ((0, 1), (0, 1)), constant_values=float(NEVER)
            ),
            delete=np.append(costs.delete, np.float32(0)),
            insert=np.append(costs.insert, NEVER),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Forms:
    """Sounds in a row: ways to say words, or whole phrases."""

    sounds: Sounds
    """(n, longest), -1 after the end."""
    lengths: npt.NDArray[np.int32]
    """(n,), shorter ones first."""

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> _Forms:
        return _Forms(self.sounds[rows], self.lengths[rows])


@dataclass(frozen=True, slots=True, eq=False)
class WordSpans:
    """What it costs to have heard something over a stretch of sounds."""

    costs: Floats
    """(rows, windows, sounds + 1): from a window's first sound over so many."""
    windows: npt.NDArray[np.int32]
    """(hypotheses, longest + 1): the window that begins at each sound; the same sounds
    are one window, wherever they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Where what can be said may have been heard."""

    words: WordSpans
    lengths: npt.NDArray[np.int32]
    """(rows of ``words``,) sounds of the shortest way to say each."""
    rows: npt.NDArray[np.int32]
    """(all words,): the row of each in ``words``, -1 where it was not heard."""
    lists: WordSpans
    """A row for each list: the least cost of any of its phrases."""
    phrases: npt.NDArray[np.int32]
    """(lists, windows, sounds + 1): which phrase of its list that is."""

    @classmethod
    def build(cls, graph: SoundGraph, heard: Heard) -> Spans:
        """Returns where the words and phrases of a graph may have been heard."""
        vocabulary = graph.vocabulary
        table, edits = vocabulary.table(), _Edits.build(vocabulary)
        forms = _Forms(table.sounds, table.lengths)
        windows = _Windows.of(heard, forms.sounds.shape[1] + SLACK)
        fit = _fit(forms, windows.sounds, edits)  # (forms, windows)
        least = fit.min(axis=1, initial=NEVER)
        words, lengths, rows = _words(
            table, _best(least, _MAX_FORMS), fit, windows, edits
        )
        numbers = np.full(len(vocabulary.words) + 1, -1, np.int32)
        numbers[rows] = np.arange(len(rows))
        # Of each word at most, and of no word nothing.
        at_most = np.full(len(vocabulary.words) + 1, NEVER, np.float32)
        np.minimum.at(at_most, table.words, least * table.lengths)
        at_most[NO_WORD] = 0
        lists, phrases = _lists(graph, heard, at_most, edits)
        return cls(words, lengths, numbers, lists, phrases)


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """What was heard, from each sound on; the same sounds are one window."""

    numbers: npt.NDArray[np.int32]
    """(hypotheses, longest + 1): the window that begins at each sound."""
    sounds: Sounds
    """(windows, width)"""

    @classmethod
    def of(cls, heard: Heard, width: int) -> _Windows:
        """Returns the windows of so many sounds, -1 after the end."""
        n, longest = heard.sounds.shape
        padded = np.full((n, longest + 1 + width), -1, np.int16)
        padded[:, :longest] = heard.sounds
        every = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
        every = np.ascontiguousarray(every[:, : longest + 1])
        known: dict[bytes, int] = {}
        numbers = np.empty((n, longest + 1), np.int32)
        for row in range(n):
            for at in range(longest + 1):
                key = every[row, at].tobytes()
                numbers[row, at] = known.setdefault(key, len(known))
        sounds = np.frombuffer(b"".join(known), np.int16).reshape(len(known), width)
        return cls(numbers, sounds)


def _words(
    table: FormTable,
    forms: npt.NDArray[np.int64],
    fit: Floats,
    windows: _Windows,
    edits: _Edits,
) -> tuple[WordSpans, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Returns the spans of the words that some forms say.

    And the sounds of the shortest way to say each, and which words these are.
    """
    owners, rows = np.unique(table.words[forms], return_inverse=True)
    n_windows, width = windows.sounds.shape
    costs = np.full((len(owners), n_windows, width + 1), NEVER, np.float32)
    lengths = np.full(len(owners), 1 << 20, np.int32)
    np.minimum.at(lengths, rows, table.lengths[forms])
    deleted = np.full(len(owners), NEVER, np.float32)
    by_sound = edits.delete[table.sounds[forms]].sum(axis=1)
    np.minimum.at(deleted, rows, by_sound)
    chosen = _Forms(table.sounds[forms], table.lengths[forms])
    for which, where, aligned in _aligned_forms(
        chosen, fit[forms], windows.sounds, edits
    ):
        into = costs[:, :, : aligned.shape[1]]
        np.minimum.at(into, (rows[which], where), aligned)
    most = np.minimum(
        _MOST_PER_SOUND * lengths, costs.min(axis=(1, 2), initial=NEVER) + _WORSE
    )
    costs[:, :, 0] = np.minimum(costs[:, :, 0], deleted[:, None])
    costs[costs > most[:, None, None]] = NEVER
    return WordSpans(costs, windows.numbers), lengths, owners


def _lists(
    graph: SoundGraph, heard: Heard, words: Floats, edits: _Edits
) -> tuple[WordSpans, npt.NDArray[np.int32]]:
    """Returns the spans of lists, and of which phrase each is."""
    longest = max((table.sounds.shape[1] for table in graph.lists), default=0)
    windows = _Windows.of(heard, longest + SLACK)
    sounds = windows.sounds
    shape = (len(graph.lists), len(sounds), longest + SLACK + 1)
    costs = np.full(shape, NEVER, np.float32)
    phrases = np.full(shape, -1, np.int32)
    for number, table in enumerate(graph.lists):
        if not len(table.lengths):
            continue
        per_sound = words[table.words].sum(axis=1) / np.maximum(table.lengths, 1)
        rows = _best(per_sound, _MAX_PHRASES)
        rows = rows[np.argsort(table.lengths[rows], kind="stable")]
        forms = _Forms(table.sounds[rows], table.lengths[rows])
        fit = _fit(forms, sounds, edits)
        each = np.full((len(rows), *shape[1:]), NEVER, np.float32)
        for which, where, aligned in _aligned_forms(forms, fit, sounds, edits):
            aligned[:, 0] = NEVER  # something of it has to be heard
            each[which, where, : aligned.shape[1]] = aligned
        each[each > (_MOST_PER_SOUND * forms.lengths)[:, None, None]] = NEVER
        each[table.is_short[rows]] += _DROPPED
        if len(rows):
            phrases[number] = rows[each.argmin(axis=0)]
            costs[number] = each.min(axis=0)
    return WordSpans(costs, windows.numbers), phrases


def _best(per_sound: npt.NDArray[np.floating], n_most: int) -> npt.NDArray[np.int64]:
    """Returns the positions of the least costs, in order of position."""
    most = _MOST_PER_SOUND
    if len(per_sound) > n_most:
        most = min(most, float(np.partition(per_sound, n_most)[n_most]))
    return np.flatnonzero(per_sound <= most)


def _fit(forms: _Forms, sounds: Sounds, edits: _Edits) -> Floats:
    """Returns (forms, windows): at a glance, the least cost per sound of each.

    Each sound of a form is compared with what stands at its place in a window, or right
    beside it.
    """
    at_place = edits.substitute[:-1, sounds]  # (symbols, windows, width)
    least = np.minimum(at_place, edits.delete[:-1, None, None])
    np.minimum(least[:, :, 1:], at_place[:, :, :-1], out=least[:, :, 1:])
    np.minimum(least[:, :, :-1], at_place[:, :, 1:], out=least[:, :, :-1])
    least = np.ascontiguousarray(least.transpose(2, 0, 1))
    fit = np.zeros((len(forms.lengths), len(sounds)), np.float32)
    for at in range(forms.sounds.shape[1]):
        first = int(np.searchsorted(forms.lengths, at, "right"))
        fit[first:] += least[at][forms.sounds[first:, at]]
    fit /= np.maximum(forms.lengths, 1)[:, None]
    return fit


def _aligned_forms(
    forms: _Forms, fit: Floats, sounds: Sounds, edits: _Edits
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]]:
    """Yields forms, windows, and what the one costs in the other, over so many sounds.

    Only where a glance tells that it may fit.
    """
    most = np.minimum(_MOST_PER_SOUND, fit.min(axis=1, initial=NEVER) + _NEAR)
    if fit.shape[1] > _MAX_WINDOWS:
        most = np.minimum(most, np.partition(fit, _MAX_WINDOWS)[:, _MAX_WINDOWS])
    likely = fit <= most[:, None]
    for low, high in _LENGTHS:
        group = np.flatnonzero((forms.lengths >= low) & (forms.lengths <= high))
        which, where = np.nonzero(likely[group])
        if len(which):
            which = group[which]
            n = min(int(forms.lengths[group].max()) + SLACK, sounds.shape[1])
            yield which, where, _aligned(forms[which], sounds[where, :n], edits)


def _aligned(forms: _Forms, sounds: Sounds, edits: _Edits) -> Floats:
    """Returns (pairs, sounds + 1): what a form costs in a window, over so many sounds.

    The recurrence of the edit distance, with a row for each sound of a form; within a
    row, insertions are a running minimum.

    Args:
        forms: (pairs,), shorter ones first.
        sounds: (pairs, width)
        edits: The costs.
    """
    row = np.zeros((len(sounds), sounds.shape[1] + 1), np.float32)
    np.cumsum(edits.insert[sounds], axis=1, out=row[:, 1:])
    inserted = row.copy()
    for at in range(int(forms.lengths.max(initial=0))):
        first = int(np.searchsorted(forms.lengths, at, "right"))
        meant = forms.sounds[first:, at]  # (pairs,)
        after = row[first:] + edits.delete[meant][:, None]
        replaced = edits.substitute[meant[:, None], sounds[first:]]
        replaced += row[first:, :-1]
        np.minimum(after[:, 1:], replaced, out=after[:, 1:])
        after -= inserted[first:]
        np.minimum.accumulate(after, axis=1, out=after)
        after += inserted[first:]
        row[first:] = after
    return row
