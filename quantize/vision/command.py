"""`headside quantize vision`: what is asked for, and how it is shown."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.disk import size_text
from quantize.artifact import PAGE, ArtifactReport, LostTooMuchError
from quantize.artifact_html import shown as figure
from quantize.stage_display import shown


def vision_command(  # noqa: PLR0913 - one parameter an option
    source: Annotated[
        str,
        typer.Argument(
            help="An .onnx file, a Hugging Face folder of an image classifier, or "
            "module:factory, which is run."
        ),
    ],
    *,
    calibration: Annotated[
        Path, typer.Option(help="A folder of photographs that show what it is for.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder that is not there yet.")
    ],
    evaluation: Annotated[
        Path | None,
        typer.Option("--eval", help="Other photographs, that it is judged on."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The state dict for module:factory.")
    ] = None,
    preprocess: Annotated[
        Path | None,
        typer.Option(help="A .toml that says how pictures are prepared."),
    ] = None,
    weight_bits: Annotated[
        int,
        typer.Option(
            help="7: the same on every processor. 8: a little better on ARM and on x86 "
            "with VNNI; other x86 processors overflow.",
            min=7,
            max=8,
        ),
    ] = 7,
    n_calibrating: Annotated[
        int, typer.Option("--n-calibration", help="Pictures cut for it.", min=8)
    ] = 96,
    n_judging: Annotated[
        int, typer.Option("--n-eval", help="Pictures cut for judging it.", min=8)
    ] = 600,
    is_whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Take photographs as they are, neither cut nor mirrored: for text, "
            "hands, or whatever has a left and a right.",
        ),
    ] = False,
    licence: Annotated[str, typer.Option(help="Of the source, to carry over.")] = "",
    guard_agreement: Annotated[
        float, typer.Option(help="Share of sure classes that must stay.", min=0, max=1)
    ] = 0.99,
    guard_sqnr: Annotated[
        float, typer.Option(help="Signal by noise, dB, where there are no classes.")
    ] = 20.0,
    guard_float: Annotated[
        float, typer.Option(help="Share of multiply-adds that may stay float.")
    ] = 0.1,
    threads: Annotated[int, typer.Option(help="How many work.", min=1, max=256)] = (
        os.cpu_count() or 1
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report for machines.")
    ] = False,
) -> None:
    """Make a vision model small (int8 ONNX), and measure what it lost.

    The folder OUT holds model.onnx, preprocess.toml, which the runtime uses, and the
    report (report.html). Photographs that calibrate never judge. Nothing is published
    that lost more than the guard allows: nodes stay float until it is kept.

    Examples:
      headside quantize vision net.onnx --calibration photos --preprocess p.toml -o out

      headside quantize vision nets:make --weights net.pth --calibration photos -o small

      headside look photo.jpg --model small
    """
    from quantize.vision.job import Guard, Request  # noqa: PLC0415
    from quantize.vision.vision import quantize_vision  # noqa: PLC0415

    request = Request(
        source=source,
        out=out,
        calibration=calibration,
        threads=threads,
        weights=weights,
        evaluation=evaluation,
        preprocess=preprocess,
        weight_bits=weight_bits,
        n_calibrating=n_calibrating,
        n_judging=n_judging,
        is_whole=is_whole,
        licence=licence,
        guard=Guard(
            agreement=guard_agreement, sqnr_db=guard_sqnr, float_share=guard_float
        ),
    )
    try:
        with shown() as stage:
            report = quantize_vision(request, stage)
    except LostTooMuchError as error:
        if as_json:
            typer.echo(json.dumps(asdict(error.report), indent=1))
        raise
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
        return
    _show(Console(highlight=False, soft_wrap=True), report, out)


def _show(console: Console, report: ArtifactReport, out: Path) -> None:
    before, after = size_text(report.source.n_bytes), size_text(report.out.n_bytes)
    console.print(f"{out / report.out.name}: {after} ({before} before).")
    console.print(f"{report.method}.")
    for one in report.findings:
        console.print(f"{one.name.replace('_', ' '):>14}  {figure(one)}  {one.told}")
    for timing in report.timings:
        console.print(
            f"{'time':>14}  {timing.ratio:.2f} of the source's on {timing.threads} "
            f"threads ({timing.median_ms:.1f} ms)"
        )
    for note in report.notes:
        console.print(note)
    console.print(f"The report is {out / PAGE}.")
    console.print(f"Try it: headside look PHOTO --model {out}")
