"""What a run of `quantize llm` found, as its report, and what the guard says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.device import device_profile
from quantize.assignment import is_quantizable
from quantize.divergence import Divergence, summary
from quantize.errors import QuantizeError
from quantize.gguf import Header, load_header
from quantize.inspection import inspect
from quantize.limits import Limit
from quantize.made import sha256_of, versions
from quantize.report import FileFacts, Method, TensorFacts
from quantize.search import Sensitivity
from quantize.source import Source
from quantize.words_left import WordsLeft
from quantize.writing import Written

_TOOLS = ("headside", "llama-cpp-python", "numpy", "torch", "transformers", "peft")
_K_BLOCK = 256
_N_CONTEXT = 1536
"""Tokens that the runtime keeps, at most."""


def file_facts(path: Path, name: str) -> FileFacts:
    """Returns what a file is, from its header and its bytes."""
    header = load_header(path)
    found = inspect(header)
    return FileFacts(
        name=name,
        sha256=sha256_of(path),
        n_bytes=header.file_bytes,
        bits_per_weight=round(found.bits_per_weight, 3),
        fast_share=round(found.fast_on_arm, 4),
    )


def methods_of(
    models: Mapping[str, Path],
    apart: Mapping[str, Sequence[Divergence]],
    written: Mapping[str, Written],
) -> list[Method]:
    """Returns the measured models, in their order."""
    return [
        Method(
            name=name,
            n_bytes=path.stat().st_size,
            summary=summary(apart[name]),
            speed=written[name].speed if name in written else None,
        )
        for name, path in models.items()
    ]


def tensor_facts(made: Header, found: Sequence[Sensitivity]) -> list[TensorFacts]:
    """Returns the tensors of a file that are quantized, and why as they are."""
    known = {one.weight.name: one for one in found}
    facts: list[TensorFacts] = []
    for tensor in made.tensors:
        if not is_quantizable(tensor):
            continue
        type_ = tensor.type.name
        bare = TensorFacts(name=tensor.name, type=type_, n_bytes=tensor.n_bytes)
        one = known.get(tensor.name)
        facts.append(_explained(bare, one) if one else bare)
    return facts


def _explained(fact: TensorFacts, one: Sensitivity) -> TensorFacts:
    for_a_million = one.kl / one.weight.n_numbers * 1e6
    n_columns = one.weight.n_columns
    narrow = f"; no K-type: rows of {n_columns}" if n_columns % _K_BLOCK else ""
    return TensorFacts(
        name=fact.name,
        type=fact.type,
        n_bytes=fact.n_bytes,
        probe=one.probe,
        probe_kl=one.kl,
        expected_kl=one.loss(fact.type) if fact.type in one.errors else 0.0,
        why=(
            f"{one.kl:.2g} nats in {one.probe} alone, "
            f"{for_a_million:.2g} for a million weights{narrow}"
        ),
    )


def kl_by_position(documents: Sequence[Divergence]) -> list[float]:
    """Returns the mean divergence over documents at each token, nats."""
    longest = max(len(one.kl) for one in documents)
    table = np.full((len(documents), longest), np.nan)
    for row, one in zip(table, documents, strict=True):
        row[: len(one.kl)] = one.kl
    return [round(float(mean), 6) for mean in np.nanmean(table, axis=0)]


def notes_on(
    source: Source,
    base: Header,
    made: Header,
    without_layers: Sequence[int],
    words: WordsLeft | None,
) -> list[str]:
    """Returns what a reader of the figures has to know."""
    notes = []
    if source.is_quantized:
        notes.append(
            f"The source had been quantized before ({', '.join(source.types)}): the "
            "losses here are against that, not against the original."
        )
    if words is not None:
        notes.append(words.told)
    if without_layers:
        numbers = ", ".join(map(str, without_layers))
        notes.append(f"Layers left out, as they were needed least: {numbers}.")
    quantizable = [tensor for tensor in base.tensors if is_quantizable(tensor)]
    n_narrow = sum(tensor.shape[0] % _K_BLOCK != 0 for tensor in quantizable)
    if n_narrow:
        notes.append(
            f"{n_narrow} of {len(quantizable)} tensors have rows that {_K_BLOCK} does "
            "not divide: no K-type fits them, and presets take wider types there."
        )
    if any(tensor.type.name == "f16" for tensor in made.tensors):
        notes.append("Tensors whose rows 32 does not divide stayed float16.")
    return notes


def memory_limit(made: Header, device: str) -> Limit:
    """Returns whether a model fits a headset, beside nothing else.

    Its file and what the runtime keeps of a full context, against what the system lets
    an application have.
    """
    profile = device_profile(device)
    limit = profile.memory_limit_bytes.value
    if limit is None:
        raise QuantizeError(
            "device_memory_unknown",
            f"Nobody knows what memory {device} gives ({profile.memory_limit_bytes}).",
            "Leave out --device.",
        )
    kept = _N_CONTEXT * _kept_numbers(made) * kept_bits(device) // 8
    found = made.file_bytes + kept
    return Limit(
        name=f"bytes on {device}", limit=limit, found=found, is_met=found <= limit
    )


def kept_bits(device: str) -> int:
    """Returns the bits of each number that the runtime keeps on a headset."""
    return device_profile(device).kv_bits.value or 16


def _kept_numbers(made: Header) -> int:
    """Returns how many numbers a model keeps of each token that it read."""

    def size(key: str) -> int:
        return made.size(key) or 0

    n_heads = max(1, size("attention.head_count"))
    width = size("attention.key_length") or size("embedding_length") // n_heads
    n_kept = size("attention.head_count_kv") or n_heads
    return 2 * size("block_count") * n_kept * width


def tools() -> list[tuple[str, str]]:
    """Returns the names and versions of what the figures depend on."""
    return versions(_TOOLS)
