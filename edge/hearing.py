"""When the player has said it: speech as it comes in, accepted utterances out.

A pause is worth waiting for only where more may come. The words of a pause are
recognised while it lasts, and thrown away if the player goes on; so once the pause is
long enough, they are there already. How long is long enough depends on the words:

- a command that nothing can follow is accepted at once,
- a command that could go on, after a short pause,
- anything else, after a long one.

What is accepted early is cut off the rest of the stream's utterance, so that words that
follow all the same are an utterance of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge.asr import Bias, Recogniser, Transcript, with_words
from edge.audio import SAMPLE_RATE_HZ
from edge.grammar import Completeness
from edge.normalise import words_of
from edge.vad import FRAME_S, Moment, SegmenterConfig, Speech, Utterance

SPECULATE_S = 0.064
"""Pause after which the words so far are recognised."""
PARTIAL_S = 0.384
"""How often words are recognised while the player speaks."""
_MIN_REST_S = 0.1
"""Voice after an accepted utterance; less is its own last sound."""


class Why(StrEnum):
    """What ended an utterance."""

    INSTANT = "instant"
    """It is a command that nothing can follow."""
    COMPLETE = "complete"
    """It is a command, and a short pause followed."""
    PAUSE = "pause"
    """A long pause followed."""
    RELEASED = "released"
    """The button was let go, or the stream ended."""
    LIMIT = "limit"
    """It is as long as an utterance may be."""


_WHY = {
    Moment.SILENCE: Why.PAUSE,
    Moment.RELEASED: Why.RELEASED,
    Moment.FULL: Why.LIMIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    """How long a pause ends an utterance."""

    complete_s: float = 0.25
    """After a command that could go on."""
    open_s: float = 0.7
    """After anything else."""
    instant: bool = True
    """Whether a command that nothing can follow is accepted at once."""

    def segmenter(self) -> SegmenterConfig:
        """Returns when speech is worth hearing, for this."""
        return SegmenterConfig(
            pauses_s=(SPECULATE_S, self.complete_s),
            end_silence_s=self.open_s,
            partial_s=PARTIAL_S,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """The words so far, while the player speaks."""

    stable: str
    """Two results in a row agree on it."""
    tail: str
    """May change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An utterance is over; ``Accepted`` follows, once its words are known."""

    utterance: Utterance
    why: Why
    speculated: bool
    """Its words were known before it was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An utterance that is over, and its words."""

    utterance: Utterance
    transcript: Transcript
    """Without text where no words were recognised."""


Heard = Partial | Ended | Accepted


@dataclass(slots=True)
class Ear:
    """Listens to one player."""

    recogniser: Recogniser
    completeness: Callable[[Transcript], Completeness]
    """Of the words so far, as the lexicon is now."""
    settles: Callable[[Transcript], bool]
    """Whether a draft will do."""
    bias: Callable[[], Bias] = tuple
    """What is likely to be said now."""
    endpointing: Endpointing = field(default_factory=Endpointing)
    _accepted_s: float = field(init=False, default=0.0)
    """Audio-sample time up to which speech was accepted."""
    _start_s: float = field(init=False, default=-1.0)
    """Where the stream's utterance begins that is heard now."""
    _known: tuple[Utterance, Transcript] | None = field(init=False, default=None)
    """What was recognised last."""
    _stable: tuple[str, ...] = field(init=False, default=())
    _latest: tuple[str, ...] = field(init=False, default=())

    def take(self, speech: Speech) -> Iterator[Heard]:
        """Yields what a stretch of speech tells: words so far, or that it is over."""
        if speech.utterance.start_s != self._start_s:
            self._start_s = speech.utterance.start_s
            self._begin()
        rest = self._rest(speech.utterance)
        if rest is None:
            return
        if speech.is_over:
            yield from self._accept(
                rest, _WHY[speech.moment], speculated=self._is_known(rest)
            )
            return
        is_new = not self._is_known(rest)
        draft = self._drafted(rest)
        if speech.moment is Moment.PAUSE and not speech.is_held:
            why = self._ended(draft, rest, speech.silence_s)
            if why is not None:
                # Where it is over because of its words, they were known before.
                known = why is Why.INSTANT or not is_new
                yield from self._accept(rest, why, speculated=known)
                return
        if is_new:
            yield self._partial(draft)
        if speech.moment is Moment.PAUSE:
            self._timed(rest)  # while nobody waits for it

    def _ended(
        self, draft: Transcript, rest: Utterance, silence_s: float
    ) -> Why | None:
        """Returns why the utterance is over at this pause; None where it is not."""
        how = self.completeness(draft)
        # To the nearest frame, as the segmenter counts.
        long_enough = silence_s > self.endpointing.complete_s - 0.51 * FRAME_S
        if how is Completeness.OPEN and long_enough:
            # There is time for a better look before the long pause is over.
            how = self.completeness(self._transcribed(rest))
        if how is Completeness.CLOSED and self.endpointing.instant:
            return Why.INSTANT
        if how is not Completeness.OPEN and long_enough:
            return Why.COMPLETE
        return None

    def _accept(
        self, rest: Utterance, why: Why, *, speculated: bool
    ) -> Iterator[Ended | Accepted]:
        yield Ended(utterance=rest, why=why, speculated=speculated)
        self._transcribed(rest)
        transcript = self._timed(rest)
        self._accepted_s = rest.start_s + rest.seconds
        self._begin()
        yield Accepted(utterance=rest, transcript=transcript)

    def _begin(self) -> None:
        self._known, self._stable, self._latest = None, (), ()

    def _rest(self, utterance: Utterance) -> Utterance | None:
        """Returns what was not accepted yet; None where that has no voice."""
        if utterance.start_s >= self._accepted_s:
            return utterance
        if utterance.speech_end_s < self._accepted_s + _MIN_REST_S:
            return None
        n_skipped = round((self._accepted_s - utterance.start_s) * SAMPLE_RATE_HZ)
        return Utterance(
            samples=utterance.samples[n_skipped:],
            start_s=self._accepted_s,
            speech_end_s=utterance.speech_end_s,
        )

    def _is_known(self, utterance: Utterance) -> bool:
        """Returns whether all voice of an utterance was recognised already."""
        return (
            self._known is not None
            and self._known[0].speech_end_s == utterance.speech_end_s
        )

    def _drafted(self, utterance: Utterance) -> Transcript:
        if self._known is None or not self._is_known(utterance):
            self._known = (utterance, self.recogniser.draft(utterance, self.bias()))
        return self._known[1]

    def _transcribed(self, utterance: Utterance) -> Transcript:
        """Returns the better result, where the draft will not do."""
        draft = self._drafted(utterance)
        if self._known is None or not draft.is_draft or self.settles(draft):
            return draft
        # The sound that the draft was made from: the recogniser still knows it.
        known, _ = self._known
        self._known = (known, self.recogniser.transcribe(known, self.bias()))
        return self._known[1]

    def _timed(self, utterance: Utterance) -> Transcript:
        transcript = self._drafted(utterance)
        if self._known is not None:
            known, _ = self._known
            transcript = with_words(self.recogniser, known, transcript)
            self._known = (known, transcript)
        return transcript

    def _partial(self, draft: Transcript) -> Partial:
        """Returns the words so far; what two results agree on counts as stable."""
        words = tuple(draft.text.split())
        n_same = 0
        for before, now in zip(self._latest, words, strict=False):
            if words_of(before) != words_of(now):
                break
            n_same += 1
        self._latest = words
        if n_same > len(self._stable):
            self._stable = words[:n_same]
        return Partial(
            stable=" ".join(self._stable), tail=" ".join(words[len(self._stable) :])
        )


@dataclass(slots=True)
class WakePhrase:
    """Lets in only what begins with a wake phrase, or follows one closely.

    There is no model for it: the phrase is looked for in the transcript, so every
    utterance in earshot costs a recognition, and its words are known to the process,
    although they go no further.
    """

    phrases: tuple[str, ...]
    awake_s: float = 8.0
    """How long after an utterance the next one needs no phrase."""
    _awake_until_s: float = field(init=False, default=-1.0)

    def admit(self, accepted: Accepted) -> Accepted | None:
        """Returns the utterance without the phrase; None where it was not meant."""
        text = accepted.transcript.text
        rest = self._after_phrase(text)
        if rest is None and accepted.utterance.start_s > self._awake_until_s:
            return None
        self._awake_until_s = accepted.utterance.speech_end_s + self.awake_s
        if rest is None:
            return accepted
        transcript = replace(accepted.transcript, text=rest)
        return replace(accepted, transcript=transcript)

    def awake(self, until_s: float) -> None:
        """Needs no phrase before this time, as while the player is answered."""
        self._awake_until_s = max(self._awake_until_s, until_s)

    def _after_phrase(self, text: str) -> str | None:
        for phrase in self.phrases:
            wanted = words_of(phrase)
            said = text.split()
            for n in range(1, len(said) + 1):
                heard = words_of(" ".join(said[:n]))
                if heard == wanted:
                    return " ".join(said[n:])
                if len(heard) >= len(wanted):
                    break
        return None
