"""What people see of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edge.asr import Transcript
from edge.commands.show import PageShow, Result, peak_memory_mb
from edge.dialogue import Reply
from edge.intent import Intent, Slot, Tier
from edge.pipeline import Stage, StageTiming, Turn

MOVE = Intent(
    name="move", slots=(Slot(name="distance_m", value=10),), tier=Tier.GRAMMAR
)


@pytest.fixture
def page() -> PageShow:
    return PageShow(Console(file=io.StringIO(), width=100), character="mara")


def seen(page: PageShow) -> str:
    """Returns what stands on the page."""
    assert isinstance(page._console.file, io.StringIO)
    return page._console.file.getvalue()


def turn(*replies: str) -> Turn:
    """Returns a turn of a second."""
    return Turn(
        start_s=0,
        transcript=Transcript(text="go up"),
        intents=(MOVE,),
        reply=Reply(text=" ".join(replies)),
        timings=(
            StageTiming(stage=Stage.ASR, start_s=0, seconds=0.75),
            StageTiming(stage=Stage.REPLY, start_s=0.75, seconds=0.25),
        ),
    )


def test_a_turn_is_a_page(page: PageShow) -> None:
    for event in (
        Transcript(text="go up ten metres"),
        MOVE,
        Reply(text="Up we go."),
        Reply(text="Mind the step."),
        turn("Up we go.", "Mind the step."),
    ):
        page.event(event)

    lines = [" ".join(line.split()) for line in seen(page).splitlines()]
    assert lines[0] == "heard \u201cgo up ten metres\u201d"
    assert lines[1] == "intent move distance_m=10 (grammar)"
    assert lines[2] == "Mara Up we go. Mind the step."
    asr, reply = lines[3:5]
    assert asr.startswith("asr ")
    assert asr.endswith(" 750.0 ms")
    assert reply.startswith("reply ")
    assert reply.endswith(" 250.0 ms")
    assert asr.count("\u2588") == 3 * reply.count("\u2588")


def test_a_reply_is_seen_while_it_grows(page: PageShow) -> None:
    page.event(Reply(text="Up we go."))

    assert seen(page).endswith("Mara  Up we go.")


def test_words_are_neither_markup_nor_commands(page: PageShow) -> None:
    for event in (
        Transcript(text="[bold]a[/bold]\x1b[2J\nb"),
        Reply(text="[/nope]\x1b]0;title\x07."),
        Reply(text="\x9b2J[red]\r"),
    ):
        page.event(event)

    text = seen(page)
    assert "[bold]a[/bold] [2J b" in text
    assert "[/nope] ]0;title ." in text
    assert "[red]" in text
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\r"}
    assert len(text.splitlines()) == 2


def test_silence_names_the_sound(page: PageShow) -> None:
    page.silence("quiet.wav")

    assert "no speech heard in quiet.wav" in seen(page)


@pytest.mark.parametrize(
    ("ok", "intents", "expected"),
    [
        (True, (MOVE,), "as it should be: move, word error 0.0%"),
        (False, (), "not as it should be: no intent, word error 0.0%"),
    ],
)
def test_a_result_says_whether_it_is_right(
    page: PageShow, *, ok: bool, intents: tuple[Intent, ...], expected: str
) -> None:
    page.result(
        Result(name="x", word_error=0, intents=intents, reply="", ok=ok, n_turns=1)
    )

    assert f"result  {expected}" in seen(page)


def test_the_end_tells_turns_and_memory(page: PageShow) -> None:
    page.summary(n_turns=1, threads=2)

    assert seen(page).startswith("1 turn, peak memory ")
    assert seen(page).endswith(" MB, 2 threads\n")
    assert 10 < peak_memory_mb() < 100_000
