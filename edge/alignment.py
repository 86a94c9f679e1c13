"""What was probably meant: words as they were heard in, words that can be said out.

Hypotheses and sentences are compared by their sounds, as a weighted edit distance
(Wagner and Fischer 1974) between a sequence and every path of a graph. That is done in
two steps, both on arrays. First each word that can be said is aligned to every stretch
of sounds at once; of most words nothing like them was heard, and they are let go. Then
the places of the graph are walked a level at a time, with the cost of having heard so
many sounds there. Where a word begins and ends in what was heard comes out of it:
"light rose A town's ice mocha" is heard as "light roast eight ounce iced mocha".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.sound_graph import FREE, FormTable, SoundGraph

Floats = npt.NDArray[np.float32]
_NEVER = np.float32(1e4)
_MOST_PER_SOUND = 0.75
"""Cost of a word, per sound of it, above which it was not heard."""
_MAX_WORDS = 150
"""That are looked at closely: those of which most was heard."""
_SLACK = 3
"""Sounds more than its own that a word may stretch over."""
_HEADROOM = 0.5
_FREE_COST = 0.02
"""Of each sound that any words may be: a sentence with words of its own comes first."""
_MAX_FREE_SOUNDS = 120
MAX_SOUNDS = 400
"""Of a hypothesis; longer ones are stories, not commands."""


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
) -> list[Alignment]:
    """Returns the sentences nearest to what was heard, the nearest first.

    At most one for each intent and hypothesis.

    Args:
        graph: What can be said.
        hypotheses: What was heard, of at most ``MAX_SOUNDS`` sounds each.
        limit: Cost per sound above which nothing is of interest.
        n_best: How many at most.
    """
    heard = _Heard.build(hypotheses)
    spans = _spans(graph, heard)
    walk = _Walk(graph, heard, spans, limit)
    found = sorted(walk.endings(limit))[:n_best]
    traced = [walk.traced(*ending) for _, *ending in found]
    return sorted(traced, key=lambda alignment: alignment.per_sound)


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """All hypotheses, side by side."""

    hypotheses: Sequence[Hypothesis]
    sounds: npt.NDArray[np.int16]
    """(hypotheses, longest), -1 after the end."""
    lengths: npt.NDArray[np.int32]

    @classmethod
    def build(cls, hypotheses: Sequence[Hypothesis]) -> _Heard:
        lengths = np.array([len(one.sounds) for one in hypotheses], np.int32)
        sounds = np.full((len(hypotheses), max(lengths, default=0)), -1, np.int16)
        for row, one in enumerate(hypotheses):
            sounds[row, : len(one.sounds)] = one.sounds
        return cls(hypotheses, sounds, lengths)


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """The cost of each word that may have been heard, at every stretch of sounds."""

    costs: Floats
    """(words, windows, sounds + 1): from a window's first sound over so many."""
    windows: npt.NDArray[np.int32]
    """(hypotheses, longest + 1): the window that begins at each sound; the same sounds
    are one window, wherever they are."""
    rows: npt.NDArray[np.int32]
    """(all words): the row of each in ``costs``, -1 where it was not heard."""
    lengths: npt.NDArray[np.int32]
    """(words,) sounds of the shortest way to say each."""


def _spans(graph: SoundGraph, heard: _Heard) -> _Spans:
    table = graph.vocabulary.table()
    costs = graph.vocabulary.sounds.costs
    insert = np.append(costs.insert, _NEVER)  # the last one: after the end
    substitute = np.pad(
        costs.substitute, ((0, 1), (0, 1)), constant_values=float(_NEVER)
    )
    delete = np.append(costs.delete, np.float32(0))

    forms = _plausible(table, heard, substitute, delete)
    longest = int(table.lengths[forms].max(initial=0)) + _SLACK
    windows, sounds = _windows(heard, longest)  # sounds: (windows, longest)
    n_words = len(graph.vocabulary.words)
    aligned = np.full((len(forms), len(sounds), longest + 1), _NEVER, np.float32)
    at = 0
    for low, high in ((0, 2), (3, 4), (5, 6), (7, 9), (10, 1000)):
        lengths = table.lengths[forms]
        n = int(((lengths >= low) & (lengths <= high)).sum())
        if n == 0:
            continue
        group = forms[at : at + n]
        width = int(table.lengths[group].max()) + _SLACK
        aligned[at : at + n, :, : width + 1] = _aligned(
            table, group, sounds[:, :width], substitute, delete, insert
        )
        at += n
    owners = table.words[forms]
    order = np.argsort(owners, kind="stable")
    owners, aligned = owners[order], aligned[order]
    words, firsts = np.unique(owners, return_index=True)
    if not len(words):
        return _Spans(aligned, windows, np.full(n_words + 1, -1, np.int32), owners)
    lengths = np.minimum.reduceat(table.lengths[forms][order], firsts)
    aligned = np.minimum.reduceat(aligned, firsts, axis=0)
    least = aligned.min(axis=(1, 2), initial=_NEVER) / lengths
    nth = np.sort(least)[min(len(words), _MAX_WORDS) - 1]
    most = _MOST_PER_SOUND * lengths
    kept = (least <= _MOST_PER_SOUND) & (least <= nth)
    aligned[aligned > most[:, None, None]] = _NEVER
    rows = np.full(n_words + 1, -1, np.int32)
    rows[words[kept]] = np.arange(kept.sum())
    return _Spans(aligned[kept], windows, rows, lengths[kept])


def _plausible(
    table: FormTable, heard: _Heard, substitute: Floats, delete: Floats
) -> npt.NDArray[np.int32]:
    """Returns the forms of which enough was heard, in whatever order."""
    present = np.unique(heard.sounds[heard.sounds >= 0])
    least = np.minimum(delete, substitute[:, present].min(axis=1, initial=_NEVER))
    least[-1] = 0
    bound = least[table.sounds].sum(axis=1)
    most = _MOST_PER_SOUND * table.lengths
    return np.flatnonzero(bound <= most).astype(np.int32)


def _windows(
    heard: _Heard, width: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int16]]:
    """Returns which window begins at each sound, and the sounds of each window."""
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
    return numbers, sounds


def _aligned(
    table: FormTable,
    forms: npt.NDArray[np.int32],
    sounds: npt.NDArray[np.int16],
    substitute: Floats,
    delete: Floats,
    insert: Floats,
) -> Floats:
    """Returns (forms, windows, sounds + 1): what each form costs, over so many sounds.

    The recurrence of the edit distance, with a row for each sound of a form; within a
    row, insertions are a running minimum.
    """
    lengths = table.lengths[forms]
    n_windows, width = sounds.shape
    inserted = np.zeros((n_windows, width + 1), np.float32)
    np.cumsum(insert[sounds], axis=1, out=inserted[:, 1:])
    result = np.empty((len(forms), n_windows, width + 1), np.float32)
    row = np.broadcast_to(inserted, result.shape).copy()
    first = 0  # the first form that is as long as this
    for at in range(int(lengths.max(initial=0))):
        while first < len(forms) and lengths[first] <= at:
            first += 1
        meant = table.sounds[forms[first:], at]  # (f,)
        before = row[first:]
        after = before + delete[meant][:, None, None]
        replaced = substitute[meant[:, None, None], sounds[None]]
        replaced += before[:, :, :-1]
        np.minimum(after[:, :, 1:], replaced, out=after[:, :, 1:])
        after -= inserted
        np.minimum.accumulate(after, axis=2, out=after)
        after += inserted
        row[first:] = after
    return row


class _Walk:
    """The way through the graph, for all hypotheses at once."""

    def __init__(
        self, graph: SoundGraph, heard: _Heard, spans: _Spans, limit: float
    ) -> None:
        self._graph, self._heard, self._spans = graph, heard, spans
        insert = np.append(graph.vocabulary.sounds.costs.insert, np.float32(0))
        inserted = np.zeros((len(heard.hypotheses), heard.sounds.shape[1] + 1))
        np.cumsum(insert[heard.sounds], axis=1, out=inserted[:, 1:])
        self._inserted = inserted.astype(np.float32)
        self._bound = (limit * heard.lengths + _HEADROOM)[:, None].astype(np.float32)
        self._use_edges()
        self._walk()

    def _use_edges(self) -> None:
        """Keeps the edges whose words were heard, in the order of the walk."""
        graph, spans = self._graph, self._spans
        rows = spans.rows[graph.words]
        used = np.flatnonzero((rows >= 0) | (graph.words == FREE))
        places = np.unique(
            np.concatenate(([0], graph.sources[used], graph.targets[used]))
        )
        self._places = places
        self._sources = np.searchsorted(places, graph.sources[used])
        self._targets = np.searchsorted(places, graph.targets[used])
        self._rows = rows[used]
        levels = graph.levels[graph.sources[used]]
        order = np.lexsort((self._targets, levels))
        self._sources, self._targets = self._sources[order], self._targets[order]
        self._rows, self._words = self._rows[order], graph.words[used][order]
        bounds = np.flatnonzero(np.diff(levels[order])) + 1
        self._levels = np.split(np.arange(len(order)), bounds)

    def _walk(self) -> None:
        heard = self._heard
        n, longest = heard.sounds.shape
        self._costs = np.full((len(self._places), n, longest + 1), _NEVER, np.float32)
        for row, one in enumerate(heard.hypotheses):
            for word in one.begins:
                self._costs[0, row, one.starts[word]] = 0
        for level in self._levels:
            sources = self._sources[level]
            left = np.unique(sources)
            gaps = self._costs[left] - self._inserted
            np.minimum.accumulate(gaps, axis=2, out=gaps)
            self._costs[left] = gaps + self._inserted
            reached = (self._costs[sources] < self._bound).any(axis=(1, 2))
            for edges, arrived in self._steps(level[reached]):
                targets = self._targets[edges]
                firsts = np.flatnonzero(np.diff(targets, prepend=-1))
                best = np.minimum.reduceat(arrived, firsts, axis=0)
                to = targets[firsts]
                self._costs[to] = np.minimum(self._costs[to], best)

    def _steps(
        self, level: npt.NDArray[np.int64]
    ) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
        """Yields edges, and the costs with which they arrive."""
        is_free = self._words[level] == FREE
        edges = level[~is_free]
        if len(edges):
            before = self._costs[self._sources[edges]]  # (e, h, t)
            spans = self._spans.costs[self._rows[edges]][:, self._spans.windows]
            yield edges, _shifted(before, spans)
        edges = level[is_free]
        if len(edges):
            yield edges, self._freely(self._costs[self._sources[edges]])

    def _freely(self, before: Floats) -> Floats:
        """Returns the costs after one or more whole words, whatever they are."""
        arrived = np.full_like(before, _NEVER)
        for row, one in enumerate(self._heard.hypotheses):
            at = np.array(one.starts)
            spent = _FREE_COST * at
            costs = before[:, row, at] - spent
            best = np.minimum.accumulate(costs, axis=1)[:, :-1] + spent[1:]
            arrived[:, row, at[1:]] = best
        return arrived

    def endings(self, limit: float) -> Iterator[tuple[float, int, int, int, int]]:
        """Yields where sentences end well enough.

        The cost per sound, so far as it is known before the sentence is, then intent,
        place, hypothesis and sound.
        """
        graph, heard = self._graph, self._heard
        known = np.isin(graph.accepting, self._places)
        places = np.searchsorted(self._places, graph.accepting[known])
        intents = graph.intents[known]
        if not len(places):
            return
        for row, one in enumerate(heard.hypotheses):
            ends = [one.starts[word] for word in one.ends] or [int(heard.lengths[row])]
            last = np.array(ends)
            # Up to each end, and what is heard in between is too much.
            costs = self._costs[places, row]
            gaps = np.minimum.accumulate(costs - self._inserted[row], axis=1)
            costs = (gaps + self._inserted[row])[:, last]  # (p, ends)
            best = costs.argmin(axis=1)
            costs = costs[np.arange(len(places)), best]
            for intent in np.unique(intents):
                mine = np.flatnonzero(intents == intent)
                place = mine[costs[mine].argmin()]
                n_heard = max(1, int(last[best[place]]))
                estimate = costs[place] / n_heard + one.penalty
                if estimate <= limit:
                    yield (
                        float(estimate),
                        int(intent),
                        int(places[place]),
                        row,
                        int(last[best[place]]),
                    )

    def traced(self, intent: int, place: int, row: int, end: int) -> Alignment:
        """Returns the way that ends at a place, after so many sounds."""
        costs = self._costs[:, row]
        inserted = self._inserted[row]
        gaps = np.minimum.accumulate(costs[place] - inserted)
        total = float(gaps[end] + inserted[end])
        at, words = end, []
        n_meant, n_free = 0, 0
        while not self._begins(place, row, at):
            # Back over sounds that belong to no word.
            here = costs[place, : at + 1] - inserted[: at + 1]
            at = int((here <= here[at] + 1e-3).argmax())
            if self._begins(place, row, at):
                break
            edge, start = self._came_by(place, row, at)
            word = int(self._words[edge])
            if word == FREE:
                words.append(HeardAs(word="", start=start, end=at))
                n_free += at - start
            else:
                spelled = self._graph.vocabulary.words[word]
                words.append(HeardAs(word=spelled, start=start, end=at))
                n_meant += int(self._spans.lengths[self._rows[edge]])
            place, at = int(self._sources[edge]), start
        first = words[-1].start if words else 0
        n_sounds = max(1, n_meant, end - first - n_free)
        one = self._heard.hypotheses[row]
        return Alignment(
            intent=self._graph.names[intent],
            words=tuple(reversed(words)),
            hypothesis=row,
            cost=total,
            per_sound=(total - _FREE_COST * n_free) / n_sounds + one.penalty,
        )

    def _begins(self, place: int, row: int, at: int) -> bool:
        one = self._heard.hypotheses[row]
        return place == 0 and at in [one.starts[word] for word in one.begins]

    def _came_by(self, place: int, row: int, at: int) -> tuple[int, int]:
        """Returns the edge by which a place was reached, and where that began."""
        edges = np.flatnonzero(self._targets == place)
        spans, costs = self._spans, self._costs[:, row]
        width = min(at, spans.costs.shape[2] - 1)
        starts = np.arange(at - width, at + 1)
        listed = edges[self._words[edges] != FREE]
        best, found = _NEVER, (-1, at)
        if len(listed):
            windows = spans.windows[row, starts]
            steps = spans.costs[self._rows[listed][:, None], windows, at - starts]
            came = costs[self._sources[listed][:, None], starts] + steps
            which = np.unravel_index(came.argmin(), came.shape)
            best, found = came[which], (int(listed[which[0]]), int(starts[which[1]]))
        bounds = [start for start in self._heard.hypotheses[row].starts if start < at]
        for edge in edges[self._words[edges] == FREE]:
            if at in self._heard.hypotheses[row].starts:
                spent = _FREE_COST * (at - np.array(bounds))
                came = costs[self._sources[edge], bounds] + spent
                if came.min() < best:
                    best, found = came.min(), (int(edge), bounds[int(came.argmin())])
        return found


def _shifted(before: Floats, spans: Floats) -> Floats:
    """Returns the least cost of each sum of a place and the stretch that follows it.

    Args:
        before: (edges, hypotheses, sounds + 1)
        spans: (edges, hypotheses, sounds + 1, width + 1)
    """
    n_sounds, width = before.shape[2], spans.shape[3]
    arrived = before + spans[..., 0]
    for over in range(1, min(width, n_sounds)):
        longer = before[:, :, :-over] + spans[:, :, :-over, over]
        np.minimum(arrived[:, :, over:], longer, out=arrived[:, :, over:])
    return arrived
