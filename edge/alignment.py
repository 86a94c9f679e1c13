"""What was probably meant: words as they were heard in, words that can be said out.

Hypotheses and sentences are compared by their sounds, as a weighted edit distance
between a sequence and every path of a graph. Words that can be said are aligned to
stretches of sounds first; then the places of the graph are walked a level at a time,
with the cost of having heard so many sounds there. Where a word begins and ends in what
was heard comes out of it: "light rose A town's ice mocha" is heard as "light roast
eight ounce iced mocha".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.outlook import FREE_COST, View
from edge.sound_graph import FREE, LISTED, SoundGraph
from edge.sound_windows import NEVER, Floats, Heard, Hypothesis, Rows

_FIRST_LOOK = 0.035
"""Cost per sound, above what is possible at all, that is looked at first."""
_RIVAL = 0.2
"""Cost by which another phrase may be worse and still be told."""
_Ending = tuple[float, int, int, int, int]
MAX_SOUNDS = 400
"""Of a hypothesis; longer ones are stories, not commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardAs:
    """A word that can be said, and the sounds that were heard for it."""

    word: str
    """Empty where any words do."""
    start: int
    """First sound."""
    end: int
    """After the last one; the same as ``start`` where nothing was heard of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A sentence that can be said, and how far it is from what was heard."""

    intent: str
    words: tuple[HeardAs, ...]
    hypothesis: int
    cost: float
    """Of all changes together."""
    per_sound: float
    """Cost for each sound, of the longer of what was heard and what is meant, without
    those of free text; the hypothesis's penalty is added."""


def align(
    graph: SoundGraph,
    hypotheses: Sequence[Hypothesis],
    *,
    limit: float,
    n_best: int,
    near: float = math.inf,
) -> list[Alignment]:
    """Returns the sentences nearest to what was heard, the nearest first.

    At most one for each intent and hypothesis, and those that differ from it in one
    phrase of a list that sounds almost the same.

    Args:
        graph: What can be said.
        hypotheses: What was heard, of at most ``MAX_SOUNDS`` sounds each.
        limit: Cost per sound above which nothing is of interest.
        n_best: How many at most.
        near: Cost per sound, above that of the nearest, that is of interest; those
            above may be left out.
    """
    if not hypotheses:
        return []
    view = View.of(graph, Heard.build(hypotheses))
    least = view.least(view.loose)
    bound = float(view.least(view.strict).min()) + _FIRST_LOOK
    while True:
        bound = min(bound, limit)
        rows = np.flatnonzero(least <= bound)
        walk = _Walk(graph, view.only(rows), bound)
        found = sorted(walk.endings())[:n_best]
        wanted = found[0][0] + near if found else limit
        if wanted <= bound or bound == limit:
            break
        bound = wanted
    traced = [
        replace(alignment, hypothesis=int(rows[alignment.hypothesis]))
        for cost, *ending in found
        if cost <= wanted
        for alignment in walk.traced(*ending)
    ]
    return sorted(traced, key=lambda alignment: alignment.per_sound)


class _Walk:
    """The ways through the graph that cost no more than so much, all at once."""

    def __init__(self, graph: SoundGraph, view: View, bound: float) -> None:
        self._graph, self._view, self._bound = graph, view, bound
        self._heard, self._inserted = view.heard, view.inserted
        self._over, self._heard_rows = view.within(bound)
        self._was_heard = np.logical_or.reduce(self._over < NEVER, axis=(2, 3))
        self._use_edges()
        self._walk()

    def _use_edges(self) -> None:
        """Keeps the edges whose words may have been heard, in the order of the walk."""
        graph = self._graph
        spans = self._view.spans
        rows = np.full(spans.n_rows + 1, -1)
        rows[self._heard_rows] = np.arange(len(self._heard_rows))
        lists = rows[len(spans.deleted) : -1]
        # By word; lists and any words are counted from the end, where they stand.
        rows = np.concatenate((rows[spans.rows], lists[::-1], [len(rows)]))
        rows = rows[graph.words]
        used = np.flatnonzero(rows >= 0)
        sources, targets = graph.sources[used], graph.targets[used]
        is_met = np.zeros(len(graph.levels), np.bool_)
        is_met[0] = is_met[sources] = is_met[targets] = True
        self._places = np.flatnonzero(is_met)
        numbers = np.cumsum(is_met) - 1
        self._sources, self._targets = numbers[sources], numbers[targets]
        self._rows, self._words = rows[used], graph.words[used]
        levels = graph.levels[sources]
        bounds = np.flatnonzero(np.diff(levels)) + 1
        self._levels = np.split(np.arange(len(used)), bounds) if len(used) else []

    def _walk(self) -> None:
        view = self._view
        n, n_sounds = self._inserted.shape
        self._costs = np.full((len(self._places), n, n_sounds), NEVER, np.float32)
        for row in range(n):
            self._costs[0, row, self._heard.begins(row)] = 0
        totals = view.totals(self._bound)
        # What may be spent up to a sound: what is left after it has to do for the rest.
        most = totals - np.stack((view.strict.after, view.loose.after))
        is_loose = self._graph.is_loose[self._places].astype(np.intp)
        self._is_reached = np.zeros(len(self._places), np.bool_)
        self._is_reached[0] = True
        for level in self._levels:
            sources = self._sources[level]
            first, last = sources.min(), sources.max()
            left = np.flatnonzero(self._is_reached[first : last + 1]) + first
            costs: Floats = self._costs[left] - self._inserted
            np.minimum.accumulate(costs, axis=2, out=costs)
            costs += self._inserted
            alive = costs <= most[is_loose[left]]  # (places, hypotheses, sounds heard)
            np.copyto(costs, NEVER, where=~alive)
            self._costs[left] = costs
            self._is_reached[left] = np.logical_or.reduce(alive, axis=(1, 2))
            heard_of = np.flatnonzero(np.logical_or.reduce(alive, axis=(0, 1)))
            if len(heard_of):
                reached = level[self._is_reached[sources]]
                self._step(reached, slice(heard_of[0], heard_of[-1] + 1))

    def _step(self, level: Rows, since: slice) -> None:
        """Takes edges, from places where so many sounds may have been heard."""
        words = self._words[level]
        free = level[words == FREE]
        if len(free):
            self._arrive(free, slice(None), self._freely(free))
        spoken = level[words != FREE]
        if len(spoken):
            until = min(since.stop + len(self._over) - 1, self._costs.shape[2])
            arrived = self._after(spoken, since, until)
            self._arrive(spoken, slice(since.start, until), arrived)

    def _after(self, edges: Rows, since: slice, until: int) -> Floats:
        """Returns the costs after words, (edges, hypotheses, sounds heard)."""
        before: Floats = self._costs[self._sources[edges], :, since]
        rows = self._rows[edges]
        was_heard = np.logical_or.reduce(self._was_heard[:, rows], axis=1)
        n = since.stop - since.start
        shape = (*before.shape[:2], until - since.start)
        arrived: Floats = np.full(shape, NEVER, np.float32)
        for length in np.flatnonzero(was_heard).tolist():
            here = min(n, arrived.shape[2] - length)
            if here > 0:
                stretch = slice(since.start, since.start + here)
                longer = self._over[length][rows, :, stretch]
                longer += before[:, :, :here]
                into = arrived[:, :, length : length + here]
                np.minimum(into, longer, out=into)
        return arrived

    def _arrive(self, edges: Rows, heard: slice, arrived: Floats) -> None:
        """Keeps the least costs at the places where edges lead."""
        targets = self._targets[edges]
        firsts = np.flatnonzero(np.diff(targets, prepend=-1))
        best = np.minimum.reduceat(arrived, firsts, axis=0)
        to = targets[firsts]
        self._costs[to, :, heard] = np.minimum(self._costs[to, :, heard], best)
        self._is_reached[to] = True

    def _freely(self, edges: Rows) -> Floats:
        """Returns the costs after one or more whole words, whatever they are."""
        before: Floats = self._costs[self._sources[edges]]
        arrived: Floats = np.full_like(before, NEVER)
        for row, one in enumerate(self._heard.hypotheses):
            at = np.array(one.starts)
            spent = FREE_COST * at
            costs = before[:, row, at] - spent
            best = np.minimum.accumulate(costs, axis=1)[:, :-1] + spent[1:]
            arrived[:, row, at[1:]] = best
        return arrived

    def endings(self) -> Iterator[_Ending]:
        """Yields where sentences end well enough.

        The cost per sound, so far as it is known before the sentence is, then intent,
        place, hypothesis and sound.
        """
        graph = self._graph
        known = np.isin(graph.accepting, self._places)
        places = np.searchsorted(self._places, graph.accepting[known])
        intents = graph.intents[known]
        if not len(places):
            return
        for row, one in enumerate(self._heard.hypotheses):
            last = np.array(self._heard.ends(row))
            # Up to each end, and what is heard in between is too much.
            costs = self._costs[places, row]
            gaps = np.minimum.accumulate(costs - self._inserted[row], axis=1)
            costs = (gaps + self._inserted[row])[:, last]  # (p, ends)
            best = costs.argmin(axis=1)
            costs = costs[np.arange(len(places)), best]
            estimates = costs / np.maximum(last[best], 1) + one.penalty
            seen: set[int] = set()
            for at in np.argsort(estimates, kind="stable"):
                if estimates[at] > self._bound:
                    break
                if int(intents[at]) not in seen:
                    seen.add(int(intents[at]))
                    yield (
                        float(estimates[at]),
                        int(intents[at]),
                        int(places[at]),
                        row,
                        int(last[best[at]]),
                    )

    def traced(
        self, intent: int, place: int, row: int, end: int
    ) -> Iterator[Alignment]:
        """Yields the way that ends at a place after so many sounds, and its rivals."""
        costs = self._costs[:, row]
        inserted = self._inserted[row]
        gaps = np.minimum.accumulate(costs[place] - inserted)
        total = round(float(gaps[end] + inserted[end]), 4)
        at, spans = end, list[_Span]()
        while not self._begins(place, row, at):
            # Back over sounds that belong to no word.
            here = costs[place, : at + 1] - inserted[: at + 1]
            here = np.minimum.accumulate(here)  # of the last place it was not done yet
            at = int((here <= here[at] + 1e-3).argmax())
            if self._begins(place, row, at):
                break
            edge, start = self._came_by(place, row, at)
            spans.append(self._span(edge, row, start, at))
            place, at = int(self._sources[edge]), start
        spans.reverse()
        yield self._alignment(intent, row, end, total, spans)
        for n, span in enumerate(spans):
            for more, rival in span.rivals:
                rivals = [*spans[:n], rival, *spans[n + 1 :]]
                yield self._alignment(intent, row, end, total + more, rivals)

    def _alignment(
        self, intent: int, row: int, end: int, cost: float, spans: Sequence[_Span]
    ) -> Alignment:
        n_free = sum(span.end - span.start for span in spans if not span.words[0])
        n_meant = sum(span.n_sounds for span in spans)
        first = spans[0].start if spans else 0
        n_sounds = max(1, n_meant, end - first - n_free)
        penalty = self._heard.hypotheses[row].penalty
        return Alignment(
            intent=self._graph.names[intent],
            words=tuple(
                HeardAs(word=word, start=span.start, end=span.end)
                for span in spans
                for word in span.words
            ),
            hypothesis=row,
            cost=cost,
            per_sound=max(0.0, cost - FREE_COST * n_free) / n_sounds + penalty,
        )

    def _begins(self, place: int, row: int, at: int) -> bool:
        return place == 0 and at in self._heard.begins(row)

    def _came_by(self, place: int, row: int, at: int) -> tuple[int, int]:
        """Returns the edge by which a place was reached, and where that began."""
        edges = np.flatnonzero(self._targets == place)
        costs = self._costs[:, row]
        best, found = NEVER, (-1, at)
        spoken = edges[self._words[edges] != FREE]
        if len(spoken):
            starts = np.arange(max(0, at - len(self._over) + 1), at + 1)
            spans = self._over[at - starts, self._rows[spoken][:, None], row, starts]
            came = costs[self._sources[spoken][:, None], starts] + spans
            which = np.unravel_index(came.argmin(), came.shape)
            best = came[which]
            found = (int(spoken[which[0]]), int(starts[which[1]]))
        for edge in edges[self._words[edges] == FREE]:
            starts = np.array(self._heard.hypotheses[row].starts)
            if at in starts:
                starts = starts[starts < at]
                came = costs[self._sources[edge], starts] + FREE_COST * (at - starts)
                if came.min() < best:
                    best, found = came.min(), (int(edge), int(starts[came.argmin()]))
        return found

    def _span(self, edge: int, row: int, start: int, end: int) -> _Span:
        """Returns what was heard for an edge."""
        word, spans = int(self._words[edge]), self._view.spans
        if word == FREE:
            return _Span(start, end, ("",), 0)
        if word > FREE:
            spelled = self._graph.vocabulary.words[word]
            return _Span(start, end, (spelled,), int(spans.lengths[spans.rows[word]]))
        table = self._graph.lists[LISTED - word]
        nearest = spans.nearest(LISTED - word, row, start, end)
        found = [
            (cost, _Span(start, end, table.phrases[phrase], int(table.lengths[phrase])))
            for cost, phrase in nearest
            if cost <= nearest[0][0] + _RIVAL
        ]
        least, best = found[0]
        others = ((cost - least, span) for cost, span in found[1:])
        return replace(best, rivals=tuple(others))


@dataclass(frozen=True, slots=True)
class _Span:
    """What was heard over some sounds."""

    start: int
    end: int
    words: tuple[str, ...]
    """An empty one where any do."""
    n_sounds: int
    """Of the words; none where any do."""
    rivals: tuple[tuple[float, _Span], ...] = ()
    """Other phrases that may have been meant, and how much more they cost."""
