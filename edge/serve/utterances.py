"""What a session tells of each utterance: from its first words to its one end.

Every utterance that was accepted, which ``speech.end`` announces, ends in exactly one
of ``turn``, ``cancelled`` and ``dropped``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from edge.asr import Transcript
from edge.hearing import Partial
from edge.pipeline import Turn
from edge.serve.fields import timing_fields, transcript_fields
from edge.serve.metrics import Metrics
from edge.serve.outgoing import Outgoing


@dataclass(slots=True)
class Utterances:
    """Numbers the utterances of a session, and tells the client of them."""

    out: Outgoing
    metrics: Metrics
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _n: int = field(init=False, default=0)
    _coming: int = field(init=False, default=0)
    """Number of the one that is being spoken; 0 where it has none yet."""

    def partial(self, heard: Partial) -> None:
        """Tells the words so far of the one that is being spoken."""
        self.out.send(
            "partial",
            utterance=self._number_of_speech(),
            stable=heard.stable[:2000],
            tail=heard.tail[:2000],
        )

    def accept_speech(self, why: str, *, speculated: bool, at_s: float) -> int:
        """Returns the number of the one that was being spoken, which is over."""
        number, self._coming = self._number_of_speech(), 0
        self._accept(number, why, speculated=speculated, at_s=at_s)
        return number

    def accept_typed(self, at_s: float) -> int:
        """Returns the number of one that was not spoken."""
        number = self._number()
        self._accept(number, "typed", speculated=False, at_s=at_s)
        return number

    def transcript(self, number: int, transcript: Transcript) -> None:
        """Tells what was understood."""
        self.out.send("transcript", utterance=number, **transcript_fields(transcript))

    def turn(self, number: int, turn: Turn) -> None:
        """Ends an utterance that was answered."""
        self.metrics.utterances.labels(outcome="turn").inc()
        self.out.send("turn", utterance=number, timings=timing_fields(turn.timings))

    def cancelled(self, number: int, why: str) -> None:
        """Ends an utterance whose answer is no longer wanted."""
        self._end("cancelled", number, why)

    def dropped(self, number: int, why: str) -> None:
        """Ends an utterance that is not answered."""
        self._end("dropped", number, why)

    def _end(self, how: str, number: int, why: str) -> None:
        self.metrics.utterances.labels(outcome=why).inc()
        self.out.send(how, utterance=number, why=why)

    def _accept(self, number: int, why: str, *, speculated: bool, at_s: float) -> None:
        self.metrics.accepted.labels(why=why, speculated=str(speculated).lower()).inc()
        self.out.send(
            "speech.end",
            utterance=number,
            at=round(at_s, 4),
            why=why,
            speculated=speculated,
        )

    def _number_of_speech(self) -> int:
        self._coming = self._coming or self._number()
        return self._coming

    def _number(self) -> int:
        with self._lock:
            self._n += 1
            return self._n
