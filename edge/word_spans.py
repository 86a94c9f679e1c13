"""Where each word that can be said may have been heard, and at what cost.

A glance at every word tells which are worth it; those are aligned to every stretch of
sounds, and so are the phrases of lists whose words are among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.sound_graph import NO_WORD, FormTable, PhraseTable, SoundGraph
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
class PhraseSpans:
    """Where the phrases of lists may have been heard, and at what cost."""

    costs: Floats
    """(sounds of a stretch + 1, phrases, windows)"""
    lists: Rows
    """(phrases,): whose each is."""
    rows: Rows
    """(phrases,): which one of its list's."""
    windows: npt.NDArray[np.int32]
    """(hypotheses, first sounds)"""

    @classmethod
    def of(
        cls, tables: Sequence[PhraseTable], windows: Windows, words: Floats
    ) -> PhraseSpans:
        """Returns where phrases may have been heard, those of all lists together.

        Args:
            tables: The phrases of each list.
            windows: What was heard.
            words: (all words + 1,) the least cost of each, at a glance.
        """
        pairs = [
            (number, row)
            for number, table in enumerate(tables)
            if len(table.lengths)
            for row in _best(_glanced(table, words), _MAX_PHRASES).tolist()
        ]
        pairs.sort(key=lambda pair: tables[pair[0]].lengths[pair[1]])
        lists, rows = np.array(pairs, np.int64).reshape(-1, 2).T
        lengths = np.array([tables[n].lengths[row] for n, row in pairs], np.int32)
        sounds = np.full((len(pairs), lengths.max(initial=0)), -1, np.int16)
        for into, length, (number, row) in zip(sounds, lengths, pairs, strict=True):
            into[:length] = tables[number].sounds[row, :length]
        forms = Forms(sounds, lengths)
        shape = (windows.width + 1, len(pairs), len(windows))
        costs = np.full(shape, NEVER, np.float32)
        for which, where, aligned in windows.aligned(forms, windows.fit(forms)):
            # Something of it has to be heard.
            costs[1 : len(aligned), which, where] = aligned[1:]
        most = (MOST_PER_SOUND * lengths)[:, None]
        np.copyto(costs, NEVER, where=costs > most)
        is_short = [tables[number].is_short[row] for number, row in pairs]
        costs[:, np.array(is_short, np.bool_)] += _DROPPED
        return cls(costs, lists, rows, windows.numbers)

    def least(self, n_lists: int) -> Floats:
        """Returns (sounds of a stretch + 1, lists, windows): that of any phrase."""
        n_sounds, _, n_windows = self.costs.shape
        least = np.full((n_sounds, n_lists, n_windows), NEVER, np.float32)
        for number in np.unique(self.lists):
            least[:, number] = self.costs[:, self.lists == number].min(axis=1)
        return least

    def nearest(
        self, number: int, hypothesis: int, start: int, end: int
    ) -> list[tuple[float, int]]:
        """Returns costs and phrases of a list over a stretch, the nearest first."""
        own = np.flatnonzero(self.lists == number)
        costs = self.costs[end - start, own, self.windows[hypothesis, start]]
        order = np.argsort(costs, kind="stable")
        phrases = self.rows[own]
        return [(float(costs[n]), int(phrases[n])) for n in order if costs[n] < NEVER]


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Where what can be said may have been heard, and at what cost."""

    costs: Floats
    """(sounds of a stretch + 1, words and lists, hypotheses, first sounds): of a list,
    the least cost of any of its phrases."""
    rows: npt.NDArray[np.int32]
    """(all words,): the row of each in ``costs``, -1 where it was not heard."""
    n_words: int
    """The rows after these are those of the lists."""
    lengths: npt.NDArray[np.int32]
    """(words,) sounds of the shortest way to say each."""
    phrases: PhraseSpans
    """What the costs of lists are the least of."""

    @classmethod
    def build(cls, graph: SoundGraph, heard: Heard) -> Spans:
        """Returns where the words and phrases of a graph may have been heard."""
        vocabulary = graph.vocabulary
        table = vocabulary.table()
        forms = Forms(table.sounds, table.lengths)
        tables = [table.sounds, *(phrases.sounds for phrases in graph.lists)]
        width = max(sounds.shape[1] for sounds in tables) + SLACK
        compared = Compared.of(heard, vocabulary.sounds.costs, width)
        windows = Windows.of(compared, heard.sounds.shape[1] + 1, width)
        fit = windows.fit(forms)
        least = fit.min(axis=1, initial=NEVER)
        words, lengths, rows = _words(table, _best(least, _MAX_FORMS), fit, windows)
        numbers = np.full(len(vocabulary.words) + 1, -1, np.int32)
        numbers[rows] = np.arange(len(rows))
        # Of each word at most, and of no word nothing.
        at_most = np.full(len(vocabulary.words) + 1, NEVER, np.float32)
        np.minimum.at(at_most, table.words, least * table.lengths)
        at_most[NO_WORD] = 0
        phrases = PhraseSpans.of(graph.lists, windows, at_most)
        costs = np.concatenate((words, phrases.least(len(graph.lists))), axis=1)
        return cls(
            costs=np.take(costs, windows.numbers, axis=2),
            rows=numbers,
            n_words=len(lengths),
            lengths=lengths,
            phrases=phrases,
        )


def _words(
    table: FormTable, forms: Rows, fit: Floats, windows: Windows
) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Returns (sounds + 1, words, windows): the costs of the words that some forms say.

    And the sounds of the shortest way to say each, and which words these are.
    """
    owners, rows = np.unique(table.words[forms], return_inverse=True)
    lengths = np.full(len(owners), 1 << 20, np.int32)
    np.minimum.at(lengths, rows, table.lengths[forms])
    deleted = np.full(len(owners), NEVER, np.float32)
    by_sound = windows.compared.delete[table.sounds[forms]].sum(axis=1)
    np.minimum.at(deleted, rows, by_sound)
    flat = np.full((windows.width + 1, len(owners) * len(windows)), NEVER, np.float32)
    chosen = Forms(table.sounds[forms], table.lengths[forms])
    for which, where, aligned in windows.aligned(chosen, fit[forms]):
        at = rows[which] * len(windows) + where
        for cost, here in zip(flat, aligned, strict=False):
            np.minimum.at(cost, at, here)
    costs = flat.reshape(len(flat), len(owners), len(windows))
    best = costs.min(axis=(0, 2), initial=NEVER)
    most = np.minimum(MOST_PER_SOUND * lengths, best + WORSE)
    np.minimum(costs[0], deleted[:, None], out=costs[0])
    np.copyto(costs, NEVER, where=costs > most[:, None])
    return costs, lengths, owners


def _glanced(table: PhraseTable, words: Floats) -> Floats:
    """Returns (phrases,): their cost per sound if their words cost so much."""
    per_sound: Floats = words[table.words].sum(axis=1) / np.maximum(table.lengths, 1)
    return per_sound


def _best(per_sound: npt.NDArray[np.floating], n_most: int) -> Rows:
    """Returns the positions of the least costs, in order of position."""
    most = MOST_PER_SOUND
    if len(per_sound) > n_most:
        most = min(most, float(np.partition(per_sound, n_most)[n_most]))
    return np.flatnonzero(per_sound <= most)
