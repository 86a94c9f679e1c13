"""When the player has said it: what is accepted at which pause, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.asr import Bias, Transcript, Word
from edge.audio import Samples
from edge.grammar import Completeness
from edge.hearing import (
    Accepted,
    Ear,
    Ended,
    Endpointing,
    Heard,
    Partial,
    WakePhrase,
    Why,
)
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.pipeline import SURE
from edge.understanding import completeness, settles
from edge.vad import (
    FRAME_S,
    FRAME_SAMPLES,
    Moment,
    Segmenter,
    Speech,
    Utterance,
)
from models.pack_file import load_pack

PACK = """
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
[intents.stop]
say = ["stop it"]
[intents.move]
say = ["go left [at once]"]
"""
N_WORD = 8
"""Frames of a word; it is heard once half of it was said."""
N_SPECULATE, N_COMPLETE, N_OPEN = 2, 8, 22
"""Frames of the pauses."""


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    folder = tmp_path_factory.mktemp("pack")
    (folder / "pack.toml").write_text(PACK)
    pack = load_pack(folder)
    return build_lexicon(pack, default_scene(pack))


@dataclass
class Written:
    """Words as sound: each frame of a word holds the word's number."""

    words: list[str] = field(default_factory=lambda: [""])

    def frame(self, number: int) -> Samples:
        return np.full(FRAME_SAMPLES, number, np.float32)

    def number(self, word: str) -> int:
        """Returns the number of one more word."""
        self.words.append(word)
        return len(self.words) - 1

    def heard(self, utterance: Utterance) -> str:
        """Returns the words of which at least half sounds."""
        numbers = utterance.samples.reshape(-1, FRAME_SAMPLES)[:, 0].astype(int)
        found, counts = np.unique(numbers, return_counts=True)
        return " ".join(
            self.words[number]
            for number, n in zip(found, counts, strict=True)
            if number and 2 * n >= N_WORD
        )


@dataclass
class Reader:
    """A recogniser that reads the written sound, and counts how often it is asked."""

    written: Written
    unsure: dict[str, str] = field(default_factory=dict)
    """What a draft takes words for."""
    drafts: list[str] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    told: set[Bias] = field(default_factory=set)
    """What was likely to be said."""
    n_timed: int = 0

    def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        self.told.add(bias)
        text = self.written.heard(utterance)
        self.drafts.append(self.unsure.get(text, text))
        is_unsure = text in self.unsure
        return Transcript(
            text=self.drafts[-1],
            confidence=SURE - 0.1 if is_unsure else 1,
            is_draft=is_unsure,
        )

    def transcribe(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        self.told.add(bias)
        self.transcripts.append(self.written.heard(utterance))
        return Transcript(text=self.transcripts[-1])

    def words(self, utterance: Utterance, transcript: Transcript) -> tuple[Word, ...]:
        self.n_timed += 1
        at_s = utterance.start_s
        return tuple(
            Word(text=text, start_s=at_s, end_s=at_s, confidence=1)
            for text in transcript.text.split()
        )

    def speaking(self, language: str) -> Reader:
        return self

    def close(self) -> None: ...


class Listener:
    """One player's microphone, ear and all that was heard."""

    def __init__(
        self, lexicon: Lexicon, endpointing: Endpointing | None = None
    ) -> None:
        self.written = Written()
        self.reader = Reader(self.written)
        self.ear = Ear(
            recogniser=self.reader,
            completeness=lambda heard: completeness(lexicon, heard),
            settles=lambda draft: settles(lexicon, draft, sure=SURE),
            bias=lambda: ("the mole",),
            endpointing=endpointing or Endpointing(),
        )
        self.segmenter = Segmenter(self.ear.endpointing.segmenter())
        self.heard: list[tuple[int, Heard]] = []
        """With the number of frames of silence that stood before it."""
        self._n_silent = 0

    def say(self, words: str, *, n_frames: int = N_WORD) -> Listener:
        self._n_silent = 0
        for word in words.split():
            number = self.written.number(word)
            for _ in range(n_frames):
                self._push(self.written.frame(number), 0.9)
        return self

    def pause(self, n_frames: int) -> Listener:
        for _ in range(n_frames):
            self._n_silent += 1
            self._push(self.written.frame(0), 0.0)
        return self

    def let_go(self) -> Listener:
        for event in self.segmenter.let_go():
            self._take(event)
        return self

    def _push(self, frame: Samples, probability: float) -> None:
        for event in self.segmenter.push(frame, probability):
            self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, Speech):
            self.heard += [(self._n_silent, each) for each in self.ear.take(event)]

    @property
    def texts(self) -> list[str]:
        """What was accepted."""
        return [event.transcript.text for event in self.accepted]

    @property
    def accepted(self) -> list[Accepted]:
        return [event for _, event in self.heard if isinstance(event, Accepted)]

    @property
    def ends(self) -> list[tuple[int, Why, bool]]:
        """After how many frames of silence, why, and if the words were known."""
        return [
            (n, event.why, event.speculated)
            for n, event in self.heard
            if isinstance(event, Ended)
        ]


@pytest.fixture
def listener(lexicon: Lexicon) -> Listener:
    return Listener(lexicon)


def test_a_command_that_nothing_follows_is_accepted_at_the_first_pause(
    listener: Listener,
) -> None:
    listener.say("stop it").pause(40)

    assert listener.texts == ["stop it"]
    assert listener.ends == [(N_SPECULATE, Why.INSTANT, True)]


@pytest.mark.parametrize("words", ["stop it", "go left", "well now"])
def test_no_pause_ends_what_is_said_while_the_button_is_held(
    listener: Listener, words: str
) -> None:
    listener.segmenter.press()
    listener.say(words).pause(60)
    assert listener.ends == []

    listener.let_go()

    assert listener.texts == [words]
    assert listener.ends == [(60, Why.RELEASED, True)]


def test_a_command_that_could_go_on_waits_for_a_short_pause(listener: Listener) -> None:
    listener.say("go left").pause(40)

    assert listener.texts == ["go left"]
    assert listener.ends == [(N_COMPLETE, Why.COMPLETE, True)]


def test_anything_else_waits_for_a_long_pause(listener: Listener) -> None:
    listener.say("tell me of the sea").pause(40)

    assert listener.texts == ["tell me of the sea"]
    assert listener.ends == [(N_OPEN, Why.PAUSE, True)]


def test_a_player_who_goes_on_within_the_pause_is_heard_to_the_end(
    listener: Listener,
) -> None:
    listener.say("go left").pause(N_COMPLETE - 1).say("at once").pause(40)

    assert listener.texts == ["go left at once"]
    assert listener.ends == [(N_SPECULATE, Why.INSTANT, True)]
    assert listener.accepted[0].utterance.start_s == 0


def test_a_player_who_thinks_in_the_middle_is_not_cut(listener: Listener) -> None:
    listener.say("tell me").pause(N_OPEN - 1).say("of the").pause(N_OPEN - 1)
    listener.say("sea").pause(40)

    assert listener.texts == ["tell me of the sea"]


def test_what_is_known_at_the_end_is_not_recognised_again(listener: Listener) -> None:
    listener.say("tell me", n_frames=4).pause(40)

    assert listener.reader.drafts == ["tell me"]
    assert listener.reader.transcripts == []
    assert listener.reader.n_timed == 1


def test_a_pause_that_was_too_short_costs_one_more_recognition(
    listener: Listener,
) -> None:
    listener.say("tell me", n_frames=4).pause(4).say("more", n_frames=4).pause(40)

    assert listener.reader.drafts == ["tell me", "tell me more"]
    assert listener.texts == ["tell me more"]


def test_where_asked_to_no_command_is_accepted_at_once(lexicon: Lexicon) -> None:
    listener = Listener(lexicon, Endpointing(instant=False)).say("stop it").pause(40)

    assert listener.ends == [(N_COMPLETE, Why.COMPLETE, True)]


@pytest.mark.parametrize("complete_ms", range(100, 700, 25))
def test_a_short_pause_is_as_long_as_the_pack_says(
    lexicon: Lexicon, complete_ms: int
) -> None:
    endpointing = Endpointing(complete_s=complete_ms / 1000)

    listener = Listener(lexicon, endpointing).say("go left").pause(40)

    ((n_frames, why, _),) = listener.ends
    assert why is Why.COMPLETE
    assert n_frames * FRAME_S == pytest.approx(endpointing.complete_s, abs=FRAME_S)


def test_an_unsure_draft_gets_a_better_look_before_the_long_pause(
    listener: Listener,
) -> None:
    listener.reader.unsure = {"stop it": "sop it"}

    listener.say("stop it").pause(40)

    assert listener.texts == ["stop it"]
    assert listener.ends == [(N_COMPLETE, Why.INSTANT, True)]
    assert listener.reader.transcripts == ["stop it"]


def test_a_draft_that_is_a_command_needs_no_better_look(listener: Listener) -> None:
    listener.reader.unsure = {"stop": "stop it"}

    listener.say("stop").pause(40)

    assert listener.texts == ["stop it"]
    assert listener.reader.transcripts == []


def test_an_unsure_draft_of_something_else_gets_one_better_look(
    listener: Listener,
) -> None:
    listener.reader.unsure = {"tell me": "dell me"}

    listener.say("tell me").pause(40)

    assert listener.texts == ["tell me"]
    assert listener.reader.transcripts == ["tell me"]
    assert listener.reader.told == {("the mole",)}


def test_a_button_that_is_let_go_ends_it_at_once(listener: Listener) -> None:
    listener.segmenter.press()
    listener.say("tell me").pause(60).say("more").let_go()

    assert listener.texts == ["tell me more"]
    assert [why for _, why, _ in listener.ends] == [Why.RELEASED]


def test_endless_words_are_accepted_in_parts(lexicon: Lexicon) -> None:
    listener = Listener(lexicon)
    how = dataclasses.replace(listener.segmenter.config, max_utterance_s=40 * FRAME_S)
    listener.segmenter = Segmenter(how)

    listener.say("one two three four five six").pause(40)

    assert listener.texts == ["one two three four five", "six"]
    assert [why for _, why, _ in listener.ends] == [Why.LIMIT, Why.PAUSE]


# Words after what was accepted early -------------------------------------------------


@pytest.mark.parametrize("n_frames", [N_SPECULATE + 1, 6, N_OPEN - 1, N_OPEN + 5])
def test_words_that_follow_are_an_utterance_of_their_own(
    listener: Listener, n_frames: int
) -> None:
    listener.say("stop it").pause(n_frames).say("go left").pause(40)

    first, second = listener.accepted
    assert [first.transcript.text, second.transcript.text] == ["stop it", "go left"]
    first_end_s = first.utterance.start_s + first.utterance.seconds
    assert first_end_s <= second.utterance.start_s + 1e-9
    assert second.transcript.words[0].start_s == second.utterance.start_s


def test_row_after_row_of_commands_is_understood(listener: Listener) -> None:
    for _ in range(5):
        listener.say("stop it").pause(4).say("go left").pause(10)
    listener.pause(40)

    assert listener.texts == ["stop it", "go left"] * 5


def test_a_last_sound_is_no_utterance(listener: Listener) -> None:
    listener.say("stop it").pause(N_SPECULATE)
    n_drafts = len(listener.reader.drafts)
    listener.say("hm", n_frames=2).pause(40)

    assert listener.texts == ["stop it"]
    assert len(listener.reader.drafts) == n_drafts


def test_after_a_last_sound_the_next_words_are_heard(listener: Listener) -> None:
    listener.say("stop it").pause(N_SPECULATE).say("hm", n_frames=2).pause(60)

    listener.say("go left").pause(40)

    assert listener.texts == ["stop it", "go left"]
    assert listener.accepted[1].utterance.start_s > 60 * FRAME_S


@given(
    turns=st.lists(
        st.tuples(
            st.sampled_from(["stop it", "go left", "hm what"]), st.integers(3, 40)
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_word_is_lost_and_none_is_heard_twice(
    lexicon: Lexicon, turns: Sequence[tuple[str, int]]
) -> None:
    listener = Listener(lexicon)
    for words, n_frames in turns:
        listener.say(words).pause(n_frames)
    listener.pause(40)

    assert " ".join(listener.texts) == " ".join(words for words, _ in turns)
    for before, after in zip(listener.accepted, listener.accepted[1:], strict=False):
        end_s = before.utterance.start_s + before.utterance.seconds
        assert end_s <= after.utterance.start_s + 1e-9


# Words so far ------------------------------------------------------------------------


def partials_of(texts: Sequence[str]) -> list[Partial]:
    """Returns what is told where these texts are recognised one after another."""
    heard = iter(texts)

    class Scripted(Reader):
        def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
            return Transcript(text=next(heard))

    ear = Ear(
        Scripted(Written()),
        completeness=lambda _: Completeness.OPEN,
        settles=lambda _: True,
    )
    return [each for each in _speaking(ear, len(texts)) if isinstance(each, Partial)]


def _speaking(ear: Ear, n_times: int) -> Iterator[Heard]:
    for n in range(1, n_times + 1):
        samples = np.zeros(n * FRAME_SAMPLES, np.float32)
        utterance = Utterance(samples=samples, start_s=0, speech_end_s=n * FRAME_S)
        speech = Speech(utterance=utterance, moment=Moment.SPEAKING, silence_s=0)
        yield from ear.take(speech)


def test_words_so_far_are_stable_once_two_results_agree() -> None:
    told = partials_of(["go", "Go lift", "go left to", "go left to the"])

    assert [(each.stable, each.tail) for each in told] == [
        ("", "go"),
        ("Go", "lift"),
        ("Go", "left to"),
        ("go left to", "the"),
    ]


phrases = st.lists(st.sampled_from(["go", "Go,", "left", "lift", "to"]), max_size=5)


@given(st.lists(phrases.map(" ".join), max_size=8))
def test_what_is_stable_only_grows(texts: list[str]) -> None:
    told = partials_of(texts)

    assert len(told) == len(texts)
    n_before = 0
    for text, each in zip(texts, told, strict=True):
        stable = each.stable.split()
        assert len(stable) >= n_before
        n_before = len(stable)
        assert each.tail.split() == text.split()[len(stable) :]


@given(st.lists(st.sampled_from(["go", "left", "to", "sea"]), min_size=1, max_size=9))
def test_where_nothing_is_revised_stable_and_tail_are_the_text(
    words: list[str],
) -> None:
    texts = [" ".join(words[: n + 1]) for n in range(len(words))]

    for text, each in zip(texts, partials_of(texts), strict=True):
        assert f"{each.stable} {each.tail}".split() == text.split()


def test_while_the_player_speaks_words_come(listener: Listener) -> None:
    listener.say("tell me of the deep blue sea").pause(40)

    told = [event for _, event in listener.heard if isinstance(event, Partial)]
    assert len(told) >= 3
    assert told[-1].stable.startswith("tell me of")
    assert isinstance(listener.heard[-1][1], Accepted)


def test_each_utterance_has_words_of_its_own(listener: Listener) -> None:
    listener.say("tell me of the sea").pause(40).say("who are you now").pause(40)

    told = [event for _, event in listener.heard if isinstance(event, Partial)]
    assert not any({"tell", "who"} <= set(each.stable.split()) for each in told)
    first_of_second = next(each for each in told if "who" in each.tail)
    assert first_of_second.stable == ""


# Wake phrases ------------------------------------------------------------------------


def accepted(text: str, *, start_s: float, end_s: float) -> Accepted:
    """Returns an utterance that is over."""
    return Accepted(
        utterance=Utterance(
            samples=np.zeros(round((end_s - start_s) * 16_000), np.float32),
            start_s=start_s,
            speech_end_s=end_s,
        ),
        transcript=Transcript(text=text),
    )


def admitted(wake: WakePhrase, text: str, at_s: float = 0.0) -> str | None:
    """Returns the words that are let in."""
    found = wake.admit(accepted(text, start_s=at_s, end_s=at_s + 1))
    return None if found is None else found.transcript.text


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Hey Wren, go left.", "go left."),
        ("hey wren go left", "go left"),
        ("HEY, WREN! Go left", "Go left"),
        ("Okay Captain, stop it.", "stop it."),
        ("Hey Wren", ""),
        ("go left", None),
        ("hey you go left", None),
        ("Hey Wrenfield, go left", None),
        ("say hey wren", None),
        ("hey", None),
        ("", None),
    ],
)
def test_only_what_begins_with_the_phrase_is_let_in(
    text: str, rest: str | None
) -> None:
    assert (
        admitted(WakePhrase(("hey Wren", "OK captain", "okay captain")), text) == rest
    )


def test_after_a_phrase_the_next_words_need_none() -> None:
    wake = WakePhrase(("hey wren",), awake_s=8)

    assert admitted(wake, "go left", at_s=0) is None
    assert admitted(wake, "hey wren", at_s=2) == ""
    assert admitted(wake, "go left", at_s=10.5) == "go left"
    assert admitted(wake, "go right", at_s=19) == "go right"
    assert admitted(wake, "go up", at_s=29) is None
    assert admitted(wake, "hey wren go up", at_s=30) == "go up"


def test_whoever_is_answered_stays_awake() -> None:
    wake = WakePhrase(("hey wren",), awake_s=8)
    wake.awake(until_s=100)
    wake.awake(until_s=50)

    assert admitted(wake, "go left", at_s=99) == "go left"
    assert admitted(wake, "go left", at_s=120) is None


def test_what_is_not_let_in_wakes_nobody() -> None:
    wake = WakePhrase(("hey wren",))

    for at_s in range(5):
        assert admitted(wake, "go left", at_s=at_s) is None
