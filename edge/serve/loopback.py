"""Where a service may listen, and what may be named as a page that connects to it."""

from __future__ import annotations

import ipaddress
import re

from models.errors import HeadsideError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s@A-Z]+")


class ServeError(HeadsideError):
    """The service cannot begin."""


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(host: str) -> None:
    """Refuses every host but this machine.

    Raises:
        ServeError: ``serve_host``.
    """
    if not is_loopback(host):
        raise ServeError(
            "serve_host",
            f"{host} is not loopback: other machines could reach the service.",
            "Use 127.0.0.1; adb forward and ssh -L carry it elsewhere.",
        )


def require_origin(origin: str) -> None:
    """Refuses what no browser sends as the origin of a page, word for word.

    Raises:
        ServeError: ``serve_origin``.
    """
    if not _ORIGIN.fullmatch(origin):
        raise ServeError(
            "serve_origin",
            f'"{origin}" is no origin of a web page.',
            "Write it as browsers do: http://localhost:5173, small letters, no path.",
        )
