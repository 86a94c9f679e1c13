"""`headside run`: hear, act, answer; from a file, the microphone or typed words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from edge.audio import MAX_RATE_HZ, MIN_RATE_HZ, SAMPLE_RATE_HZ, AudioChunk
from edge.build import RuntimeOptions, build_runtime, open_microphone, open_sound
from edge.commands.events import error_line
from edge.commands.options import (
    AsJson,
    Asr,
    CharacterName,
    Device,
    Encoder,
    Language,
    Llm,
    PackName,
    Threads,
    Tiers,
    TraceFile,
    Vad,
)
from edge.commands.show import JsonShow, PageShow, Show
from edge.intent import Tier
from edge.pipeline import Runtime, Turn, TurnEvent
from edge.trace import NO_TRACE, Trace
from models.errors import HeadsideError
from models.pack_file import load_pack
from models.store import Store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What the player says: exactly one of these."""

    wav: Path | None
    microphone: bool
    text: str | None
    raw_rate_hz: int

    @property
    def n_given(self) -> int:
        """How many of them were given."""
        return sum((self.wav is not None, self.microphone, self.text is not None))


@app.command(
    epilog="Examples: headside run explorer --text 'go forward ten metres' | "
    "headside run barista --wav order.flac --json | headside run ./mypack --mic"
)
def run(  # noqa: PLR0913, PLR0917 - one parameter an option
    pack: PackName,
    wav: Annotated[
        Path | None,
        typer.Option(help="A WAV or FLAC file, or raw 16-bit mono PCM (.raw)."),
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Listen until Ctrl-C.")] = False,
    text: Annotated[str | None, typer.Option(help="Words, as if spoken.")] = None,
    raw_rate: Annotated[
        int,
        typer.Option(
            min=MIN_RATE_HZ,
            max=MAX_RATE_HZ,
            help="Sample rate of a .raw file, in Hz.",
        ),
    ] = SAMPLE_RATE_HZ,
    language: Language = "en",
    device: Device = "desktop",
    threads: Threads = None,
    tier: Tiers = None,
    character: CharacterName = None,
    vad: Vad = None,
    asr: Asr = None,
    llm: Llm = None,
    encoder: Encoder = None,
    trace: TraceFile = None,
    as_json: AsJson = False,
) -> None:
    """Hear a command, act on it, answer.

    Prints what was heard, the typed intents, the character's reply as it comes, and
    where the time went. Nothing is fetched and nothing is written to disk.
    """
    said = Input(wav=wav, microphone=mic, text=text, raw_rate_hz=raw_rate)
    if said.n_given != 1:
        raise typer.BadParameter("Give one of --wav FILE, --mic and --text WORDS.")
    options = RuntimeOptions(
        device=device,
        threads=threads,
        tiers=tuple(Tier(choice) for choice in tier) if tier else None,
        character=character,
        vad=vad,
        asr=asr,
        llm=llm,
        encoder=encoder,
    )
    traced = Trace(trace)
    if not as_json:
        _run((pack, language), said, options, None, traced)
        return
    show = JsonShow()
    try:
        _run((pack, language), said, options, show, traced)
    except HeadsideError as error:
        show.line(error_line(error))
        raise


def _run(
    asked: tuple[str, str],
    said: Input,
    options: RuntimeOptions,
    show: Show | None,
    trace: Trace,
) -> None:
    pack = load_pack(*asked)
    chunks = _open(said)
    runtime = build_runtime(pack, Store.default(), options)
    if show is None:
        who = runtime.conversation.character.name
        show = PageShow(Console(), character=who)
    try:
        if said.text is not None:
            turns = play(runtime.read(said.text, Event()), show, trace)
        elif said.microphone:
            turns = play_live(runtime, chunks, show, trace)
        else:
            turns = play_sound(runtime, chunks, show, trace)
            if not turns:
                show.silence(str(said.wav))
    finally:
        runtime.close()
        trace.close()
    show.summary(n_turns=len(turns), threads=runtime.threads)


def play_sound(
    runtime: Runtime,
    chunks: Iterable[AudioChunk],
    show: Show,
    trace: Trace = NO_TRACE,
) -> list[Turn]:
    """Returns the turns that a stream of sound held, showing each as it comes."""
    cancel = Event()
    turns: list[Turn] = []
    for utterance in runtime.listen(chunks):
        turns += play(runtime.hear(utterance, cancel), show, trace)
    return turns


def play_live(
    runtime: Runtime, chunks: Iterable[AudioChunk], show: Show, trace: Trace
) -> list[Turn]:
    """Returns the turns of a microphone, each begun before its pause was over."""
    turns: list[Turn] = []
    for heard in runtime.follow(chunks):
        begin_s = heard.utterance.start_s
        turns += play(runtime.answer(heard.transcript, begin_s, Event()), show, trace)
    return turns


def play(
    events: Iterable[TurnEvent], show: Show, trace: Trace = NO_TRACE
) -> list[Turn]:
    """Returns the turn whose events were shown; none where nothing was understood."""
    turns: list[Turn] = []
    began_s = time.perf_counter()
    for event in events:
        show.event(event)
        if isinstance(event, Turn):
            turns.append(event)
            for timing in event.timings:
                trace.add(timing.stage, began_s + timing.start_s, timing.seconds)
    return turns


def _open(said: Input) -> Iterable[AudioChunk]:
    """Returns the sound; a file is looked at before any model is loaded."""
    if said.wav is not None:
        return open_sound(said.wav, raw_rate_hz=said.raw_rate_hz)
    if said.microphone:
        return open_microphone()
    return ()
