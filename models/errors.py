"""The root of every error Headside raises on purpose, and this room's own."""

from __future__ import annotations


class HeadsideError(Exception):
    """An expected failure: what happened and where, plus what to do about it.

    Each stage subclasses this once. Only the command line catches it.

    Args:
        code: Stable, machine-readable name of the failure, in snake_case.
        message: One sentence: what happened, and where.
        hint: What the reader can do about it; may be empty.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ModelError(HeadsideError):
    """A model, a device profile or the store is not what was asked for."""
