"""What was heard, ready to be walked: where words may stand, and what is left to pay.

What a way through the graph costs at least, before and after each sound, is known
before it is walked: any words may follow any others here, which makes it no dearer than
the graph does (forwards and backwards, as for A*: Hart, Nilsson and Raphael 1968).
Where even that is too much in all, no sentence leads through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge.sound_graph import SoundGraph
from edge.sound_windows import NEVER, Floats, Heard, Rows
from edge.word_spans import Spans

FREE_COST = 0.02
"""Of each sound that any words may be: a sentence with words of its own comes first."""
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The least costs to reach and to leave each sound of each hypothesis."""

    before: Floats
    """(hypotheses, sounds + 1)"""
    after: Floats
    """(hypotheses, sounds + 1)"""

    @classmethod
    def of(cls, heard: Heard, steps: Floats) -> Outlook:
        """Returns the outlook over steps in any order.

        Args:
            heard: The hypotheses.
            steps: (hypotheses, sounds, most) the least cost from each sound on, over
                one sound and more.
        """
        n, longest, most = steps.shape
        before = np.full((n, longest + 1 + most), NEVER, np.float32)
        after = before.copy()
        for row in range(n):
            before[row, heard.begins(row)] = 0
            after[row, heard.ends(row)] = 0
        for at in range(longest):
            into = before[:, at + 1 : at + 1 + most]
            np.minimum(into, before[:, at, None] + steps[:, at], out=into)
        for at in reversed(range(longest)):
            onward = steps[:, at] + after[:, at + 1 : at + 1 + most]
            np.minimum(after[:, at], onward.min(axis=1), out=after[:, at])
        return cls(before[:, : longest + 1], after[:, : longest + 1])

    def only(self, rows: Rows) -> Outlook:
        """Returns the outlook of some of the hypotheses."""
        return Outlook(self.before[rows], self.after[rows])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Where what can be said may have been heard, and what is left to pay."""

    heard: Heard
    spans: Spans
    inserted: Floats
    """(hypotheses, sounds + 1): what so many first sounds cost that are no words."""
    strict: Outlook
    """Where no more words come that may be any."""
    loose: Outlook
    """Wherever any words may come."""

    @classmethod
    def of(cls, graph: SoundGraph, heard: Heard) -> View:
        """Returns what was heard as words of a graph."""
        spans = Spans.build(graph, heard)
        insert = np.append(graph.vocabulary.sounds.costs.insert, np.float32(0))
        n, longest = heard.sounds.shape
        inserted = np.zeros((n, longest + 1), np.float32)
        np.cumsum(insert[heard.sounds], axis=1, out=inserted[:, 1:])
        steps = _steps(insert[heard.sounds], spans)
        strict = loose = Outlook.of(heard, steps)
        if graph.is_loose[0]:
            loose = Outlook.of(heard, _with_any_words(heard, steps))
        return cls(heard, spans, inserted, strict, loose)

    def least(self, outlook: Outlook) -> Floats:
        """Returns (hypotheses,): the cost per sound below which no sentence can be."""
        least = np.full(len(self.heard.hypotheses), NEVER, np.float32)
        for row, one in enumerate(self.heard.hypotheses):
            if length := self.heard.lengths[row]:
                cost = outlook.after[row, self.heard.begins(row)].min()
                least[row] = cost / length + one.penalty
        return least

    def only(self, rows: Rows) -> View:
        """Returns what was heard in some of the hypotheses."""
        return View(
            heard=self.heard.only(rows),
            spans=replace(self.spans, windows=self.spans.windows[rows]),
            inserted=self.inserted[rows],
            strict=self.strict.only(rows),
            loose=self.loose.only(rows),
        )

    def totals(self, bound: float) -> Floats:
        """Returns (hypotheses, 1): the cost of a sentence at a cost per sound."""
        penalties = [one.penalty for one in self.heard.hypotheses]
        per_sound = bound - np.array(penalties, np.float32)
        totals: Floats = (per_sound * self.heard.lengths)[:, None] + _ROUNDING
        return totals.astype(np.float32)

    def within(self, bound: float) -> tuple[Floats, Rows]:
        """Returns what words cost where they lead to no dearer sentence.

        (sounds of a stretch + 1, those words and lists, hypotheses, first sounds), and
        which words and lists these are.
        """
        spans, n_sounds = self.spans, self.inserted.shape[1]
        room = np.full((len(spans.costs), *self.inserted.shape), -1, np.float32)
        left = self.totals(bound) - self.loose.before
        for length in range(min(len(room), n_sounds)):
            ends = self.loose.after[:, length:]
            room[length, :, : n_sounds - length] = left[:, : n_sounds - length] - ends
        by_window = np.full((len(room), spans.n_windows), -1, np.float32)
        for most, here in zip(by_window, room, strict=True):
            np.maximum.at(most, spans.windows.ravel(), here.ravel())
        costs, rows = spans.within(by_window)
        return costs.take(spans.windows, axis=2), rows


def _steps(insert: Floats, spans: Spans) -> Floats:
    """Returns (hypotheses, sounds, most): the least cost of any word over a stretch."""
    least = spans.least()[1:, spans.windows[:, :-1]]
    steps = np.ascontiguousarray(least.transpose(1, 2, 0))
    np.minimum(steps[:, :, 0], insert, out=steps[:, :, 0])
    return steps


def _with_any_words(heard: Heard, steps: Floats) -> Floats:
    """Returns steps where any whole word may be taken, too."""
    gaps = [np.diff(one.starts) for one in heard.hypotheses]
    more = max(0, max(int(gap.max(initial=0)) for gap in gaps) - steps.shape[2])
    steps = np.pad(steps, ((0, 0), (0, 0), (0, more)), constant_values=float(NEVER))
    for row, one in enumerate(heard.hypotheses):
        starts, lengths = np.array(one.starts[:-1]), gaps[row]
        starts, lengths = starts[lengths > 0], lengths[lengths > 0]
        taken = np.minimum(steps[row, starts, lengths - 1], FREE_COST * lengths)
        steps[row, starts, lengths - 1] = taken
    return steps
