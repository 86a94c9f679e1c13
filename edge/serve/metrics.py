"""What the service counts, in Prometheus' words; numbers and codes, no words."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1, 2, 5, 10)


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.utterances = Counter(
            "headside_utterances",
            "Utterances by how they ended: turn, or why they were cancelled or dropped",
            ["outcome"],
            registry=registry,
        )
        self.accepted = Counter(
            "headside_accepted",
            "Accepted utterances by what ended them; words were known if speculated",
            ["why", "speculated"],
            registry=registry,
        )
        self.intents = Counter(
            "headside_intents", "Intents by tier", ["tier"], registry=registry
        )
        self.windows = Counter(
            "headside_full_windows",
            "Utterances that were recognised anew on the full window",
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "headside_stage_seconds",
            "Time of each stage of a turn",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Counter(
            "headside_errors",
            "Refused messages and failures",
            ["code"],
            registry=registry,
        )
        self.refused = Counter(
            "headside_refused", "Connections refused", ["why"], registry=registry
        )
        self.slow_clients = Counter(
            "headside_slow_clients",
            "Connections cut off, being too slow",
            registry=registry,
        )
        self.late_frames = Counter(
            "headside_late_frames",
            "Late frames that games reported",
            registry=registry,
        )
        self.sessions = Gauge("headside_sessions", "Sessions", registry=registry)

    def text(self) -> bytes:
        """Returns all of it in the text format."""
        return generate_latest(self._registry)
