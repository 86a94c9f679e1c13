"""Every intent of every pack that comes along is understood from typed words."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from threading import Event as Cancel

import pytest

from edge.build import RuntimeOptions, build_runtime
from edge.commands.run import play
from edge.commands.show import JsonShow
from edge.engines import ECHO
from edge.pipeline import Runtime
from models.pack import IntentDeclaration, SpotList
from models.pack_file import load_pack, pack_names
from models.store import Store
from tests.acceptance.conftest import MOVE, Command, Done

ECHOES = ["--vad", ECHO, "--asr", ECHO, "--llm", ECHO]
DECLARED = [(name, i) for name in pack_names() for i in load_pack(name).intents]
WAITING = [(name, i) for name, i in DECLARED if i.when]
"""For a fact that is not true where a game begins."""


def points(pack_name: str, intent: IntentDeclaration) -> bool:
    """Returns whether an intent needs a spot that is pointed at."""
    lists = load_pack(pack_name).lists
    return any(isinstance(lists[name], SpotList) for name in intent.slots.values())


NEVER = [(name, line.text) for name in pack_names() for line in load_pack(name).never]


@functools.cache
def runtime(pack_name: str) -> Runtime:
    """Returns a pack without a model: only its grammar understands anything."""
    options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO)
    return build_runtime(load_pack(pack_name), Store(Path("nowhere")), options)


def read(pack_name: str, sentence: str) -> Done:
    """Returns what a run prints for words that were typed."""
    out = io.StringIO()
    play(runtime(pack_name).read(sentence, Cancel()), JsonShow(out))
    return Done(code=0, stdout=out.getvalue(), stderr="")


def named(value: str | IntentDeclaration) -> str:
    return value if isinstance(value, str) else value.name


@pytest.mark.parametrize(
    ("pack_name", "intent"),
    [pair for pair in DECLARED if pair not in WAITING and not points(*pair)],
    ids=named,
)
def test_an_intent_is_understood(pack_name: str, intent: IntentDeclaration) -> None:
    promised = intent.tests[0]

    [found] = read(pack_name, promised.sentence).intents

    slots = {**intent.default, **promised.slots}
    assert found["name"] == intent.name
    assert found["slots"] == {
        name: value if isinstance(value, str) else pytest.approx(value)
        for name, value in slots.items()
    }


@pytest.mark.parametrize(("pack_name", "intent"), WAITING, ids=named)
def test_an_intent_waits_for_its_fact(
    pack_name: str, intent: IntentDeclaration
) -> None:
    done = read(pack_name, intent.tests[0].sentence)

    assert done.intents == []
    assert done.of("turn")[0]["reply"]


@pytest.mark.parametrize(("pack_name", "sentence"), NEVER)
def test_what_means_no_action_is_only_answered(pack_name: str, sentence: str) -> None:
    done = read(pack_name, sentence)

    assert done.intents == []
    assert done.of("turn")[0]["reply"]


def test_the_command_reads_typed_words_without_any_model(
    headside: Command, tmp_path: Path
) -> None:
    empty = str(tmp_path / "empty")
    words = ["--text", "Could you go forward 10 meters, please?", "--json"]

    done = headside("run", "explorer", *words, *ECHOES, HEADSIDE_CACHE=empty)

    assert (done.code, done.stderr) == (0, "")
    assert done.intents == [MOVE]
    assert not Path(empty).exists()
