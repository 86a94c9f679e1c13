"""A live stream: what is said in it comes as soon as it can be accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.audio import AudioChunk, Samples
from edge.backends.echo import EchoRecogniser
from edge.build import RuntimeOptions, build_runtime
from edge.engines import ECHO
from edge.pipeline import Runtime
from models.pack_file import load_pack
from models.store import Store

PACK = """
format = 1
name = "harbour"
[listen]
{listen}
[character.Mara]
persona = "Harbour pilot."
[intents.wave]
say = ["wave"]
reply = ["Ahoy!"]
"""


def listening(folder: Path, listen: str, heard: str) -> Runtime:
    """Returns a chain that hears the same words in every utterance."""
    (folder / "pack.toml").write_text(PACK.format(listen=listen))
    options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(load_pack(str(folder)), Store.default(), options)
    runtime.recogniser = EchoRecogniser(heard)
    return runtime


def stream(*loud: bool) -> list[AudioChunk]:
    """Returns seconds of hum or silence, in short chunks as of a microphone."""
    seconds: list[Samples] = [np.full(16_000, 0.5 * on, np.float32) for on in loud]
    samples = np.concatenate(seconds)
    return [
        AudioChunk(samples=samples[at : at + 512], start_s=at / 16_000)
        for at in range(0, len(samples), 512)
    ]


def test_a_closed_command_is_accepted_long_before_the_long_pause(
    tmp_path: Path,
) -> None:
    runtime = listening(tmp_path, 'mode = "open_mic"', "Wave!")
    n_pulled = 0

    def pulled() -> Iterator[AudioChunk]:
        nonlocal n_pulled
        for chunk in stream(True, False, False):
            n_pulled += 1
            yield chunk

    first = next(runtime.follow(pulled()))

    assert first.transcript.text == "Wave!"
    assert first.utterance.speech_end_s == pytest.approx(1.0, abs=0.05)
    assert n_pulled * 0.032 < 1.2


def test_other_words_are_accepted_after_the_long_pause(tmp_path: Path) -> None:
    runtime = listening(tmp_path, 'mode = "open_mic"', "Well")

    heard = list(runtime.follow(stream(True, False, True, False)))

    assert [each.utterance.start_s for each in heard] == pytest.approx(
        [0.0, 1.7], abs=0.05
    )


def test_what_lacks_the_wake_phrase_is_not_for_us(tmp_path: Path) -> None:
    listen = 'mode = "wake_phrase"\nwake = ["hey Mara"]'
    ignored = listening(tmp_path, listen, "Wave!")
    meant = listening(tmp_path, listen, "Hey, Mara, wave!")

    assert list(ignored.follow(stream(True, False))) == []
    (found,) = meant.follow(stream(True, False))
    assert found.transcript.text == "wave!"
