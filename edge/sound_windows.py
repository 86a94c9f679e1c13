"""How near what can be said is to what was heard, from each sound on.

A glance tells where something may have been heard; there it is aligned to every stretch
of sounds at once, by weighted edit distance (Wagner and Fischer 1974).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.phonetics.costs import EditCosts
from edge.phonetics.sounds import side_by_side

Floats = npt.NDArray[np.float32]
Sounds = npt.NDArray[np.int16]
Rows = npt.NDArray[np.int64]
NEVER = np.float32(1e4)
SLACK = 3
"""Sounds more than its own that something may stretch over."""
MOST_PER_SOUND = 0.75
"""Cost of something, per sound of it, above which it was not heard."""
WORSE = 3.0
"""Cost by which something may be worse in one place than in the best one."""
_NEAR = 0.5
"""The same per sound, at a glance."""
_BAND = 4
"""Sounds by which something may be ahead of what was heard of it."""
_MAX_WINDOWS = 10
"""That a way to say something is aligned to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What the recogniser heard, as sounds."""

    sounds: Sounds
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
        return cls(hypotheses, *side_by_side([one.sounds for one in hypotheses]))

    def only(self, rows: Rows) -> Heard:
        """Returns some of the hypotheses."""
        some = [self.hypotheses[row] for row in rows]
        return Heard(some, self.sounds[rows], self.lengths[rows])

    def begins(self, row: int) -> list[int]:
        """Returns the sounds of a hypothesis at which a sentence may begin."""
        one = self.hypotheses[row]
        return [one.starts[word] for word in one.begins]

    def ends(self, row: int) -> list[int]:
        """Returns the sounds before which it may end."""
        one = self.hypotheses[row]
        return [one.starts[word] for word in one.ends] or [int(self.lengths[row])]


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """Sounds in a row: ways to say words, or whole phrases."""

    sounds: Sounds
    """(n, longest), -1 after the end."""
    lengths: npt.NDArray[np.int32]
    """(n,), shorter ones first."""

    @classmethod
    def of(cls, sounds: Sequence[Sounds]) -> Forms:
        """Returns forms of sounds, shorter ones first."""
        return cls(*side_by_side(sounds))

    def __getitem__(self, rows: Rows) -> Forms:
        return Forms(self.sounds[rows], self.lengths[rows])

    def with_others(self, others: Forms) -> tuple[Forms, Rows]:
        """Returns these and others, and where each of them was, others after these."""
        longest = max(self.sounds.shape[1], others.sounds.shape[1])
        n = len(self.lengths)
        sounds = np.full((n + len(others.lengths), longest), -1, np.int16)
        sounds[:n, : self.sounds.shape[1]] = self.sounds
        sounds[n:, : others.sounds.shape[1]] = others.sounds
        lengths = np.concatenate((self.lengths, others.lengths))
        order = np.argsort(lengths, kind="stable")
        return Forms(sounds[order], lengths[order]), order

    def longer_than(self) -> list[int]:
        """Returns the first form that is longer than so many sounds, from none on."""
        lengths = np.arange(self.sounds.shape[1])
        found: list[int] = self.lengths.searchsorted(lengths, "right").tolist()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Each sound that was heard, compared with each that can be said.

    After the end nothing is heard, at a cost that none can pay.
    """

    sounds: Sounds
    """(hypotheses, sounds and as many more as are ever looked at)"""
    replaced: Floats
    """(symbols, hypotheses, sounds): the cost of hearing a sound for a symbol, less
    that of hearing it for nothing."""
    inserted: Floats
    """(hypotheses, sounds + 1): that of hearing so many first sounds for nothing."""
    glanced: Floats
    """(symbols, hypotheses, sounds): the least cost of a symbol at a sound or beside
    it."""
    glanced_first: Floats
    """The same for the first sound of a window, before which nothing is looked at."""
    delete: Floats
    """(symbols + 1,): the cost of each that is not heard; 0 after the end."""

    @classmethod
    def of(cls, heard: Heard, costs: EditCosts, width: int) -> Compared:
        """Returns the comparison, for windows of so many sounds."""
        n, longest = heard.sounds.shape
        sounds = np.full((n, longest + 1 + width + _BAND), -1, np.int16)
        sounds[:, :longest] = heard.sounds
        padded = np.pad(
            costs.substitute, ((0, 0), (0, 1)), constant_values=float(NEVER)
        )
        substitute = padded[:, sounds]
        first = np.minimum(substitute, costs.delete[:, None, None])
        np.minimum(first[:, :, :-1], substitute[:, :, 1:], out=first[:, :, :-1])
        glanced = first.copy()
        np.minimum(glanced[:, :, 1:], substitute[:, :, :-1], out=glanced[:, :, 1:])
        insert = np.append(costs.insert, NEVER)[sounds]
        inserted = np.zeros((n, insert.shape[1] + 1), np.float32)
        insert.cumsum(axis=1, out=inserted[:, 1:])
        return cls(
            sounds=sounds,
            replaced=substitute - np.append(costs.insert, np.float32(0))[sounds],
            inserted=inserted,
            glanced=glanced,
            glanced_first=first,
            delete=np.append(costs.delete, np.float32(0)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What was heard, from each sound on; the same sounds are one window."""

    numbers: npt.NDArray[np.int32]
    """(hypotheses, longest + 1): the window that begins at each sound."""
    rows: Rows
    """(windows,): a hypothesis in which each is."""
    starts: Rows
    """(windows,): its first sound there."""
    width: int
    compared: Compared

    @classmethod
    def of(cls, compared: Compared, n_starts: int, width: int) -> Windows:
        """Returns the windows of so many sounds that begin at the first ones."""
        numbers = np.empty((len(compared.sounds), n_starts), np.int32)
        known: dict[bytes, int] = {}
        firsts: list[tuple[int, int]] = []
        size = compared.sounds.itemsize
        for row, sounds in enumerate(compared.sounds):
            spelled = sounds.tobytes()
            for at in range(n_starts):
                key = spelled[size * at : size * (at + width)]
                number = numbers[row, at] = known.setdefault(key, len(known))
                if number == len(firsts):
                    firsts.append((row, at))
        rows, starts = np.array(firsts).T
        return cls(numbers, rows, starts, width, compared)

    def __len__(self) -> int:
        return len(self.rows)

    def fit(self, forms: Forms) -> Floats:
        """Returns (forms, windows): at a glance, the least cost per sound of each.

        Each sound of a form is compared with what stands at its place in a window, or
        right beside it.
        """
        compared = self.compared
        fit = np.zeros((len(forms.lengths), len(self)), np.float32)
        for at, first in enumerate(forms.longer_than()):
            glanced = compared.glanced if at else compared.glanced_first
            here = glanced[:, self.rows, self.starts + at]  # (symbols, windows)
            fit[first:] += here[forms.sounds[first:, at]]
        fit /= np.maximum(forms.lengths, 1)[:, None]
        return fit

    def likely(self, forms: Forms, fit: Floats) -> tuple[Rows, Rows]:
        """Returns the forms and windows of which a glance tells that they may match."""
        worse = np.minimum(_NEAR, WORSE / np.maximum(forms.lengths, 1))
        most = np.minimum(MOST_PER_SOUND, fit.min(axis=1, initial=NEVER) + worse)
        if fit.shape[1] > _MAX_WINDOWS:
            most = np.minimum(most, np.partition(fit, _MAX_WINDOWS)[:, _MAX_WINDOWS])
        which, where = np.nonzero(fit <= most[:, None])
        return which, where

    def aligned(self, forms: Forms, where: Rows) -> Floats:
        """Returns (sounds + 1, pairs): what forms cost over so many sounds of windows.

        The recurrence of the edit distance, with a row for each sound of a form, within
        a band. Costs are kept less those of hearing all sounds for nothing, so that the
        sounds within a row that belong to nothing are a running minimum.

        Args:
            forms: (pairs,)
            where: (pairs,) the window of each.
        """
        compared = self.compared
        n, n_sounds = compared.sounds.shape
        at = self.rows[where] * n_sounds + self.starts[where]
        # Taken from flat tables, which is a third faster than from windows of them.
        replaced = compared.replaced.ravel()
        costs = np.full((self.width + 1, len(where)), NEVER, np.float32)
        costs[: SLACK + 1] = 0
        for said, first in enumerate(forms.longer_than(), 1):
            low = max(0, said - _BAND - 1)
            band = costs[low : said + SLACK + 1, first:]
            meant = forms.sounds[first:, said - 1].astype(np.intp)  # (pairs,)
            here = meant * (n * n_sounds) + at[first:] + low
            offsets = np.arange(len(band) - 1)[:, None]
            heard = replaced.take(here + offsets, mode="clip")
            heard += band[:-1]
            band += compared.delete[meant]
            np.minimum(band[1:], heard, out=band[1:])
            if said > _BAND:
                band[0] = NEVER
            for before, after in itertools.pairwise(band):
                np.minimum(after, before, out=after)
        at += self.rows[where]  # one more to a hypothesis
        offsets = np.arange(len(costs))[:, None]
        inserted = compared.inserted.ravel().take(at + offsets, mode="clip")
        costs += inserted - inserted[0]
        return costs
