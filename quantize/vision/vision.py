"""`headside quantize vision`: a vision model in eight bits, and what that cost.

Load, check, calibrate, quantize, repair, evaluate, report.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from models.disk import disk_failures, require_free
from models.preprocessing import FILE, Preprocessing, save_preprocessing
from quantize.artifact import (
    PAGE,
    REPORT,
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
from quantize.errors import QuantizeError
from quantize.limits import Limit, at_least, at_most
from quantize.made import Made, manifest_name, save_manifest, sha256_of, versions
from quantize.onnx_file import save_onnx
from quantize.onnx_session import Array, open_session, run
from quantize.pairing import paired
from quantize.placing import place, require_absent
from quantize.stage import Clock, Stage
from quantize.vision.equalisation import equalise
from quantize.vision.evaluation import (
    SURE,
    Said,
    agreement,
    findings,
    noise_db,
    samples,
    say,
)
from quantize.vision.network import Floats, Network, prepared
from quantize.vision.observing import Flow, observe
from quantize.vision.photographs import (
    Crop,
    Photograph,
    crops,
    divided,
    held_back,
    load_photographs,
    numbers,
    sha256_of_all,
)
from quantize.vision.qdq import (
    FLOAT,
    Scheme,
    as_int8,
    cost_of,
    float_share,
    plain_int8,
    types_of,
    with_bounds,
    work_of,
)
from quantize.vision.repair import (
    Trial,
    best_ranges,
    fewest_floats,
    losses,
    mixed,
)
from quantize.vision.rounding import gather, rounded, scales
from quantize.vision.source import (
    Source,
    exported,
    find_preprocessing,
    find_source,
    picture_input,
)
from quantize.vision.trained import check_trained

MODEL = "model.onnx"
SAFE_BITS, ALL_BITS = 7, 8
_TOOLS = ("headside", "onnxruntime", "onnx", "numpy", "pillow", "torch", "transformers")
_N_CHECKED, _N_TRIED = 16, 192
_N_TIMED = 40
_LEAST_COST = 0.01
"""Of a node that is left float: more tensors change between float and eight bits."""
_THREADS = (1, 2)
_ROOM = 4
"""Times the size of the model that is needed on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Limits of what may be lost."""

    agreement: float = 0.99
    """Of classes, where float is sure; what was measured is judged."""
    sqnr_db: float = 20.0
    """Where the outputs are no classes."""
    float_share: float = 0.1
    """Of the multiply-adds that may stay float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be made of what."""

    source: str
    out: Path
    """A folder that is not there yet."""
    calibration: Path
    threads: int
    weights: Path | None = None
    evaluation: Path | None = None
    preprocess: Path | None = None
    weight_bits: int = SAFE_BITS
    """7 computes the same on every processor. Of 8, x86 without VNNI adds two products
    in 16 bits, which overflow."""
    n_calibrating: int = 96
    n_judging: int = 600
    """Pictures that are cut from photographs."""
    licence: str = ""
    guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """A model that is being made, once all that is needed is there."""

    request: Request
    clock: Clock
    source: Source
    how: Preprocessing
    network: Network
    input: str
    calibrating: Sequence[Photograph]
    judging: Sequence[Photograph]
    notes: list[str]

    @property
    def is_exact(self) -> bool:
        """Whether it is judged by what eight bits mean, not as this machine does it."""
        return self.request.weight_bits == ALL_BITS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rounded:
    """A network before and after its weights were rounded."""

    network: Network
    small: Network
    flows: Mapping[str, Flow]
    steps: Mapping[str, Floats]

    def as_is(self) -> onnx.ModelProto:
        """Returns it in eight bits, with the least and the most of what flows."""
        ranges = {name: one.range for name, one in self.flows.items()}
        return as_int8(self.small, Scheme(ranges=ranges, steps=self.steps))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """What was made, and what that is known from."""

    model: onnx.ModelProto
    plain: onnx.ModelProto
    network: Network
    """Float, equalised: what was quantized."""
    flows: Mapping[str, Flow]
    floats: frozenset[str]
    losses: dict[str, float]
    method: str


def quantize_vision(request: Request, stage: Stage) -> ArtifactReport:
    """Makes a model small, publishes it with its report, and returns that.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much: then nothing is
            published, and the error names where the report is.
    """
    clock = Clock(stage)
    require_absent(request.out)
    with tempfile.TemporaryDirectory() as folder:
        job = _load(request, clock, Path(folder))
        found = _quantized(job)
        name = manifest_name(request.out)
        unsaid = {MODEL, FILE, f"{name}.toml"}
        return place(
            request.out,
            lambda beside: _published(job, found, beside),
            is_kept=lambda file: file not in unsaid,
            refusal=_refusal,
        )


def _load(request: Request, clock: Clock, folder: Path) -> _Job:
    """Returns what is needed, once it was checked."""
    with clock.at("checking the source"):
        source = find_source(request.source, request.weights)
        how = find_preprocessing(source, request.preprocess)
        photographs = load_photographs(request.calibration)
        others = load_photographs(request.evaluation) if request.evaluation else []
        calibrating, judging = divided(photographs, others)
        parent = request.out.absolute().parent
        with disk_failures(parent):
            parent.mkdir(parents=True, exist_ok=True)
        some = crops(calibrating, how, _N_CHECKED, seed=0)
        model = exported(source, how, numbers(some, how), folder)
        require_free(parent, _ROOM * model.ByteSize())
        name = picture_input(model, how)
        notes = [check_trained(Network(model), how, some)]
        if source.factory:
            notes.append(f"The code of {source.factory} was run to make the network.")
        network = prepared(model, request.threads)
        for array in say(
            network.model, name, numbers(some[:1], how), threads=1, tell=stage_silent
        ).outputs[0]:
            if not _is_finite(array):
                raise QuantizeError(
                    "output_not_finite",
                    f"{source.name} answers with what is no number.",
                    "The training went wrong; take an earlier checkpoint.",
                )
    return _Job(
        request=request,
        clock=clock,
        source=source,
        how=how,
        network=network,
        input=name,
        calibrating=calibrating,
        judging=judging,
        notes=[note for note in notes if note],
    )


def stage_silent(_done: int, _of: int) -> None:
    """Tells nobody."""


def _is_finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def _quantized(job: _Job) -> _Found:
    """Returns the network in eight bits, repaired as far as was needed."""
    request, clock, threads = job.request, job.clock, job.request.threads
    tell = clock.stage.tell
    seen_by, tried_on = held_back(job.calibrating)
    calibrating = crops(seen_by, job.how, request.n_calibrating, seed=1)
    feeds = [{job.input: one} for one in numbers(calibrating, job.how)]
    tried = numbers(crops(tried_on, job.how, _N_TRIED, seed=2), job.how)
    with clock.at("calibrating"):
        flows = observe(job.network, feeds, threads, tell)
    plain = plain_int8(job.network, flows)
    reference = say(job.network.model, job.input, tried, threads=threads, tell=tell)
    trial = Trial(
        input=job.input,
        pictures=tried,
        reference=reference,
        threads=threads,
        is_exact=job.is_exact,
    )
    best = _rounded(job, job.network, flows, feeds)
    n_equal = 0
    other, n_changed = equalise(job.network, flows)
    if n_changed:
        with clock.at("equalising channels"):
            seen = observe(other, feeds, threads, tell)
        equal = _rounded(job, other, seen, feeds)
        with clock.at("comparing"):
            if trial.noise_db(equal.as_is()) > trial.noise_db(best.as_is()):
                best, n_equal = equal, n_changed
    network, small, steps = best.network, best.small, best.steps
    with clock.at("choosing ranges"):
        name, ranges, _ = best_ranges(small, best.flows, steps, trial, tell)
    scheme = Scheme(ranges=ranges, steps=steps)
    with clock.at("measuring nodes"):
        alone = losses(network, small, scheme, trial, tell)

    def make(floats: frozenset[str]) -> onnx.ModelProto:
        kept = [node for node in network.nodes if node.name in floats]
        return as_int8(
            mixed(small, network, kept),
            Scheme(ranges=ranges, steps=steps, floats=with_bounds(network, floats)),
        )

    def is_enough(model: onnx.ModelProto) -> bool:
        said = trial.said(model)
        if reference.is_classes:
            # Where float leads by less, too: few pictures stand for many.
            least = 1 - (1 - request.guard.agreement) / 2
            return agreement(reference, said, SURE / 2) >= least
        return noise_db(reference, said) >= request.guard.sqnr_db

    with clock.at("repairing"):
        cost = cost_of(network, work_of(network, best.flows))
        worth = {
            name: loss / (_LEAST_COST + cost[name]) for name, loss in alone.items()
        }
        order = sorted(alone, key=lambda one: (-worth[one], one))
        floats, model = fewest_floats(order, make, is_enough, tell)
    done = [
        f"weights of {request.weight_bits} bits by row, losses made up for by others",
        f"ranges by {name}",
    ]
    if n_equal:
        done.append(f"channels equalised in {n_equal} places")
    if floats:
        done.append(f"{len(floats)} nodes left float")
    return _Found(
        model=model,
        plain=plain,
        network=network,
        flows=best.flows,
        floats=floats,
        losses=alone,
        method="static int8, " + "; ".join(done),
    )


def _rounded(
    job: _Job,
    network: Network,
    flows: Mapping[str, Flow],
    feeds: Sequence[Mapping[str, Array]],
) -> _Rounded:
    """Returns a network with its weights on their steps."""
    clock, bits = job.clock, job.request.weight_bits
    with clock.at("seeing what goes together"):
        together = gather(network, feeds, job.request.threads, clock.stage.tell)
    with clock.at("rounding weights"):
        steps = _steps(network, flows, bits)
        small = rounded(network, together, steps, bits)
    return _Rounded(network=network, small=small, flows=flows, steps=steps)


def _steps(network: Network, flows: Mapping[str, Flow], bits: int) -> dict[str, Floats]:
    return {
        node.name: scales(network, node, flows[node.input[0]].range, bits)
        for node in network.weighted()
        if node.op_type in ("Conv", "Gemm") and node.input[0] in flows
    }


def _published(job: _Job, found: _Found, folder: Path) -> ArtifactReport:
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


def _judged(job: _Job, found: _Found, folder: Path) -> ArtifactReport:
    """Returns what was made, and what it lost on photographs that nothing else saw."""
    request, clock, threads = job.request, job.clock, job.request.threads
    some = crops(job.judging, job.how, request.n_judging, seed=3)
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
    types = types_of(found.model, job.network)
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
            _inputs("calibration", job.calibrating, request.n_calibrating),
            _inputs("evaluation", job.judging, request.n_judging),
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
    if reference.is_classes and "agreement" in by_name:
        limits.append(at_least("agreement", guard.agreement, by_name["agreement"]))
    elif not reference.is_classes:
        limits.append(at_least("sqnr", guard.sqnr_db, by_name["sqnr"]))
    return limits


def _timings(job: _Job, model: onnx.ModelProto, picture: Array) -> list[Timing]:
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
    found: _Found, types: dict[str, str], work: dict[str, int]
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


def _inputs(use: str, photographs: Sequence[Photograph], n: int) -> Inputs:
    return Inputs(
        use=use,
        sources=[one.path.name for one in photographs],
        n=n,
        sha256=sha256_of_all(photographs),
    )


def _refusal(report: ArtifactReport, folder: Path) -> LostTooMuchError:
    sensitive = [one for one in report.nodes if one.loss]
    sensitive.sort(key=lambda one: -(one.loss or 0.0))
    names = ", ".join(one.name for one in sensitive[:3])
    return LostTooMuchError(
        report,
        f"The most is lost in {names}. Calibrate with more photographs, of what the "
        f"game shows, or allow more. The report is {folder / PAGE}.",
    )


__all__ = ["MODEL", "REPORT", "Crop", "Guard", "Request", "quantize_vision"]
