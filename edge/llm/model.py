"""What the chain asks of a language model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.errors import HeadsideError

Choose = Callable[[npt.NDArray[np.float32]], int]
"""Returns the next token, given scores of shape (vocabulary,): -inf for what the
constraint forbids."""


class LlmError(HeadsideError):
    """The language model could not be loaded or failed."""


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation; its text is never read as markup."""

    role: Role
    text: str
    keep: bool = False
    """Other prompts begin with the same messages up to here: what the model read is
    kept for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Everything the model reads before it goes on by itself."""

    messages: tuple[Message, ...]
    """System first, then player and character in turn, ending with the player."""
    prefix: str = ""
    """How the answer begins: already decided, so not generated."""
    schema: str = ""
    """JSON Schema the whole answer follows, prefix included; empty for free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen: the likeliest one at temperature 0."""

    temperature: float = 0.0
    """Divides the scores before one is drawn; 0 for the likeliest token."""
    top_p: float = 1.0
    """Drawn from the likeliest tokens that have so much probability together
    (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Drawn from tokens with at least so much of the likeliest one's probability
    (Nguyen et al. 2024)."""
    seed: int = 0
    """The same seed draws the same tokens."""
    repetition_penalty: float = 1.1
    """Divides the score of a recent token; 1 for none (Keskar et al. 2019)."""
    free_after: str = ""
    """Text of the answer after which it is free: the penalty holds from there on, and
    nothing is guessed ahead. All of it is free where this is empty."""
    max_tokens: int = 96
    """Generated at most, the prefix not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One request to the model."""

    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    choose: Choose | None = None
    """Asked wherever there is a choice, in place of the sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the latest generation cost."""

    n_prompt: int = 0
    """Tokens of the prompt."""
    n_cached: int = 0
    """Of them, those that were read before."""
    n_tokens: int = 0
    """Generated, forced ones included."""
    n_forced: int = 0
    """Of them, those that the constraint left no choice about."""
    n_forwards: int = 0
    """Passes through the model for the answer, the prompt's not counted."""
    n_drafted: int = 0
    """Tokens guessed ahead."""
    n_accepted: int = 0
    """Of them, those that the model then chose itself."""
    n_masks: int = 0
    """Times that the likeliest token was not allowed."""
    constraint_s: float = 0.0
    """Time the constraint took."""


class LanguageModel(Protocol):
    """Goes on with a prompt; one request at a time."""

    @property
    def usage(self) -> Usage:
        """What the latest generation cost."""

    def prepare(self, prompt: Prompt) -> None:
        """Reads what of a prompt is to be kept, ahead of its first use."""

    def generate(
        self, request: Generation, cancel: Event
    ) -> Generator[str, None, None]:
        """Yields the answer piece by piece, without the prefix.

        Pieces are whole characters. Ends early once ``cancel`` is set; who wants no
        more of it closes it.

        Raises:
            LlmError: ``prompt_too_long`` where it does not fit the context.
        """

    def fits(self, request: Generation) -> bool:
        """Returns whether prompt and answer fit the context."""

    def close(self) -> None:
        """Frees the model."""
