"""`headside doctor`: what works here and what is missing."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from edge.doctor import Finding, Verdict, examine
from models.errors import HeadsideError
from models.store import Store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_STYLES = {Verdict.OK: "green", Verdict.MISSING: "yellow", Verdict.BROKEN: "bold red"}


class DoctorError(HeadsideError):
    """The chain cannot run on this machine as it is."""


@app.command()
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON array, for machines.")
    ] = False,
) -> None:
    """Say what works here, what is missing, and what to do about it.

    Looks at the engines and the processor features they use, the default models,
    memory, disk and microphone. The exit code is 1 where the chain cannot run.
    """
    findings: list[Finding] = []
    console = Console(highlight=False, soft_wrap=True)
    for finding in examine(Store.default()):
        findings.append(finding)
        if not as_json:
            _show(console, finding)
    if as_json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        typer.echo(json.dumps(rows, indent=2))
    broken = [f.detail for f in findings if f.verdict is Verdict.BROKEN]
    if broken:
        raise DoctorError(
            "not_ready",
            f"The chain cannot run here: {'; '.join(broken)}.",
            "Do what is advised above.",
        )


def _show(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.verdict.value:>8}  ", style=_STYLES[finding.verdict])
    line.append(f"{finding.subject:<22}", style="bold")
    line.append(finding.detail, style="default")
    console.print(line)
    if finding.advice:
        console.print(f"{'':>10}{'':<22}{finding.advice}", style="dim", markup=False)
