"""`headside intent`: why something was understood as it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.asr import Transcript, recognise
from edge.build import RuntimeOptions, build_runtime, open_sound
from edge.commands.choose import choose_command
from edge.commands.events import error_line
from edge.commands.options import Language, TierChoice
from edge.engines import ECHO
from edge.explanation import Explained, explain, template_of
from edge.intent import Intent, Tier
from edge.lexicon import build_lexicon
from edge.pipeline import Runtime
from edge.scene import Scene
from edge.tiers import Understood
from models.errors import HeadsideError
from models.pack import PackError
from models.pack_file import load_pack
from models.pack_table import nearest
from models.plain import CONTROLS
from models.store import Store

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="See why something was understood as it was.",
)
app.command("choose")(choose_command)
_N_SHOWN = 5


@app.command("explain")
def explain_command(  # noqa: PLR0913, PLR0917 - one parameter an option
    text: Annotated[str, typer.Argument(help="Words, as if spoken.")] = "",
    pack: Annotated[
        str, typer.Option(help="Name of a pack, or its folder.")
    ] = "explorer",
    wav: Annotated[
        Path | None, typer.Option(help="A recording instead: WAV, FLAC or .raw.")
    ] = None,
    tier: Annotated[
        list[TierChoice] | None,
        typer.Option(help="Who may recognise intents; repeat it for several."),
    ] = None,
    language: Language = "en",
    fact: Annotated[
        list[str] | None, typer.Option(help="A fact that is true, besides the pack's.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON, for machines.")
    ] = False,
) -> None:
    """Show what the tiers make of an utterance, and why.

    With each sentence of the pack that is near: what it costs to take what was heard
    for it, per sound (0: the very words, 1: nothing alike), and how likely it was meant
    by that. Below the pack's confidence nothing is done.

    For example: headside intent explain "paint the bought read" --pack explorer
    """
    if bool(text.strip()) == (wav is not None):
        raise typer.BadParameter('Give either "WORDS" or --wav FILE.')
    tiers = tuple(Tier(choice) for choice in tier) if tier else None
    asked = _Asked(text, wav, pack, tiers, language, tuple(fact or ()))
    try:
        runtime, found = _all_explained(asked)
    except HeadsideError as error:
        if as_json:
            typer.echo(error_line(error))
        raise
    if as_json:
        rows = [_as_row(runtime, each) for each in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    for each in found:
        _show(console, runtime, each)
    if not found:
        console.print("No words were heard.", style="yellow")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be explained."""

    text: str
    wav: Path | None
    pack: str
    tiers: tuple[Tier, ...] | None
    language: str
    facts: tuple[str, ...]


def _all_explained(asked: _Asked) -> tuple[Runtime, list[Explained]]:
    """Returns the runtime, closed, and what it made of each utterance."""
    options = RuntimeOptions(
        tiers=asked.tiers,
        vad=None if asked.wav else ECHO,
        asr=None if asked.wav else ECHO,
        llm=ECHO,
    )
    pack = load_pack(asked.pack, asked.language)
    runtime = build_runtime(pack, Store.default(), options)
    try:
        _check_facts(runtime, asked.facts)
        runtime.set_scene(_with_facts(runtime.scene, asked.facts))
        if asked.wav:
            return runtime, _explain_sound(runtime, asked.wav)
        transcript = Transcript(text=asked.text, language=asked.language)
        return runtime, [_explained_text(runtime, transcript)]
    finally:
        runtime.close()


def _check_facts(runtime: Runtime, facts: Sequence[str]) -> None:
    waits_for = [intent.when for intent in runtime.pack.intents if intent.when]
    known = sorted({*runtime.scene.facts, *waits_for})
    for fact in facts:
        if fact not in known:
            raise PackError(
                "fact_unknown",
                f"Pack {runtime.pack.name} has no fact {fact!r}.",
                nearest(fact, known, what="facts"),
            )


def _with_facts(scene: Scene, facts: Sequence[str]) -> Scene:
    return dataclasses.replace(
        scene, facts={**scene.facts, **dict.fromkeys(facts, True)}
    )


def _explain_sound(runtime: Runtime, wav: Path) -> list[Explained]:
    found = []
    for utterance in runtime.listen(open_sound(wav)):
        heard = recognise(
            runtime.recogniser,
            utterance,
            runtime.lexicon.bias,
            settles=runtime.settles,
        )
        if heard.text:
            understood = runtime.understood(heard, utterance)
            found.append(_explained(runtime, heard, understood))
    return found


def _explained_text(runtime: Runtime, transcript: Transcript) -> Explained:
    return _explained(runtime, transcript, runtime.understood(transcript))


def _explained(
    runtime: Runtime, transcript: Transcript, understood: Understood
) -> Explained:
    waits_for = [intent.when for intent in runtime.pack.intents if intent.when]
    return explain(
        runtime.lexicon,
        transcript,
        understood,
        tiers=runtime.tiers,
        with_facts=build_lexicon(
            runtime.pack,
            _with_facts(runtime.scene, waits_for),
            previous=runtime.lexicon,
        ),
    )


def _as_row(runtime: Runtime, found: Explained) -> dict[str, Any]:
    understood = found.understood
    clarify = understood.clarify
    return {
        "heard": found.transcript.text,
        "alternatives": found.transcript.alternatives,
        "heard_confidence": round(found.transcript.confidence, 4),
        "intents": [_intent(intent) for intent in understood.intents],
        "clarify": [_intent(option) for option in clarify.options] if clarify else [],
        "why": found.why,
        "asked_for": runtime.pack.confidence,
        "candidates": [
            {
                "intent": candidate.said.declared.name,
                "slots": candidate.said.values,
                "sentence": candidate.words,
                "cost_per_sound": round(candidate.cost, 4),
                "confidence": round(candidate.confidence, 4),
                "line": template_of(runtime.lexicon, candidate).line,
                "heard_from": candidate.said.text,
            }
            for candidate in found.candidates
        ],
        "margin": None if found.margin is None else round(found.margin, 4),
        "examples": [
            {"intent": match.intent, "similarity": round(match.similarity, 4)}
            for match in understood.matches[:_N_SHOWN]
        ],
    }


def _intent(intent: Intent) -> dict[str, Any]:
    return {
        "name": intent.name,
        "slots": intent.values,
        "confidence": round(intent.confidence, 4),
        "tier": intent.tier,
    }


def _show(console: Console, runtime: Runtime, found: Explained) -> None:
    understood = found.understood
    _row(console, "heard", f"\u201c{found.transcript.text}\u201d")
    for other in found.transcript.alternatives:
        _row(console, "or", f"\u201c{other}\u201d", style="dim")
    for intent in understood.intents:
        _row(console, "intent", _told(intent), style="bold green")
    for option in understood.clarify.options if understood.clarify else ():
        _row(console, "option", _told(option), style="bold yellow")
    if not understood.intents and understood.clarify is None:
        _row(console, "intent", "none: it goes to dialogue", style="bold yellow")
    for sentence in found.why:
        _row(console, "why", sentence)
    if found.candidates:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("sentence", "intent", "slots"):
            table.add_column(title, overflow="fold")
        for title in ("cost", "confidence", "line"):
            table.add_column(title, justify="right")
        for candidate in found.candidates[:_N_SHOWN]:
            table.add_row(
                _plain(candidate.words),
                _plain(candidate.said.declared.name),
                _plain(_values(candidate.said.values)),
                f"{candidate.cost:.3f}",
                f"{candidate.confidence:.2f}",
                str(template_of(runtime.lexicon, candidate).line),
            )
        console.print()
        console.print(table)
    if understood.matches:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("examples of")
        table.add_column("similarity", justify="right")
        for match in understood.matches[:_N_SHOWN]:
            table.add_row(
                _plain(match.intent or "(no command)"), f"{match.similarity:.3f}"
            )
        console.print()
        console.print(table)
    console.print()


def _row(console: Console, label: str, text: str, *, style: str = "") -> None:
    row = Text(f"{label:>9}  ", style="dim")
    row.append(_plain(text).plain, style=style or "not dim")
    console.print(row)


def _plain(text: str) -> Text:
    return Text(text.translate(CONTROLS))


def _told(intent: Intent) -> str:
    return (
        f"{intent.name}  {_values(intent.values)}  "
        f"({intent.tier}, confidence {intent.confidence:.2f})"
    )


def _values(values: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in values.items())
