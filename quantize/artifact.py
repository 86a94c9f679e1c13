"""What was made of a vision, speech or encoder model, how, and what it lost.

One shape for all of them: for machines as JSON, and the base of the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from models.disk import write_whole
from quantize.errors import QuantizeError
from quantize.intervals import Interval
from quantize.limits import Limit

REPORT, PAGE = "report.json", "report.html"
SCHEMA = 1
THIS = "this"
"""What the one that is made is called beside those it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A model's files, together."""

    name: str
    sha256: str
    """Of the file; of the names and hashes of all, where there are several."""
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A figure that was measured."""

    name: str
    """A key, such as ``agreement``."""
    value: float
    unit: str = ""
    """``share``, ``dB``, ``ms``, or empty."""
    low: float | None = None
    """Ends of the 95 % interval, where it has one."""
    high: float | None = None
    n: int = 0
    """Items it is of; 0 where that says nothing."""
    told: str = ""
    """What it means, in a sentence."""

    @classmethod
    def of(
        cls, name: str, found: Interval, *, unit: str = "", n: int = 0, told: str = ""
    ) -> Finding:
        """Returns a figure with its interval."""
        return cls(
            name=name,
            value=found.mean,
            low=found.low,
            high=found.high,
            unit=unit,
            n=n,
            told=told,
        )

    @property
    def worst(self) -> tuple[float, float]:
        """The lower and the upper end; the value itself, where it has no interval."""
        low = self.value if self.low is None else self.low
        return low, self.value if self.high is None else self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to make the model small, measured."""

    name: str
    n_bytes: int
    findings: Sequence[Finding]
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A part of the network, and what it is stored and computed as."""

    name: str
    op: str
    type: str
    """``int8``, ``int16`` for its activations, or ``float``."""
    share: float
    """Of the network's multiply-adds."""
    sqnr_db: float | None = None
    """Of its output, with everything before it quantized, too."""
    loss: float | None = None
    """What it adds to the error of the model's output when it alone is quantized: that
    error's energy by the energy of the output."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one inference takes, measured by turns with the reference."""

    threads: int
    n: int
    median_ms: float
    p95_ms: float
    reference_median_ms: float
    reference_p95_ms: float
    ratio: float
    """The median of the ratios of neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What both make of the same input."""

    input: str
    reference: str
    quantized: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What it was made with, or judged on."""

    use: str
    """``calibration`` or ``evaluation``."""
    sources: Sequence[str]
    n: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactReport:
    """Everything that was measured."""

    kind: str
    """``vision``, ``asr`` or ``encoder``."""
    source: Files
    out: Files
    licence: str
    method: str
    """How it was made, in a few words."""
    findings: Sequence[Finding]
    """Of the one that was made."""
    limits: Sequence[Limit]
    inputs: Sequence[Inputs]
    ways: Sequence[Way] = ()
    """All that were tried or compared; the one that was made is called "this"."""
    nodes: Sequence[NodeFacts] = ()
    timings: Sequence[Timing] = ()
    samples: Sequence[Sample] = ()
    notes: Sequence[str] = ()
    tools: Sequence[tuple[str, str]] = ()
    """Names and versions."""
    seconds: Sequence[tuple[str, float]] = field(default_factory=list)
    """How long each stage took."""
    schema: int = SCHEMA

    @property
    def is_passed(self) -> bool:
        """Whether every limit is met."""
        return all(limit.is_met for limit in self.limits)


class LostTooMuchError(QuantizeError):
    """A model passed a limit of the guard.

    Args:
        report: What was found.
        hint: What would do.
    """

    def __init__(self, report: ArtifactReport, hint: str) -> None:
        said = "; ".join(
            f"{limit.name} is {limit.found:.4g}, and the limit is {limit.limit:.4g}"
            for limit in report.limits
            if not limit.is_met
        )
        super().__init__(
            "lost_too_much",
            f"The model lost too much: {said}. Nothing was published.",
            hint,
        )
        self.report = report


def save_report(folder: Path, report: ArtifactReport, html: str) -> None:
    """Writes a report as JSON and as a page, each whole or not at all."""
    write_whole(folder / REPORT, json.dumps(asdict(report), indent=1) + "\n")
    write_whole(folder / PAGE, html)
