"""Writes a model with everything beside it, judges it, and publishes it or not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from models.disk import write_whole
from quantize.assignment import quantize_by, types_in
from quantize.beside import adapter_bytes, write_beside
from quantize.comparison import compare
from quantize.compensation import write_mended
from quantize.divergence import summary
from quantize.gguf import load_header
from quantize.guard import Guard
from quantize.job import (
    BESIDE,
    IMATRIX,
    MODEL,
    PAGE,
    RECIPE,
    REPORT,
    THIS,
    Job,
    Plan,
)
from quantize.llm_report import (
    file_facts,
    kept_bits,
    kl_by_position,
    memory_limit,
    methods_of,
    notes_on,
    tensor_facts,
    tools,
)
from quantize.made import Made, manifest_name, save_manifest
from quantize.placing import place
from quantize.recipe import Recipe, save_recipe
from quantize.refusal import lost_too_much
from quantize.report import Method, Report, Sample, save_report
from quantize.report_html import as_html
from quantize.stage import Clock
from quantize.task import Actor, TaskSummary, act, compared, load_task
from quantize.texts import Use
from quantize.writing import write

_SOURCE = "source"
_PROMPT, _N_PROMPTS = 96, 6
"""Tokens of a text that models go on with, and how many texts."""
_KV_BITS = (16, 8)
"""Of each number that the runtime keeps of what it read; both are tried, and the limit
is for those of the headset, or for the first."""


def publish(job: Job, plan: Plan, clock: Clock) -> Report:
    """Writes the model and everything beside it; publishes it if it lost little."""
    unsaid = {MODEL, f"{manifest_name(job.request.out)}.toml"}
    return place(
        job.request.out,
        lambda folder: _written(job, plan, folder, clock),
        is_kept=lambda name: name not in unsaid,
        refusal=lambda report, refused: lost_too_much(
            report, refused / PAGE, plan.found, plan.goal
        ),
    )


def _written(job: Job, plan: Plan, folder: Path, clock: Clock) -> Report:
    """Writes the model, its recipe and its report."""
    request = job.request
    models = {THIS: folder / MODEL}
    _quantize(job, plan, models[THIS], clock)
    with clock.at("quantizing others"):
        for n, name in enumerate(request.compared):
            clock.stage.tell(n, len(request.compared))
            models[name] = folder / f"{name}.gguf"
            quantize_by(
                job.base,
                models[name],
                name,
                imatrix=job.imatrix,
                threads=request.threads,
            )
    _save_recipe(job, plan, models[THIS], folder)
    report = _evaluated(job, plan, models, clock)
    save_report(folder / REPORT, report)
    write_whole(folder / PAGE, as_html(report))
    kl = report.methods[0].summary.kl_mean.mean
    made = Made(
        kind="llm",
        format="gguf",
        licence=report.licence,
        parent=report.source.name,
        method=report.method,
        hashes={
            "the source": job.source_sha256,
            "the importance matrix": job.imatrix_sha256 or "none",
            **{f"texts for {one.use}": one.sha256 for one in job.texts.facts},
        },
        tools=report.tools,
        notes=(
            f"{report.out.bits_per_weight} bits per weight; its divergence from the "
            f"parent is {kl:.4f} nats per token (see {PAGE})."
        ),
        files=(MODEL,),
    )
    save_manifest(folder, request.out, made)
    for name in request.compared:
        models[name].unlink()
    return report


def _quantize(job: Job, plan: Plan, out: Path, clock: Clock) -> None:
    base, threads = job.base, job.request.threads
    mended = job.kept.path("mended.gguf")
    try:
        if plan.is_mended and not isinstance(plan.how, str):
            base = mended
            with clock.at("mending losses"):
                rounding = job.rounding(is_mended=True)
                write_mended(job.base, base, plan.how, rounding, clock.stage.tell)
        with clock.at("quantizing"):
            quantize_by(base, out, plan.how, imatrix=job.imatrix, threads=threads)
    finally:
        mended.unlink(missing_ok=True)


def _save_recipe(job: Job, plan: Plan, model: Path, folder: Path) -> None:
    if job.imatrix:
        shutil.copyfile(job.imatrix, folder / IMATRIX)
    calibration = job.texts.of(Use.CALIBRATION).sha256
    recipe = Recipe(
        source_sha256=job.source_sha256,
        imatrix_sha256=job.imatrix_sha256,
        mended_sha256=calibration if plan.is_mended else "",
        types=types_in(load_header(model).tensors),
        preset=plan.how if isinstance(plan.how, str) else "",
        without_layers=job.without_layers,
        n_words=len(job.words.keep) if job.words else 0,
        words_sha256=job.words.sha256 if job.words else "",
    )
    save_recipe(folder / RECIPE, recipe)


def _evaluated(
    job: Job, plan: Plan, models: Mapping[str, Path], clock: Clock
) -> Report:
    """Returns what was made and what it lost."""
    request, source, threads = job.request, job.source, job.request.threads
    texts = job.texts.chunks[Use.EVALUATION]
    tell = clock.stage.tell
    beside = job.kept.path("beside.gguf")
    try:
        all_ = {**models, **_beside(job, plan, models[THIS], beside, clock)}
        with clock.at("evaluating"):
            apart = compare(job.reference, all_, texts, threads=threads, tell=tell)
    finally:
        beside.unlink(missing_ok=True)
    with clock.at("writing"):
        everyone = {_SOURCE: job.reference, **models}
        prompts = [chunk[:_PROMPT] for chunk in texts[:_N_PROMPTS]]
        written = write(everyone, prompts, threads=threads, tell=tell)
    tasks = _tasks(job, models[THIS], clock)
    methods = methods_of(models, apart, written)
    if BESIDE in apart:
        n_bytes = methods[0].n_bytes + adapter_bytes(request.adapters)
        found = summary(apart[BESIDE])
        methods.append(Method(name=BESIDE, n_bytes=n_bytes, summary=found, speed=None))
    guard = Guard.for_model(
        source.n_weights,
        kl_mean=request.guard_kl,
        same_top=request.guard_same_top,
        actions=request.guard_actions,
    )
    kept = kept_bits(request.device) if request.device else _KV_BITS[0]
    made = load_header(models[THIS])
    searched = "recipe" if request.recipe else "search"
    return Report(
        source=file_facts(job.reference, source.name),
        out=file_facts(models[THIS], MODEL),
        architecture=source.architecture,
        licence=source.licence,
        method=plan.how if isinstance(plan.how, str) else searched,
        imatrix_sha256=job.imatrix_sha256,
        texts=job.texts.facts,
        tensors=tensor_facts(made, plan.found),
        methods=methods,
        kl_by_position=kl_by_position(apart[THIS]),
        limits=[
            *guard.judged(methods[0].summary, [t for t in tasks if t.kv_bits == kept]),
            *([guard.of_words(job.words.kl)] if job.words else ()),
            *([memory_limit(made, request.device)] if request.device else ()),
        ],
        samples=[
            Sample(prompt=prompt, reference=reference, quantized=quantized)
            for prompt, reference, quantized in zip(
                written[_SOURCE].prompts,
                written[_SOURCE].texts,
                written[THIS].texts,
                strict=True,
            )
        ],
        tasks=tasks,
        notes=[
            *notes_on(source, job.header, made, job.without_layers, job.words),
            *plan.notes,
        ],
        tools=tools(),
        seconds=clock.seconds,
    )


def _beside(
    job: Job, plan: Plan, made: Path, out: Path, clock: Clock
) -> dict[str, Path]:
    """Returns what does as the base with its adapters beside it, where that is asked.

    In the types of what was made.
    """
    if job.bare is None or not job.request.compares_adapter:
        return {}
    types = types_in(load_header(made).tensors)
    with clock.at("leaving the adapter beside"):
        rounding = job.rounding(is_mended=plan.is_mended)
        tell = clock.stage.tell
        write_beside(job.base, job.bare, out, types, rounding, tell=tell)
    return {BESIDE: out}


def _tasks(job: Job, made: Path, clock: Clock) -> list[TaskSummary]:
    """Returns what a model does in the runtime, beside its source."""
    request = job.request
    if request.task is None:
        return []
    task = load_task(request.task, request.pack)
    reference = job.kept.path(f"answers-{task.sha256[:16]}.jsonl")
    tell = clock.stage.tell
    with clock.at("doing the task, the source"):
        source = Actor(model=job.reference, threads=request.threads)
        act(task, source, reference, tell)
    found = []
    for kv_bits in _KV_BITS:
        answers = made.with_name(f"answers-{kv_bits}.jsonl")
        actor = Actor(
            model=made, threads=request.threads, kv_bits=kv_bits, along=reference
        )
        with clock.at(f"doing the task, {kv_bits} bits"):
            act(task, actor, answers, tell)
        found.append(compared(task, reference, answers, kv_bits=kv_bits))
        answers.unlink()
    return found
