"""What a player feels: recordings in real time through `headside serve`.

Each recording is sent as a microphone would, 32 ms at a time, each block once its last
sample has been spoken. `felt_ms` is the time from the last voiced sample, as the voice
detector finds it in the whole file, to the intent's arrival, the wait for the pause
included. `endpoint_to_intent_ms` runs from the decision that the utterance is over
(`speech.end`), `first_word_ms` from there to the first sentence of the reply.

    python benchmarks/bench_stream.py --json
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measure import recordings, run, spread
from benchmarks.serving import Served, serving
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.build import RuntimeOptions, build_runtime, open_sound
from edge.clients.client import Client
from models.pack_file import load_pack
from models.store import Store

BLOCK = 512
TAIL_S = 1.5
"""Silence after each recording, longer than any pause that is waited for."""
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A recording, and where its voice ends."""

    name: str
    pack: str
    samples: Samples
    speech_end_s: float


@dataclass(slots=True)
class Heard:
    """When each event of one playing arrived, since the first sample."""

    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def at(self, kind: str) -> float | None:
        """Returns when the first event of a type came."""
        return next((t for t, event in self.events if event["type"] == kind), None)

    def partial_gaps_s(self) -> list[float]:
        """Returns the time between partials, from the start of speech to its end."""
        begin, end = self.at("speech.start"), self.at("speech.end")
        if begin is None or end is None:
            return []
        partials = [t for t, e in self.events if e["type"] == "partial" and t < end]
        marks = [begin, *partials, end]
        return [after - before for before, after in itertools.pairwise(marks)]


def measure(*, threads: int, repeats: int) -> dict[str, Any]:
    """Returns medians over all plays, and each recording's own."""
    clips = list(_clips(Store.default()))
    heard: dict[str, list[Heard]] = {}
    for pack in dict.fromkeys(clip.pack for clip in clips):
        with serving(pack, threads=threads) as served:
            for n in range(repeats + 1):
                for clip in clips:
                    if clip.pack == pack:
                        found = _play(clip, served)
                        if n > 0:  # the first warms the caches
                            heard.setdefault(clip.name, []).append(found)
    return _report(clips, heard)


def _report(clips: list[Clip], heard: dict[str, list[Heard]]) -> dict[str, Any]:
    felt: dict[str, list[float]] = {}
    endpoint: list[float] = []
    word: list[float] = []
    gaps: list[float] = []
    ends: list[dict[str, Any]] = []
    n_missed = 0
    for clip in clips:
        for found in heard[clip.name]:
            gaps += [1000 * gap for gap in found.partial_gaps_s()]
            over, intent = found.at("speech.end"), found.at("intent")
            ends += [
                event for _, event in found.events if event["type"] == "speech.end"
            ]
            reply = found.at("reply.delta")
            if over is not None and reply is not None:
                word.append(1000 * (reply - over))
            if over is None or intent is None:
                n_missed += 1
                continue
            felt.setdefault(clip.name, []).append(1000 * (intent - clip.speech_end_s))
            endpoint.append(1000 * (intent - over))
    return {
        "felt_ms": spread([value for values in felt.values() for value in values]),
        "endpoint_to_intent_ms": spread(endpoint),
        "first_word_ms": spread(word),
        "partial_gap_ms": spread(gaps),
        "speculation_hit_share": round(
            sum(event["speculated"] for event in ends) / max(1, len(ends)), 3
        ),
        "ended_by": {
            why: sum(event["why"] == why for event in ends)
            for why in sorted({event["why"] for event in ends})
        },
        "without_intent": n_missed,
        "recordings": {name: spread(values) for name, values in felt.items()},
    }


def _play(clip: Clip, served: Served) -> Heard:
    with Client(served.port, served.secret) as client:
        heard = Heard()
        began = time.perf_counter() + 0.05
        sending = threading.Thread(target=_send, args=(client, clip.samples, began))
        sending.start()
        for event in client.events(PATIENCE_S + len(clip.samples) / SAMPLE_RATE_HZ):
            heard.events.append((time.perf_counter() - began, event))
            if event["type"] in ("turn", "cancelled", "dropped") and (
                client.time_s > clip.speech_end_s
            ):
                break
        sending.join()
        return heard


def _send(client: Client, samples: Samples, began: float) -> None:
    for at in range(0, len(samples), BLOCK):
        spoken_s = (at + BLOCK) / SAMPLE_RATE_HZ
        time.sleep(max(0.0, began + spoken_s - time.perf_counter()))
        client.send_sound(samples[at : at + BLOCK])


def _clips(store: Store) -> Iterator[Clip]:
    options = RuntimeOptions(asr="echo", llm="echo")
    listener = build_runtime(load_pack("explorer"), store, options)
    for name, (pack, path) in recordings(store).items():
        (utterance,) = listener.listen(open_sound(path))
        samples = np.concatenate([chunk.samples for chunk in open_sound(path)])
        silence = np.zeros(round(TAIL_S * SAMPLE_RATE_HZ), np.float32)
        yield Clip(
            name=name,
            pack=pack,
            samples=np.concatenate([samples, silence]),
            speech_end_s=utterance.speech_end_s,
        )


if __name__ == "__main__":
    run(__doc__, measure, repeats=3)
