"""What a language model chooses between, and how it weighs it, choice by choice.

One model is followed along its own choices; another is then led along the same ones and
asked at each how it would weigh them, so that both are compared over what the runtime
really chooses between: the tokens that the constraint allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

import numpy as np
import numpy.typing as npt

from edge.evaluation.items import Case, Result, TextItem, scene_of
from edge.evaluation.run import as_answer
from edge.evaluation.score import Answer, is_right
from edge.llm.model import LlmError
from edge.pipeline import Chosen, Runtime

_N_WEIGHED = 32
"""Tokens of each choice that are weighed one by one; the rest are weighed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice between tokens."""

    token: int
    """That was chosen."""
    tokens: tuple[int, ...]
    """The likeliest that were allowed."""
    log_p: tuple[float, ...]
    """Of each of them, of all that was allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chose:
    """What a model made of an item."""

    answer: Answer
    is_right: bool
    is_whole: bool
    """Whether it came to its reply, in the form that an answer has."""
    choices: tuple[Choice, ...]
    """Of the way it went, or was led."""


@dataclass(slots=True)
class _Weighing:
    """Weighs every choice, along a way where there is one."""

    along: Sequence[Choice] | None
    found: list[Choice] = field(init=False, default_factory=list)

    def choose(self, scores: npt.NDArray[np.float32]) -> int:
        """Returns the next token.

        Args:
            scores: (vocabulary,); -inf for what is forbidden.
        """
        highest = float(scores.max())
        weights = np.exp(scores.astype(np.float64) - highest)
        log_p = scores - highest - np.log(weights.sum())
        if self.along is None:
            n = min(_N_WEIGHED, int(np.isfinite(scores).sum()))
            tokens = np.argsort(-scores, kind="stable")[:n]
            token = int(tokens[0])
        else:
            if len(self.found) >= len(self.along):
                raise LlmError("way_ended", "The way to be led along ends here.")
            led = self.along[len(self.found)]
            tokens, token = np.array(led.tokens), led.token
        weighed = tuple(round(float(one), 6) for one in log_p[tokens])
        found = Choice(token=token, tokens=tuple(map(int, tokens)), log_p=weighed)
        self.found.append(found)
        return token


def choose(
    runtime: Runtime, case: Case, item: TextItem, along: Sequence[Choice] | None
) -> Chose:
    """Returns what the language model makes of words, asked for nothing else.

    Args:
        runtime: With its model; its scene is set.
        case: What should come of it.
        item: The words.
        along: Choices of another model for the same words. What this one chooses by
            itself is answered all the same.
    """
    runtime.set_scene(scene_of(runtime.pack, item))
    runtime.conversation.forget()
    own = _Weighing(along=None)
    chosen = runtime.chosen(item.text, Event(), own.choose)
    weighed = own
    if along is not None:
        weighed = _Weighing(along=along)
        runtime.chosen(item.text, Event(), weighed.choose)
    answer = as_answer(item.id, "clean", _result(item, chosen))
    return Chose(
        answer=answer,
        is_right=is_right(runtime.pack, case.wanted, answer),
        is_whole=chosen.is_whole,
        choices=tuple(weighed.found),
    )


def _result(item: TextItem, chosen: Chosen) -> Result:
    return Result(
        intents=chosen.intents,
        transcript=item.text,
        tier=None,
        asr_ms=0.0,
        intent_ms=0.0,
    )
