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
    """Where what can be said may have been heard, and at what cost."""

    costs: Floats
    """(sounds of a stretch + 1, words and lists, windows): of a list, the least cost of
    any of its phrases."""
    rows: npt.NDArray[np.int32]
    """(all words + 1,): the row of each in ``costs``, -1 where it was not heard."""
    n_words: int
    """The rows after these are those of the lists."""
    lengths: npt.NDArray[np.int32]
    """(words and phrases,) sounds of the shortest way to say each."""
    windows: npt.NDArray[np.int32]
    """(hypotheses, first sounds): the window that begins at each."""
    phrases: Sequence[tuple[int, int]]
    """The list and the row there of each phrase that was looked at."""
    phrase_costs: Floats
    """(sounds of a stretch + 1, phrases, windows)"""

    @classmethod
    def build(cls, graph: SoundGraph, heard: Heard) -> Spans:
        """Returns where the words and phrases of a graph may have been heard."""
        vocabulary, lists = graph.vocabulary, graph.lists
        tables = (vocabulary.table().sounds, *(table.sounds for table in lists))
        width = max(sounds.shape[1] for sounds in tables) + SLACK
        compared = Compared.of(heard, vocabulary.sounds.costs, width)
        windows = Windows.of(compared, heard.sounds.shape[1] + 1, width)
        sayings = _Sayings.of(vocabulary, lists, windows)
        costs = sayings.costs(windows)
        n_words = len(sayings.words)
        by_list = np.full((width + 1, len(lists), len(windows)), NEVER, np.float32)
        owners = np.array([number for number, _ in sayings.phrases], np.int64)
        for number in np.unique(owners):
            among = costs[:, n_words:][:, owners == number]
            by_list[:, number] = among.min(axis=1)
        rows = np.full(len(vocabulary.words) + 1, -1, np.int32)
        rows[sayings.words] = np.arange(n_words)
        return cls(
            costs=np.concatenate((costs[:, :n_words], by_list), axis=1),
            rows=rows,
            n_words=n_words,
            lengths=sayings.lengths,
            windows=windows.numbers,
            phrases=sayings.phrases,
            phrase_costs=costs[:, n_words:],
        )

    def nearest(
        self, number: int, hypothesis: int, start: int, end: int
    ) -> list[tuple[float, int]]:
        """Returns costs and phrases of a list over a stretch, the nearest first."""
        costs = self.phrase_costs[end - start, :, self.windows[hypothesis, start]]
        return sorted(
            (float(cost), row)
            for cost, (owner, row) in zip(costs, self.phrases, strict=True)
            if owner == number and cost < NEVER
        )


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

    def costs(self, windows: Windows) -> Floats:
        """Returns (sounds + 1, sayings, windows)."""
        which, where = windows.likely(self.forms, self.fit)
        forms, owners = self.forms[which], self.owners[which]
        aligned = windows.aligned(forms, where)
        n, n_words = len(self.lengths), len(self.words)
        best = np.full(n, NEVER, np.float32)
        np.minimum.at(best, owners, aligned.min(axis=0, initial=NEVER))
        most = np.minimum(MOST_PER_SOUND * self.lengths, best + WORSE)
        np.copyto(aligned, NEVER, where=aligned > most[owners])
        flat = np.full((len(aligned), n * len(windows)), NEVER, np.float32)
        at = owners * len(windows) + where
        within = forms.lengths.searchsorted(np.arange(len(aligned)) - SLACK)
        for costs, here, first in zip(flat, aligned, within, strict=True):
            np.minimum.at(costs, at[first:], here[first:])
        both = flat.reshape(len(flat), n, len(windows))
        # A word may be missing anywhere; something of a phrase has to be heard.
        is_dear = self.deleted > most[:n_words]
        both[0, :n_words] = np.where(is_dear, NEVER, self.deleted)[:, None]
        both[0, n_words:] = NEVER
        both[:, n_words:][:, self.is_short] += _DROPPED
        return both


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
