"""What a GGUF file is, in people's words: types, size, template, tokeniser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quantize.gguf import Header, Tensor

UNQUANTIZED = frozenset({"f64", "f32", "f16", "bf16"})
FAST_ON_ARM = frozenset({"q4_0", "iq4_nl", "q8_0", "q4_K", "q5_K", "q6_K"})
"""Types that llama.cpp repacks for NEON's dot products; of others it reads blocks as
they come."""
K_BLOCK = 256
_TEMPLATES = (
    ("<|im_start|>", "ChatML"),
    ("<|start_header_id|>", "Llama 3"),
    ("<start_of_turn>", "Gemma"),
    ("<|assistant|>", "Zephyr or Phi-3"),
    ("[INST]", "Llama 2 or Mistral"),
)
"""What stands in a template, and whose it is then; the first that does."""
_TOKENISERS = {
    "gpt2": "byte-level BPE",
    "llama": "SentencePiece",
    "bert": "WordPiece",
    "t5": "Unigram",
    "rwkv": "RWKV's trie",
}
_SPECIAL = {
    "bos_token_id": "begins a text",
    "eos_token_id": "ends an answer",
    "eot_token_id": "ends a turn",
    "unknown_token_id": "is for what is unknown",
    "padding_token_id": "fills up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeShare:
    """The tensors of one type."""

    name: str
    n_tensors: int
    n_weights: int
    n_bytes: int

    @property
    def bits(self) -> float:
        """Bits per weight."""
        return 8 * self.n_bytes / self.n_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A token that is no text."""

    use: str
    """What it does, as a verb."""
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is known of a file without loading its model."""

    name: str
    architecture: str
    licence: str
    """SPDX, as the file has it; empty where it says none."""
    n_layers: int | None
    n_context: int | None
    """Tokens it was trained on at once."""
    width: int | None
    """Of the residual stream."""
    n_weights: int
    n_bytes: int
    """Of the tensors."""
    types: tuple[TypeShare, ...]
    """The largest first."""
    is_quantized: bool
    has_own_head: bool
    """Whether the output is not the embedding again."""
    n_matrices: int
    n_off_k_block: int
    """Matrices whose rows 256 does not divide: no K-type fits them."""
    fast_on_arm: float
    """Share of the multiply-adds of a token that NEON has repacked kernels for."""
    tokeniser: str
    """Empty where there is none."""
    pre_tokeniser: str
    n_tokens: int
    specials: tuple[Special, ...]
    template: str
    """The chat template itself; empty where there is none."""
    template_family: str

    @property
    def bits_per_weight(self) -> float:
        """Over all tensors."""
        return 8 * self.n_bytes / max(1, self.n_weights)


def inspect(header: Header) -> Inspection:
    """Returns what a file is."""
    architecture = header.text("general.architecture")
    tensors = header.tensors
    matrices = [tensor for tensor in tensors if _is_matrix(tensor)]
    names = {tensor.name for tensor in tensors}
    template = header.text("tokenizer.chat_template")
    tokens = header.metadata.get("tokenizer.ggml.tokens", ())
    model = header.text("tokenizer.ggml.model")
    work = _types(list(_multiplied(matrices, names)))
    n_work = sum(share.n_weights for share in work)
    n_fast = sum(share.n_weights for share in work if share.name in FAST_ON_ARM)
    return Inspection(
        name=header.text("general.name"),
        architecture=architecture,
        licence=header.text("general.license"),
        n_layers=header.size("block_count"),
        n_context=header.size("context_length"),
        width=header.size("embedding_length"),
        n_weights=sum(tensor.n_numbers for tensor in tensors),
        n_bytes=sum(tensor.n_bytes for tensor in tensors),
        types=_types(tensors),
        is_quantized=any(t.type.name not in UNQUANTIZED for t in matrices),
        has_own_head="output.weight" in names,
        n_matrices=len(matrices),
        n_off_k_block=sum(t.shape[0] % K_BLOCK != 0 for t in matrices),
        fast_on_arm=n_fast / max(1, n_work),
        tokeniser=_TOKENISERS.get(model, model),
        pre_tokeniser=header.text("tokenizer.ggml.pre"),
        n_tokens=len(tokens) if isinstance(tokens, tuple) else 0,
        specials=tuple(_specials(header, tokens if isinstance(tokens, tuple) else ())),
        template=template,
        template_family=_family(template),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImatrixInspection:
    """What is known of an importance matrix, as `quantize.imatrix` writes them."""

    n_weights: int
    """Tensors that it tells of."""
    n_chunks: int
    chunk_tokens: int
    """Of the longest text, at most."""
    datasets: tuple[str, ...]
    """Names of what was read."""


def inspect_imatrix(header: Header) -> ImatrixInspection | None:
    """Returns what an importance matrix is; None of any other file."""
    if header.text("general.type") != "imatrix":
        return None
    datasets = header.metadata.get("imatrix.datasets", ())
    return ImatrixInspection(
        n_weights=sum(one.name.endswith(".in_sum2") for one in header.tensors),
        n_chunks=header.number("imatrix.chunk_count") or 0,
        chunk_tokens=header.number("imatrix.chunk_size") or 0,
        datasets=tuple(map(str, datasets)) if isinstance(datasets, tuple) else (),
    )


def as_row(found: Inspection) -> dict[str, Any]:
    """Returns the same for machines."""
    return {
        "name": found.name,
        "architecture": found.architecture,
        "licence": found.licence,
        "n_layers": found.n_layers,
        "n_context": found.n_context,
        "width": found.width,
        "n_weights": found.n_weights,
        "n_bytes": found.n_bytes,
        "bits_per_weight": round(found.bits_per_weight, 4),
        "types": [
            {
                "name": share.name,
                "n_tensors": share.n_tensors,
                "n_weights": share.n_weights,
                "n_bytes": share.n_bytes,
                "bits_per_weight": round(share.bits, 4),
            }
            for share in found.types
        ],
        "is_quantized": found.is_quantized,
        "has_own_head": found.has_own_head,
        "n_matrices": found.n_matrices,
        "n_off_k_block": found.n_off_k_block,
        "fast_on_arm": round(found.fast_on_arm, 4),
        "tokeniser": found.tokeniser,
        "pre_tokeniser": found.pre_tokeniser,
        "n_tokens": found.n_tokens,
        "specials": [
            {"use": special.use, "number": special.number, "text": special.text}
            for special in found.specials
        ],
        "template_family": found.template_family,
        "template": found.template,
    }


def _is_matrix(tensor: Tensor) -> bool:
    return len([n for n in tensor.shape if n > 1]) >= 2


def _multiplied(matrices: Sequence[Tensor], names: set[str]) -> Iterator[Tensor]:
    """Yields the matrices that a token is multiplied by.

    The embedding only where it is the output, too: of it a row is looked up.
    """
    for tensor in matrices:
        if tensor.name != "token_embd.weight" or "output.weight" not in names:
            yield tensor


def _types(tensors: Sequence[Tensor]) -> tuple[TypeShare, ...]:
    by_type: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.type.name, []).append(tensor)
    shares = [
        TypeShare(
            name=name,
            n_tensors=len(found),
            n_weights=sum(tensor.n_numbers for tensor in found),
            n_bytes=sum(tensor.n_bytes for tensor in found),
        )
        for name, found in by_type.items()
    ]
    return tuple(sorted(shares, key=lambda share: -share.n_bytes))


def _specials(header: Header, tokens: Sequence[object]) -> Iterator[Special]:
    for key, use in _SPECIAL.items():
        number = header.number(f"tokenizer.ggml.{key}")
        if number is not None:
            is_known = 0 <= number < len(tokens)
            yield Special(
                use=use,
                number=number,
                text=str(tokens[number]) if is_known else "",
            )


def _family(template: str) -> str:
    if not template:
        return ""
    found = (family for mark, family in _TEMPLATES if mark in template)
    return next(found, "of its own")
