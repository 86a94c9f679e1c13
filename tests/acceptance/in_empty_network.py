"""Runs a command where there is nothing but loopback, and says what it tried to send.

Usage, inside a new network namespace: in_empty_network.py REPORT COMMAND...
REPORT becomes a JSON object: packets sent, and packets that had no way out.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        request = struct.pack("16sh22x", b"lo", IFF_UP)
        fcntl.ioctl(opened, SIOCSIFFLAGS, request)


def _packets() -> dict[str, int]:
    """Returns the kernel's counts of this namespace, by RFC 4293."""
    titles, values = (
        line.split()[1:]
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Ip:")
    )
    counts = dict(zip(titles, map(int, values), strict=True))
    with suppress(FileNotFoundError):  # a kernel without IPv6
        for line in Path("/proc/net/snmp6").read_text().splitlines():
            name, value = line.split()
            counts[name] = int(value)
    kinds = {"sent": "OutRequests", "no_way_out": "OutNoRoutes"}
    return {
        kind: counts[name] + counts.get(f"Ip6{name}", 0) for kind, name in kinds.items()
    }


def main() -> int:
    """Returns the exit code of the command."""
    report, *command = sys.argv[1:]
    _raise_loopback()
    before = _packets()
    code = subprocess.run(command, check=False).returncode
    after = _packets()
    tried = {kind: after[kind] - before[kind] for kind in after}
    Path(report).write_text(json.dumps(tried))
    return code


if __name__ == "__main__":
    sys.exit(main())
