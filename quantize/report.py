"""What was made, how, and what it lost: for machines, and the base of the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from models.disk import write_whole
from quantize.divergence import Summary
from quantize.limits import Limit
from quantize.task import TaskSummary
from quantize.writing import Speed

SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A model file."""

    name: str
    sha256: str
    n_bytes: int
    bits_per_weight: float
    fast_share: float | None
    """Of its multiply-adds, in types for which ARM has fast kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFacts:
    """The texts of one use."""

    use: str
    sources: tuple[str, ...]
    n_documents: int
    n_tokens: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFacts:
    """A tensor, and why it got its type."""

    name: str
    type: str
    n_bytes: int
    probe: str = ""
    probe_kl: float = 0.0
    """Divergence with this tensor alone in the type of the probe, nats per token."""
    expected_kl: float = 0.0
    """That its type is expected to add."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to make the model small, measured."""

    name: str
    n_bytes: int
    summary: Summary
    speed: Speed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What both models write after the same words."""

    prompt: str
    reference: str
    quantized: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured."""

    source: FileFacts
    out: FileFacts
    architecture: str
    licence: str
    method: str
    """"search", the name of a preset, or "recipe"."""
    imatrix_sha256: str
    texts: Sequence[TextFacts]
    tensors: Sequence[TensorFacts]
    methods: Sequence[Method]
    """All that were compared; the one that was made is called "this"."""
    kl_by_position: Sequence[float]
    """Mean divergence over documents at each token, nats."""
    limits: Sequence[Limit]
    samples: Sequence[Sample]
    tasks: Sequence[TaskSummary]
    """What it does in the runtime, for each type of what the runtime keeps."""
    notes: Sequence[str]
    tools: Sequence[tuple[str, str]]
    """Names and versions."""
    seconds: Sequence[tuple[str, float]]
    """How long each stage took."""
    schema: int = SCHEMA

    @property
    def is_passed(self) -> bool:
        """Whether every limit is met."""
        return all(limit.is_met for limit in self.limits)


def save_report(path: Path, report: Report) -> None:
    """Writes a report as JSON, whole or not at all."""
    write_whole(path, json.dumps(asdict(report), indent=1) + "\n")
