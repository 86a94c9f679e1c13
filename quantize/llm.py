"""`headside quantize llm`: a fine-tuned language model made small, and measured.

Load, check, calibrate, search, quantize, evaluate, report. What takes long is kept as
it is measured, so that a run that was killed goes on where it was, and another budget
begins with the search done.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from models.disk import locked, require_free, write_whole
from models.store import cache_root
from quantize.adapters import merge
from quantize.assignment import Assignment, is_quantizable, quantize_by
from quantize.child import Tell
from quantize.comparison import compare
from quantize.conversion import convert
from quantize.errors import QuantizeError
from quantize.gguf import Header, load_header
from quantize.guard import Guard
from quantize.imatrix import Importance, gather, load_importance
from quantize.inspection import FAST_ON_ARM
from quantize.kept import Kept
from quantize.llama import Llama
from quantize.llm_report import (
    file_facts,
    kl_by_position,
    lost_too_much,
    methods_of,
    notes_on,
    sha256_of,
    tensor_facts,
    tools,
)
from quantize.llm_texts import Texts, load_texts
from quantize.parity import check_parity
from quantize.recipe import Recipe, load_recipe, save_recipe
from quantize.report import Method, Report, save_report
from quantize.report_html import as_html
from quantize.search import (
    CANDIDATES,
    Sensitivity,
    assign,
    load_sensitivities,
    measure,
)
from quantize.source import (
    Kind,
    Source,
    check_weights,
    fingerprint,
    load_source,
    require_unquantized,
)
from quantize.texts import Use
from quantize.trial import Trial

MODEL, RECIPE, IMATRIX = "model.gguf", "recipe.toml", "imatrix.gguf"
REPORT, PAGE = "report.json", "report.html"
THIS = "this"
"""What the model that is made is called beside those it is compared with."""
_PADDING = 32
"""Bytes, at most, between two tensors of a file."""


class Stage:
    """Told what is being done and how far it is."""

    def begin(self, name: str) -> None:
        """A stage begins."""

    def tell(self, done: int, of: int) -> None:
        """So much of it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be made of what."""

    source: Path
    out: Path
    """A folder that is not there yet."""
    threads: int
    adapters: tuple[Path, ...] = ()
    preset: str = ""
    """llama.cpp's own rule instead of a search."""
    recipe: Path | None = None
    """What an earlier search found, instead of a search."""
    imatrix: Path | None = None
    budget_bytes: int = 0
    """Of the file; 0 where bits per weight decide."""
    bits_per_weight: float = 0.0
    is_for_speed: bool = False
    """Types without fast kernels on ARM are left out."""
    calibration: tuple[Path, ...] = ()
    evaluation: tuple[Path, ...] = ()
    pack: str = "explorer"
    compared: tuple[str, ...] = ()
    """Presets that are made and measured beside it."""
    allows_quantized: bool = False
    guard_kl: float | None = None
    guard_same_top: float | None = None

    @property
    def types(self) -> Sequence[str]:
        """Types that a search may choose."""
        return sorted(FAST_ON_ARM) if self.is_for_speed else CANDIDATES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A model that is being made, once its base is there."""

    request: Request
    source: Source
    source_sha256: str
    base: Path
    header: Header
    texts: Texts
    kept: Kept
    imatrix: Path


@dataclass(frozen=True, slots=True)
class _Clock:
    """Tells stages, and keeps how long they took."""

    stage: Stage
    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        self.stage.begin(name)
        began = time.monotonic()
        yield
        self.seconds.append((name, round(time.monotonic() - began, 1)))


def quantize_llm(request: Request, stage: Stage) -> Report:
    """Makes a model small, publishes it with its report, and returns that.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much: then nothing is
            published, and the error names where the report is.
    """
    clock = _Clock(stage)
    if request.out.exists():
        raise QuantizeError(
            "out_exists", f"{request.out} is there.", "Name another folder with -o."
        )
    with clock.at("checking the source"):
        source = load_source(request.source)
        if not request.allows_quantized:
            require_unquantized(source)
        _require_room(request, source)
        check_weights(source, lambda done: stage.tell(done, source.n_bytes))
        sha256 = _fingerprint(source, request.adapters)
    kept = Kept(sha256)
    with locked(kept.path("lock"), lambda: stage.begin("waiting for another run")):
        base = _base(request, source, kept, clock)
        header = load_header(base)
        with clock.at("reading the texts"):
            texts = load_texts(
                base,
                header,
                pack=request.pack,
                calibration=request.calibration,
                evaluation=request.evaluation,
            )
        measured = Kept(sha256, texts.sha256)
        imatrix = request.imatrix or _imatrix(request, base, texts, measured, clock)
        job = _Job(
            request=request,
            source=source,
            source_sha256=sha256,
            base=base,
            header=header,
            texts=texts,
            kept=measured,
            imatrix=imatrix,
        )
        return _publish(job, *_assignment(job, clock), clock)


def compared(
    reference: Path,
    models: Mapping[str, Path],
    *,
    pack: str,
    evaluation: Sequence[Path],
    threads: int,
    tell: Tell,
) -> list[Method]:
    """Returns how far models are from the one that all came from.

    Args:
        reference: A GGUF file.
        models: GGUF files with the same tokens, by name.
        pack: Whose dialogues are among the texts, where no files are given.
        evaluation: Files with texts.
        threads: How many work.
        tell: Told how many texts are done.

    Raises:
        HeadsideError: ``words_differ``, or as `load_texts` and `compare`.
    """
    header = load_header(reference)
    words = header.metadata.get("tokenizer.ggml.tokens")
    for path in models.values():
        if load_header(path).metadata.get("tokenizer.ggml.tokens") != words:
            raise QuantizeError(
                "words_differ",
                f"{path} has other words than {reference}.",
                "Compare files that came from the same model.",
            )
    texts = load_texts(
        reference, header, pack=pack, calibration=(), evaluation=evaluation
    )
    chunks = texts.chunks[Use.EVALUATION]
    apart = compare(reference, models, chunks, threads=threads, tell=tell)
    return methods_of(models, apart)


def _fingerprint(source: Source, adapters: Sequence[Path]) -> str:
    """Returns the hash of a source and its adapters."""
    own = fingerprint(source)
    if not adapters:
        return own
    files = (path for one in adapters for path in sorted(one.glob("adapter_*")))
    return hashlib.sha256(" ".join([own, *map(sha256_of, files)]).encode()).hexdigest()


def _require_room(request: Request, source: Source) -> None:
    cache, out = cache_root(), request.out.absolute().parent
    for folder in (cache, out):
        folder.mkdir(parents=True, exist_ok=True)
    n_copies = 1 + bool(request.adapters) if source.kind is Kind.FOLDER else 0
    require_free(cache, 4 * source.n_weights * n_copies)
    require_free(out, 2 * source.n_weights * (1 + len(request.compared)))


def _base(request: Request, source: Source, kept: Kept, clock: _Clock) -> Path:
    """Returns the GGUF file that is quantized."""
    tell = clock.stage.tell
    if source.kind is Kind.GGUF:
        if request.adapters:
            raise QuantizeError(
                "adapter_needs_folder",
                "An adapter is merged into a Hugging Face folder, not a GGUF file.",
                "Name the folder of the base model.",
            )
        return source.path
    base = kept.path("base.gguf")
    if base.exists():
        return base
    folder = source.path
    if request.adapters:
        folder = kept.path("merged")
        with clock.at("merging adapters"):
            shutil.rmtree(folder, ignore_errors=True)
            merge(source.path, request.adapters, folder, tell=tell)
    converted = kept.path("converted.gguf")
    with clock.at("converting"):
        # Of 16 bits, llama.cpp would round what it multiplies with: no parity.
        convert(folder, converted, type_="f32", name=source.name, tell=tell)
    with clock.at("checking the conversion"):
        check_parity(folder, converted, threads=request.threads, tell=tell)
    converted.replace(base)
    shutil.rmtree(kept.path("merged"), ignore_errors=True)
    return base


def _imatrix(
    request: Request, base: Path, texts: Texts, kept: Kept, clock: _Clock
) -> Path:
    """Returns the file with the importance of columns."""
    found = kept.path(IMATRIX)
    if found.exists():
        return found
    chunks = texts.chunks[Use.CALIBRATION]
    importance = kept.importance(texts.sources(Use.CALIBRATION))

    def done(so_far: Importance) -> None:
        clock.stage.tell(so_far.n_chunks, len(chunks))
        kept.keep(so_far)

    with (
        clock.at("calibrating"),
        Llama(
            base, n_tokens=texts.n_longest, threads=request.threads, is_mapped=True
        ) as model,
    ):
        gather(model, chunks, importance, done)
    importance.save(found)
    return found


def _assignment(job: _Job, clock: _Clock) -> tuple[str | Assignment, list[Sensitivity]]:
    """Returns a preset or the type of each tensor, and what is known of tensors."""
    request, sha256 = job.request, sha256_of(job.imatrix)
    measurements = job.kept.path(f"sensitivities-{sha256[:8]}.jsonl")
    if request.preset:
        return request.preset, load_sensitivities(measurements)
    if request.recipe is not None:
        recipe = load_recipe(request.recipe)
        if recipe.imatrix_sha256 not in ("", sha256):
            raise QuantizeError(
                "recipe_imatrix",
                f"{request.recipe} was found with another importance matrix.",
                f"Name the {IMATRIX} that lies beside it with --imatrix.",
            )
        return recipe.types, load_sensitivities(measurements)
    importance = load_importance(job.imatrix).means()
    chunks = job.texts.chunks[Use.SEARCH]
    with (
        clock.at("measuring tensors"),
        Llama(
            job.base, n_tokens=max(map(len, chunks)), threads=request.threads
        ) as model,
    ):
        trial = Trial(
            model,
            [tensor for tensor in job.header.tensors if is_quantizable(tensor)],
            chunks,
            importance=importance,
            threads=request.threads,
        )
        found = measure(trial, measurements, clock.stage.tell)
    budget = _budget(request, job.header, found)
    return assign(found, budget, types=request.types), found


def _budget(request: Request, header: Header, found: Sequence[Sensitivity]) -> int:
    """Returns the bytes that the tensors which are quantized may take together."""
    names = {one.weight.name for one in found}
    if not request.budget_bytes:
        n_weights = sum(one.weight.n_numbers for one in found)
        return int(request.bits_per_weight * n_weights / 8)
    others = sum(one.n_bytes for one in header.tensors if one.name not in names)
    padding = _PADDING * len(header.tensors)
    return request.budget_bytes - header.data_offset - others - padding


def _publish(
    job: _Job,
    how: str | Assignment,
    found: Sequence[Sensitivity],
    clock: _Clock,
) -> Report:
    """Writes the model and everything beside it; publishes it if it lost little."""
    out = job.request.out
    beside = out.with_name(f"{out.name}.part")
    refused = out.with_name(f"{out.name}.refused")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        report = _written(job, how, found, beside, clock)
        if report.is_passed:
            beside.replace(out)
            return report
        (beside / MODEL).unlink()
        shutil.rmtree(refused, ignore_errors=True)
        beside.replace(refused)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    raise lost_too_much(report, refused / PAGE, found, job.request.types)


def _written(
    job: _Job,
    how: str | Assignment,
    found: Sequence[Sensitivity],
    folder: Path,
    clock: _Clock,
) -> Report:
    """Writes the model, its recipe and its report."""
    request = job.request
    models = {THIS: folder / MODEL}
    models |= {name: folder / f"{name}.gguf" for name in request.compared}
    with clock.at("quantizing"):
        for n, (name, path) in enumerate(models.items()):
            clock.stage.tell(n, len(models))
            by = how if name == THIS else name
            quantize_by(
                job.base, path, by, imatrix=job.imatrix, threads=request.threads
            )
    _save_recipe(job, models[THIS], folder)
    report = _evaluated(job, how, models, found, clock)
    save_report(folder / REPORT, report)
    write_whole(folder / PAGE, as_html(report))
    for name in request.compared:
        models[name].unlink()
    return report


def _save_recipe(job: _Job, model: Path, folder: Path) -> None:
    shutil.copyfile(job.imatrix, folder / IMATRIX)
    tensors = load_header(model).tensors
    recipe = Recipe(
        source_sha256=job.source_sha256,
        imatrix_sha256=sha256_of(job.imatrix),
        types={one.name: one.type for one in tensors if is_quantizable(one)},
    )
    save_recipe(folder / RECIPE, recipe)


def _evaluated(
    job: _Job,
    how: str | Assignment,
    models: Mapping[str, Path],
    found: Sequence[Sensitivity],
    clock: _Clock,
) -> Report:
    """Returns what was made and what it lost."""
    request, source = job.request, job.source
    with clock.at("evaluating"):
        apart = compare(
            job.base,
            models,
            job.texts.chunks[Use.EVALUATION],
            threads=request.threads,
            tell=clock.stage.tell,
        )
    methods = methods_of(models, apart)
    guard = Guard.for_model(
        source.n_weights, kl_mean=request.guard_kl, same_top=request.guard_same_top
    )
    made = load_header(models[THIS])
    searched = "recipe" if request.recipe else "search"
    return Report(
        source=file_facts(job.base, source.name),
        out=file_facts(models[THIS], MODEL),
        architecture=source.architecture,
        licence=source.licence,
        method=how if isinstance(how, str) else searched,
        imatrix_sha256=sha256_of(job.imatrix),
        texts=job.texts.facts,
        tensors=tensor_facts(made, found),
        methods=methods,
        kl_by_position=kl_by_position(apart[THIS]),
        limits=guard.judged(methods[0].summary),
        samples=(),
        notes=notes_on(source, job.header, made),
        tools=tools(),
        seconds=clock.seconds,
    )
