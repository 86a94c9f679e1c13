"""`headside quantize llm`: what is asked for, and how it is shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.disk import size_text
from quantize.assignment import PRESETS
from quantize.errors import QuantizeError
from quantize.job import GOALS, MODEL, PAGE, Request
from quantize.llm import quantize_llm
from quantize.refusal import LostTooMuchError
from quantize.report import Method, Report
from quantize.stage_display import shown

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20}
_UNITS |= {"gi": 1 << 30}
_ADAPTER, _ALL = "adapter", "all"
_USUAL_GOAL = "size"
_USUAL_BITS = 5.0
"""Per weight, where nothing is asked for."""


def llm_command(  # noqa: PLR0913 - one parameter an option
    source: Annotated[
        Path, typer.Argument(help="A Hugging Face folder, or a .gguf file.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder that is not there yet.")
    ],
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="A PEFT LoRA folder to merge first; may be given again."),
    ] = None,
    preset: Annotated[
        str, typer.Option(help=f"llama.cpp's own rule: {', '.join(PRESETS)}.")
    ] = "",
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe.toml of an earlier run.")
    ] = None,
    imatrix: Annotated[
        Path | None, typer.Option(help="An importance matrix that is there already.")
    ] = None,
    uses_imatrix: Annotated[
        bool,
        typer.Option(" /--no-imatrix", help="Whether columns weigh by their use."),
    ] = True,
    is_mended: Annotated[
        bool,
        typer.Option(
            "--mend/--no-mend",
            help="Whether later columns make up for what earlier ones lose.",
        ),
    ] = True,
    budget: Annotated[
        str, typer.Option(help="Size of the file: 95MB, 90MiB, 98000000.")
    ] = "",
    bpw: Annotated[
        float, typer.Option(help="Bits per weight, instead of a size.", min=0, max=16)
    ] = 0.0,
    goal: Annotated[
        str,
        typer.Option(
            "--for",
            help="size: bytes alone count. balanced: the time of products on this "
            "machine as well. speed: time above all, in types that are fast on ARM.",
        ),
    ] = _USUAL_GOAL,
    words: Annotated[
        int,
        typer.Option(
            help="Keep so many words of the vocabulary, such as 16000: those of the "
            "texts, then the most frequent. All can still be spelled, in pieces.",
            min=0,
        ),
    ] = 0,
    prune_layers: Annotated[
        int, typer.Option(help="Leave so many layers out: those needed least.", min=0)
    ] = 0,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(help="Text or .jsonl that shows what the model is used for."),
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="Text that it is judged on, and nothing else."),
    ] = None,
    task: Annotated[
        Path | None,
        typer.Option(
            help="Lines of text, as for `headside eval`: in the runtime it has to do "
            "what its source does."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="A headset whose memory it has to fit: quest3.")
    ] = "",
    pack: Annotated[
        str,
        typer.Option(help="Of the task; its dialogues calibrate, without a file."),
    ] = "explorer",
    compared: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            help="A preset to measure beside it, or all of them; adapter: the same "
            "types, with the adapter left beside the base.",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(help="How many work.", min=1, max=256)
    ] = os.cpu_count() or 1,
    guard_kl: Annotated[
        float | None, typer.Option(help="Mean divergence that is allowed, nats.")
    ] = None,
    guard_same_top: Annotated[
        float | None, typer.Option(help="Share of tokens that must stay the same.")
    ] = None,
    guard_actions: Annotated[
        float | None, typer.Option(help="Share of actions that must stay the same.")
    ] = None,
    quantized_source: Annotated[
        bool, typer.Option("--quantized-source", help="Allow what has lost already.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report for machines.")
    ] = False,
) -> None:
    """Make a fine-tuned language model small, and measure what it lost.

    The folder OUT holds model.gguf, its recipe, its importance matrix and the report
    (report.html). Nothing is published that lost more than the guard allows. What was
    measured is kept: another budget, or a run after a kill, goes on from there.

    Examples:
      headside quantize llm my-model -o small --budget 95MB --compare q4_k_m

      headside quantize llm base --adapter wren-lora -o wren --bpw 4.8

      headside run --llm small/model.gguf
    """
    _require_one({"preset": preset, "recipe": recipe, "budget": budget, "bpw": bpw})
    if goal != _USUAL_GOAL:
        _require_one({"preset": preset, "recipe": recipe, "for": goal})
    request = Request(
        source=source,
        out=out,
        threads=threads,
        adapters=tuple(adapter or ()),
        preset=_preset(preset),
        recipe=recipe,
        imatrix=imatrix,
        uses_imatrix=uses_imatrix,
        is_mended=is_mended,
        budget_bytes=_bytes(budget),
        bits_per_weight=bpw or _USUAL_BITS,
        goal=_goal(goal),
        n_words=words,
        n_pruned=prune_layers,
        calibration=tuple(calibration or ()),
        evaluation=tuple(evaluation or ()),
        pack=pack,
        compared=_presets(compared or ()),
        compares_adapter=_ADAPTER in (compared or ()),
        allows_quantized=quantized_source,
        guard_kl=guard_kl,
        guard_same_top=guard_same_top,
        guard_actions=guard_actions,
        task=task,
        device=device,
    )
    try:
        with shown() as stage:
            report = quantize_llm(request, stage)
    except LostTooMuchError as error:
        if as_json:
            typer.echo(json.dumps(asdict(error.report), indent=1))
        raise
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
        return
    _show(Console(highlight=False, soft_wrap=True), report, out)


def table_of(methods: Sequence[Method]) -> Table:
    """Returns what each model lost, for people."""
    table = Table("", "size", "divergence", "95 % of it", "same word", "perplexity")
    for method in methods:
        table.add_row(*_row(method))
    return table


def _show(console: Console, report: Report, out: Path) -> None:
    before, after = report.source.n_bytes, report.out.n_bytes
    console.print(
        f"{out / MODEL}: {size_text(after)}, {report.out.bits_per_weight} bits per "
        f"weight ({size_text(before)} before)."
    )
    console.print(table_of(report.methods))
    for note in report.notes:
        console.print(note)
    console.print(f"The report is {out / PAGE}.")
    console.print(f"Try it: headside run --llm {out / MODEL}")


def _row(method: Method) -> tuple[str, ...]:
    found = method.summary
    return (
        method.name,
        size_text(method.n_bytes),
        f"{found.kl_mean.mean:.4f}",
        f"{found.kl_mean.low:.4f} to {found.kl_mean.high:.4f}",
        f"{found.same_top.mean:.1%}",
        f"x {found.perplexity_ratio.mean:.3f}",
    )


def _preset(name: str) -> str:
    if name and name.lower() not in PRESETS:
        raise QuantizeError(
            "unknown_preset",
            f'llama.cpp has no preset "{name}".',
            f"There are {', '.join(PRESETS)}.",
        )
    return name.lower()


def _presets(names: Sequence[str]) -> tuple[str, ...]:
    if _ALL in names:
        return tuple(PRESETS)
    return tuple(_preset(name) for name in names if name != _ADAPTER)


def _require_one(options: Mapping[str, object]) -> None:
    """Refuses what says twice how the type of a tensor is chosen."""
    given = [f"--{name}" for name, value in options.items() if value]
    if len(given) > 1:
        raise QuantizeError(
            "options_conflict",
            f"{' and '.join(given)} both say how types are chosen.",
            "Give one of them.",
        )


def _goal(name: str) -> str:
    if name not in GOALS:
        raise QuantizeError(
            "unknown_goal", f'--for is "{name}".', f"It is one of {', '.join(GOALS)}."
        )
    return name


def _bytes(text: str) -> int:
    """Returns a size that a person wrote; 0 where none is."""
    if not text:
        return 0
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(|k|m|g|ki|mi|gi)b?", text.lower())
    if found is None:
        raise QuantizeError(
            "unknown_size", f'"{text}" is no size.', "Write 95MB or 98000000."
        )
    n_bytes = int(float(found[1]) * _UNITS[found[2]])
    if not n_bytes:
        raise QuantizeError(
            "unknown_size", "A file of no bytes holds nothing.", "Write 95MB."
        )
    return n_bytes
