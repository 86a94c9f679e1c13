"""What a speech model is made of, seen and checked before anything is run with it.

A source is a Whisper in CTranslate2's format, or one as the Hugging Face hub has them.
Pickles are never opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from models.ctranslate2_file import Ctranslate2File, load_ctranslate2
from models.errors import ModelError
from models.store import Store
from quantize.adapters import files_of, load_adapter
from quantize.artifact import Files
from quantize.asr.job import CONFIG, MODEL, PREPROCESSOR, TOKENIZER, VOCABULARIES
from quantize.errors import QuantizeError
from quantize.hf_folder import (
    TOKENIZERS,
    check_layers,
    folder_weights,
    load_json,
    load_licence,
    pickle_refused,
)
from quantize.made import sha256_of
from quantize.safetensors_file import UNQUANTIZED, check_finite

SPEC = "WhisperSpec"
_EMBEDDING = "decoder/embeddings/weight"
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04")
"""What a file of weights begins with that PyTorch wrote."""
_READ = ("*.json", "*.txt", "*.md", "*.safetensors")
"""What in a Hugging Face folder decides what the model becomes."""
_BFLOAT16 = np.dtype("<u2")
_ALL_SET = 0x7F80
_AGAIN = "Convert or download the model again."


class Kind(StrEnum):
    """What a source is."""

    CTRANSLATE2 = "ctranslate2"
    FOLDER = "folder"
    """As the Hugging Face hub has them: configuration, safetensors, tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A speech model in order, as far as that can be seen without running it."""

    path: Path
    kind: Kind
    name: str
    licence: str
    """Empty where the source says none."""
    files: Files
    n_weights: int


def load_source(path: Path, adapters: Sequence[Path]) -> Source:
    """Returns what a folder is, and its adapters with it.

    Raises:
        HeadsideError: It is no Whisper, parts of it are missing or broken, it has been
            quantized already, or an adapter is of another model.
    """
    if not path.is_dir():
        raise QuantizeError(
            "source_missing",
            f"{path} is a file, not a folder." if path.exists() else f"No {path}.",
            "Name the folder of a Whisper model: CTranslate2's with model.bin, or "
            "Hugging Face's with safetensors.",
        )
    if (path / MODEL).exists():
        if adapters:
            raise QuantizeError(
                "adapter_needs_folder",
                f"{path} is in CTranslate2's format, and an adapter is merged into a "
                "Hugging Face folder.",
                "Name the Hugging Face folder of the base model.",
            )
        return _of_ctranslate2(path)
    if not (path / CONFIG).is_file():
        is_adapter = (path / "adapter_config.json").is_file()
        raise QuantizeError(
            "source_is_adapter" if is_adapter else "source_unknown",
            f"{path} is an adapter, not a model."
            if is_adapter
            else f"{path} is no Whisper folder: it holds neither {MODEL} nor {CONFIG}.",
            f"Name its base model, and the adapter with --adapter {path}."
            if is_adapter
            else "Name the folder that holds the model's files.",
        )
    return _of_hugging_face(path, adapters)


def check_folder(folder: Path) -> Ctranslate2File:
    """Returns the weights of a folder in CTranslate2's format; it is whole.

    Raises:
        HeadsideError: As `load_source`.
    """
    _require(folder, (CONFIG,), "config_missing", "how the model is told what to do")
    load_json(folder / CONFIG)
    _require(folder, (TOKENIZER,), "tokenizer_missing", "how words become tokens")
    load_json(folder / TOKENIZER)
    vocabulary = _require(
        folder, VOCABULARIES, "vocabulary_missing", "what its tokens are called"
    )
    path = folder / MODEL
    with path.open("rb") as file:
        if file.read(4).startswith(_PICKLES):
            raise pickle_refused(path)
    model = load_ctranslate2(path)
    if model.spec != SPEC:
        raise QuantizeError(
            "source_unknown",
            f"{path} is a {model.spec or 'model without a name'}, not a {SPEC}.",
            "Name the folder of a Whisper model.",
        )
    if model.is_quantized:
        raise QuantizeError(
            "source_quantized",
            f"{path} has weights of eight bits already.",
            "It can be used as it is: headside run --asr FOLDER. To measure what it "
            "lost, name the float16 or float32 folder that it was made from.",
        )
    words = model.variables.get(_EMBEDDING)
    n_tokens = len(_tokens(vocabulary))
    if words is None or words.ndim != 2 or len(words) != n_tokens:
        found = "none" if words is None else len(words)
        raise QuantizeError(
            "vocabulary_misfit",
            f"{vocabulary} names {n_tokens} tokens, and {path} has rows for {found}.",
            "The files are of two models: convert or download the model again.",
        )
    _check_finite(model, path)
    return model


def model_files(folder: Path) -> list[Path]:
    """Returns the files of a folder in CTranslate2's format that are the model."""
    names = (MODEL, CONFIG, TOKENIZER, *VOCABULARIES, PREPROCESSOR)
    return [folder / name for name in names if (folder / name).is_file()]


def files_together(name: str, paths: Sequence[Path]) -> Files:
    """Returns what files are together; the hash is that of their names and hashes."""
    lines = "".join(f"{sha256_of(path)}  {path.name}\n" for path in sorted(paths))
    return Files(
        name=name,
        sha256=hashlib.sha256(lines.encode()).hexdigest(),
        n_bytes=sum(path.stat().st_size for path in paths),
    )


def _of_ctranslate2(path: Path) -> Source:
    model = check_folder(path)
    name = path.resolve().name
    return Source(
        path=path,
        kind=Kind.CTRANSLATE2,
        name=name,
        licence=load_licence(path) or _licence_in_store(path),
        files=files_together(name, model_files(path)),
        n_weights=sum(array.size for array in model.variables.values()),
    )


def _of_hugging_face(path: Path, adapters: Sequence[Path]) -> Source:
    config = load_json(path / CONFIG)
    if config.get("model_type") != "whisper":
        raise QuantizeError(
            "source_unknown",
            f"{path / CONFIG} is of a model of type {config.get('model_type')!r}, not "
            "of a Whisper.",
            "Name the folder of a Whisper model.",
        )
    weights = folder_weights(path)
    check_layers(path, config, weights)
    types = {weight.type_ for weight in weights.values()}
    if "quantization_config" in config or not types <= UNQUANTIZED:
        raise QuantizeError(
            "source_quantized",
            f"{path} has been quantized already ({', '.join(sorted(types)).lower()}).",
            "Take the float16 or float32 original.",
        )
    if not any(all((path / one).is_file() for one in names) for names in TOKENIZERS):
        raise QuantizeError(
            "tokenizer_missing",
            f"{path} holds no tokenizer: neither {TOKENIZER} nor vocab.json and "
            "merges.txt.",
            "Copy the tokenizer's files from the base model.",
        )
    for adapter in adapters:
        load_adapter(adapter, path)
    check_finite(weights.values(), lambda _n_bytes: None)
    read = {file for pattern in _READ for file in path.glob(pattern) if file.is_file()}
    brought = [file for adapter in adapters for file in files_of(adapter)]
    name = path.resolve().name
    return Source(
        path=path,
        kind=Kind.FOLDER,
        name=name,
        licence=load_licence(path),
        files=files_together(name, [*sorted(read), *brought]),
        n_weights=sum(weight.n_numbers for weight in weights.values()),
    )


def _require(folder: Path, names: Sequence[str], code: str, what: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise QuantizeError(
        code,
        f"{folder} holds no {' or '.join(names)}, which says {what}.",
        "Copy it from where the model came from.",
    )


def _tokens(path: Path) -> list[object]:
    """Returns the names of a model's tokens."""
    try:
        text = path.read_text(encoding="utf-8")
        found: object = (
            json.loads(text) if path.suffix == ".json" else text.splitlines()
        )
        if not isinstance(found, list):
            raise TypeError("it holds no list")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise QuantizeError(
            "vocabulary_missing", f"{path} cannot be read: {error}.", _AGAIN
        ) from error
    return found


def _check_finite(model: Ctranslate2File, path: Path) -> None:
    for name, array in model.variables.items():
        if array.dtype == _BFLOAT16:
            n_wrong = np.count_nonzero((array & _ALL_SET) == _ALL_SET)
        elif array.dtype.kind == "f":
            n_wrong = array.size - np.count_nonzero(np.isfinite(array))
        else:
            continue
        if n_wrong:
            raise QuantizeError(
                "weights_not_finite",
                f"{n_wrong:,} of the {array.size:,} weights of {name} in {path} are "
                "infinite or no numbers.",
                "Training diverged or the file is damaged: take an earlier one.",
            )


def _licence_in_store(path: Path) -> str:
    """Returns the licence of a folder of the store; empty of any other."""
    store = Store.default()
    name = path.resolve().name
    try:
        if store.folder(name).resolve() == path.resolve():
            return store.manifest(name).licence
    except ModelError:
        pass
    return ""
