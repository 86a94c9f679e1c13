"""Turns a vendor's exceptions into ours, with their cause kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import HeadsideError


@contextmanager
def vendor_errors(
    error: type[HeadsideError], code: str, message: str, hint: str = ""
) -> Iterator[None]:
    """Raises ``error`` for whatever a vendor library raises inside the block."""
    try:
        yield
    except (HeadsideError, MemoryError):
        raise
    except Exception as cause:
        reason = str(cause).strip().splitlines()
        detail = f" ({reason[0][:200]})" if reason else ""
        raise error(code, message + detail, hint) from cause
