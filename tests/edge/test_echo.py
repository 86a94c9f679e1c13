"""The stand-ins do what they say, so that a chain of them can be understood."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.audio import Samples
from edge.backends.echo import EchoDetector, EchoModel, EchoRecogniser
from edge.dialogue import Outcome, Situation
from edge.intent import Intent, Tier
from edge.llm.model import Generation, Message, Prompt, Role
from edge.llm.output import ReplyText, read_answer, reply_prefix
from edge.vad import FRAME_SAMPLES, Utterance


def frames(*loudness: float) -> Samples:
    """Returns one frame of a hum for each loudness, shape (n, 512)."""
    hum = np.sin(np.arange(FRAME_SAMPLES) / 8) * np.sqrt(2)
    sounds: Samples = (np.asarray(loudness)[:, None] * hum).astype(np.float32)
    return sounds


def test_what_is_loud_is_speech() -> None:
    flags = EchoDetector().probabilities(frames(0, 0.5, 0.001, 0.02))

    assert flags.tolist() == [0, 1, 0, 1]


def test_the_recogniser_hears_what_it_is_told() -> None:
    utterance = Utterance(samples=frames(0.5)[0], start_s=0, speech_end_s=0.032)

    assert EchoRecogniser().transcribe(utterance).text == "hello"
    assert EchoRecogniser("go up").transcribe(utterance).text == "go up"


@pytest.mark.parametrize("prefix", ["", reply_prefix(())])
@given(words=st.text() | st.text('\\"{}]\n a'))
def test_the_model_repeats_the_player(prefix: str, words: str) -> None:
    prompt = Prompt(messages=(Message(role=Role.USER, text=words),), prefix=prefix)

    answer = EchoModel().generate(Generation(prompt=prompt), Event())
    items = list(read_answer(answer, prefix))

    assert all(isinstance(item, ReplyText) for item in items)
    reply = "".join(item.text for item in items if isinstance(item, ReplyText))
    expected = words.replace("\\", " ").replace('"', " ").split()
    assert reply.split() == ["You", "said:", *expected]


def test_the_model_repeats_no_more_than_the_player_said() -> None:
    move = Intent(name="move", tier=Tier.GRAMMAR)
    situation = Situation(
        near=("boat",), refused=(Outcome(intent=move, ok=False, reason="[no] way"),)
    )
    prompt = Prompt(
        messages=(Message(role=Role.USER, text=f"{situation.text}hello"),),
        prefix=reply_prefix(()),
    )

    answer = "".join(EchoModel().generate(Generation(prompt=prompt), Event()))

    assert answer == 'You said: hello "}'
