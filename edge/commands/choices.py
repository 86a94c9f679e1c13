"""What options of several commands may be."""

from __future__ import annotations

from enum import StrEnum


class TierChoice(StrEnum):
    """The recognisers a run can use."""

    GRAMMAR = "grammar"
    LLM = "llm"
