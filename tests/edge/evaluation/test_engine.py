"""What understands in an evaluation: the tiers of a runtime, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from threading import Event

import pytest

from edge.backends.echo import EchoModel
from edge.build import RuntimeOptions, build_runtime
from edge.engines import ECHO
from edge.evaluation.engine import build_understander
from edge.evaluation.items import Result, TextItem
from edge.intent import Tier
from edge.llm.model import Generation
from models.pack import Pack
from models.store import Store

Read = Callable[..., Result]


@dataclass
class ChoosingModel(EchoModel):
    """Chooses bright light, whatever was said."""

    asked: list[Generation] = field(default_factory=list)

    def generate(
        self, request: Generation, cancel: Event
    ) -> Generator[str, None, None]:
        self.asked.append(request)
        bright = {"name": "set_light", "slots": {"light": "bright"}}
        answer = {"intents": [bright], "reply": "Now it is bright."}
        yield from json.dumps(answer, separators=(",", ":"))


@pytest.fixture
def model() -> ChoosingModel:
    return ChoosingModel()


@pytest.fixture
def read(pack: Pack, model: ChoosingModel) -> Read:
    """Reads a text with some tiers."""

    def result(text: str, *tiers: Tier) -> Result:
        options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO, tiers=tiers)
        runtime = build_runtime(pack, Store.default(), options)
        runtime.model = model
        return build_understander(runtime).read(TextItem(id="1", text=text))

    return result


def test_the_language_model_is_asked_where_the_grammar_finds_nothing(
    read: Read, model: ChoosingModel
) -> None:
    found = read("I cannot see my hands", Tier.GRAMMAR, Tier.LLM)

    assert [intent.values for intent in found.intents] == [{"light": "bright"}]
    assert found.tier == "llm"
    assert len(model.asked) == 1


def test_it_is_not_asked_where_the_grammar_finds_something(
    read: Read, model: ChoosingModel
) -> None:
    found = read("make it dim", Tier.GRAMMAR, Tier.LLM)

    assert [intent.values for intent in found.intents] == [{"light": "dim"}]
    assert (found.tier, model.asked) == ("grammar", [])


def test_it_is_not_asked_without_its_tier(read: Read, model: ChoosingModel) -> None:
    found = read("I cannot see my hands", Tier.GRAMMAR)

    assert (found.intents, found.tier, model.asked) == ((), None, [])
