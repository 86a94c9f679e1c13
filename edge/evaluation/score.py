"""How good the answers are: answers and labels in, shares with their intervals out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from edge.evaluation.items import (
    CLEAN,
    Case,
    Cases,
    Spot,
    Wanted,
    WantedIntent,
    WantedValue,
)
from models.pack import (
    IntentDeclaration,
    Pack,
    TextList,
    Value,
)
from models.share import share_interval

SPOT_M = 0.5
"""How far from a wanted place is still right."""
_RELATIVE = 1e-6
_TINY = 1e-9
"""Beside zero, where nothing is relative."""
NONE = "none"
"""In the confusion: no intent. A question back is ``clarify``."""
CLARIFY = "clarify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An intent that was answered, or offered in a question."""

    name: str
    slots: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one item under one condition."""

    id: str
    condition: str
    """``clean``, or the SNR in dB."""
    heard: str = ""
    intents: tuple[Said, ...] = ()
    clarify: tuple[Said, ...] = ()
    tier: str | None = None
    asr_ms: float = 0.0
    intent_ms: float = 0.0
    error: str = ""
    """Why there is no answer; empty where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many."""

    n_right: int
    n: int

    @property
    def exact(self) -> float | None:
        """The share in [0, 1]; None of nothing."""
        return self.n_right / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share (Wilson 1927); None of nothing."""
        return share_interval(self.n_right, self.n) if self.n else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The score under one condition."""

    condition: str
    commands: Share
    """Exactly right."""
    accepted: Share
    """Items without a command that yielded an intent all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long something took, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Latency | None:
        """Returns the percentiles; None of nothing."""
        if not times_ms:
            return None
        p50, p95 = np.percentile(times_ms, (50, 95))
        return cls(p50=float(p50), p95=float(p95))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An answer that is not right."""

    wanted: Wanted
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Everything that an evaluation found."""

    levels: tuple[Level, ...]
    """Clean first, then by SNR as asked for."""
    confusion: Mapping[str, Mapping[str, int]]
    """Wanted intent, answered intent, how often; without noise."""
    kinds: Mapping[str, Share]
    """Right, of the lines of a kind, with a command or without."""
    tiers: Mapping[str, float]
    """Share of commands that each tier decided on; without noise."""
    asr: Latency | None
    """None where nothing was heard."""
    intent: Latency | None
    failures: tuple[Failure, ...]
    """In order of condition and file."""

    @property
    def clean(self) -> Level:
        """Without noise."""
        return self.levels[0]

    @property
    def noise(self) -> tuple[Level, ...]:
        """With noise."""
        return self.levels[1:]

    @property
    def noise_mean(self) -> float | None:
        """Mean share of commands over the levels of noise."""
        shares = [level.commands.exact for level in self.noise]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known else None

    @property
    def errors(self) -> tuple[Answer, ...]:
        """Items that could not be evaluated."""
        return tuple(
            failure.answer for failure in self.failures if failure.answer.error
        )


def score(
    pack: Pack, cases: Cases, answers: Iterable[Answer], conditions: Sequence[str]
) -> Score:
    """Returns the score of answers, of which there is one for each item and condition.

    Args:
        pack: Its defaults may fill slots that a label leaves out.
        cases: Items and labels.
        answers: In any order.
        conditions: Clean first.
    """
    found = {(answer.id, answer.condition): answer for answer in answers}
    judged = [
        (case, answer, is_right(pack, case.wanted, answer))
        for condition in conditions
        for case in cases.cases
        if (answer := found.get((case.item.id, condition))) is not None
    ]
    clean = [(case, answer) for case, answer, _ in judged if answer.condition == CLEAN]
    timed = [answer for _, answer, _ in judged if not answer.error]
    return Score(
        levels=tuple(
            _level(condition, [one for one in judged if one[1].condition == condition])
            for condition in conditions
        ),
        confusion=_confusion(clean),
        kinds=_kinds(judged),
        tiers=_tiers([answer for case, answer in clean if case.wanted.is_command]),
        asr=Latency.of([answer.asr_ms for answer in timed]) if cases.is_sound else None,
        intent=Latency.of([answer.intent_ms for answer in timed]),
        failures=tuple(
            Failure(wanted=case.wanted, answer=answer)
            for case, answer, right in judged
            if not right
        ),
    )


def is_right(pack: Pack, wanted: Wanted, answer: Answer) -> bool:
    """Returns whether an answer is exactly what its label says."""
    if answer.error:
        return False
    if wanted.clarify:
        return not answer.intents and _asks(wanted.clarify, answer.clarify)
    return len(wanted.intents) == len(answer.intents) and all(
        _is_same(pack, one, said)
        for one, said in zip(wanted.intents, answer.intents, strict=True)
    )


def _asks(ids: Sequence[str], options: Sequence[Said]) -> bool:
    """Returns whether some slot of the options holds each of the ids once."""
    slots = {slot for option in options for slot in option.slots}
    return any(
        sorted(str(option.slots.get(slot, "")) for option in options) == sorted(ids)
        for slot in slots
    )


def _is_same(pack: Pack, wanted: WantedIntent, said: Said) -> bool:
    if wanted.name != said.name or not wanted.slots.keys() <= said.slots.keys():
        return False
    declared = next((one for one in pack.intents if one.name == said.name), None)
    default = declared.default if declared else {}
    free = _free_slots(pack, declared) if declared else frozenset()
    return all(
        (slot in free and _sounds_like(wanted.slots[slot], value))
        or _equal(wanted.slots[slot], value)
        if slot in wanted.slots
        else slot in default and _equal(default[slot], value)
        for slot, value in said.slots.items()
    )


def _free_slots(pack: Pack, declared: IntentDeclaration) -> frozenset[str]:
    return frozenset(
        slot
        for slot, name in declared.slots.items()
        if isinstance(pack.lists.get(name), TextList)
    )


def _sounds_like(wanted: WantedValue, said: Value) -> bool:
    """Returns whether two texts differ in case, spaces and punctuation alone."""
    return (
        isinstance(wanted, str)
        and isinstance(said, str)
        and _bare(wanted) == _bare(said)
    )


def _bare(text: str) -> list[str]:
    kept = (one for one in text.casefold() if one.isalnum() or one.isspace())
    return "".join(kept).split()


def _equal(wanted: WantedValue, said: Value) -> bool:
    match wanted:
        case Spot():
            place = _place(said)
            return place is not None and math.dist(place, wanted.position) <= SPOT_M
        case str():
            return wanted == said
    if isinstance(said, str):
        return False
    return math.isclose(wanted, said, rel_tol=_RELATIVE, abs_tol=_TINY)


def _place(said: Value) -> tuple[float, ...] | None:
    try:
        place = tuple(map(float, str(said).split()))
    except ValueError:
        return None
    return place if len(place) == 3 and all(map(math.isfinite, place)) else None


_Judged = tuple[Case, Answer, bool]


def _level(condition: str, judged: Sequence[_Judged]) -> Level:
    rights = [right for case, _, right in judged if case.wanted.is_command]
    silent = [
        answer
        for case, answer, _ in judged
        if not case.wanted.is_command and not answer.error
    ]
    return Level(
        condition=condition,
        commands=Share(n_right=sum(rights), n=len(rights)),
        accepted=Share(
            n_right=sum(bool(answer.intents) for answer in silent), n=len(silent)
        ),
    )


def _kinds(judged: Sequence[_Judged]) -> dict[str, Share]:
    kinds: dict[str, list[bool]] = {}
    for case, answer, right in judged:
        if case.item.kind and answer.condition == CLEAN:
            kinds.setdefault(case.item.kind, []).append(right)
    return {
        kind: Share(n_right=sum(rights), n=len(rights))
        for kind, rights in sorted(kinds.items())
    }


def _tiers(answers: Sequence[Answer]) -> dict[str, float]:
    counts = Counter(answer.tier or NONE for answer in answers)
    return {tier: n / len(answers) for tier, n in sorted(counts.items())}


def _confusion(clean: Sequence[tuple[Case, Answer]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for case, answer in clean:
        if answer.error:
            continue
        wanted = [one.name for one in case.wanted.intents]
        said = [one.name for one in answer.intents]
        for gold, predicted in zip_longest(
            wanted or [CLARIFY if case.wanted.clarify else NONE],
            said or [CLARIFY if answer.clarify else NONE],
            fillvalue=NONE,
        ):
            counts.setdefault(gold, Counter())[predicted] += 1
    return {gold: dict(sorted(found.items())) for gold, found in sorted(counts.items())}
