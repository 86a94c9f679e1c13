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
_MAX_FORMS = 160
"""Ways to say words that are looked at closely: those of which most was heard."""
_DROPPED = np.float32(1.0)
"""Cost of a word that a phrase can do without."""
_NEAR = 0.4
"""Cost per sound, at a glance, by which a window may be worse than the best one."""
_LENGTHS = ((0, 2), (3, 4), (5, 6), (7, 9), (10, 1000))
"""Of forms that are aligned together; the arrays are as wide as the longest one."""
_STEP_LENGTHS = ((0, 3), (4, 7), (8, 1 << 30))
"""Of words that are walked together."""
_SLACK = 3
"""Sounds more than its own that a word may stretch over."""
_HEADROOM = 2.4
"""Cost that a sentence may have run up before anything of it was heard."""
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
    edits = _Edits(
        substitute=np.pad(
            costs.substitute, ((0, 1), (0, 1)), constant_values=float(_NEVER)
        ),
        delete=np.append(costs.delete, np.float32(0)),
        insert=np.append(costs.insert, _NEVER),  # the last one: after the end
    )
    n_words = len(graph.vocabulary.words)
    windows, sounds = _windows(heard, table.sounds.shape[1] + _SLACK)
    forms, likely = _likely(table, sounds, edits)
    owners, rows = np.unique(table.words[forms], return_inverse=True)
    spans = np.full((len(owners), *sounds.shape), _NEVER, np.float32)
    spans = np.pad(spans, ((0, 0), (0, 0), (0, 1)), constant_values=_NEVER)
    for low, high in _LENGTHS:
        lengths = table.lengths[forms]
        group = np.flatnonzero((lengths >= low) & (lengths <= high))
        which, where = np.nonzero(likely[group])
        if not len(which):
            continue
        width = int(lengths[group].max()) + _SLACK
        aligned = _aligned(table, forms[group][which], sounds[where, :width], edits)
        np.minimum.at(spans[:, :, : width + 1], (rows[group][which], where), aligned)
    lengths = np.full(len(owners), 1 << 20, np.int32)
    np.minimum.at(lengths, rows, table.lengths[forms])
    deleted = np.full(len(owners), _NEVER, np.float32)
    np.minimum.at(deleted, rows, edits.delete[table.sounds[forms]].sum(axis=1))
    spans[:, :, 0] = deleted[:, None]
    spans[spans > (_MOST_PER_SOUND * lengths)[:, None, None]] = _NEVER
    # One more row, for all words that may be left out.
    spans = np.pad(spans, ((0, 1), (0, 0), (0, 0)), constant_values=_NEVER)
    spans[-1, :, 0] = _DROPPED
    numbers = np.full(n_words + 1, -1, np.int32)
    numbers[owners] = np.arange(len(owners))
    numbers[graph.vocabulary.all_dropped] = len(owners)
    return _Spans(spans, windows, numbers, np.append(lengths, np.int32(0)))


@dataclass(frozen=True, slots=True, eq=False)
class _Edits:
    """The costs of changes, with a last row for what is after the end."""

    substitute: Floats
    delete: Floats
    insert: Floats


def _likely(
    table: FormTable, sounds: npt.NDArray[np.int16], edits: _Edits
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Returns the forms of which most was heard, and in which windows that was.

    A glance: each sound of a form is compared with what stands at its place in a
    window, or right beside it.

    Returns:
        (forms,) and (forms, windows).
    """
    at_place = edits.substitute[:-1, sounds]  # (symbols, windows, width)
    glance = np.minimum(at_place, edits.delete[:-1, None, None])
    np.minimum(glance[:, :, 1:], at_place[:, :, :-1], out=glance[:, :, 1:])
    np.minimum(glance[:, :, :-1], at_place[:, :, 1:], out=glance[:, :, :-1])
    glance = np.ascontiguousarray(glance.transpose(2, 0, 1))  # (width, symbols, w)
    found = np.zeros((len(table.lengths), len(sounds)), np.float32)
    for at in range(table.sounds.shape[1]):
        first = int(np.searchsorted(table.lengths, at, "right"))
        found[first:] += glance[at][table.sounds[first:, at]]
    found /= np.maximum(table.lengths, 1)[:, None]
    least = found.min(axis=1)
    if len(least) > _MAX_FORMS:
        most = min(_MOST_PER_SOUND, float(np.partition(least, _MAX_FORMS)[_MAX_FORMS]))
    else:
        most = _MOST_PER_SOUND
    forms = np.flatnonzero(least <= most)
    return forms, found[forms] <= np.minimum(
        _MOST_PER_SOUND, least[forms, None] + _NEAR
    )


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
    forms: npt.NDArray[np.int64],
    sounds: npt.NDArray[np.int16],
    edits: _Edits,
) -> Floats:
    """Returns (pairs, sounds + 1): what a form costs in a window, over so many sounds.

    The recurrence of the edit distance, with a row for each sound of a form; within a
    row, insertions are a running minimum.

    Args:
        table: All forms.
        forms: (pairs,), shorter ones first.
        sounds: (pairs, width)
        edits: The costs.
    """
    lengths = table.lengths[forms]
    row = np.zeros((len(forms), sounds.shape[1] + 1), np.float32)
    np.cumsum(edits.insert[sounds], axis=1, out=row[:, 1:])
    inserted = row.copy()
    for at in range(int(lengths.max(initial=0))):
        first = int(np.searchsorted(lengths, at, "right"))
        meant = table.sounds[forms[first:], at]  # (pairs,)
        after = row[first:] + edits.delete[meant][:, None]
        replaced = edits.substitute[meant[:, None], sounds[first:]]
        replaced += row[first:, :-1]
        np.minimum(after[:, 1:], replaced, out=after[:, 1:])
        after -= inserted[first:]
        np.minimum.accumulate(after, axis=1, out=after)
        after += inserted[first:]
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
        n_heard = np.arange(heard.sounds.shape[1] + 1, dtype=np.float32)
        self._bound = limit * n_heard + _HEADROOM
        # By sounds of the stretch, words, hypotheses, sounds heard.
        self._over = np.ascontiguousarray(
            spans.costs[:, spans.windows].transpose(3, 0, 1, 2)
        )
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
            gaps += self._inserted
            gaps[gaps > self._bound] = _NEVER
            self._costs[left] = gaps
            alive = gaps < _NEVER  # (places, hypotheses, sounds heard)
            is_reached = np.asarray(alive.any(axis=(1, 2)))
            reached = is_reached[np.searchsorted(left, sources)]
            heard_of = np.flatnonzero(alive.any(axis=(0, 1)))
            if len(heard_of):
                self._step(level[reached], slice(heard_of[0], heard_of[-1] + 1))

    def _step(self, level: npt.NDArray[np.int64], since: slice) -> None:
        """Takes edges, from places where so many sounds may have been heard."""
        is_free = self._words[level] == FREE
        if is_free.any():
            edges = level[is_free]
            self._arrive(edges, slice(None), self._freely(edges))
        lengths = np.where(is_free, 0, self._spans.lengths[self._rows[level]])
        for low, high in _STEP_LENGTHS:
            edges = level[~is_free & (lengths >= low) & (lengths <= high)]
            if len(edges):
                width = min(high + _SLACK + 1, len(self._over))
                until = min(since.stop + width - 1, self._costs.shape[2])
                arrived = self._after(edges, since, until, width)
                self._arrive(edges, slice(since.start, until), arrived)

    def _after(
        self, edges: npt.NDArray[np.int64], since: slice, until: int, width: int
    ) -> Floats:
        """Returns the costs after words, (edges, hypotheses, sounds heard)."""
        before = self._costs[self._sources[edges], :, since]
        rows = self._rows[edges]
        n = since.stop - since.start
        shape = (*before.shape[:2], until - since.start)
        arrived = np.full(shape, _NEVER, np.float32)
        for over in range(width):
            here = min(n, shape[2] - over)
            if here <= 0:
                break
            stretch = slice(since.start, since.start + here)
            longer = self._over[over][rows, :, stretch]
            longer += before[:, :, :here]
            into = arrived[:, :, over : over + here]
            np.minimum(into, longer, out=into)
        return arrived

    def _arrive(
        self, edges: npt.NDArray[np.int64], heard: slice, arrived: Floats
    ) -> None:
        """Keeps the least costs at the places where edges lead."""
        targets = self._targets[edges]
        firsts = np.flatnonzero(np.diff(targets, prepend=-1))
        best = np.minimum.reduceat(arrived, firsts, axis=0)
        to = targets[firsts]
        self._costs[to, :, heard] = np.minimum(self._costs[to, :, heard], best)

    def _freely(self, edges: npt.NDArray[np.int64]) -> Floats:
        """Returns the costs after one or more whole words, whatever they are."""
        before = self._costs[self._sources[edges]]
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
