"""What a model is made of, seen and checked before anything is run with it.

A source is a Hugging Face folder or a GGUF file. Headers, names and sizes are read, no
weight is: `check_weights` and `fingerprint` do that. Pickles are never opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models.disk import hash_region
from quantize.errors import QuantizeError
from quantize.gguf import Header, load_header
from quantize.hf_folder import (
    CONFIG,
    PICKLES,
    check_layers,
    check_tokenizer,
    folder_weights,
    load_json,
    load_licence,
    load_template,
    no_template,
    pickle_refused,
)
from quantize.inspection import UNQUANTIZED as UNQUANTIZED_GGUF
from quantize.safetensors_file import UNQUANTIZED, Weight, check_finite

_READ = ("*.json", "*.jinja", "*.txt", "*.model", "*.md")
"""What besides the weights decides what the model becomes."""


class Kind(StrEnum):
    """What a source is."""

    FOLDER = "folder"
    """As the Hugging Face hub has them: configuration, safetensors, tokenizer."""
    GGUF = "gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model that is in order, as far as that can be seen without its weights."""

    path: Path
    kind: Kind
    name: str
    architecture: str
    """As the source calls it: ``LlamaForCausalLM``, ``llama``."""
    licence: str
    """As the source has it; empty where it says none."""
    types: tuple[str, ...]
    """Of the weights, in lower case, sorted."""
    n_weights: int
    n_bytes: int
    """Of the weights."""
    is_quantized: bool
    """It has lost something already, and what is made of it inherits that."""
    template: str
    """The chat template."""
    files: tuple[Path, ...]
    """All that decides what the model becomes, sorted."""


def load_source(path: Path) -> Source:
    """Returns what a path is.

    Raises:
        QuantizeError: ``source_missing``, ``source_unknown``, ``source_is_adapter``,
            ``config_broken``, ``pickle``, ``weights_missing``, ``shard_missing``,
            ``weights_broken``, ``weights_unreadable``, ``layer_missing``,
            ``tokenizer_missing``, ``template_missing`` or ``source_is_part``.
        GgufError: The header of a GGUF file is not to be believed.
    """
    if path.is_dir():
        return _load_folder(path)
    if path.is_file():
        if path.suffix == ".safetensors":
            raise QuantizeError(
                "source_unknown",
                f"{path} is the weights alone.",
                f"Name the folder {path.parent}, with its config.json and tokenizer.",
            )
        if any(path.match(pattern) for pattern in PICKLES):
            raise pickle_refused(path)
        return _load_gguf(path)
    raise QuantizeError(
        "source_missing",
        f"There is no {path}.",
        "Name a folder with config.json and safetensors, or a .gguf file.",
    )


def require_unquantized(source: Source) -> None:
    """Refuses a source that has been quantized before.

    Raises:
        QuantizeError: ``source_quantized``.
    """
    if source.is_quantized:
        raise QuantizeError(
            "source_quantized",
            f"{source.path} has been quantized already ({', '.join(source.types)}): "
            f"what is made of it has lost twice, and is measured against the loss.",
            "Take the float16 or bfloat16 original, or allow it: --quantized-source.",
        )


def check_weights(source: Source, tell: Callable[[int], None]) -> None:
    """Reads the weights that are stored as floats.

    Args:
        source: The source.
        tell: Called with the bytes read so far, of ``n_bytes``.

    Raises:
        QuantizeError: ``weights_not_finite``.
    """
    if source.kind is Kind.FOLDER:
        weights = list(folder_weights(source.path).values())
    else:
        weights = [
            Weight(
                name=tensor.name,
                type_=tensor.type.name.upper(),
                shape=tensor.shape[::-1],
                path=source.path,
                offset=tensor.offset,
            )
            for tensor in load_header(source.path).tensors
            if tensor.type.name in UNQUANTIZED_GGUF
        ]
    check_finite(sorted(weights, key=lambda found: (found.path, found.offset)), tell)


def fingerprint(source: Source) -> str:
    """Returns the sha256 of a GGUF file, or of the list of a folder's files' own.

    The list is what ``sha256sum`` prints of them in order of their names.
    """
    sums = [hash_region(path, 0, path.stat().st_size) for path in source.files]
    if source.kind is Kind.GGUF:
        return sums[0]
    lines = (
        f"{sum_}  {path.name}\n" for sum_, path in zip(sums, source.files, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _load_folder(folder: Path) -> Source:
    if not (folder / CONFIG).is_file():
        raise _no_config(folder)
    config = load_json(folder / CONFIG)
    match config.get("architectures"):
        case [str() as architecture, *_]:
            pass
        case _:
            raise QuantizeError(
                "config_broken",
                f'{folder / CONFIG} names no "architectures".',
                "Save the model with transformers' save_pretrained.",
            )
    weights = folder_weights(folder)
    check_layers(folder, config, weights)
    check_tokenizer(folder)
    types = {weight.type_ for weight in weights.values()}
    shards = {weight.path for weight in weights.values()}
    others = {path for pattern in _READ for path in folder.glob(pattern)}
    return Source(
        path=folder,
        kind=Kind.FOLDER,
        name=folder.resolve().name,
        architecture=architecture,
        licence=load_licence(folder),
        types=tuple(sorted(type_.lower() for type_ in types)),
        n_weights=sum(weight.n_numbers for weight in weights.values()),
        n_bytes=sum(weight.n_bytes for weight in weights.values()),
        is_quantized="quantization_config" in config or not types <= UNQUANTIZED,
        template=load_template(folder),
        files=tuple(sorted(shards | {path for path in others if path.is_file()})),
    )


def _no_config(folder: Path) -> QuantizeError:
    if (folder / "adapter_config.json").is_file():
        return QuantizeError(
            "source_is_adapter",
            f"{folder} is an adapter, not a model.",
            f"Name its base model, and the adapter with --adapter {folder}.",
        )
    found = sorted(folder.glob("*.gguf"))
    hint = f"Did you mean {found[0]}?" if found else "Name a folder with config.json."
    return QuantizeError("source_unknown", f"{folder} holds no {CONFIG}.", hint)


def _load_gguf(path: Path) -> Source:
    header = load_header(path)
    n_parts = header.number("split.count") or 1
    if n_parts > 1:
        raise QuantizeError(
            "source_is_part",
            f"{path} is one of {n_parts} parts of a model.",
            "Join them first: llama-gguf-split --merge.",
        )
    if not header.metadata.get("tokenizer.ggml.tokens"):
        raise QuantizeError(
            "tokenizer_missing",
            f"{path} has no vocabulary.",
            "Convert the model again, with its tokenizer beside it.",
        )
    template = header.text("tokenizer.chat_template")
    if not template.strip():
        raise no_template(path)
    types = {tensor.type.name for tensor in header.tensors}
    return Source(
        path=path,
        kind=Kind.GGUF,
        name=header.text("general.name") or path.stem,
        architecture=header.text("general.architecture"),
        licence=header.text("general.license"),
        types=tuple(sorted(types)),
        n_weights=sum(tensor.n_numbers for tensor in header.tensors),
        n_bytes=sum(tensor.n_bytes for tensor in header.tensors),
        is_quantized=_is_quantized(header),
        template=template,
        files=(path,),
    )


def _is_quantized(header: Header) -> bool:
    return any(tensor.type.name not in UNQUANTIZED_GGUF for tensor in header.tensors)
