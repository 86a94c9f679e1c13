"""`headside demo`: the whole chain on recordings of real speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer
from rich.console import Console

from edge.build import RuntimeOptions, build_runtime, open_sound
from edge.commands.events import error_line
from edge.commands.options import AsJson, Device
from edge.commands.run import play_sound
from edge.commands.show import DemoShow, JsonShow, PageShow, Result
from edge.evaluate import word_errors
from edge.pipeline import Runtime, Turn
from models.errors import HeadsideError
from models.pack import Pack, Value
from models.pack_file import load_pack
from models.store import State, Store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

PACK = "explorer"
RECORDINGS = "speech-pocketsphinx"
MAX_WORD_ERROR = 0.10


class DemoError(HeadsideError):
    """The demo did not come to the results it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Recordings, what is said in them, and what should come of it."""

    name: str
    files: tuple[Path, ...]
    reference: str
    intent: str = ""
    """Empty where there must be none."""
    slots: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))


@app.command(epilog="The models are fetched once; after that no network is needed.")
def demo(
    as_json: AsJson = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing, whatever is missing.")
    ] = False,
    device: Device = "desktop",
) -> None:
    """Run the chain on recordings of real speech.

    A command that is acted on, words that mean no command, and somebody reading aloud.
    Ends with exit code 1 where a result is not what it should be.
    """
    store = Store.default(offline=offline)
    if not as_json:
        _demo(store, device, None)
        return
    show = JsonShow()
    try:
        _demo(store, device, show)
    except HeadsideError as error:
        show.line(error_line(error))
        raise


def _demo(store: Store, device: str, show: DemoShow | None) -> None:
    pack = load_pack(PACK)
    _fetch_missing(store, pack)
    runtime = build_runtime(pack, store, RuntimeOptions(device=device))
    if show is None:
        show = PageShow(Console(), character=runtime.conversation.character.name)
    try:
        results = [
            _play(runtime, case, show) for case in _cases(store.path(RECORDINGS))
        ]
    finally:
        runtime.close()
    n_turns = sum(result.n_turns for result in results)
    show.summary(n_turns=n_turns, threads=runtime.threads)
    wrong = [result.name for result in results if not result.ok]
    if wrong:
        raise DemoError(
            "demo_result",
            f"Not as it should be: {', '.join(wrong)}.",
            "Run `headside doctor` and `headside models verify`.",
        )


def _play(runtime: Runtime, case: Case, show: DemoShow) -> Result:
    show.recording(case.name, case.reference)
    turns: list[Turn] = []
    for path in case.files:
        sound = open_sound(path)
        turns += play_sound(runtime, sound, show)
    intents = [intent for turn in turns for intent in turn.intents]
    heard = " ".join(turn.transcript.text for turn in turns)
    word_error = word_errors(case.reference, heard).rate
    wanted = [(case.intent, dict(case.slots))] if case.intent else []
    found = [(intent.name, intent.values) for intent in intents]
    replies = [turn.reply.text for turn in turns]
    result = Result(
        name=case.name,
        word_error=word_error,
        intents=tuple(intents),
        reply=" ".join(replies),
        ok=found == wanted and word_error <= MAX_WORD_ERROR and all(replies),
        n_turns=len(turns),
    )
    show.result(result)
    return result


def _cases(folder: Path) -> Iterator[Case]:
    yield Case(
        name="goforward",
        files=(folder / "goforward.raw",),
        reference="go forward ten meters",
        intent="move",
        slots={"direction": "forward", "distance_m": 10},
    )
    yield Case(
        name="something",
        files=(folder / "something.raw",),
        reference="go somewhere and do something",
    )
    books = sorted((folder / "librivox").glob("*.wav"))
    yield Case(
        name="librivox",
        files=tuple(books),
        reference=" ".join(
            book.with_suffix(".txt").read_text(encoding="utf-8") for book in books
        ),
    )


def _fetch_missing(store: Store, pack: Pack) -> None:
    names = (*pack.model_names, RECORDINGS)
    missing = [name for name in names if store.state(name) is not State.READY]
    if not missing:
        return
    # The network's libraries are loaded only where something is fetched.
    from models.fetch import fetch  # noqa: PLC0415
    from models.progress_display import displayed  # noqa: PLC0415

    with displayed() as progress:
        fetch(store, *missing, progress=progress)
