"""Runs what may crash, or never gives memory back, in a process of its own.

llama.cpp ends the whole process on some bad files. A child tells in JSON how it went;
one that ended without a word is told as a failure of what it was at.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from models.errors import HeadsideError
from quantize.errors import QuantizeError

_ORPHAN_POLL_S = 0.5
Tell = Callable[[int, int], None]
"""Told how many steps are done, and of how many."""
_DONE, _FAILED, _TOLD = "done", "failed", "told"
_LAST_LINES = 3


def in_silence(_done: int, _of: int) -> None:
    """Tells nobody."""


def in_child(
    task: Callable[[Mapping[str, Any], Tell], Any],
    arguments: Mapping[str, Any],
    *,
    doing: str,
    tell: Tell = in_silence,
) -> Any:
    """Returns what a function returns in a child process.

    Args:
        task: A function at the top of a module; it is given the arguments, and whom to
            tell how far it is.
        arguments: Must go through JSON, as its result must.
        doing: What it is at, for messages: "Quantizing model.gguf".
        tell: Told what the task tells.

    Raises:
        QuantizeError: What the function raised, or ``child_died``.
    """
    code = "from quantize.child import main; main()"
    request = {
        "module": task.__module__,
        "function": task.__name__,
        "arguments": dict(arguments),
    }
    answer: tuple[str, Any] | None = None
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            for line in _answers(process, json.dumps(request)):
                kind, found = json.loads(line)
                if kind == _TOLD:
                    tell(*found)
                else:
                    answer = kind, found
            process.wait()
        except BaseException:
            process.kill()
            raise
        if process.returncode or answer is None:
            errors.seek(0)
            raise _died(doing, process.returncode, errors.read())
    kind, found = answer
    if kind == _FAILED:
        raise QuantizeError(*found)
    return found


def _answers(process: subprocess.Popen[str], request: str) -> Iterator[str]:
    """Yields what a child says, once it was asked."""
    if process.stdin is None or process.stdout is None:
        return
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(request)
    yield from (line for line in process.stdout if line.startswith("["))


def main() -> None:
    """Does what the parent asks for on standard input."""
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    request = json.loads(sys.stdin.read())
    module = __import__(request["module"], fromlist=[request["function"]])
    task = getattr(module, request["function"])
    try:
        _say(_DONE, task(request["arguments"], lambda *far: _say(_TOLD, far)))
    except HeadsideError as error:
        _say(_FAILED, (error.code, error.message, error.hint))


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, killed or not."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _say(kind: str, what: object) -> None:
    # A library may have left a line unfinished.
    sys.stdout.write("\n" + json.dumps((kind, what)) + "\n")
    sys.stdout.flush()


def _died(doing: str, code: int, errors: str) -> QuantizeError:
    how = f"with code {code}"
    if code < 0:
        try:
            how = f"by {signal.Signals(-code).name}"
        except ValueError:
            how = f"by signal {-code}"
    last = " ".join(errors.strip().splitlines()[-_LAST_LINES:])
    hint = "It was killed: free some memory." if code == -signal.SIGKILL else ""
    said = f" It said: {last[:500]}" if last else ""
    return QuantizeError("child_died", f"{doing} ended {how}.{said}", hint)
