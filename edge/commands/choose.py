"""`headside intent choose`: what a language model alone chooses to do, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.build import RuntimeOptions, build_runtime
from edge.commands.events import error_line
from edge.commands.options import Device, Language, Threads
from edge.engines import ECHO
from edge.evaluation.choices import Choice, Chose, choose
from edge.evaluation.items import Cases, EvalError, TextItem
from edge.evaluation.labels import check_labels
from edge.evaluation.reading import read_cases
from edge.intent import Tier
from models.errors import HeadsideError
from models.pack_file import load_pack
from models.store import Store


class KvBits(StrEnum):
    """Bits of each number that a model keeps of what it read."""

    SIXTEEN = "16"
    EIGHT = "8"


def choose_command(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl", help="Lines of text, as for `headside eval`."
        ),
    ],
    llm: Annotated[str, typer.Option(help="Model in the store, or a .gguf file.")],
    pack: Annotated[
        str, typer.Option(help="Name of a pack, or its folder.")
    ] = "explorer",
    along: Annotated[
        Path | None,
        typer.Option(
            help="What another model printed for the same lines: this one is led the "
            "same way, too, and says how it would have weighed each choice."
        ),
    ] = None,
    kv_bits: Annotated[
        KvBits | None,
        typer.Option(help="Of each number that is kept; the device's otherwise."),
    ] = None,
    language: Language = "en",
    device: Device = "desktop",
    threads: Threads = None,
) -> None:
    """Print what the language model alone chooses to do, one JSON object a line.

    No other tier is asked, nothing was said before, and no reply is written. With every
    line come the choices on the way: which tokens the constraint allowed, and how
    likely each was. It is how `headside quantize llm --task` compares two models.
    """
    try:
        cases = read_cases(source)
        if cases.is_sound:
            raise EvalError("eval_input", f"{source} holds no text.", "")
        known = _ways(along)
        for row in _rows(
            cases,
            RuntimeOptions(
                device=device,
                threads=threads,
                kv_bits=int(kv_bits) if kv_bits else None,
                tiers=(Tier.LLM,),
                vad=ECHO,
                asr=ECHO,
                llm=llm,
            ),
            pack,
            language,
            known,
        ):
            typer.echo(json.dumps(row, ensure_ascii=False))
    except HeadsideError as error:
        typer.echo(error_line(error))
        raise


def _rows(
    cases: Cases,
    options: RuntimeOptions,
    pack_name: str,
    language: str,
    ways: Mapping[str, Sequence[Choice]] | None,
) -> Iterator[dict[str, Any]]:
    pack = load_pack(pack_name, language)
    check_labels(cases, pack)
    runtime = build_runtime(pack, Store.default(), options)
    try:
        for case in cases.cases:
            if not isinstance(case.item, TextItem):
                continue
            way = None
            if ways is not None:
                way = ways.get(case.item.id)
                if way is None:
                    raise EvalError(
                        "eval_input",
                        f"--along has no line {case.item.id!r}.",
                        "Give what was printed for the same file.",
                    )
            yield _row(case.item.id, choose(runtime, case, case.item, way))
    finally:
        runtime.close()


def _row(name: str, chose: Chose) -> dict[str, Any]:
    return {
        "id": name,
        "intents": [asdict(said) for said in chose.answer.intents],
        "is_right": chose.is_right,
        "is_whole": chose.is_whole,
        "choices": [
            [choice.token, choice.tokens, choice.log_p] for choice in chose.choices
        ],
    }


def _ways(path: Path | None) -> dict[str, list[Choice]] | None:
    if path is None:
        return None
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return {
            row["id"]: [
                Choice(token=int(token), tokens=tuple(tokens), log_p=tuple(log_p))
                for token, tokens, log_p in row["choices"]
            ]
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvalError(
            "eval_input",
            f"{path} is not what this command prints: {error}.",
            "Run it with the other model first.",
        ) from error
