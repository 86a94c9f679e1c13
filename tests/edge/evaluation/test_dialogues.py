"""A pack's own sentences, as its language model is told them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edge.build import RuntimeOptions, build_runtime
from edge.engines import ECHO
from edge.evaluation.dialogues import dialogues
from edge.evaluation.items import scene_of
from edge.intent import Tier
from edge.llm.model import Role
from edge.llm.output import ReplyText, WrittenIntent, read_answer
from models.pack_file import load_pack
from models.store import Store

PACK = load_pack("explorer")


@pytest.fixture(scope="module")
def found() -> dict[str, list[tuple[Role, str]]]:
    return {
        one.intent: [(message.role, message.text) for message in one.messages]
        for one in dialogues(PACK)
    }


def test_every_intent_but_risky_ones_has_one(
    found: dict[str, list[tuple[Role, str]]],
) -> None:
    chosen = {one.name for one in PACK.intents if not one.high_risk}
    told = {one.name for one in PACK.intents if one.tests or one.like}

    assert set(found) <= chosen
    assert len(found) > 0.9 * len(chosen & told)


def test_roles_take_turns_and_answers_are_of_the_intent(
    found: dict[str, list[tuple[Role, str]]],
) -> None:
    for intent, messages in found.items():
        roles = [role for role, _ in messages]
        assert roles[0] is Role.SYSTEM
        assert roles[1:] == [Role.USER, Role.ASSISTANT] * (len(roles) // 2)
        n_examples = len(PACK.character().examples)
        for _, text in messages[2 + 2 * n_examples :: 2]:
            *written, reply = read_answer(iter([text]), "")
            assert isinstance(reply, ReplyText)
            assert [json.loads(text)["intents"][0]["name"]] == [intent]
            assert len(written) == 1
            assert isinstance(written[0], WrittenIntent)


def test_prompts_are_the_runtimes(found: dict[str, list[tuple[Role, str]]]) -> None:
    options = RuntimeOptions(tiers=(Tier.LLM,), vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(PACK, Store.default(), options)
    runtime.set_scene(scene_of(PACK, None))
    sentence = "pick up the lantern"
    told = [message.text for message in runtime.prompt(sentence).messages]
    runtime.close()
    n_system = sum(
        message.role is Role.SYSTEM for message in runtime.prompt(sentence).messages
    )

    messages = [text for _, text in found["pick_up"]]

    assert messages[0] == "\n".join(told[:n_system])
    assert messages[1 : len(told) - n_system] == told[n_system:-1]
    assert any(text.startswith("[near: ") for text in messages)


def test_the_command_prints_a_line_each(
    found: dict[str, list[tuple[Role, str]]],
) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "edge.cli", "pack", "dialogues", "explorer"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in printed.stdout.splitlines()]

    assert {
        row["intent"]: [(one["role"], one["content"]) for one in row["messages"]]
        for row in rows
    } == {
        intent: [(role.value, text) for role, text in messages]
        for intent, messages in found.items()
    }
