"""Where a service may listen: on this machine, and nowhere else."""

from __future__ import annotations

import ipaddress

from models.errors import HeadsideError


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
