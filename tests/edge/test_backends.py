"""Every backend of a role does what the role asks: one test, whatever lies behind."""

from __future__ import annotations

import json
from threading import Event
from typing import Any

import numpy as np
import pytest

from edge.asr import Recogniser, Transcript
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.engines import _BACKENDS, ECHO, _backend
from edge.intent import Intent, Slot, Tier
from edge.llm.model import Generation, LanguageModel, Message, Prompt, Role, Sampling
from edge.llm.output import DECIDED, ReplyText, read_answer, reply_prefix
from edge.vad import FRAME_SAMPLES, SpeechDetector, Utterance

# llguidance asks about every token in a way that llama-cpp-python deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:llama_token_get_attr is deprecated")

MOVE = Intent(
    name="move", slots=(Slot(name="direction", value="up"),), tier=Tier.GRAMMAR
)


def backends(role: str) -> pytest.MarkDecorator:
    """Runs a test with every backend of a role that the runtime can be built of.

    A backend with a model is a fixture of its own name.
    """
    names = [
        name if name == ECHO else pytest.param(name, marks=pytest.mark.models)
        for name in _BACKENDS[role]
    ]
    return pytest.mark.parametrize("backend", names)


@pytest.fixture
def detector(backend: str, request: pytest.FixtureRequest) -> SpeechDetector:
    made: SpeechDetector = _made("vad", backend, request)
    made.reset()
    return made


@pytest.fixture
def recogniser(backend: str, request: pytest.FixtureRequest) -> Recogniser:
    made: Recogniser = _made("asr", backend, request)
    return made


@pytest.fixture
def model(backend: str, request: pytest.FixtureRequest) -> LanguageModel:
    made: LanguageModel = _made("llm", backend, request)
    return made


def _made(role: str, backend: str, request: pytest.FixtureRequest) -> Any:
    if backend == ECHO:
        return _backend(role, ECHO)()
    return request.getfixturevalue(backend)


def noise(n_frames: int, *, loudness: float = 0.1) -> Samples:
    """Returns frames of noise, shape (n, 512)."""
    shape = (n_frames, FRAME_SAMPLES)
    return np.random.default_rng(1).normal(0, loudness, shape).astype(np.float32)


@backends("vad")
def test_a_detector_judges_every_frame(detector: SpeechDetector) -> None:
    for frames in (noise(1), noise(40), np.zeros((7, FRAME_SAMPLES), np.float32)):
        probabilities = detector.probabilities(frames)

        assert probabilities.shape == (len(frames),)
        assert probabilities.dtype == np.float32
        assert ((probabilities >= 0) & (probabilities <= 1)).all()


@backends("vad")
def test_a_detector_hears_nothing_in_silence(detector: SpeechDetector) -> None:
    assert detector.probabilities(np.zeros((50, FRAME_SAMPLES), np.float32)).max() < 0.2


@backends("vad")
def test_a_detector_does_not_care_how_a_stream_is_cut(
    detector: SpeechDetector,
) -> None:
    frames = noise(30)
    whole = detector.probabilities(frames)
    detector.reset()
    pieces = [detector.probabilities(part) for part in np.split(frames, [1, 2, 17])]

    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


@backends("vad")
def test_a_detector_can_begin_anew(detector: SpeechDetector) -> None:
    first = detector.probabilities(noise(20))
    detector.reset()

    np.testing.assert_array_equal(detector.probabilities(noise(20)), first)


@backends("vad")
def test_a_detector_of_another_stream_hears_nothing_of_this_one(
    detector: SpeechDetector,
) -> None:
    expected = detector.probabilities(noise(30))
    detector.reset()

    first = detector.probabilities(noise(10))
    other = detector.fresh()
    between = other.probabilities(noise(30, loudness=0.5))
    rest = detector.probabilities(noise(30)[10:])

    np.testing.assert_array_equal(np.concatenate([first, rest]), expected)
    np.testing.assert_array_equal(
        other.fresh().probabilities(noise(30, loudness=0.5)), between
    )


@backends("asr")
@pytest.mark.parametrize("n_samples", [0, 160, SAMPLE_RATE_HZ])
def test_a_recogniser_makes_a_transcript_of_anything(
    recogniser: Recogniser, n_samples: int
) -> None:
    samples = noise(SAMPLE_RATE_HZ // FRAME_SAMPLES + 1).ravel()[:n_samples]
    before = samples.copy()
    utterance = Utterance(
        samples=samples, start_s=3, speech_end_s=3 + n_samples / SAMPLE_RATE_HZ
    )

    for transcript in (recogniser.draft(utterance), recogniser.transcribe(utterance)):
        assert isinstance(transcript, Transcript)
        assert transcript.text == transcript.text.strip()
        assert 0 <= transcript.confidence <= 1
        assert len(transcript.language) == 2
        assert transcript.text not in transcript.alternatives
        assert transcript.words == ()
    np.testing.assert_array_equal(samples, before)


@backends("asr")
def test_a_recogniser_says_when_words_were_said(recogniser: Recogniser) -> None:
    utterance = Utterance(samples=noise(40).ravel(), start_s=3, speech_end_s=4)

    words = recogniser.words(utterance, Transcript(text="go to the light house"))

    assert " ".join(word.text for word in words) == "go to the light house"
    at_s = utterance.start_s
    for word in words:
        assert at_s <= word.start_s <= word.end_s + 1e-9
        assert 0 <= word.confidence <= 1
        at_s = word.start_s
    assert words[-1].end_s <= utterance.start_s + utterance.seconds + 1e-9


def request_for(words: str, *, prefix: str = "") -> Generation:
    """Returns a request for an answer of the usual form."""
    messages = (
        Message(role=Role.SYSTEM, text="You are a guide. Answer in one sentence."),
        Message(role=Role.USER, text=words),
    )
    return Generation(
        prompt=Prompt(messages=messages, prefix=prefix, schema=DECIDED.schema),
        sampling=Sampling(max_tokens=200),
    )


@backends("llm")
def test_a_model_goes_on_from_what_is_decided(model: LanguageModel) -> None:
    prefix = reply_prefix([MOVE])

    pieces = list(model.generate(request_for("go up", prefix=prefix), Event()))

    assert all(pieces)
    assert json.loads(prefix + "".join(pieces))["intents"][0]["name"] == "move"
    items = list(read_answer(pieces, prefix))
    assert items
    assert all(isinstance(item, ReplyText) for item in items)


@backends("llm")
def test_a_model_writes_a_whole_answer(model: LanguageModel) -> None:
    asked = request_for("hello")

    answer = json.loads("".join(model.generate(asked, Event())))

    assert set(answer) == {"intents", "reply"}
    assert answer["reply"]


@backends("llm")
def test_a_model_stops_when_told_to(model: LanguageModel) -> None:
    asked = request_for("hello", prefix=reply_prefix([]))
    cancel = Event()
    pieces = model.generate(asked, cancel)
    assert next(pieces)

    cancel.set()

    assert list(pieces) == []
    assert list(model.generate(request_for("hello"), cancel)) == []


@backends("llm")
def test_a_model_says_what_fits(model: LanguageModel) -> None:
    assert model.fits(request_for("hello"))


@backends("llm")
def test_what_a_model_prepares_changes_no_answer(model: LanguageModel) -> None:
    asked = request_for("hello")
    expected = "".join(model.generate(asked, Event()))

    model.prepare(asked.prompt)
    model.prepare(Prompt(messages=()))

    assert "".join(model.generate(asked, Event())) == expected


@backends("llm")
def test_a_model_says_what_an_answer_cost(model: LanguageModel) -> None:
    list(model.generate(request_for("hello"), Event()))

    usage = model.usage
    assert 0 <= usage.n_cached <= usage.n_prompt
    assert 0 <= usage.n_forced <= usage.n_tokens
    assert usage.constraint_s >= 0
