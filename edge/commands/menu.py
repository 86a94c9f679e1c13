"""What `headside` says of itself: its commands and its version."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import typer


def build_menu(commands: Mapping[str, str]) -> typer.Typer:
    """Returns the list of commands, for help and for messages about a wrong one.

    Args:
        commands: What each command does, by its name.
    """
    menu = typer.Typer(add_completion=False, no_args_is_help=True)
    menu.callback(
        epilog="Begin with `headside demo`. Every command explains itself with --help.",
    )(_describe)
    for name, summary in commands.items():
        menu.command(name, help=summary)(_nothing)
    return menu


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headside {version('headside')}")
        raise typer.Exit


def _describe(
    show_version: bool = typer.Option(
        False,
        "--version",
        help="Say the version.",
        callback=_say_version,
        is_eager=True,
    ),
) -> None:
    """Headside: hear the player, act in the scene, answer in character; offline."""
    del show_version


def _nothing() -> None:
    """Stands for a command that was not chosen."""
