"""The chain: an utterance in; what it meant and what is answered out, once known."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from threading import Event

from edge.asr import Recogniser, Transcript
from edge.audio import AudioChunk
from edge.dialogue import Conversation, Exchange, Reply, ReplyGuard, sentences
from edge.grammar import match
from edge.intent import Intent, Tier, fill_line, read_intent
from edge.lexicon import Lexicon
from edge.llm.model import Generation, LanguageModel, Prompt, Sampling
from edge.llm.output import (
    DECIDED,
    REPLY_OPENS,
    Choices,
    ReplyText,
    WrittenIntent,
    read_answer,
    reply_prefix,
)
from edge.vad import SegmenterConfig, SpeechDetector, Utterance, utterances
from models.pack import Pack

MAX_SENTENCES = 2


class Stage(StrEnum):
    """The stages of a turn, in order."""

    ASR = "asr"
    INTENT = "intent"
    LLM = "llm"
    """Until the model has written its first words."""
    REPLY = "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """How long one stage of a turn took."""

    stage: Stage
    start_s: float
    """Since the turn began."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One utterance's whole result."""

    start_s: float
    """Audio-sample time at which the utterance begins; 0 for typed words."""
    transcript: Transcript
    intents: tuple[Intent, ...]
    reply: Reply
    timings: tuple[StageTiming, ...]


TurnEvent = Transcript | Intent | Reply | Turn
"""In this order: what was heard, each intent, each sentence, and the whole."""


@dataclass(slots=True, kw_only=True)
class Runtime:
    """A pack brought to life: its models, its words and its conversation."""

    pack: Pack
    lexicon: Lexicon
    detector: SpeechDetector
    recogniser: Recogniser
    model: LanguageModel
    threads: int
    """Each engine uses so many."""
    tiers: frozenset[Tier]
    choices: Choices
    """What the model may choose where the grammar finds nothing."""
    conversation: Conversation
    guard: ReplyGuard
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    sampling: Sampling = field(
        default_factory=partial(Sampling, penalise_after=REPLY_OPENS)
    )
    _n_canned: int = field(init=False, default=0)

    def listen(self, chunks: Iterable[AudioChunk]) -> Iterator[Utterance]:
        """Yields what is said in a stream of sound."""
        return utterances(chunks, self.detector, self.segmenter)

    def hear(self, utterance: Utterance, cancel: Event) -> Iterator[TurnEvent]:
        """Yields the turn of an utterance; nothing where no words were recognised."""
        clock = _Clock()
        transcript = self.recogniser.transcribe(utterance)
        clock.ends(Stage.ASR)
        if transcript.text:
            yield from self._turn(transcript, utterance.start_s, clock, cancel)

    def read(self, text: str, cancel: Event) -> Iterator[TurnEvent]:
        """Yields the turn of words that were typed."""
        yield from self._turn(Transcript(text=text), 0.0, _Clock(), cancel)

    def close(self) -> None:
        """Frees the models."""
        self.recogniser.close()
        self.model.close()

    def _turn(
        self, transcript: Transcript, start_s: float, clock: _Clock, cancel: Event
    ) -> Iterator[TurnEvent]:
        yield transcript
        intents: list[Intent] = []
        said: list[str] = []
        for event in self._answer(transcript, clock, cancel):
            if isinstance(event, Intent):
                intents.append(event)
            else:
                said.append(event.text)
            yield event
        reply = " ".join(said)
        clock.ends(Stage.REPLY)
        self.conversation.remember(
            Exchange(player=transcript.text, intents=tuple(intents), reply=reply)
        )
        yield Turn(
            start_s=start_s,
            transcript=transcript,
            intents=tuple(intents),
            reply=Reply(text=reply),
            timings=tuple(clock.timings),
        )

    def _answer(
        self, transcript: Transcript, clock: _Clock, cancel: Event
    ) -> Iterator[Intent | Reply]:
        hit = (
            match(self.lexicon, transcript.text) if Tier.GRAMMAR in self.tiers else None
        )
        clock.ends(Stage.INTENT)
        if hit is not None:
            yield hit
            if canned := self._canned(hit):
                yield Reply(text=canned)
                return
        yield from self._generated(transcript.text, hit, clock, cancel)

    def _generated(
        self, words: str, hit: Intent | None, clock: _Clock, cancel: Event
    ) -> Iterator[Intent | Reply]:
        """Yields the intents and sentences of one generation."""
        request = self._request(words, hit)
        done = {hit.name} if hit else set()
        pieces = clock.marks_first(self.model.generate(request, cancel), Stage.LLM)
        answer = read_answer(pieces, request.prompt.prefix)
        first_words = ""
        for item in answer:
            if isinstance(item, ReplyText):
                first_words = item.text
                break
            intent = read_intent(self.lexicon, item.found)
            if intent is not None:
                done.add(intent.name)
                yield intent
        spoken = sentences(_texts(first_words, answer))
        n_said = 0
        for sentence in self.guard.checked(spoken, frozenset(done)):
            yield Reply(text=sentence)
            n_said += 1
            if n_said == MAX_SENTENCES:
                return
        if n_said == 0 and not cancel.is_set():
            yield Reply(text=self.guard.line())

    def _request(self, words: str, hit: Intent | None) -> Generation:
        chooses = hit is None and Tier.LLM in self.tiers
        choices = self.choices if chooses else DECIDED
        n_turns = len(self.conversation.exchanges)
        while True:
            request = Generation(
                prompt=Prompt(
                    messages=self.conversation.messages(
                        words, schema=choices.told, n_turns=n_turns
                    ),
                    prefix="" if chooses else reply_prefix([hit] if hit else []),
                    schema=choices.schema,
                ),
                sampling=self.sampling,
            )
            if n_turns == 0 or self.model.fits(request):
                return request
            n_turns -= 1

    def _canned(self, intent: Intent) -> str:
        if intent.confirm:
            return intent.confirm
        declared = self.lexicon.intent(intent.name)
        lines = declared.reply if declared else ()
        if not lines:
            return ""
        self._n_canned += 1
        line = lines[self._n_canned % len(lines)]
        return fill_line(self.lexicon, line, intent.slots)


def _texts(first: str, answer: Iterator[WrittenIntent | ReplyText]) -> Iterator[str]:
    yield first
    for item in answer:
        if isinstance(item, ReplyText):
            yield item.text


class _Clock:
    """Times the stages of a turn, each from the end of the one before."""

    def __init__(self) -> None:
        self.timings: list[StageTiming] = []
        self._began = self._mark = time.perf_counter()

    def ends(self, stage: Stage) -> None:
        """Notes that a stage ends now."""
        now = time.perf_counter()
        timing = StageTiming(
            stage=stage, start_s=self._mark - self._began, seconds=now - self._mark
        )
        self.timings.append(timing)
        self._mark = now

    def marks_first(self, pieces: Iterator[str], stage: Stage) -> Iterator[str]:
        """Yields ``pieces``; the stage ends with the first of them."""
        for n, piece in enumerate(pieces):
            if n == 0:
                self.ends(stage)
            yield piece
