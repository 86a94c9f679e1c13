"""`headside quantize asr`: what is asked for, and how it is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.disk import size_text
from quantize.artifact import PAGE, ArtifactReport, LostTooMuchError
from quantize.artifact_html import shown as figure
from quantize.asr.job import Request
from quantize.asr.quantizing import quantize_asr
from quantize.stage_display import shown

_WER, _SHIFT_MS = 0.003, 40.0


def asr_command(  # noqa: PLR0913 - one parameter an option
    source: Annotated[
        Path,
        typer.Argument(help="A Whisper folder: CTranslate2's, or Hugging Face's."),
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder that is not there yet.")
    ],
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--eval",
            help="A folder of recordings that it is judged on: WAV, FLAC, or raw "
            "16-bit mono at 16 kHz. Those of the store otherwise.",
        ),
    ] = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="A PEFT LoRA folder to merge first; may be given again."),
    ] = None,
    guard_wer: Annotated[
        float,
        typer.Option(help="Errors that are allowed, by word that the source hears."),
    ] = _WER,
    guard_shift_ms: Annotated[
        float,
        typer.Option(help="How far the beginnings of 95 % of the words may move."),
    ] = _SHIFT_MS,
    language: Annotated[
        str, typer.Option(help="Of what is said in the recordings.")
    ] = "en",
    threads: Annotated[
        int, typer.Option(help="How many work.", min=1, max=256)
    ] = os.cpu_count() or 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report for machines.")
    ] = False,
) -> None:
    """Make a Whisper model small, and measure what it hears otherwise.

    The folder OUT holds the model in CTranslate2's format with weights of eight bits,
    and the report (report.html). Nothing is published that lost more than the guard
    allows. What was heard is kept: a run after a kill goes on from there.

    Examples:
      headside quantize asr my-whisper -o small-asr --eval recordings

      headside quantize asr base --adapter wren-lora -o wren-asr

      headside run --asr small-asr
    """
    request = Request(
        source=source,
        out=out,
        threads=threads,
        adapters=tuple(adapter or ()),
        evaluation=evaluation,
        language=language,
        guard_wer=guard_wer,
        guard_shift_ms=guard_shift_ms,
    )
    try:
        with shown() as stage:
            report = quantize_asr(request, stage)
    except LostTooMuchError as error:
        if as_json:
            typer.echo(json.dumps(asdict(error.report), indent=1))
        raise
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
        return
    _show(Console(highlight=False, soft_wrap=True), report, out)


def _show(console: Console, report: ArtifactReport, out: Path) -> None:
    before, after = report.source.n_bytes, report.out.n_bytes
    console.print(f"{out}: {size_text(after)} ({size_text(before)} before).")
    console.print(_table(report))
    for one in report.findings:
        name = one.name.replace("_", " ")
        console.print(f"{name}: {figure(one)}. {one.told}")
    for note in report.notes:
        console.print(note)
    console.print(f"The report is {out / PAGE}.")
    console.print(f"Try it: headside run --asr {out}")


def _table(report: ArtifactReport) -> Table:
    names = [one.name for one in report.ways[0].findings]
    table = Table("", "size", *(name.replace("_", " ") for name in names))
    for way in report.ways:
        cells: Sequence[str] = [figure(one) for one in way.findings]
        table.add_row(way.name, size_text(way.n_bytes), *cells)
    return table
