"""Where each word that can be said may have been heard, and at what cost.

A glance at every word tells which are worth it, and which phrases of lists are; those
are aligned to every stretch of sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.sound_graph import NO_WORD, PhraseTable, SoundGraph, Vocabulary
from edge.sound_windows import (
    MOST_PER_SOUND,
    NEVER,
    SLACK,
    WORSE,
    Compared,
    Floats,
    Forms,
    Heard,
    Rows,
    Windows,
)

_DROPPED = np.float32(1.0)
"""Cost of a word that a phrase can do without."""
_MAX_FORMS = 120
"""Ways to say words that are looked at closely: those of which most was heard."""
_MAX_PHRASES = 12
"""Phrases of a list that are looked at closely."""


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Where what can be said may have been heard, and at what cost.

    A row is a word, or a list with all its phrases. Few rows are heard in a window, so
    that costs are kept for the pairs of both that are.
    """

    costs: Floats
    """(sounds of a stretch + 1, pairs)"""
    owners: Rows
    """(pairs,): the row of each."""
    where: Rows
    """(pairs,): the window of each."""
    deleted: Floats
    """(words,): the cost of not having heard each; they are the first rows."""
    n_lists: int
    """The last rows."""
    rows: npt.NDArray[np.int32]
    """(all words + 1,): the row of each, -1 where it was not heard."""
    lengths: npt.NDArray[np.int32]
    """(words,) sounds of the shortest way to say each."""
    windows: npt.NDArray[np.int32]
    """(hypotheses, first sounds): the window that begins at each."""
    n_windows: int
    phrases: npt.NDArray[np.int64]
    """(pairs,): the row of each phrase in its list, -1 where it is a word."""

    @classmethod
    def build(cls, graph: SoundGraph, heard: Heard) -> Spans:
        """Returns where the words and phrases of a graph may have been heard."""
        vocabulary, lists = graph.vocabulary, graph.lists
        tables = (vocabulary.table().sounds, *(table.sounds for table in lists))
        width = max(sounds.shape[1] for sounds in tables) + SLACK
        compared = Compared.of(heard, vocabulary.sounds.costs, width)
        windows = Windows.of(compared, heard.sounds.shape[1] + 1, width)
        sayings = _Sayings.of(vocabulary, lists, windows)
        costs, which, where, deleted = sayings.costs(windows)
        n_words = len(sayings.words)
        of_words = np.arange(n_words)
        of_lists = [n_words + number for number, _ in sayings.phrases]
        phrases = [row for _, row in sayings.phrases]
        rows = np.full(len(vocabulary.words) + 1, -1, np.int32)
        rows[sayings.words] = of_words
        return cls(
            costs=costs,
            owners=np.concatenate((of_words, np.array(of_lists, np.intp)))[which],
            where=where,
            deleted=deleted,
            n_lists=len(lists),
            rows=rows,
            lengths=sayings.lengths[:n_words],
            windows=windows.numbers,
            n_windows=len(windows),
            phrases=np.array([-1] * n_words + phrases, np.intp)[which],
        )

    @property
    def n_rows(self) -> int:
        """Words and lists."""
        return len(self.deleted) + self.n_lists

    def least(self) -> Floats:
        """Returns (sounds of a stretch + 1, windows): the least cost of any row."""
        least = np.full((len(self.costs), self.n_windows), NEVER, np.float32)
        for into, costs in zip(least, self.costs, strict=True):
            np.minimum.at(into, self.where, costs)
        return least

    def within(self, most: Floats) -> tuple[Floats, Rows]:
        """Returns what rows cost where they cost little enough, and which these are.

        Args:
            most: (sounds of a stretch + 1, windows) what they may cost at most.

        Returns:
            (sounds of a stretch + 1, rows, windows), and (rows,).
        """
        n_words = len(self.deleted)
        fits = self.costs <= most.take(self.where, axis=1)
        length, pair = np.divmod(np.flatnonzero(fits), len(self.where))
        is_heard = np.zeros(self.n_rows, np.bool_)
        is_heard[:n_words] = self.deleted <= most[0].max()
        is_heard[self.owners[pair]] = True
        rows = np.flatnonzero(is_heard)
        costs = np.full((len(most), len(rows), self.n_windows), NEVER, np.float32)
        row = rows.searchsorted(self.owners[pair])
        at = (length * len(rows) + row) * self.n_windows + self.where[pair]
        np.minimum.at(costs.reshape(-1), at, self.costs[length, pair])
        words = rows[rows < n_words]
        costs[0, : len(words)] = self.deleted[words, None]
        return costs, rows

    def nearest(
        self, number: int, hypothesis: int, start: int, end: int
    ) -> list[tuple[float, int]]:
        """Returns costs and phrases of a list over a stretch, the nearest first."""
        is_there = self.where == self.windows[hypothesis, start]
        is_there &= self.owners == len(self.deleted) + number
        pairs = np.flatnonzero(is_there)
        costs = self.costs[end - start, pairs].tolist()
        found = zip(costs, self.phrases[pairs].tolist(), strict=True)
        return sorted((cost, row) for cost, row in found if cost < NEVER)


@dataclass(frozen=True, slots=True, eq=False)
class _Sayings:
    """The words and phrases that are looked at closely."""

    words: npt.NDArray[np.int32]
    """(words,): their numbers; the first sayings."""
    phrases: Sequence[tuple[int, int]]
    """The list and the row there of each; the sayings after the words."""
    is_short: npt.NDArray[np.bool_]
    """(phrases,): whether a word of each is not said."""
    forms: Forms
    """All ways to say them."""
    owners: Rows
    """(forms,): the saying of each."""
    fit: Floats
    """(forms, windows)"""
    lengths: npt.NDArray[np.int32]
    """(sayings,): sounds of the shortest form of each."""
    deleted: Floats
    """(words,): the cost of not having heard each."""

    @classmethod
    def of(
        cls, vocabulary: Vocabulary, lists: Sequence[PhraseTable], windows: Windows
    ) -> _Sayings:
        table = vocabulary.table()
        fit = windows.fit(Forms(table.sounds, table.lengths))
        least = fit.min(axis=1, initial=NEVER)
        # Of each word at most, and of no word nothing.
        at_most = np.full(len(vocabulary.words) + 1, NEVER, np.float32)
        np.minimum.at(at_most, table.words, least * table.lengths)
        at_most[NO_WORD] = 0
        phrases = _likely_phrases(lists, at_most)
        n_sounds = np.array([lists[n].lengths[row] for n, row in phrases], np.int32)
        said = Forms.of(
            [
                lists[number].sounds[row, :n]
                for (number, row), n in zip(phrases, n_sounds, strict=True)
            ]
        )
        chosen = _best(least, _MAX_FORMS)
        words, owners = np.unique(table.words[chosen], return_inverse=True)
        spoken = Forms(table.sounds[chosen], table.lengths[chosen])
        forms, order = spoken.with_others(said)
        owners = np.concatenate((owners, len(words) + np.arange(len(phrases))))[order]
        lengths = np.full(len(words) + len(phrases), 1 << 20, np.int32)
        np.minimum.at(lengths, owners, forms.lengths)
        deleted = np.full(len(lengths), NEVER, np.float32)
        by_form = windows.compared.delete[forms.sounds].sum(axis=1)
        np.minimum.at(deleted, owners, by_form)
        return cls(
            words=words,
            phrases=phrases,
            is_short=np.array([lists[n].is_short[row] for n, row in phrases], np.bool_),
            forms=forms,
            owners=owners,
            fit=np.concatenate((fit[chosen], windows.fit(said)))[order],
            lengths=lengths,
            deleted=deleted[: len(words)],
        )

    def costs(self, windows: Windows) -> tuple[Floats, Rows, Rows, Floats]:
        """Returns what sayings cost in windows where they may have been heard.

        (sounds + 1, pairs), (pairs,) the saying of each, (pairs,) its window, and
        (words,) the cost of not having heard each.
        """
        which, where = windows.likely(self.forms, self.fit)
        owners = self.owners[which]
        costs = windows.aligned(self.forms[which], where)
        n_words = len(self.words)
        best = np.full(len(self.lengths), NEVER, np.float32)
        np.minimum.at(best, owners, costs.min(axis=0, initial=NEVER))
        most = np.minimum(MOST_PER_SOUND * self.lengths, best + WORSE)
        np.copyto(costs, NEVER, where=costs > most[owners])
        # A word may be missing anywhere; something of a phrase has to be heard.
        costs[0] = NEVER
        deleted = np.where(self.deleted > most[:n_words], NEVER, self.deleted)
        dropped = np.append(np.zeros(n_words), _DROPPED * self.is_short)
        costs += dropped.astype(np.float32)[owners]
        return costs, owners, where, deleted


def _likely_phrases(
    lists: Sequence[PhraseTable], words: Floats
) -> list[tuple[int, int]]:
    """Returns the lists and rows of phrases whose words may have been heard.

    Shorter ones first.

    Args:
        lists: All phrases.
        words: (all words + 1,) the least cost of each, at a glance.
    """
    found: list[tuple[int, int]] = []
    for number, table in enumerate(lists):
        if len(table.lengths):
            least = words[table.words].sum(axis=1) / np.maximum(table.lengths, 1)
            found += [(number, row) for row in _best(least, _MAX_PHRASES).tolist()]
    return sorted(found, key=lambda pair: lists[pair[0]].lengths[pair[1]])


def _best(per_sound: npt.NDArray[np.floating], n_most: int) -> Rows:
    """Returns the positions of the least costs, in order of position."""
    most = MOST_PER_SOUND
    if len(per_sound) > n_most:
        most = min(most, float(np.partition(per_sound, n_most)[n_most]))
    return np.flatnonzero(per_sound <= most)
