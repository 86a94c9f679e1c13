"""This room's error."""

from __future__ import annotations

from models.errors import HeadsideError


class QuantizeError(HeadsideError):
    """A model could not be quantized, or not well enough."""
