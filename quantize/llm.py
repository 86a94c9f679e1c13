"""`headside quantize llm`: a fine-tuned language model made small, and measured.

Load, check, calibrate, search, quantize, evaluate, report. What takes long is kept as
it is measured, so that a run that was killed goes on where it was, and another budget
begins with the search done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.disk import locked, size_text
from quantize.adapters import files_of
from quantize.assignment import is_quantizable
from quantize.bases import (
    converted,
    layers_left_out,
    with_words,
    without_adapters,
    without_layers,
    words_that_stay,
)
from quantize.checks import (
    check_adapters,
    check_importance,
    check_recipe,
    check_request,
    check_searchable,
    require_room,
)
from quantize.child import Tell
from quantize.comparison import compare
from quantize.errors import QuantizeError
from quantize.factors import INDEX, gather_factors
from quantize.gguf import Header, load_header
from quantize.imatrix import Importance, gather, load_importance
from quantize.job import FACTORS, GOALS, IMATRIX, Job, Plan, Request
from quantize.kept import Kept
from quantize.kernels import measure_kernels
from quantize.llama import Llama
from quantize.llm_report import methods_of
from quantize.llm_texts import Texts, load_texts
from quantize.made import sha256_of
from quantize.opening import check_opens
from quantize.publishing import publish
from quantize.recipe import Recipe
from quantize.report import Method, Report
from quantize.search import (
    CANDIDATES,
    Goal,
    Sensitivity,
    assign,
    least_bytes,
    measure,
    weights_of,
)
from quantize.source import (
    Source,
    check_weights,
    fingerprint,
    load_source,
    require_unquantized,
)
from quantize.stage import Clock, Stage
from quantize.survival import SHARES, shares_left, without_forgetful
from quantize.texts import Use
from quantize.trial import Trial

_PADDING = 32
"""Bytes, at most, between two tensors of a file."""


def quantize_llm(request: Request, stage: Stage) -> Report:
    """Makes a model small, publishes it with its report, and returns that.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much: then nothing is
            published, and the error names where the report is.
    """
    clock = Clock(stage)
    with clock.at("checking the source"):
        recipe = check_request(request)
        source = load_source(request.source)
        if not request.allows_quantized:
            require_unquantized(source)
        check_adapters(request, source)
        require_room(request, source)
        check_weights(source, lambda done: stage.tell(done, source.n_bytes))
        sha256 = _fingerprint(source, request.adapters)
    kept = Kept(sha256)
    with locked(kept.path("lock"), lambda: stage.begin("waiting for another run")):
        reference = converted(request, source, kept, clock)
        texts = _texts(request, reference, clock)
        words = words_that_stay(request, reference, texts, clock)
        if words is not None:
            reference = with_words(reference, words, kept, clock)
            texts = _texts(request, reference, clock)
        layers = layers_left_out(request, reference, texts, clock)
        base = without_layers(reference, layers, kept, clock)
        measured = Kept(sha256, texts.measured_sha256, *map(str, layers))
        header = load_header(base)
        if recipe is not None and request.recipe is not None:
            check_recipe(recipe, header, request.recipe)
        elif not request.preset:
            check_searchable(header)
        job = Job(
            request=request,
            source=source,
            source_sha256=sha256,
            reference=reference,
            base=base,
            bare=without_adapters(request, source, words, layers, kept, clock),
            words=words,
            without_layers=layers,
            header=header,
            texts=texts,
            kept=measured,
            imatrix=_imatrix(request, recipe, base, texts, measured, clock),
        )
        return publish(job, _plan(job, recipe, clock), clock)


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
    check_opens(reference)
    texts = load_texts(
        reference, header, pack=pack, calibration=(), evaluation=evaluation
    )
    chunks = texts.chunks[Use.EVALUATION]
    apart = compare(reference, models, chunks, threads=threads, tell=tell)
    return methods_of(models, apart, {})


def _fingerprint(source: Source, adapters: Sequence[Path]) -> str:
    """Returns the hash of a source and its adapters."""
    own = fingerprint(source)
    if not adapters:
        return own
    files = (path for one in adapters for path in files_of(one))
    return hashlib.sha256(" ".join([own, *map(sha256_of, files)]).encode()).hexdigest()


def _texts(request: Request, reference: Path, clock: Clock) -> Texts:
    with clock.at("reading the texts"):
        return load_texts(
            reference,
            load_header(reference),
            pack=request.pack,
            calibration=request.calibration,
            evaluation=request.evaluation,
        )


def _imatrix(
    request: Request,
    recipe: Recipe | None,
    base: Path,
    texts: Texts,
    kept: Kept,
    clock: Clock,
) -> Path | None:
    """Returns the file with the importance of columns; none where it is not used."""
    if request.imatrix is not None:
        means = load_importance(request.imatrix).means()
        check_importance(means, load_header(base), request.imatrix)
        return request.imatrix
    if not request.uses_imatrix or (recipe and not recipe.imatrix_sha256):
        return None
    found = kept.path(IMATRIX)
    if found.exists():
        return found
    chunks = texts.chunks[Use.CALIBRATION]
    importance = kept.importance(texts.of(Use.CALIBRATION).sources)

    def done(so_far: Importance) -> None:
        clock.stage.tell(so_far.n_chunks, len(chunks))
        kept.keep(so_far)

    with (
        clock.at("calibrating"),
        Llama(base, n_tokens=texts.n_longest, threads=request.threads) as model,
    ):
        gather(model, chunks, importance, done)
    importance.save(found)
    return found


def _plan(job: Job, recipe: Recipe | None, clock: Clock) -> Plan:
    request = job.request
    if request.preset:
        return Plan(how=request.preset)
    if recipe is not None:
        _check_same(job, recipe)
        is_mended = bool(recipe.mended_sha256)
        if is_mended:
            _gather_factors(job, clock)
        return Plan(how=recipe.preset or recipe.types, is_mended=is_mended)
    budget = _budget(request, job.header)
    if request.is_mended:
        _gather_factors(job, clock)
    found = _sensitivities(job, clock)
    goal = _goal(job, clock)
    notes: list[str] = []
    if job.bare is not None:
        with clock.at("seeing what adapters leave"):
            shares = shares_left(found, job.base, job.bare, job.means())
        found, least = without_forgetful(found, shares, budget, goal)
        if least < SHARES[0]:
            notes.append(
                f"There was no room for types that leave {SHARES[0]:.0%} of what the "
                f"adapter changed in each tensor; these leave {least:.0%} or more. "
                "Judge it with --task, or give it more bytes."
            )
    how = assign(found, budget, goal)
    return Plan(
        how=how, is_mended=request.is_mended, found=found, goal=goal, notes=notes
    )


def _check_same(job: Job, recipe: Recipe) -> None:
    """Raises unless a recipe goes with the importance matrix and the texts."""
    path = job.request.recipe
    if recipe.imatrix_sha256 != job.imatrix_sha256:
        raise QuantizeError(
            "recipe_imatrix",
            f"{path} was found with another importance matrix.",
            f"Name the {IMATRIX} that lies beside it with --imatrix."
            if recipe.imatrix_sha256
            else "It was found without one: leave out --imatrix.",
        )
    if recipe.mended_sha256 not in ("", job.texts.of(Use.CALIBRATION).sha256):
        raise QuantizeError(
            "recipe_calibration",
            f"{path} was found with other texts for calibration.",
            "Give the same pack, or the same files with --calibration.",
        )


def _gather_factors(job: Job, clock: Clock) -> None:
    folder = job.kept.path(FACTORS)
    if (folder / INDEX).exists():
        return
    chunks, threads = job.texts.chunks[Use.CALIBRATION], job.request.threads
    with (
        clock.at("seeing what goes together"),
        Llama(job.base, n_tokens=max(map(len, chunks)), threads=threads) as model,
    ):
        gather_factors(model, chunks, folder, threads=threads, tell=clock.stage.tell)


def _sensitivities(job: Job, clock: Clock) -> list[Sensitivity]:
    request = job.request
    how = "mended" if request.is_mended else "plain"
    kept = job.kept.path(f"tensors-{job.imatrix_sha256[:8]}-{how}.jsonl")
    chunks = job.texts.chunks[Use.SEARCH]
    with (
        clock.at("measuring tensors"),
        Llama(
            job.base,
            n_tokens=max(map(len, chunks)),
            threads=request.threads,
            is_repacked=False,
        ) as model,
    ):
        trial = Trial(
            model,
            [tensor for tensor in job.header.tensors if is_quantizable(tensor)],
            chunks,
            rounding=job.rounding(is_mended=request.is_mended),
        )
        return measure(trial, kept, clock.stage.tell)


def _goal(job: Job, clock: Clock) -> Goal:
    """Returns what counts, with the time of products where that does."""
    goal = GOALS[job.request.goal]
    if not goal.time_share:
        return goal
    with clock.at("timing types"):
        seconds = measure_kernels(
            job.base, CANDIDATES, job.kept.path("kernels.json"), tell=clock.stage.tell
        )
    return replace(goal, seconds=seconds)


def _budget(request: Request, header: Header) -> int:
    """Returns the bytes that the tensors which are quantized may take together.

    Raises:
        QuantizeError: ``budget_too_small``.
    """
    weights = weights_of(header)
    goal = GOALS[request.goal]
    names = {one.name for one in weights}
    others = sum(one.n_bytes for one in header.tensors if one.name not in names)
    rest = header.data_offset + others + _PADDING * len(header.tensors)
    n_weights = sum(one.n_numbers for one in weights)
    budget = int(request.bits_per_weight * n_weights / 8)
    if request.budget_bytes:
        budget = request.budget_bytes - rest
    least = least_bytes(weights, goal)
    if budget < least:
        raise QuantizeError(
            "budget_too_small",
            f"{request.source} takes {size_text(rest + least)} at least, and "
            f"{size_text(rest + budget)} were asked for.",
            f"Give it more: --budget {rest + least}.",
        )
    return budget
