"""What the player meant by "that", "it" and "there", and by a name two things share.

Pointing is looked up at the time of the very word; what was spoken of last is the
focus. Who calls decides what to do where several things can be meant, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from edge.asr import Word
from edge.deixis import Mark
from edge.pointing import spot, targets
from edge.scene import Scene

MAX_MEANT = 4
"""Things to ask about; who means one of more has to say it otherwise."""
Span = tuple[int, int]
"""Characters of what was said."""


def _untimed(text: str) -> tuple[Word, ...]:
    del text
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Referents:
    """What can be referred to as an utterance is understood."""

    scene: Scene = field(default_factory=Scene)
    focus: tuple[str, ...] = ()
    """Objects that were spoken of, the latest first."""
    times: Callable[[str], Sequence[Word]] = _untimed
    """The words of a text that was heard, with their times."""

    def meant(
        self, said: tuple[str, ...], among: Collection[str], text: str, span: Span
    ) -> tuple[str, ...]:
        """Returns what a phrase can mean: one thing, several, or none.

        Args:
            said: The values of the phrase: objects by id, or marks.
            among: Objects that the slot takes.
            text: What was heard.
            span: The phrase in it.
        """
        named = tuple(value for value in said if not isinstance(value, Mark))
        if named:
            return named if len(named) == 1 else self._among_named(named, text, span)
        if Mark.THERE in said:
            start_s, end_s = self._time(text, span)
            place = spot(self.scene, start_s, end_s)
            return (" ".join(f"{metres:.3f}" for metres in place),) if place else ()
        ways = (self._spoken_of, self._pointed_at)
        for way in ways if Mark.IT in said else reversed(ways):
            found = way(among, text, span)
            if found:
                return found[:MAX_MEANT]
        return ()

    def _among_named(
        self, named: tuple[str, ...], text: str, span: Span
    ) -> tuple[str, ...]:
        for way in (self._pointed_at, self._spoken_of):
            found = way(named, text, span)
            if len(found) == 1:
                return found
        return named[:MAX_MEANT]

    def _spoken_of(
        self, among: Collection[str], text: str, span: Span
    ) -> tuple[str, ...]:
        del text, span
        return tuple(thing for thing in self.focus if thing in among)[:1]

    def _pointed_at(
        self, among: Collection[str], text: str, span: Span
    ) -> tuple[str, ...]:
        start_s, end_s = self._time(text, span)
        found = targets(self.scene, start_s, end_s, among=among)
        return tuple(target.id for target in found)

    def _time(self, text: str, span: Span) -> tuple[float, float]:
        """Returns when a phrase was said; now, where that is not known."""
        at = 0
        said: list[Word] = []
        for word in self.times(text):
            start = text.find(word.text, at)
            if start < 0:
                continue
            at = start + len(word.text)
            if start < span[1] and at > span[0]:
                said.append(word)
        if said:
            return said[0].start_s, said[-1].end_s
        now_s = self.scene.rays[-1].time_s if self.scene.rays else 0.0
        return now_s, now_s
