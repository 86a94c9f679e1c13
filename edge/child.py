"""Work on what nobody vouches for, in a process of its own with limits.

Native code that reads a bad file may abort the whole process, and a template may run
for ever. Here that ends as a message.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import HeadsideError

if sys.platform == "win32":
    resource = None  # There are no such limits; the wall clock still holds.
else:
    import resource

_WALL_TO_CPU = 10
"""A loaded machine gives a process a tenth of its time, not less."""
_MAX_MESSAGE = 200


class ChildError(HeadsideError):
    """The child was stopped by its limits, or died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """What a child may use."""

    cpu_s: int
    memory_bytes: int
    """Of address space."""
    output_bytes: int


def run_child(
    module: str, payload: dict[str, Any], limits: ChildLimits
) -> dict[str, Any]:
    """Returns what ``module.run(payload)`` returns, run in a child process.

    Payload and result are JSON objects.

    Raises:
        ChildError: ``child_time`` or ``child_died``.
    """
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "edge.child", module, *_arguments(limits)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(payload).encode(),
            capture_output=True,
            cwd=root,
            timeout=limits.cpu_s * _WALL_TO_CPU,
            check=False,
        )
    except subprocess.TimeoutExpired as cause:
        raise _too_long() from cause
    if done.returncode != 0:
        raise _death(done.returncode, done.stderr)
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError as cause:
        raise ChildError("child_died", "It ended without a result.") from cause
    return result


def _death(returncode: int, stderr: bytes) -> ChildError:
    if -returncode == getattr(signal, "SIGXCPU", None):
        return _too_long()
    lines = stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1][:_MAX_MESSAGE] if lines else "no message"
    if returncode < 0:
        return ChildError(
            "child_died", f"It was ended by signal {-returncode} ({last})."
        )
    return ChildError("child_died", f"It failed: {last.rstrip('.')}.")


def _too_long() -> ChildError:
    return ChildError("child_time", "It took too long.")


def _arguments(limits: ChildLimits) -> list[str]:
    return [str(limits.cpu_s), str(limits.memory_bytes), str(limits.output_bytes)]


def _limit(cpu_s: int, memory_bytes: int) -> None:
    if resource is None:
        return
    # One second more before the signal that says nothing.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main() -> None:
    module, *limits = sys.argv[1:]
    _limit(int(limits[0]), int(limits[1]))
    try:
        found = importlib.import_module(module).run(json.load(sys.stdin))
    except HeadsideError as error:
        sys.exit(error.message)
    result = json.dumps(found)
    if len(result) > int(limits[-1]):
        sys.exit("Its result is too large.")
    sys.stdout.write(result)


if __name__ == "__main__":
    _main()
