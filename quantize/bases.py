"""The GGUF files that a run begins with: the source as float32, all of it or less.

Each is kept under the hash of what it was made from, so a run that was killed finds it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from quantize.adapters import merge
from quantize.assignment import FLOAT, quantize_by
from quantize.conversion import convert
from quantize.errors import QuantizeError
from quantize.gguf import load_header
from quantize.job import Request
from quantize.kept import Kept
from quantize.llm_texts import Texts
from quantize.opening import check_opens
from quantize.parity import check_parity
from quantize.pruning import least_needed
from quantize.recipe import load_recipe
from quantize.source import Kind, Source
from quantize.stage import Clock
from quantize.texts import Use
from quantize.words import kept_words
from quantize.words_file import without_words
from quantize.words_left import WordsLeft, words_left


def converted(request: Request, source: Source, kept: Kept, clock: Clock) -> Path:
    """Returns the GGUF file of float32 that is quantized."""
    tell, base = clock.stage.tell, kept.path("base.gguf")
    if source.kind is Kind.GGUF:
        if request.adapters:
            raise QuantizeError(
                "adapter_needs_folder",
                "An adapter is merged into a Hugging Face folder, not a GGUF file.",
                "Name the folder of the base model.",
            )
        with clock.at("opening the source"):
            check_opens(source.path)
        if source.types == (FLOAT,):
            return source.path
        if not base.exists():
            with clock.at("reading it as float32"):
                quantize_by(
                    source.path, base, FLOAT, imatrix=None, threads=request.threads
                )
    if base.exists():
        return base
    folder = source.path
    if request.adapters:
        folder = kept.path("merged")
        with clock.at("merging adapters"):
            shutil.rmtree(folder, ignore_errors=True)
            merge(source.path, request.adapters, folder, tell=tell)
    made = kept.path("converted.gguf")
    with clock.at("converting"):
        # Of 16 bits, llama.cpp would round what it multiplies with: no parity.
        convert(folder, made, type_="f32", name=source.name, tell=tell)
    with clock.at("checking the conversion"):
        check_parity(folder, made, threads=request.threads, tell=tell)
    made.replace(base)
    shutil.rmtree(kept.path("merged"), ignore_errors=True)
    return base


def words_that_stay(
    request: Request, reference: Path, texts: Texts, clock: Clock
) -> WordsLeft | None:
    """Returns the words that stay, where not all do."""
    recipe = None if request.recipe is None else load_recipe(request.recipe)
    n_words = request.n_words if recipe is None else recipe.n_words
    if not n_words:
        return None
    with clock.at("leaving words out"):
        known = (Use.CALIBRATION, Use.SEARCH)
        needed = {one for use in known for chunk in texts.chunks[use] for one in chunk}
        found = words_left(
            reference,
            kept_words(load_header(reference), needed, n_words),
            texts.chunks[Use.EVALUATION],
            threads=request.threads,
            tell=clock.stage.tell,
        )
    if recipe is not None and recipe.words_sha256 != found.sha256:
        raise QuantizeError(
            "recipe_words",
            f"{request.recipe} keeps other words than those that these texts need.",
            "Give the same pack, or the same files with --calibration.",
        )
    return found


def with_words(whole: Path, words: WordsLeft, kept: Kept, clock: Clock) -> Path:
    """Returns the model with some words alone."""
    name = f"{whole.stem}-words-{words.sha256[:16]}.gguf"
    smaller = kept.path(name)
    if not smaller.exists():
        with clock.at("writing it without them"):
            without_words(whole, smaller, words.keep)
            _check_new(smaller)
    return smaller


def layers_left_out(
    request: Request, reference: Path, texts: Texts, clock: Clock
) -> tuple[int, ...]:
    """Returns the layers that are left out."""
    if request.recipe is not None:
        return load_recipe(request.recipe).without_layers
    if not request.n_pruned:
        return ()
    with clock.at("measuring layers"):
        return least_needed(
            reference,
            load_header(reference).size("block_count") or 0,
            texts.chunks[Use.SEARCH],
            request.n_pruned,
            threads=request.threads,
            tell=clock.stage.tell,
        )


def without_adapters(
    request: Request,
    source: Source,
    words: WordsLeft | None,
    layers: Sequence[int],
    kept: Kept,
    clock: Clock,
) -> Path | None:
    """Returns the base without its adapters; none where nobody asks for it.

    A search does, to see what is left of them.
    """
    is_searched = not request.preset and request.recipe is None
    if not request.adapters or not (is_searched or request.compares_adapter):
        return None
    bare = kept.path("bare.gguf")
    if not bare.exists():
        with clock.at("converting the base alone"):
            tell = clock.stage.tell
            convert(source.path, bare, type_="f32", name=source.name, tell=tell)
    if words is not None:
        bare = with_words(bare, words, kept, clock)
    return without_layers(bare, layers, kept, clock)


def without_layers(
    whole: Path, layers: Sequence[int], kept: Kept, clock: Clock
) -> Path:
    """Returns the model without some layers."""
    if not layers:
        return whole
    left_out = "-".join(map(str, layers))
    base = kept.path(f"{whole.stem}-without-{left_out}.gguf")
    if not base.exists():
        with clock.at("leaving layers out"):
            quantize_by(
                whole, base, FLOAT, imatrix=None, threads=1, without_layers=layers
            )
            _check_new(base)
    return base


def _check_new(made: Path) -> None:
    """Opens a file that was just made; it is not kept where that fails."""
    try:
        check_opens(made)
    except BaseException:
        made.unlink()
        raise
