"""What was measured of a speech model, and whether that keeps the limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantize.artifact import ArtifactReport, Finding, Inputs, Way
from quantize.asr.comparison import (
    SHIFT_P95,
    SILENT_WORDS,
    WORD_ERROR,
    findings,
    pair,
    paired,
    real_time_factor,
    samples,
    timing,
    word_error,
)
from quantize.asr.cost import Cost
from quantize.asr.job import Job, Request
from quantize.asr.listening import BEAM_SIZE, COMPUTED, IN_RUNTIME, SOURCE, THIS, Heard
from quantize.asr.recordings import sources_of
from quantize.asr.source import files_together, model_files
from quantize.limits import Limit, at_most
from quantize.made import versions
from quantize.stage import Clock

TOOLS = ("headside", "ctranslate2", "faster-whisper", "numpy")
"""That figures depend on."""
METHOD = "eight bits for each weight of a matrix, a scale for each of its rows"
_IDENTICAL = "identical_to_runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was heard, and what it takes."""

    heard: Sequence[Heard]
    costs: Mapping[str, Cost]
    """By who listened."""


def report_of(
    job: Job, measured: Measured, folder: Path, clock: Clock
) -> ArtifactReport:
    """Returns everything that was measured.

    Args:
        job: What was made.
        measured: How it did.
        folder: Where it lies now.
        clock: How long it took.
    """
    request, heard = job.request, measured.heard
    pairs = paired(heard, job.recordings)
    found = findings(heard, pairs)
    out = files_together(request.out.name, model_files(folder))
    timed = {who: list(_timed(who, measured)) for who in COMPUTED}
    hashes = "".join(sorted(one.sha256 for one in job.recordings))
    return ArtifactReport(
        kind="asr",
        source=job.source.files,
        out=out,
        licence=job.source.licence,
        method=METHOD,
        findings=[*found, *timed[THIS]],
        limits=list(_limits(request, found)),
        inputs=[
            Inputs(
                use="evaluation",
                sources=sources_of(request.evaluation, job.recordings),
                n=len(job.recordings),
                sha256=hashlib.sha256(hashes.encode()).hexdigest(),
            )
        ],
        ways=_ways(job, heard, timed, out.n_bytes),
        timings=[timing(pairs, request.threads)],
        samples=samples(pairs),
        notes=list(_notes(request, found)),
        tools=versions(TOOLS),
        seconds=clock.seconds,
    )


def _timed(who: str, measured: Measured) -> Iterator[Finding]:
    cost = measured.costs[who]
    yield Finding(
        name="real_time_factor",
        value=real_time_factor(measured.heard, who),
        told="Seconds for a second of speech, the median of recordings; by turns, with "
        "word times and windows of 30 seconds, which short ones mostly fill in vain.",
    )
    yield Finding(
        name="load", value=cost.load_s, unit="s", told="The median of three loads."
    )
    yield Finding(
        name="memory",
        value=cost.memory_mb,
        unit="MB",
        told="That loading adds to a process of its own.",
    )


def _limits(request: Request, found: Sequence[Finding]) -> Iterator[Limit]:
    by_name = {one.name: one.value for one in found}
    yield at_most(WORD_ERROR, request.guard_wer, by_name[WORD_ERROR])
    if SHIFT_P95 in by_name:
        yield at_most(f"{SHIFT_P95}_ms", request.guard_shift_ms, by_name[SHIFT_P95])
    usual = by_name[f"{SILENT_WORDS}_source"]
    yield at_most(SILENT_WORDS, usual, by_name[SILENT_WORDS])


def _ways(
    job: Job,
    heard: Sequence[Heard],
    timed: Mapping[str, Sequence[Finding]],
    n_bytes: int,
) -> list[Way]:
    """Returns what was made, beside its source as it is and as runtimes take it."""
    by_name: dict[tuple[str, str], Heard] = {(one.who, one.sound): one for one in heard}
    told = {
        THIS: "",
        SOURCE: f"The reference, computed as {COMPUTED[SOURCE]}.",
        IN_RUNTIME: "CTranslate2 makes eight bits of it at each start.",
    }

    found = []
    for who, said in told.items():
        pairs = [
            pair(one, by_name[SOURCE, one.sha256], by_name[who, one.sha256])
            for one in job.recordings
        ]
        size = n_bytes if who == THIS else _size(job)
        both = [word_error(pairs), *timed[who]]
        found.append(Way(name=who, n_bytes=size, findings=both, told=said))
    return found


def _size(job: Job) -> int:
    return sum(path.stat().st_size for path in model_files(job.floats))


def _notes(request: Request, found: Sequence[Finding]) -> Iterator[str]:
    yield (
        f"The reference is what the source hears, computed in {COMPUTED[SOURCE]}, "
        "which a processor makes of float16, too. Heard as faster-whisper does by "
        f"default: {BEAM_SIZE} hypotheses, temperature 0, no prompt, windows of 30 "
        f"seconds, language {request.language}."
    )
    yield (
        "Words are compared without case and marks, numbers digit by digit. Times move "
        "in steps of 20 ms."
    )
    same = next(one for one in found if one.name == _IDENTICAL)
    if same.value == 1.0:
        yield (
            "Every text is the one that CTranslate2 gives with the eight bits that it "
            "makes of the source itself: what is lost here is lost at run time, too."
        )
