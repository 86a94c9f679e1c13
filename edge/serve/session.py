"""One game's session: what it says goes in, what Headside makes of it comes out.

Two threads meet here. The connection's thread parses messages and cuts sound into
speech (``receive`` and ``hear``), and leaves tasks. The inference thread takes them one
by one (``work``). Only ``cancel`` goes the other way.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.asr import Transcript
from edge.dialogue import Exchange, Outcome, Reply
from edge.hearing import Accepted, Ended, Partial, WakePhrase
from edge.intent import Intent
from edge.lexicon import default_scene
from edge.pipeline import Runtime, Turn
from edge.scene import Scene
from edge.serve.actions import Actions
from edge.serve.capture import Capture
from edge.serve.metrics import Metrics
from edge.serve.outgoing import Outgoing
from edge.serve.replies import Replies
from edge.serve.tasks import Call, Task, Tasks, Typed
from edge.serve.utterances import Utterances
from edge.serve.wire import Message, WireError
from edge.serve.world import World
from edge.tiers import Clarify
from edge.trace import Trace
from edge.vad import Segmenter, Speech, SpeechEvent, SpeechStart
from models.errors import HeadsideError
from models.pack import Pack, SceneList


@dataclass(slots=True)
class Answering:
    """The turn that is being made."""

    utterance: int
    cancel: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    """Why it was cancelled."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions share."""

    metrics: Metrics
    trace: Trace
    wake: Callable[[], None]
    """Tells the inference thread that there is something to do."""
    reload: Callable[[], None]
    """Reads the pack anew, for all sessions; on the inference thread."""
    load: Callable[[str], Pack]
    """Returns the pack in a language; on the inference thread."""
    observed: Callable[[str, str], None]
    """Told each event as text, and the session's name."""


class Session:
    """One game's session.

    Args:
        runtime: This player's chain.
        services: What all sessions share.
        wants_results: Whether replies wait for the game's ``result``.
    """

    def __init__(
        self, runtime: Runtime, services: Services, *, wants_results: bool
    ) -> None:
        self.name = secrets.token_hex(16)
        self.runtime = runtime
        self.seen = 0
        """Id of the client's latest message."""
        self.reading = threading.RLock()
        """Held by the connection whose message is taken, and by who changes the world
        otherwise."""
        self._services = services
        self._lock = threading.Condition()
        self._tasks = Tasks()
        self._is_over = False
        self._ended = threading.Event()
        self._answering: Answering | None = None
        self._cancels = (0, "")
        """How often all was cancelled, and why last."""
        self._n_cancels = 0
        """As often when the present task was begun."""
        self._n_overruns = 0
        self._refused: Scene | None = None
        """The scene that could not be taken over."""
        self._scene_errors: list[str] = []
        runtime.outcomes = self._outcomes
        self.world = World(runtime.scene)
        self.capture = self._build_capture()
        self._ear = runtime.ear()
        self._wake_phrase = _wake_phrase(runtime.pack)
        self.out = Outgoing(
            lambda: self.capture.time_s, lambda text: services.observed(text, self.name)
        )
        self._utterances = Utterances(self.out, services.metrics)
        self._actions = Actions(
            self.out,
            services.metrics,
            lambda: runtime.scene.revision,
            wants_results=wants_results,
        )
        self._replies = Replies(self.out, runtime.conversation)
        self._receivers: dict[str, Callable[[Message], None]] = {
            "audio": lambda m: self._take(self.capture.skip_to(m["at"])),
            "scene.set": self._scene(self.world.set_all),
            "scene.patch": self._scene(self.world.patch),
            "rays": self.world.add_rays,
            "fact": self._scene(lambda m: self.world.set_fact(m["key"], m["value"])),
            "ptt": self._ptt,
            "text": self._text,
            "say": self._say,
            "character": lambda m: self._call("character", self._address, m["name"]),
            "language": self._language,
            "cancel": lambda _: self.cancel("cancel"),
            "pause": lambda _: self._pause(is_paused=True),
            "resume": lambda _: self._pause(is_paused=False),
            "confirm": lambda m: self._call(
                "confirm", self._actions.confirm, m["intent"], m["yes"]
            ),
            "choose": lambda m: self._call(
                "choose", self._choose, m["utterance"], m["n"]
            ),
            "result": self._actions.result,
            "frame": lambda _: self._services.metrics.late_frames.inc(),
            "played": self._played,
            "pack.reload": lambda _: self._call("reload", self._services.reload),
        }

    # On the connection's thread -----------------------------------------------------

    def receive(self, message: Message) -> None:
        """Takes a message of the game's; one that came before is ignored.

        Raises:
            WireError: It cannot be taken.
        """
        if message["id"] <= self.seen:
            return
        self.seen = message["id"]
        self._receivers[message["type"]](message)

    def hear(self, pcm: bytes) -> None:
        """Takes a frame of sound.

        Raises:
            WireError: It is no whole number of samples.
        """
        self._take(self.capture.hear(pcm))

    def cancel(self, why: str) -> None:
        """Ends what is being answered and drops what waits."""
        with self._lock:
            waiting = self._tasks.drop_utterances()
            self._cancels = (self._cancels[0] + 1, why)
            self._cut(why)
        self._actions.withdraw()
        for task in waiting:
            self._utterances.cancelled(task.utterance, why)

    def end(self) -> threading.Event:
        """Ends all that goes on, for good.

        Returns:
            Set by the inference thread once it is no longer at any task of this.
        """
        with self._lock:
            self._is_over = True
            self._tasks.drop_calls()
        self.cancel("bye")
        self._add(Call(self._ended.set, "end"))
        return self._ended

    def has_work(self) -> bool:
        """Returns whether something waits to be done."""
        with self._lock:
            return bool(self._tasks)

    def fail(self, error: HeadsideError, of: int = 0, *, fatal: bool = False) -> None:
        """Tells the client of an error."""
        self._services.metrics.errors.labels(code=error.code).inc()
        self.out.send(
            "error",
            code=error.code[:64],
            message=error.message[:500],
            hint=error.hint[:500],
            fatal=fatal,
            of=of,
        )

    def _take(self, events: Iterable[SpeechEvent]) -> None:
        for event in events:
            if isinstance(event, SpeechStart):
                self._barge_in()
                self.out.send("speech.start", at=round(event.at_s, 4))
            else:
                self._add(event)

    def _barge_in(self) -> None:
        with self._lock:
            self._cut("barge_in")

    def _cut(self, why: str) -> None:
        if self._answering is not None:
            self._answering.why = self._answering.why or why
            self._answering.cancel.set()
            self._actions.wake()

    def _add(self, task: Task) -> None:
        """Leaves a task."""
        with self._lock:
            is_late = self._is_over and not isinstance(task, Call)
            dropped = None if is_late else self._tasks.add(task)
        self._services.wake()
        if is_late:
            if isinstance(task, Typed):
                self._utterances.cancelled(task.utterance, "bye")
        elif isinstance(dropped, Typed):
            self._utterances.dropped(dropped.utterance, "queue_full")
        elif dropped is not None:
            self._n_overruns += 1
            self.out.send("overrun", what="utterance", count=self._n_overruns)

    def _call(self, name: str, run: Callable[..., None], *arguments: Any) -> None:
        self._add(Call(lambda: run(*arguments), name, of=self.seen))

    def _scene(self, change: Callable[[Message], None]) -> Callable[[Message], None]:
        """Returns what takes over a change and has it acknowledged, the latest once."""

        def receive(message: Message) -> None:
            change(message)
            with self._lock:
                is_waiting = self._tasks.has_call("scene")
            if not is_waiting:
                self._call("scene", self._acknowledge)

        return receive

    def _ptt(self, message: Message) -> None:
        if message["down"]:
            self._barge_in()
        self._take(self.capture.press(down=message["down"]))

    def _text(self, message: Message) -> None:
        self._barge_in()
        number = self._utterances.accept_typed(self.capture.time_s)
        self._add(Typed(number, message["text"]))

    def _say(self, message: Message) -> None:
        self._call("say", self._speak, message.get("character", ""), message["text"])

    def _language(self, message: Message) -> None:
        known = self.runtime.pack.languages
        if message["language"] not in known:
            raise WireError(
                "language_unknown",
                f"The pack does not know the language {message['language']!r}.",
                f"It knows: {', '.join(known)}.",
            )
        self._call("language", self._speak_in, message["language"])

    def _pause(self, *, is_paused: bool) -> None:
        self.capture.pause(is_paused=is_paused)
        if is_paused:
            self.cancel("pause")

    def _played(self, message: Message) -> None:
        utterance, characters = message["utterance"], message["characters"]
        self.capture.played(utterance, ended=message["ended"])
        self._replies.played(message, self.capture.time_s)
        if message["ended"]:
            self._call("played", self._replies.note_cut, utterance, characters)

    # On the inference thread --------------------------------------------------------

    def work(self) -> None:
        """Does the task that waits longest."""
        with self._lock:
            if not self._tasks:
                return
            task = self._tasks.take()
            self._n_cancels = self._cancels[0]
        try:
            self._take_scene()
            self._do(task)
        except Exception as error:  # noqa: BLE001 - one session must not end all
            self.fail(_as_ours(error), task.of if isinstance(task, Call) else 0)

    def set_pack(self, pack: Pack) -> None:
        """Takes over a pack that was read anew, or in another language.

        Raises:
            PackError: It cannot be used.
        """
        self.runtime.set_pack(pack)
        self._actions.withdraw()
        self._ear.recogniser = self.runtime.recogniser
        self._ear.endpointing = self.runtime.endpointing
        self.capture.become(
            self.runtime.endpointing.segmenter(),
            is_open_mic=pack.listening.mode != "push_to_talk",
            barge_in=pack.listening.barge_in,
        )
        self._wake_phrase = _wake_phrase(pack)
        with self.reading:
            self.world.become(default_scene(pack))
        self._refused = None
        self._take_scene()
        self._acknowledge()

    def _take_scene(self) -> None:
        now, refused = self.world.scene, self._refused
        if refused and (now.objects, now.facts) == (refused.objects, refused.facts):
            return
        self._refused, self._scene_errors = None, []
        try:
            self.runtime.set_scene(now)
        except HeadsideError as error:
            self._refused, self._scene_errors = now, [error.message[:200]]

    def _do(self, task: Task) -> None:
        if isinstance(task, Call):
            task.run()
        elif isinstance(task, Typed):
            language = self.runtime.pack.language
            transcript = Transcript(text=task.text, language=language)
            self._answer(task.utterance, transcript, 0.0)
        else:
            self._hear(task)

    def _hear(self, speech: Speech) -> None:
        number = 0
        accepted: Accepted | None = None
        sound_s = round(speech.utterance.seconds, 3)
        span = self._services.trace.span("hear", moment=speech.moment, sound_s=sound_s)
        try:
            with span:
                for heard in self._ear.take(speech):
                    match heard:
                        case Partial():
                            if self._wake_phrase is None:
                                self._utterances.partial(heard)
                        case Ended():
                            number = self._utterances.accept_speech(
                                heard.why,
                                speculated=heard.speculated,
                                at_s=heard.utterance.speech_end_s,
                            )
                        case Accepted():
                            accepted = heard
        except Exception as error:  # noqa: BLE001 - the utterance must end
            self.fail(_as_ours(error))
            if number:
                self._utterances.dropped(number, "failed")
            return
        if accepted is not None:
            self._understand(number, accepted)

    def _understand(self, number: int, heard: Accepted) -> None:
        utterance = heard.utterance
        if heard.transcript.n_windows > 1:
            self._services.metrics.windows.inc()
        if not heard.transcript.text:
            self._utterances.dropped(number, "no_words")
            return
        if self._wake_phrase is not None:
            admitted = self._wake_phrase.admit(heard)
            if admitted is None or not admitted.transcript.text:
                self._utterances.dropped(number, "no_wake_phrase")
                return
            heard = admitted
        # Who holds the button means to speak, even the character's own words.
        if self.capture.is_open_mic and self._replies.is_echo(
            heard.transcript.text, utterance.start_s
        ):
            self._utterances.dropped(number, "echo")
            return
        self._answer(number, heard.transcript, utterance.start_s)

    def _answer(self, number: int, transcript: Transcript, start_s: float) -> None:
        answering = Answering(number)
        with self._lock:
            n_cancels, why = self._cancels
            if n_cancels == self._n_cancels:
                self._answering = answering
        if self._answering is None:
            # While its words were looked for.
            self._utterances.cancelled(number, why)
            return
        self._actions.begin()
        turn: Turn | None = None
        began_s = time.perf_counter()
        try:
            for event in self.runtime.answer(transcript, start_s, answering.cancel):
                match event:
                    case Transcript():
                        self._utterances.transcript(number, event)
                    case Intent():
                        self._actions.send(number, event, transcript)
                    case Clarify():
                        self._actions.ask(number, event, transcript)
                    case Reply():
                        self._replies.send(number, event, self.runtime.conversation)
                    case Turn():
                        turn = event
        except Exception as error:  # noqa: BLE001 - the utterance must end
            self.fail(_as_ours(error))
        with self._lock:
            self._answering = None
        self._close(answering, turn, began_s)

    def _close(self, answering: Answering, turn: Turn | None, began_s: float) -> None:
        number = answering.utterance
        was_cut = answering.cancel.is_set()
        if self._replies.end(number, was_cut=was_cut) and self._wake_phrase is not None:
            self._wake_phrase.awake(self.capture.time_s + self._wake_phrase.awake_s)
        for timing in turn.timings if turn else ():
            self._services.metrics.stage_seconds.labels(stage=timing.stage).observe(
                timing.seconds
            )
            self._services.trace.add(
                timing.stage,
                began_s + timing.start_s,
                timing.seconds,
                utterance=number,
            )
        if was_cut or turn is None:
            self._actions.withdraw()
        if was_cut:
            self._utterances.cancelled(number, answering.why or "cancel")
        elif turn is None:
            self._utterances.dropped(number, "failed")
        else:
            self._utterances.turn(number, turn)

    def _outcomes(self, intents: Sequence[Intent]) -> tuple[Outcome, ...]:
        answering = self._answering
        return self._actions.outcomes(
            intents, lambda: answering is None or answering.cancel.is_set()
        )

    def _acknowledge(self) -> None:
        self.out.send(
            "scene.ack",
            rev=self.runtime.scene.revision,
            lexicon=self.runtime.lexicon.version,
            errors=self._scene_errors,
        )

    def _choose(self, utterance: int, n: int) -> None:
        chosen = self._actions.choose(utterance, n, self._can_be_done)
        self.runtime.conversation.decide(chosen)

    def _can_be_done(self, intent: Intent) -> bool:
        """Returns whether an intent's condition holds and its objects are there."""
        lexicon = self.runtime.lexicon
        declared = lexicon.intent(intent.name)
        return declared is not None and all(
            lexicon.lists[declared.slots[slot.name]].accepts(slot.value)
            for slot in intent.slots
            if isinstance(lexicon.pack.lists[declared.slots[slot.name]], SceneList)
        )

    def _speak_in(self, language: str) -> None:
        if language == self.runtime.pack.language:
            self._acknowledge()
        else:
            self.set_pack(self._services.load(language))

    def _address(self, name: str) -> None:
        self.runtime.address(name)

    def _speak(self, character: str, text: str) -> None:
        if character:
            self.runtime.address(character)
        number = self._utterances.accept_typed(self.capture.time_s)
        self._replies.send(number, Reply(text=text), self.runtime.conversation)
        self.runtime.conversation.remember(
            Exchange(player="...", intents=(), reply=text)
        )
        self._close(
            Answering(number),
            Turn(
                start_s=self.capture.time_s,
                transcript=Transcript(text=""),
                intents=(),
                reply=Reply(text=text),
                timings=(),
            ),
            time.perf_counter(),
        )

    def _build_capture(self) -> Capture:
        listening = self.runtime.pack.listening
        detector = self.runtime.detector
        return Capture(
            detector,
            Segmenter(self.runtime.endpointing.segmenter()),
            is_open_mic=listening.mode != "push_to_talk",
            barge_in=listening.barge_in,
        )


def _as_ours(error: Exception) -> HeadsideError:
    if isinstance(error, HeadsideError):
        return error
    return HeadsideError(
        "internal",
        f"A mistake of ours: {type(error).__name__}.",
        "Please report it, with what led to it.",
    )


def _wake_phrase(pack: Pack) -> WakePhrase | None:
    return WakePhrase(pack.listening.wake) if pack.listening.wake else None
