"""`headside quantize encoder`: what is asked for, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.disk import size_text
from quantize.artifact import PAGE, ArtifactReport, LostTooMuchError, Way
from quantize.artifact_html import shown as figure
from quantize.stage_display import shown

_FORMATS = {
    "cosine": "{:.4f}",
    "cosine_low": "{:.4f}",
    "nearest_agreement": "{:.1%}",
    "nearest_agreement_clear": "{:.1%}",
    "batch_drift": "{:.1e}",
}
"""The figures of a way that are shown."""


def encoder_command(  # noqa: PLR0913 - one parameter an option
    source: Annotated[
        Path, typer.Argument(help="A Hugging Face folder of a sentence encoder.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder that is not there yet.")
    ],
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--eval", help="Sentences that it is judged on: a text, or .jsonl."
        ),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Sentences that it is calibrated with.")
    ] = None,
    pack: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose examples are compared with, and whose sentences are said; all "
            "that come with Headside if not said; may be given again."
        ),
    ] = None,
    guard_cosine: Annotated[
        float,
        typer.Option(help="Least mean cosine with the source.", min=0, max=1),
    ] = 0.99,
    guard_nearest: Annotated[
        float,
        typer.Option(
            help="Least share of sentences whose nearest example stays the same, of "
            "those for which it leads by 0.02 or more.",
            min=0,
            max=1,
        ),
    ] = 0.99,
    n_float: Annotated[
        int,
        typer.Option(
            "--float", help="Leave so many products in float in any case.", min=0
        ),
    ] = 0,
    threads: Annotated[
        int, typer.Option(help="How many work; times are of one and two.", min=1)
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report for machines.")
    ] = False,
) -> None:
    """Make a sentence encoder small, and measure what it lost.

    The folder OUT holds model.onnx, which gives a vector of length 1 for each sentence,
    its vocabulary, encoder.json and the report (report.html). Nothing is published that
    lost more than the guard allows. What was measured is kept, so that a run after a
    kill goes on from there.

    Examples:
      headside quantize encoder minilm -o minilm-small

      headside run explorer --tier semantic --encoder minilm-small --text "dance!"
    """
    from quantize.encoder.guard import Guard  # noqa: PLC0415 - takes long
    from quantize.encoder.making import Request, quantize_encoder  # noqa: PLC0415

    request = Request(
        source=source,
        out=out,
        packs=tuple(pack or ()),
        calibration=calibration,
        evaluation=evaluation,
        guard=Guard(cosine=guard_cosine, nearest=guard_nearest),
        n_float=n_float,
        threads=threads,
    )
    try:
        with shown() as stage:
            report = quantize_encoder(request, stage)
    except LostTooMuchError as error:
        if as_json:
            typer.echo(json.dumps(asdict(error.report), indent=1))
        raise
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
        return
    _show(Console(highlight=False, soft_wrap=True), report, out)


def _show(console: Console, report: ArtifactReport, out: Path) -> None:
    console.print(
        f"{out / 'model.onnx'}: {size_text(report.out.n_bytes)} "
        f"({size_text(report.source.n_bytes)} before), {report.method}."
    )
    for one in report.findings:
        console.print(f"{one.name.replace('_', ' ')}: {figure(one)}, {one.told}")
    for timing in report.timings:
        console.print(
            f"time, {timing.threads} threads: {timing.median_ms:.1f} ms a sentence, "
            f"{timing.ratio:.2f} of the source's"
        )
    table = Table("way", "size", *(name.replace("_", " ") for name in _FORMATS))
    for way in report.ways:
        table.add_row(*_row(way))
    console.print(table)
    for note in report.notes:
        console.print(note)
    console.print(f"The report is {out / PAGE}.")
    console.print(f"Try it: headside run explorer --tier semantic --encoder {out}")


def _row(way: Way) -> tuple[str, ...]:
    found = {one.name: one.value for one in way.findings}
    return (
        way.name,
        size_text(way.n_bytes),
        *(_FORMATS[name].format(found[name]) for name in _FORMATS),
    )
