"""Writes a model and all that is beside it, judged on what nothing else saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from models.preprocessing import FILE, save_preprocessing
from quantize.artifact import (
    PAGE,
    THIS,
    ArtifactReport,
    Files,
    Finding,
    Inputs,
    LostTooMuchError,
    NodeFacts,
    Timing,
    Way,
    save_report,
)
from quantize.artifact_html import as_html
from quantize.limits import Limit, at_least, at_most
from quantize.made import Made, save_manifest, sha256_of, versions
from quantize.onnx_file import save_onnx
from quantize.onnx_session import Array, open_session, run
from quantize.pairing import paired
from quantize.vision.evaluation import Said, findings, samples, say
from quantize.vision.job import MODEL, Found, Guard, Job
from quantize.vision.photographs import Photograph, numbers, sha256_of_all
from quantize.vision.qdq import FLOAT, float_share, types_of, work_of

_TOOLS = ("headside", "onnxruntime", "onnx", "numpy", "pillow", "torch", "transformers")
_N_TIMED = 40
_THREADS = (1, 2)


def published(job: Job, found: Found, folder: Path) -> ArtifactReport:
    """Writes the model and all that is beside it."""
    save_onnx(found.model, folder / MODEL)
    save_preprocessing(folder / FILE, job.how)
    report = _judged(job, found, folder)
    save_report(folder, report, as_html(report))
    save_manifest(
        folder,
        job.request.out,
        Made(
            kind="vision",
            format="onnx",
            licence=report.licence,
            parent=report.source.name,
            method=report.method,
            hashes={
                "the source": report.source.sha256,
                **{f"pictures for {one.use}": one.sha256 for one in report.inputs},
            },
            tools=report.tools,
            notes=f"See {PAGE} for what was lost. Input: {FILE}.",
            files=(MODEL, FILE),
        ),
    )
    return report


def _judged(job: Job, found: Found, folder: Path) -> ArtifactReport:
    """Returns what was made, and what it lost on photographs that nothing else saw."""
    request, clock, threads = job.request, job.clock, job.request.threads
    some = job.pictures(job.judging, request.n_judging, seed=3)
    pictures, sources = numbers(some, job.how), [one.source for one in some]

    def said(model: onnx.ModelProto, *, is_exact: bool = False) -> Said:
        return say(
            model,
            job.input,
            pictures,
            threads=threads,
            tell=clock.stage.tell,
            is_exact=is_exact,
        )

    with clock.at("evaluating, the source"):
        reference = said(job.network.model)
    with clock.at("evaluating"):
        ours = said(found.model, is_exact=job.is_exact)
        here = said(found.model) if job.is_exact else ours
        plain = said(found.plain)
    with clock.at("timing"):
        timings = _timings(job, found.model, pictures[0])
    figures = findings(reference, ours, sources)
    types = types_of(found.model, found.network)
    work = work_of(found.network, found.flows)
    share = float_share(found.network, types, work)
    figures.append(
        Finding(
            name="float_share",
            value=share,
            unit="share",
            told="of the multiply-adds stay float",
        )
    )
    n_bytes = (folder / MODEL).stat().st_size
    ways = [
        Way(name=THIS, n_bytes=n_bytes, findings=figures[:-1], told=found.method),
        Way(
            name="plain export, here",
            n_bytes=found.plain.ByteSize(),
            findings=findings(reference, plain, sources),
            told="onnxruntime's static quantization as it comes, on this processor",
        ),
    ]
    if job.is_exact:
        ways.append(
            Way(
                name="this, here",
                n_bytes=n_bytes,
                findings=findings(reference, here, sources),
                told="as this processor computes it, which may saturate",
            )
        )
    return ArtifactReport(
        kind="vision",
        source=Files(
            name=job.source.name,
            sha256=job.source.sha256(),
            n_bytes=job.network.model.ByteSize(),
        ),
        out=Files(name=MODEL, sha256=sha256_of(folder / MODEL), n_bytes=n_bytes),
        licence=request.licence,
        method=found.method,
        findings=figures,
        limits=_limits(request.guard, reference, figures),
        inputs=[
            _inputs(job, "calibration", job.calibrating, request.n_calibrating),
            _inputs(job, "evaluation", job.judging, request.n_judging),
        ],
        ways=ways,
        nodes=_nodes(found, types, work),
        timings=timings,
        samples=samples(reference, ours, sources),
        notes=job.notes,
        tools=versions(_TOOLS),
        seconds=clock.seconds,
    )


def _limits(guard: Guard, reference: Said, figures: Sequence[Finding]) -> list[Limit]:
    by_name = {one.name: one.value for one in figures}
    limits = [at_most("float_share", guard.float_share, by_name["float_share"])]
    if reference.is_choice and "agreement" in by_name:
        limits.append(at_least("agreement", guard.agreement, by_name["agreement"]))
    elif not reference.is_choice:
        limits.append(at_least("sqnr", guard.sqnr_db, by_name["sqnr"]))
    return limits


def _timings(job: Job, model: onnx.ModelProto, picture: Array) -> list[Timing]:
    """Returns how long one picture takes, by turns with the source."""
    found = []
    for threads in _THREADS:
        sessions = [
            open_session(one.SerializeToString(deterministic=True), threads=threads)
            for one in (model, job.network.model)
        ]
        ours, theirs = (
            lambda session=session: run(session, {job.input: picture})
            for session in sessions
        )
        found.append(paired(ours, theirs, threads=threads, n=_N_TIMED))
    return found


def _nodes(
    found: Found, types: dict[str, str], work: dict[str, int]
) -> list[NodeFacts]:
    total = sum(work.values()) or 1
    facts = []
    for node in found.network.nodes:
        loss = found.losses.get(node.name)
        if loss is None and types[node.name] != FLOAT:
            continue
        why = "too much is lost in eight bits" if node.name in found.floats else ""
        if types[node.name] == FLOAT and not why:
            why = "not computed in eight bits by onnxruntime, or nothing to win"
        facts.append(
            NodeFacts(
                name=node.name,
                op=node.op_type,
                type=types[node.name],
                share=work.get(node.name, 0) / total,
                loss=loss,
                why=why,
            )
        )
    return facts


def _inputs(job: Job, use: str, photographs: Sequence[Photograph], n: int) -> Inputs:
    return Inputs(
        use=use,
        sources=[one.path.name for one in photographs],
        n=job.n_pictures(photographs, n),
        sha256=sha256_of_all(photographs),
    )


def refusal(report: ArtifactReport, folder: Path) -> LostTooMuchError:
    """Returns what says that too much was lost, and what would do."""
    sensitive = [one for one in report.nodes if one.loss]
    sensitive.sort(key=lambda one: -(one.loss or 0.0))
    names = ", ".join(one.name for one in sensitive[:3])
    return LostTooMuchError(
        report,
        f"The most is lost in {names}. Calibrate with more photographs, of what the "
        f"game shows, or allow more. The report is {folder / PAGE}.",
    )
