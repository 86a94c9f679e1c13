"""`headside quantize compare`: two models beside the one that both came from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.disk import size_text
from models.encoder_file import ENCODER_FILE
from models.preprocessing import FILE
from quantize.artifact import Way
from quantize.artifact_html import shown as figure
from quantize.asr.inspection import is_ctranslate2
from quantize.errors import QuantizeError
from quantize.llm import compared
from quantize.llm_command import table_of
from quantize.stage import Stage
from quantize.stage_display import shown

_ONNX, _GGUF = ".onnx", ".gguf"
_COMPARED = "Name a .gguf or .onnx file, or a folder that headside quantize made."


class Kind(StrEnum):
    """What a model is for."""

    LLM = "language"
    VISION = "vision"
    ENCODER = "sentence"
    ASR = "speech"


def kind_of(path: Path) -> Kind:
    """Returns what a model is for, as its files tell.

    Raises:
        QuantizeError: ``model_unknown``.
    """
    if not path.exists():
        raise QuantizeError("model_unknown", f"There is no {path}.", _COMPARED)
    if path.is_dir():
        if is_ctranslate2(path):
            return Kind.ASR
        if (path / ENCODER_FILE).is_file():
            return Kind.ENCODER
        if (path / FILE).is_file():
            return Kind.VISION
    elif path.suffix.lower() == _ONNX:
        return Kind.VISION
    elif path.suffix.lower() == _GGUF:
        return Kind.LLM
    told = f"{path} is no model that can be compared."
    raise QuantizeError("model_unknown", told, _COMPARED)


def compare_command(  # noqa: PLR0913 - one parameter an option
    first: Annotated[
        Path, typer.Argument(help="A .gguf or .onnx file, or a folder that was made.")
    ],
    second: Annotated[Path, typer.Argument(help="Another of the same model.")],
    *,
    reference: Annotated[Path, typer.Option(help="What both came from, in float.")],
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            "--eval",
            help="What they are judged on: texts, a folder of photographs or of "
            "recordings, or sentences, one a line.",
        ),
    ] = None,
    pack: Annotated[
        str, typer.Option(help="Whose dialogues, for language models without --eval.")
    ] = "explorer",
    preprocess: Annotated[
        Path | None,
        typer.Option(help="How pictures are prepared, where no folder says it."),
    ] = None,
    n_judging: Annotated[
        int, typer.Option("--n-eval", help="Pictures that are cut.", min=1)
    ] = 600,
    language: Annotated[str, typer.Option(help="Of what is said.")] = "en",
    threads: Annotated[int, typer.Option(help="How many work.", min=1, max=256)] = (
        os.cpu_count() or 1
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for machines.")
    ] = False,
) -> None:
    """Say how far two models are from the one that both came from.

    Language, vision, sentence and speech models; both of the same kind. Nothing is
    judged: figures stand side by side.

    Examples:
      headside quantize compare q4.gguf small/model.gguf --reference f16.gguf

      headside quantize compare small plain.onnx --reference net.onnx --eval photos

      headside quantize compare small-asr other-asr --reference whisper-base
    """
    kind = kind_of(first)
    if kind_of(second) is not kind:
        raise QuantizeError(
            "models_differ",
            f"{first} is a {kind} model, and {second} a {kind_of(second)} model.",
            "Compare two that were made from the same one.",
        )
    models = {str(path): path for path in (first, second)}
    with shown() as stage:
        stage.begin("comparing")
        if kind is Kind.LLM:
            methods = compared(
                reference,
                models,
                pack=pack,
                evaluation=evaluation or (),
                threads=threads,
                tell=stage.tell,
            )
            rows, table = [asdict(one) for one in methods], table_of(methods)
        else:
            ways = _ways(
                kind,
                reference,
                models,
                evaluation=_one(evaluation or ()),
                preprocess=preprocess,
                n_judging=n_judging,
                language=language,
                threads=threads,
                stage=stage,
            )
            rows, table = [asdict(one) for one in ways], _table(ways)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    Console(highlight=False, soft_wrap=True).print(table)


def _ways(  # noqa: PLR0913 - what each kind needs
    kind: Kind,
    reference: Path,
    models: Mapping[str, Path],
    *,
    evaluation: Path | None,
    preprocess: Path | None,
    n_judging: int,
    language: str,
    threads: int,
    stage: Stage,
) -> list[Way]:
    """Returns what each model lost; imports what that kind needs alone."""
    if kind is Kind.VISION:
        from models.preprocessing import load_preprocessing  # noqa: PLC0415
        from quantize.vision import beside as vision  # noqa: PLC0415
        from quantize.vision.photographs import (  # noqa: PLC0415
            crops,
            load_photographs,
        )

        if evaluation is None:
            raise QuantizeError(
                "pictures_missing",
                "Vision models are compared on photographs, and none are named.",
                "Name a folder of them with --eval.",
            )
        how = (
            load_preprocessing(preprocess)
            if preprocess is not None
            else vision.shared_preprocessing([reference, *models.values()])
        )
        some = crops(load_photographs(evaluation), how, n_judging, seed=0)
        return vision.compared(
            reference, models, some, how, threads=threads, tell=stage.tell
        )
    if kind is Kind.ENCODER:
        from quantize.encoder import beside as encoder  # noqa: PLC0415

        return encoder.compared(
            reference, models, evaluation=evaluation, threads=threads, tell=stage.tell
        )
    from quantize.asr import beside as asr  # noqa: PLC0415

    return asr.compared(
        reference,
        models,
        evaluation=evaluation,
        language=language,
        threads=threads,
        tell=stage.tell,
    )


def _one(paths: Sequence[Path]) -> Path | None:
    if len(paths) > 1:
        raise QuantizeError(
            "options_conflict",
            f"--eval is given {len(paths)} times.",
            "Only texts for language models may be several; put all into one folder.",
        )
    return paths[0] if paths else None


def _table(ways: Sequence[Way]) -> Table:
    """Returns a row for each figure, a column for each model."""
    table = Table("", *(way.name for way in ways))
    table.add_row("size", *(size_text(way.n_bytes) for way in ways))
    by_name = [{one.name: one for one in way.findings} for way in ways]
    for name in dict.fromkeys(one for found in by_name for one in found):
        cells = [figure(found[name]) if name in found else "" for found in by_name]
        table.add_row(name.replace("_", " "), *cells)
    return table
