"""The command `headside`: a table of commands, each imported when it is chosen."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version

import typer
from rich.console import Console

from models.errors import HeadsideError

COMMANDS = {
    "run": ("edge.commands.run:app", "Hear a command, act on it, answer."),
    "demo": ("edge.commands.demo:app", "Run the chain on recordings of real speech."),
    "doctor": ("edge.commands.doctor:app", "Say what works here and what is missing."),
    "pack": ("edge.commands.pack:app", "Check and list experience packs."),
    "models": ("models.cli:app", "Fetch, check and remove models."),
}
"""Name of a command, where it lives as `module:app`, and what it does."""

_FAILED = 1
_INTERRUPTED = 130


def main() -> None:
    """Runs the command line.

    Exit codes: 0, 1 for errors of ours, 2 for wrong usage, 130 where interrupted.
    """
    try:
        _dispatch(sys.argv[1:])
    except HeadsideError as error:
        _explain(error)
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _dispatch(arguments: Sequence[str]) -> None:
    chosen = arguments[0] if arguments else ""
    if chosen not in COMMANDS:
        typer.main.get_command(_menu())(args=list(arguments), prog_name="headside")
        return
    module, _, name = COMMANDS[chosen][0].partition(":")
    app = getattr(importlib.import_module(module), name)
    command = typer.main.get_command(app)
    command(args=list(arguments[1:]), prog_name=f"headside {chosen}")


def _menu() -> typer.Typer:
    """Returns the list of commands, for help and for messages about a wrong one."""
    menu = typer.Typer(add_completion=False, no_args_is_help=True)
    menu.callback(
        epilog="Begin with `headside demo`. Every command explains itself with --help.",
    )(_describe)
    for name, (_, summary) in COMMANDS.items():
        menu.command(name, help=summary)(_nothing)
    return menu


def _describe(
    show_version: bool = typer.Option(False, "--version", help="Say the version."),
) -> None:
    """Headside: hear the player, act in the scene, answer in character; offline."""
    if show_version:
        typer.echo(f"headside {version('headside')}")
        raise typer.Exit


def _nothing() -> None:
    """Stands for a command that was not chosen."""


def _explain(error: HeadsideError) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"error: {error.message}", style="bold red", markup=False)
    if error.hint:
        console.print(error.hint, markup=False)


if __name__ == "__main__":
    main()
