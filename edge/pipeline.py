"""The chain: an utterance in; what it meant and what is answered out, once known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from threading import Event

from edge.asr import Recogniser, Transcript, Word, recognise, with_words
from edge.audio import AudioChunk
from edge.dialogue import (
    CUT,
    Conversation,
    Exchange,
    Outcome,
    Reply,
    ReplyGuard,
    Situation,
    sentences,
)
from edge.grammar import Completeness, claimed
from edge.hearing import Accepted, Ear, Endpointing, WakePhrase
from edge.intent import Intent, Tier, fill_line, read_intent
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.llm.model import Choose, Generation, LanguageModel, Prompt, Sampling
from edge.llm.output import (
    DECIDED,
    REPLY_OPENS,
    Choices,
    ReplyText,
    WrittenIntent,
    build_choices,
    read_answer,
    reply_prefix,
)
from edge.normalise import words_of
from edge.paraphrase import Paraphrases
from edge.referents import Referents
from edge.scene import Scene, SceneObject, relevant_objects
from edge.tiers import Clarify, Understood, understood
from edge.understanding import completeness, settles
from edge.vad import (
    Segmenter,
    Speech,
    SpeechDetector,
    Utterance,
    speech_events,
    utterances,
)
from models.pack import Pack

MAX_SENTENCES = 2
MAX_FOCUS = 4
"""Things spoken of that "it" can mean."""
SURE = 0.78
"""Confidence of a draft in whose words there is hardly a doubt. Of 183 accented
commands, the greedy result was above this for 69 %, and the beam search agreed with
98 % of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a model chose to do."""

    intents: tuple[Intent, ...]
    is_whole: bool
    """Whether it came to its reply, in the form that an answer has."""


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
    was_cut: bool = False
    """It was cancelled before it was whole."""
    clarify: Clarify | None = None
    """What was asked back; then there are no intents."""


TurnEvent = Transcript | Intent | Clarify | Reply | Turn
"""In this order: what was heard, each intent or a question, each sentence, all."""


def _as_asked(intents: Sequence[Intent]) -> tuple[Outcome, ...]:
    """Returns that everything was done, as where no game tells."""
    return tuple(Outcome(intent=intent, ok=True) for intent in intents)


@dataclass(slots=True, kw_only=True)
class Runtime:
    """A pack brought to life for one player: models, words and conversation.

    The models are shared by all players; see ``join``.
    """

    pack: Pack
    lexicon: Lexicon
    detector: SpeechDetector
    recogniser: Recogniser
    model: LanguageModel
    threads: int
    """Each engine uses so many."""
    tiers: frozenset[Tier]
    paraphrases: Paraphrases | None = None
    """The examples, for the tier ``semantic``."""
    choices: Choices
    """What the model may choose where the grammar finds nothing."""
    conversation: Conversation
    guard: ReplyGuard
    scene: Scene
    endpointing: Endpointing = field(default_factory=Endpointing)
    sampling: Sampling = field(
        default_factory=partial(Sampling, free_after=REPLY_OPENS)
    )
    outcomes: Callable[[Sequence[Intent]], Sequence[Outcome]] = _as_asked
    """What became of intents; asked before the character speaks of them."""
    _n_canned: int = field(init=False, default=0)
    _others: dict[str, Conversation] = field(init=False, default_factory=dict)

    def join(self) -> Runtime:
        """Returns the chain of another player, on the same models."""
        return Runtime(
            pack=self.pack,
            lexicon=self.lexicon,
            detector=self.detector.fresh(),
            recogniser=self.recogniser,
            model=self.model,
            threads=self.threads,
            tiers=self.tiers,
            paraphrases=self.paraphrases,
            choices=self.choices,
            conversation=Conversation(self.conversation.character),
            guard=replace(self.guard),
            scene=self.scene,
            endpointing=self.endpointing,
            sampling=self.sampling,
        )

    def set_scene(self, scene: Scene) -> None:
        """Takes over what the game tells; what can be said follows from it.

        Raises:
            PackError: The templates make too many words with it.
        """
        if scene is self.scene:
            return
        if _said(scene) != _said(self.scene):
            self._set_lexicon(build_lexicon(self.pack, scene, previous=self.lexicon))
        self.scene = scene

    def set_pack(self, pack: Pack) -> None:
        """Swaps the pack; a game's scene stays, conversations begin anew.

        Raises:
            PackError: The templates make too many words.
        """
        is_own = _said(self.scene) == _said(default_scene(self.pack))
        scene = default_scene(pack) if is_own else self.scene
        lexicon = build_lexicon(pack, scene, sounds=self.lexicon.sounds)
        recogniser = self.recogniser.speaking(pack.language)
        if self.paraphrases is not None:
            self.paraphrases = self.paraphrases.of(pack)
        self.recogniser = recogniser
        self.scene = scene
        names = [character.name for character in pack.characters]
        name = self.conversation.character.name
        if self.tiers == frozenset(map(Tier, self.pack.tiers)):
            # Otherwise others were asked for.
            self.tiers = frozenset(map(Tier, pack.tiers))
        self.pack = pack
        self._others.clear()
        self.conversation = Conversation(
            pack.character(name if name in names else None)
        )
        self.endpointing = endpointing_of(pack)
        self._set_lexicon(lexicon)

    def address(self, name: str) -> None:
        """Has another character answer from now on, who remembers what was said.

        Raises:
            PackError: There is no such character.
        """
        self._others[self.conversation.character.name] = self.conversation
        self.conversation = self._others.get(name) or Conversation(
            self.pack.character(name)
        )
        self.guard = replace(self.guard, neutral=self.conversation.character.fallback)

    def ear(self) -> Ear:
        """Returns what listens to a stream of speech, with this player's words."""
        return Ear(
            recogniser=self.recogniser,
            completeness=self.completeness,
            settles=self.settles,
            bias=lambda: self.lexicon.bias,
            endpointing=self.endpointing,
        )

    def completeness(self, heard: Transcript) -> Completeness:
        """Returns whether words so far are a command, and whether it can go on."""
        if Tier.GRAMMAR not in self.tiers:
            return Completeness.OPEN
        return completeness(self.lexicon, heard)

    def settles(self, draft: Transcript) -> bool:
        """Returns whether a draft of what was heard will do."""
        if Tier.GRAMMAR not in self.tiers:
            return not draft.is_draft or draft.confidence >= SURE
        return settles(self.lexicon, draft, sure=SURE)

    def understood(
        self, transcript: Transcript, utterance: Utterance | None = None
    ) -> Understood:
        """Returns what the tiers without the language model make of words.

        Args:
            transcript: What was heard, or typed.
            utterance: The sound, to tell when each word was said; None where the
                transcript tells, or where there is none.
        """

        def times(text: str) -> Sequence[Word]:
            if transcript.words or utterance is None:
                return transcript.words
            heard = replace(transcript, text=text)
            return with_words(self.recogniser, utterance, heard).words

        return understood(
            self.lexicon,
            transcript,
            Referents(scene=self.scene, focus=self._focus, times=times),
            tiers=self.tiers,
            paraphrases=self.paraphrases,
        )

    @property
    def _focus(self) -> tuple[str, ...]:
        """Objects that were spoken of, the latest first."""
        spoken_of = (
            slot.value
            for exchange in reversed(self.conversation.exchanges)
            for intent in reversed(exchange.intents)
            for slot in intent.slots
        )
        found = dict.fromkeys(
            value
            for value in spoken_of
            if isinstance(value, str) and value in self.lexicon.names
        )
        return tuple(found)[:MAX_FOCUS]

    def listen(self, chunks: Iterable[AudioChunk]) -> Iterator[Utterance]:
        """Yields what is said in a stream of sound."""
        return utterances(chunks, self.detector, self.endpointing.segmenter())

    def follow(self, chunks: Iterable[AudioChunk]) -> Iterator[Accepted]:
        """Yields each utterance of a live stream, as soon as it can be accepted.

        Where the pack has wake phrases, only what they let in.
        """
        ear, wake = self.ear(), WakePhrase(self.pack.listening.wake)
        segmenter = Segmenter(self.endpointing.segmenter())
        for event in speech_events(chunks, self.detector, segmenter):
            for heard in ear.take(event) if isinstance(event, Speech) else ():
                if not isinstance(heard, Accepted):
                    continue
                admitted = wake.admit(heard) if wake.phrases else heard
                if admitted is not None and admitted.transcript.text:
                    yield admitted

    def hear(self, utterance: Utterance, cancel: Event) -> Iterator[TurnEvent]:
        """Yields the turn of an utterance; nothing where no words were recognised."""
        clock = _Clock()
        transcript = recognise(
            self.recogniser, utterance, self.lexicon.bias, settles=self.settles
        )
        clock.ends(Stage.ASR)
        if transcript.text:
            found = self.understood(transcript, utterance)
            yield from self._turn(transcript, found, utterance.start_s, clock, cancel)

    def answer(
        self, transcript: Transcript, start_s: float, cancel: Event
    ) -> Iterator[TurnEvent]:
        """Yields the turn of an utterance that was recognised before."""
        clock = _Clock()
        found = self.understood(transcript)
        yield from self._turn(transcript, found, start_s, clock, cancel)

    def read(self, text: str, cancel: Event) -> Iterator[TurnEvent]:
        """Yields the turn of words that were typed."""
        yield from self.answer(Transcript(text=text), 0.0, cancel)

    def chosen(self, text: str, cancel: Event, choose: Choose | None = None) -> Chosen:
        """Returns the intents that the model chooses for words; nothing is answered.

        Args:
            text: The words.
            cancel: Ends it.
            choose: Asked in place of the model wherever there is a choice.
        """
        request = replace(self._request(text, (), chooses=True), choose=choose)
        with closing(self.model.generate(request, cancel)) as written:
            intents: list[Intent] = []
            for item in self._believed(read_answer(written, request.prompt.prefix)):
                if isinstance(item, ReplyText):
                    return Chosen(intents=tuple(intents), is_whole=True)
                intents.append(item)
            return Chosen(intents=tuple(intents), is_whole=False)

    def prompt(self, text: str) -> Prompt:
        """Returns what the model is asked for words that it chooses an action for."""
        return self._request(text, (), chooses=True).prompt

    def prepare(self) -> None:
        """Has the model read the beginning of its prompts, ahead of the first turn."""
        opening = self.conversation.opening(self._told)
        self.model.prepare(Prompt(messages=opening))

    def close(self) -> None:
        """Frees the models."""
        self.recogniser.close()
        self.model.close()
        if self.paraphrases is not None:
            self.paraphrases.encoder.close()

    @property
    def _told(self) -> str:
        """The actions, for the prompt: the same in every turn."""
        return self.choices.told if Tier.LLM in self.tiers else ""

    def _set_lexicon(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.choices = build_choices(lexicon.schema(), actions=lexicon.actions)
        self.guard = replace(
            self.guard,
            claims=partial(claimed, lexicon),
            neutral=self.conversation.character.fallback,
        )

    def _turn(
        self,
        transcript: Transcript,
        found: Understood,
        start_s: float,
        clock: _Clock,
        cancel: Event,
    ) -> Iterator[TurnEvent]:
        clock.ends(Stage.INTENT)
        yield transcript
        if found.clarify is not None:
            yield found.clarify
        intents: list[Intent] = []
        said: list[str] = []
        for event in self._answer(transcript, found, clock, cancel):
            if isinstance(event, Intent):
                intents.append(event)
            else:
                said.append(event.text)
            yield event
        reply = " ".join(said)
        clock.ends(Stage.REPLY)
        was_cut = cancel.is_set()
        self.conversation.remember(
            Exchange(
                player=transcript.text,
                intents=tuple(intents),
                reply=reply + CUT * was_cut,
            )
        )
        yield Turn(
            start_s=start_s,
            transcript=transcript,
            intents=tuple(intents),
            reply=Reply(text=reply),
            timings=tuple(clock.timings),
            was_cut=was_cut,
            clarify=found.clarify,
        )

    def _answer(
        self, transcript: Transcript, found: Understood, clock: _Clock, cancel: Event
    ) -> Iterator[Intent | Reply]:
        if found.clarify is not None:
            yield Reply(text=found.clarify.question)
            return
        if not found.intents and Tier.LLM in self.tiers:
            yield from self._chosen(transcript.text, clock, cancel)
            return
        if not found.intents:
            yield from self._spoken(transcript.text, (), clock, cancel)
            return
        yield from found.intents
        outcomes = self.outcomes(found.intents)
        canned = [self._canned(intent) for intent in found.intents]
        if all(canned) and all(outcome.ok for outcome in outcomes):
            for line in canned:
                yield Reply(text=line)
            return
        yield from self._spoken(transcript.text, outcomes, clock, cancel)

    def _chosen(
        self, words: str, clock: _Clock, cancel: Event
    ) -> Iterator[Intent | Reply]:
        """Yields the intents that the model chooses, then the sentences it says."""
        request = self._request(words, (), chooses=True)
        intents: list[Intent] = []
        with closing(self.model.generate(request, cancel)) as written:
            pieces = clock.marks_first(written, Stage.LLM)
            answer = read_answer(pieces, request.prompt.prefix)
            first_words = ""
            for item in self._believed(answer):
                if isinstance(item, ReplyText):
                    first_words = item.text
                    break
                intents.append(item)
                yield item
            outcomes = self.outcomes(intents)
            is_done = all(outcome.ok for outcome in outcomes)
            if is_done:
                done = frozenset(intent.name for intent in intents)
                spoken = sentences(_texts(first_words, answer))
                yield from self._checked(spoken, done, cancel)
        if not is_done:
            yield from self._spoken(words, outcomes, clock, cancel)

    def _believed(
        self, answer: Iterator[WrittenIntent | ReplyText]
    ) -> Iterator[Intent | ReplyText]:
        """Yields an answer's intents that the lexicon knows, and its words."""
        for item in answer:
            if isinstance(item, ReplyText):
                yield item
                continue
            intent = read_intent(self.lexicon, item.found)
            if intent is not None:
                yield intent

    def _spoken(
        self,
        words: str,
        outcomes: Sequence[Outcome],
        clock: _Clock,
        cancel: Event,
    ) -> Iterator[Reply]:
        """Yields the sentences that the model says of what was decided."""
        request = self._request(words, outcomes, chooses=False)
        done = frozenset(outcome.intent.name for outcome in outcomes if outcome.ok)
        with closing(self.model.generate(request, cancel)) as written:
            pieces = clock.marks_first(written, Stage.LLM)
            answer = read_answer(pieces, request.prompt.prefix)
            yield from self._checked(sentences(_texts("", answer)), done, cancel)

    def _checked(
        self, spoken: Iterator[str], done: frozenset[str], cancel: Event
    ) -> Iterator[Reply]:
        n_said = 0
        for sentence in self.guard.checked(spoken, done):
            yield Reply(text=sentence)
            n_said += 1
            if n_said == MAX_SENTENCES:
                return
        if n_said == 0 and not cancel.is_set():
            yield Reply(text=self.guard.line())

    def _request(
        self, words: str, outcomes: Sequence[Outcome], *, chooses: bool
    ) -> Generation:
        done = [outcome.intent for outcome in outcomes if outcome.ok]
        situation = Situation(
            near=tuple(
                self._told_name(thing)
                for thing in relevant_objects(self.scene, frozenset(words_of(words)))
            ),
            refused=tuple(outcome for outcome in outcomes if not outcome.ok),
        )
        n_turns = len(self.conversation.exchanges)
        while True:
            request = Generation(
                prompt=Prompt(
                    messages=self.conversation.messages(
                        words, schema=self._told, n_turns=n_turns, situation=situation
                    ),
                    prefix="" if chooses else reply_prefix(done),
                    schema=(self.choices if chooses else DECIDED).schema,
                ),
                sampling=self.sampling,
            )
            if n_turns == 0 or self.model.fits(request):
                return request
            n_turns -= 1

    def _told_name(self, thing: SceneObject) -> str:
        """Returns a thing's name, with its id where the model has to write that."""
        if Tier.LLM not in self.tiers or thing.id == thing.name:
            return thing.name
        return f"{thing.name} ({thing.id})"

    def _canned(self, intent: Intent) -> str:
        if intent.confirm:
            return intent.confirm
        declared = self.lexicon.intent(intent.name)
        lines = declared.reply if declared else ()
        if not lines:
            return ""
        line = lines[self._n_canned % len(lines)]
        self._n_canned += 1
        return fill_line(self.lexicon, line, intent.slots)


def _said(scene: Scene) -> tuple[object, ...]:
    """Returns what of a scene decides on what can be said: not where things are."""
    things = [(it.id, it.name, it.aliases, it.tags) for it in scene.objects]
    return things, dict(scene.facts)


def endpointing_of(pack: Pack) -> Endpointing:
    """Returns how long a pause ends an utterance in a pack."""
    complete_ms, open_ms = pack.listening.endpoint_ms
    return Endpointing(
        complete_s=complete_ms / 1000,
        open_s=open_ms / 1000,
        instant=pack.listening.instant,
    )


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
