"""Writes a small encoder with all beside it, judges it, and publishes it or not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.encoder_file import ENCODER_FILE, EncoderFile, save_encoder_file
from quantize.artifact import (
    PAGE,
    REPORT,
    THIS,
    ArtifactReport,
    Files,
    Finding,
    Inputs,
    Sample,
    Timing,
    Way,
    save_report,
)
from quantize.artifact_html import as_html
from quantize.encoder.building import Floats
from quantize.encoder.facts import node_facts, refusal, samples
from quantize.encoder.guard import Guard
from quantize.encoder.losses import Standard
from quantize.encoder.pieces import VOCABULARY
from quantize.encoder.search import Lab, Sensitivity, Trial, batch_drift
from quantize.encoder.sentences import Sentences
from quantize.encoder.source import Encoder
from quantize.encoder.vectors import Reader
from quantize.encoder.ways import Recipe
from quantize.made import Made, save_manifest, sha256_of, versions
from quantize.onnx_file import save_onnx
from quantize.pairing import paired
from quantize.placing import place
from quantize.stage import Clock
from quantize.texts import Use

MODEL = "model.onnx"
THREADS = (1, 2)
"""That times are measured with."""
_TOOLS = ("headside", "onnxruntime", "onnx", "torch", "transformers", "tokenizers")
_BUSY = 0.7
"""Load, in processes for each processor, from which on a machine is busy."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What was found, to be written."""

    out: Path
    encoder: Encoder
    source_sha256: str
    sentences: Sentences
    lab: Lab
    way: Recipe
    trials: Sequence[Trial]
    trial: Trial
    """Of the way that was chosen, with what is left in float."""
    sensitivities: Sequence[Sensitivity]
    guard: Guard
    export_apart: float
    """The largest difference of a number between the float graph and torch."""


def publish(job: Job, clock: Clock) -> ArtifactReport:
    """Writes the model and everything beside it; publishes it if it lost little."""
    return place(
        job.out,
        lambda folder: _written(job, folder, clock),
        is_kept=lambda name: name in (REPORT, PAGE),
        refusal=lambda report, refused: refusal(
            report, refused, job.sensitivities, job.lab.model, job.trial
        ),
    )


def _written(job: Job, folder: Path, clock: Clock) -> ArtifactReport:
    shape = job.encoder.shape
    with clock.at("writing"):
        save_onnx(job.lab.build(job.way, job.trial.left), folder / MODEL)
        job.encoder.pieces.save(folder)
        save_encoder_file(
            folder,
            EncoderFile(
                width=shape.width,
                pooling=shape.pooling,
                max_pieces=shape.max_pieces,
                lower_case=True,
            ),
        )
    report = _evaluated(job, folder, clock)
    save_report(folder, report, as_html(report))
    save_manifest(
        folder,
        job.out,
        Made(
            kind="encoder",
            format="onnx",
            licence=report.licence,
            parent=report.source.name,
            method=report.method,
            hashes={
                "the source": job.source_sha256,
                **{f"sentences for {one.use}": one.sha256 for one in report.inputs},
            },
            tools=report.tools,
            notes=(
                "Gives a vector of length 1 for each sentence. Its cosine with the "
                f"parent's is {report.findings[0].value:.4f} (see {PAGE})."
            ),
            files=(MODEL, VOCABULARY, ENCODER_FILE),
        ),
    )
    return report


def _evaluated(job: Job, folder: Path, clock: Clock) -> ArtifactReport:
    """Returns what was made and what it lost, as it runs."""
    lab, pieces, sentences = job.lab, job.encoder.pieces, job.sentences
    texts = sentences.texts(Use.EVALUATION)
    source = Reader(lab.model, pieces, threads=lab.threads)
    made = Reader(folder / MODEL, pieces, threads=lab.threads)
    with clock.at("judging"):
        examples = list(lab.examples)
        standard = Standard(
            sentences=source.alone(texts),
            examples=lab.standard.examples,
            groups=[one.group for one in sentences.by_use[Use.EVALUATION]],
            intents=lab.standard.intents,
        )
        vectors, near = made.alone(texts), made.alone(examples)
        loss = standard.loss(vectors, near)
        drift = batch_drift(made, pieces, texts, vectors)
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    with clock.at("timing"):
        timings = [_timed(job, folder / MODEL, n, texts) for n in THREADS]
    return ArtifactReport(
        kind="encoder",
        source=Files(
            name=job.encoder.name,
            sha256=job.source_sha256,
            n_bytes=job.encoder.n_bytes,
        ),
        out=Files(
            name=job.out.absolute().name,
            sha256=sha256_of(folder / MODEL),
            n_bytes=(folder / MODEL).stat().st_size,
        ),
        licence=job.encoder.licence,
        method=_method(job),
        findings=[
            *loss.findings(),
            Finding(
                name="batch_drift",
                value=drift,
                n=len(texts),
                told="most that a cosine changes where 16 sentences are read together",
            ),
            Finding(
                name="export_difference",
                value=job.export_apart,
                told="of a number, between the float graph and torch, at most",
            ),
        ],
        limits=job.guard.judged(loss),
        inputs=_inputs(sentences),
        ways=_ways(job),
        nodes=node_facts(lab.model, job.trial, job.sensitivities),
        timings=timings,
        samples=_samples(job, (standard.sentences, standard.examples), (vectors, near)),
        notes=_notes(job, busy),
        tools=versions(_TOOLS),
        seconds=clock.seconds,
    )


def _timed(job: Job, model: Path, threads: int, texts: Sequence[str]) -> Timing:
    """Returns how long a sentence takes beside the source, the same for both."""
    pieces = job.encoder.pieces
    ours = Reader(model, pieces, threads=threads)
    theirs = Reader(job.lab.model, pieces, threads=threads)
    fed = [ours.feeds([text]) for text in texts]
    mine, others = itertools.cycle(fed), itertools.cycle(fed)
    return paired(
        lambda: ours.read(next(mine)),
        lambda: theirs.read(next(others)),
        threads=threads,
        n=len(texts[:80]),
    )


def _method(job: Job) -> str:
    n = len(job.trial.left)
    left = f", {n} nodes in float" if n else ""
    return f"int8 {job.way.name}, words in int8{left}"


def _inputs(sentences: Sentences) -> list[Inputs]:
    return [
        Inputs(
            use=use,
            sources=tuple(dict.fromkeys(one.source for one in found)),
            n=len(found),
            sha256=sentences.sha256_of(use),
        )
        for use, found in sentences.by_use.items()
    ]


def _ways(job: Job) -> list[Way]:
    this = Way(
        name=THIS,
        n_bytes=job.trial.n_bytes,
        findings=_shown(job.trial),
        told=_method(job),
    )
    told = {one.name: one.told for one in job.lab.ways}
    others = [
        Way(
            name=one.way,
            n_bytes=one.n_bytes,
            findings=_shown(one),
            told=told[one.way],
        )
        for one in job.trials
    ]
    return [this, *others]


def _shown(trial: Trial) -> list[Finding]:
    drift = Finding(name="batch_drift", value=trial.batch_drift)
    return [*trial.loss.findings(), drift]


def _samples(
    job: Job,
    before: tuple[Floats, Floats],
    after: tuple[Floats, Floats],
) -> list[Sample]:
    return samples(job.sentences.texts(Use.EVALUATION), job.lab.examples, before, after)


def _notes(job: Job, busy: float) -> list[str]:
    n = len(job.sentences.by_use[Use.SEARCH])
    notes = [
        *job.encoder.notes,
        (
            f"Ways were compared, and what stays in float was chosen, on {n} sentences "
            "of the search; the figures above are of others, which only judge."
        ),
        (
            "Of the cosine the lower end of the interval is judged; of the nearest "
            "examples the share itself, where one leads clearly over the next."
        ),
    ]
    if busy >= _BUSY:
        notes.append(
            f"The machine was busy while times were measured: {busy:.1f} processes "
            "wanted each processor. The ratio meets both models alike, and more so "
            "with one thread than with two."
        )
    return notes
