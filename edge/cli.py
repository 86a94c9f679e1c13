"""The command `headside`: a table of commands, each imported when it is chosen.

Whatever loads slowly is imported inside `main`, where Ctrl-C is expected.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from models.errors import HeadsideError
from models.plain import CONTROLS

COMMANDS = {
    "run": ("edge.commands.run:app", "Hear a command, act on it, answer."),
    "serve": ("edge.commands.serve:app", "Serve a pack to a game on this machine."),
    "demo": ("edge.commands.demo:app", "Run the chain on recordings of real speech."),
    "intent": ("edge.commands.intent:app", "See why something was understood so."),
    "look": ("edge.commands.look:app", "See what a vision model says of a picture."),
    "eval": ("edge.commands.eval:app", "Measure how well a pack is understood."),
    "doctor": ("edge.commands.doctor:app", "Say what works here and what is missing."),
    "pack": ("edge.commands.pack:app", "Check and list experience packs."),
    "models": ("models.cli:app", "Fetch, check and remove models."),
    "quantize": ("quantize.commands:app", "Make models small, see what they are."),
}
"""Name of a command, where it lives as `module:app`, and what it does."""

_UNWRITTEN = HeadsideError(
    "output_full",
    "The output could not be written: its disk is full.",
    "Make room, or write it elsewhere.",
)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_CONTROLS = {each: " " for each in CONTROLS if chr(each) != "\n"}
"""Messages quote packs and files, and may be of several lines."""
_FAILED = 1
_INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line and ends the process.

    Exit codes: 0, 1 for errors of ours, 2 for wrong usage, 130 where interrupted.
    """
    try:
        try:
            _write_whatever_comes()
            code = _run(sys.argv[1:])
        finally:
            # There is nothing left to stop, and Python would end with a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        # Python 3.11 turns it into another error where a class is being made.
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        _leave_at_once(code)
    sys.exit(code)


def _write_whatever_comes() -> None:
    """Lets no character end a run that the terminal's encoding does not know."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _run(arguments: Sequence[str]) -> int:
    try:
        _dispatch(arguments)
    except HeadsideError as error:
        _explain(error)
        return _FAILED
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        _drop_output()
        _explain(_UNWRITTEN)
        return _FAILED
    except SystemExit as end:  # this is how typer ends, whatever the outcome
        return int(end.code or 0)
    return 0


def _drop_output() -> None:
    """Keeps Python from trying once more, as it ends, what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: Sequence[str]) -> None:
    from typer.main import get_command  # noqa: PLC0415

    chosen = arguments[0] if arguments else ""
    if chosen not in COMMANDS:
        from edge.commands.menu import build_menu  # noqa: PLC0415

        menu = build_menu({name: told for name, (_, told) in COMMANDS.items()})
        get_command(menu)(args=list(arguments), prog_name="headside")
        return
    module, _, name = COMMANDS[chosen][0].partition(":")
    command = get_command(getattr(importlib.import_module(module), name))
    command(args=list(arguments[1:]), prog_name=f"headside {chosen}")


def _explain(error: HeadsideError) -> None:
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    said = f"error: {error.message}".translate(_CONTROLS)
    console.print(said, style="bold red", markup=False)
    if error.hint:
        console.print(error.hint.translate(_CONTROLS), markup=False)


def _leave_at_once(code: int) -> NoReturn:
    """Ends the process without waiting for the threads that load models."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
