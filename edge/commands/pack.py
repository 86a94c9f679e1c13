"""`headside pack`: check packs and list those that come with Headside."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from edge.evaluation.dialogues import dialogues
from edge.pack_check import PackReport, check_pack
from models.pack_file import load_pack, pack_names
from models.store import Store

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Check and list experience packs.",
)

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


@app.command()
def check(
    pack: Annotated[str, typer.Argument(help="Name of a pack, or its folder.")],
    as_json: AsJson = False,
) -> None:
    """Explain every mistake in a pack and run its tests.

    Every mistake is shown with its file and line. The exit code is 1 where there are
    mistakes; warnings alone leave it at 0.
    """
    # A pack may do without a model: `echo` stands for none.
    report = check_pack(pack, models=("echo", *Store.default().names()))
    if as_json:
        typer.echo(json.dumps(_as_row(report), indent=2))
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(1)


@app.command("list")
def list_packs(as_json: AsJson = False) -> None:
    """List the packs that come with Headside."""
    packs = [load_pack(name) for name in pack_names()]
    if as_json:
        rows = [
            {"name": pack.name, "title": pack.title, "n_intents": len(pack.intents)}
            for pack in packs
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for pack in packs:
        line = Text(f"{pack.name:<12}", style="bold")
        line.append(
            f"{pack.title}, {_count(len(pack.intents), 'intent')}", style="not bold"
        )
        console.print(line)


@app.command("dialogues")
def dialogues_command(
    pack: Annotated[str, typer.Argument(help="Name of a pack, or its folder.")],
) -> None:
    """Print what the language model is told of a pack's own sentences, as JSON.

    One conversation a line, for each intent: the prompt as the runtime writes it, and
    the answers that are right. It is what `headside quantize llm` calibrates with, and
    can be read by anything that trains on chat messages:

      headside pack dialogues explorer > explorer.jsonl
    """
    for dialogue in dialogues(load_pack(pack)):
        messages = [
            {"role": message.role.value, "content": message.text}
            for message in dialogue.messages
        ]
        row = {"intent": dialogue.intent, "messages": messages}
        typer.echo(json.dumps(row, ensure_ascii=False))


def _as_row(report: PackReport) -> dict[str, object]:
    return {
        "pack": report.pack,
        "ok": report.ok,
        "n_intents": report.n_intents,
        "n_templates": report.n_templates,
        "n_tests": report.n_tests,
        "n_never": report.n_never,
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
    }


def _show(report: PackReport) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for problem in report.problems:
        kind, style = ("warning", "yellow") if problem.is_warning else ("error", "red")
        line = Text(f"{problem.file}:{problem.line}: ", style="bold")
        line.append(f"{kind}: ", style=style)
        line.append(problem.message, style="not bold")
        console.print(line)
        if problem.hint:
            console.print(Text(f"    {problem.hint}"))
    n_errors = sum(not problem.is_warning for problem in report.problems)
    if n_errors:
        console.print(
            Text(f"{report.pack}: {_count(n_errors, 'mistake')}.", "bold red")
        )
        return
    console.print(
        Text(
            f"{report.pack}: {_count(report.n_intents, 'intent')}, "
            f"{_count(report.n_templates, 'template')}, "
            f"{_count(report.n_tests, 'test')} and {report.n_never} never: all good.",
            "bold green",
        )
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
