"""The command `headside quantize`: each command is a projection of one function."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.disk import size_text
from models.plain import CONTROLS
from quantize.asr.command import asr_command
from quantize.asr.inspection import is_ctranslate2, show_whisper
from quantize.compare_command import compare_command
from quantize.encoder.command import encoder_command
from quantize.gguf import Header, load_header
from quantize.inspection import (
    FAST_ON_ARM,
    K_BLOCK,
    ImatrixInspection,
    Inspection,
    as_row,
    inspect,
    inspect_imatrix,
)
from quantize.llm_command import llm_command
from quantize.vision.command import vision_command

app = typer.Typer(
    help="Make fine-tuned models small, and see what that cost.",
    no_args_is_help=True,
    add_completion=False,
)
_MAX_TEMPLATE = 300
"""Characters that are shown."""


app.command("llm")(llm_command)
app.command("vision")(vision_command)
app.command("asr")(asr_command)
app.command("encoder")(encoder_command)
app.command("compare")(compare_command)


@app.command("inspect")
def inspect_command(
    file: Annotated[
        Path, typer.Argument(help="A .gguf or .onnx file, or a Whisper folder.")
    ],
    *,
    tensors: Annotated[
        bool, typer.Option("--tensors", help="Every tensor, too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for machines.")
    ] = False,
) -> None:
    """Say what a model file is: types, bits per weight, template, tokeniser.

    Of an importance matrix: how much was read, and of what. Of ONNX: what goes in and
    comes out, its operators, and how much of it is int8. Of a .gguf only the header is
    read, and believed only where it agrees with the file's size. No model is loaded.

    Example: headside quantize inspect model.gguf
    """
    if file.suffix.lower() == ".onnx":
        _inspect_onnx(file, as_json=as_json)
        return
    if is_ctranslate2(file):
        show_whisper(file, as_json=as_json)
        return
    header = load_header(file)
    importance = inspect_imatrix(header)
    if importance is not None:
        _show_imatrix(importance, as_json=as_json)
        return
    found = inspect(header)
    if as_json:
        row = as_row(found)
        if tensors:
            row["tensors"] = [
                {
                    "name": tensor.name,
                    "shape": tensor.shape,
                    "type": tensor.type.name,
                    "n_bytes": tensor.n_bytes,
                }
                for tensor in header.tensors
            ]
        typer.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    _show(console, found)
    if tensors:
        _show_tensors(console, header)


def _inspect_onnx(file: Path, *, as_json: bool) -> None:
    # Here, since it takes long to import.
    from quantize.onnx_inspection import inspect_onnx  # noqa: PLC0415
    from quantize.onnx_inspection_show import show_onnx  # noqa: PLC0415

    found = inspect_onnx(file)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    show_onnx(Console(highlight=False, soft_wrap=True), found, _row)


def _show_imatrix(found: ImatrixInspection, *, as_json: bool) -> None:
    if as_json:
        row = {"general_type": "imatrix", **asdict(found)}
        typer.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    _row(console, "file", "an importance matrix: how much each column is used")
    _row(console, "tensors", str(found.n_weights))
    _row(
        console,
        "read",
        f"{found.n_chunks} texts of {found.chunk_tokens} tokens at most",
    )
    _row(console, "of", ", ".join(found.datasets) or "what the file does not say")


def _row(console: Console, label: str, text: str) -> None:
    line = Text(f"{label:>11}  ", style="dim")
    line.append(text.translate(CONTROLS), style="not dim")
    console.print(line)


def _show(console: Console, found: Inspection) -> None:
    def row(label: str, text: str) -> None:
        _row(console, label, text)

    row("model", found.name or "without a name")
    row("made as", f"{found.architecture or 'unknown'}, {_built(found)}")
    row("licence", found.licence or "the file says none")
    state = "quantized" if found.is_quantized else "not quantized"
    row(
        "size",
        f"{size_text(found.n_bytes)}, {found.n_weights / 1e6:,.1f} million weights, "
        f"{found.bits_per_weight:.2f} bits each: {state}",
    )
    row("output", "a matrix of its own" if found.has_own_head else "the embedding")
    if found.n_off_k_block:
        row(
            "rows",
            f"{found.n_off_k_block} of {found.n_matrices} matrices have rows that "
            f"{K_BLOCK} does not divide: no K-type fits those",
        )
    row(
        "on ARM",
        f"{found.fast_on_arm:.0%} of the multiply-adds have fast kernels "
        f"({', '.join(sorted(FAST_ON_ARM))})",
    )
    row("tokeniser", _tokeniser(found))
    for special in found.specials:
        row("", f"{special.number} {special.text!r} {special.use}")
    row("template", found.template_family or "none: the model cannot be talked to")
    if found.template:
        shown = found.template[:_MAX_TEMPLATE]
        row("", shown + "…" * (len(found.template) > len(shown)))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("type")
    for title in ("tensors", "weights", "size", "bits"):
        table.add_column(title, justify="right")
    for share in found.types:
        table.add_row(
            share.name,
            str(share.n_tensors),
            f"{share.n_weights / max(1, found.n_weights):.1%}",
            size_text(share.n_bytes),
            f"{share.bits:.2f}",
        )
    console.print()
    console.print(table)


def _built(found: Inspection) -> str:
    parts = [
        f"{found.n_layers} layers" if found.n_layers else "",
        f"{found.width} wide" if found.width else "",
        f"{found.n_context:,} tokens of context" if found.n_context else "",
    ]
    return ", ".join(filter(None, parts)) or "which says nothing more"


def _tokeniser(found: Inspection) -> str:
    if not found.tokeniser:
        return "none"
    pre = f", split as {found.pre_tokeniser}" if found.pre_tokeniser else ""
    return f"{found.tokeniser}, {found.n_tokens:,} tokens{pre}"


def _show_tensors(console: Console, header: Header) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("tensor", "type"):
        table.add_column(title)
    for title in ("shape", "size"):
        table.add_column(title, justify="right")
    for tensor in header.tensors:
        table.add_row(
            Text(tensor.name.translate(CONTROLS)),
            tensor.type.name,
            " x ".join(map(str, tensor.shape)),
            size_text(tensor.n_bytes),
        )
    console.print()
    console.print(table)
