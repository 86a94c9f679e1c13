"""The options that several commands have, each written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class TierChoice(StrEnum):
    """The recognisers a run can use."""

    GRAMMAR = "grammar"
    SEMANTIC = "semantic"
    LLM = "llm"


PackName = Annotated[str, typer.Argument(help="Name of a pack, or its folder.")]
Device = Annotated[
    str, typer.Option(help="Whose threads to use: desktop, quest3, quest2.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads, whatever the device says.")
]
Language = Annotated[str, typer.Option(help="Of what is said: one of the pack's.")]
Tiers = Annotated[
    list[TierChoice] | None,
    typer.Option(help="Who may recognise intents; repeat it for several."),
]
CharacterName = Annotated[
    str | None, typer.Option(help="Who answers; the pack's first if not said.")
]
Vad = Annotated[
    str | None, typer.Option(help="Model in the store, an .onnx file, or echo.")
]
Asr = Annotated[
    str | None, typer.Option(help="Model in the store, a Whisper folder, or echo.")
]
Llm = Annotated[
    str | None, typer.Option(help="Model in the store, a .gguf file, or echo.")
]
Encoder = Annotated[
    str | None,
    typer.Option(help="Sentence encoder in the store, its folder, or echo."),
]
TraceFile = Annotated[
    Path | None, typer.Option(help="Write a Perfetto/Chrome trace here.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON object a line, for machines.")
]
