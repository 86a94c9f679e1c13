"""What a Whisper in CTranslate2's format is, in people's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.ctranslate2_file import VERSION, Ctranslate2File, load_ctranslate2
from models.disk import size_text
from models.plain import CONTROLS
from quantize.asr.job import CONFIG, MODEL, VOCABULARIES
from quantize.errors import QuantizeError
from quantize.hf_folder import load_json

_TYPES = {"<f4": "float32", "<f2": "float16", "<u2": "bfloat16", "|i1": "int8"}
_TYPES |= {"<i2": "int16", "<i4": "int32"}
_LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/")
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_N_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightType:
    """The weights of one type; numbers that are no weights are not counted."""

    name: str
    n_tensors: int
    n_weights: int
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperInspection:
    """What is known of a model without running it."""

    spec: str
    """CTranslate2's name of its architecture."""
    revision: int
    n_bytes: int
    """Of the file of weights."""
    n_weights: int
    n_encoder_layers: int
    n_decoder_layers: int
    width: int
    n_heads: int
    n_mels: int
    """Bands of frequency that it hears."""
    n_tokens: int
    languages: tuple[str, ...]
    """ISO 639-1, where the vocabulary lies beside it."""
    n_alignment_heads: int
    """That tell when a word was said; 0 where the configuration names none."""
    is_quantized: bool
    types: tuple[WeightType, ...]


def is_ctranslate2(path: Path) -> bool:
    """Returns whether a path is a folder with a model of CTranslate2's, or its file."""
    file = path / MODEL if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            return file.name == MODEL or opened.read(4) == VERSION.to_bytes(4, "little")
    except OSError:
        return False


def inspect_whisper(path: Path) -> WhisperInspection:
    """Returns what a model is.

    Args:
        path: Its folder, or its file ``model.bin``; what lies beside that is read, too.

    Raises:
        QuantizeError: ``source_unknown``: it is no Whisper.
        ModelError: ``model_format``.
    """
    file = path / MODEL if path.is_dir() else path
    model = load_ctranslate2(file)
    if "encoder/conv1/weight" not in model.variables:
        raise QuantizeError(
            "source_unknown",
            f"{file} is a {model.spec or 'model without a name'} of CTranslate2's, not "
            "a Whisper.",
            "Name the folder of a Whisper model.",
        )
    names = model.variables
    layers = {match.groups() for name in names if (match := _LAYER.match(name))}
    sides = [side for side, _ in layers]
    embedding = names.get("decoder/embeddings/weight")
    return WhisperInspection(
        spec=model.spec,
        revision=model.revision,
        n_bytes=file.stat().st_size,
        n_weights=sum(one.n_weights for one in _types(model)),
        n_encoder_layers=sides.count("encoder"),
        n_decoder_layers=sides.count("decoder"),
        width=len(names["encoder/conv1/weight"]),
        n_heads=int(names["encoder/num_heads"]) if "encoder/num_heads" in names else 0,
        n_mels=_second(model, "encoder/conv1/weight"),
        n_tokens=0 if embedding is None else len(embedding),
        languages=tuple(_languages(file.parent)),
        n_alignment_heads=len(_heads(file.parent)),
        is_quantized=model.is_quantized,
        types=tuple(sorted(_types(model), key=lambda one: -one.n_bytes)),
    )


def show_whisper(path: Path, *, as_json: bool) -> None:
    """Shows what a model is, for people or for machines."""
    found = inspect_whisper(path)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    for label, text in _rows(found):
        line = Text(f"{label:>11}  ", style="dim")
        line.append(text.translate(CONTROLS), style="not dim")
        console.print(line)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("type")
    for title in ("tensors", "weights", "size"):
        table.add_column(title, justify="right")
    for one in found.types:
        share = f"{one.n_weights / max(1, found.n_weights):.1%}"
        table.add_row(one.name, str(one.n_tensors), share, size_text(one.n_bytes))
    console.print()
    console.print(table)


def _rows(found: WhisperInspection) -> Iterator[tuple[str, str]]:
    yield "model", f"{found.spec} of CTranslate2's, revision {found.revision}"
    layers = f"{found.n_encoder_layers} layers that listen"
    more = f"{found.width} wide, {found.n_heads} heads, {found.n_mels} bands"
    yield "made as", f"{layers}, {found.n_decoder_layers} that write, {more}"
    state = "quantized" if found.is_quantized else "not quantized"
    bits = 8 * found.n_bytes / max(1, found.n_weights)
    size = f"{size_text(found.n_bytes)}, {found.n_weights / 1e6:,.1f} million weights"
    yield "size", f"{size}, {bits:.2f} bits each: {state}"
    yield "vocabulary", f"{found.n_tokens:,} tokens"
    if found.languages:
        shown = ", ".join(found.languages[:_N_SHOWN])
        more = ", ..." if len(found.languages) > _N_SHOWN else ""
        yield "languages", f"{len(found.languages)}: {shown}{more}"
    heads = f"by {found.n_alignment_heads} heads that the configuration names"
    yield (
        "word times",
        heads if found.n_alignment_heads else "no head is named for them",
    )


def _types(model: Ctranslate2File) -> list[WeightType]:
    by_type: dict[str, list[tuple[int, int]]] = {}
    for array in model.variables.values():
        if array.ndim:
            name = _TYPES.get(array.dtype.str, array.dtype.str)
            by_type.setdefault(name, []).append((array.size, array.nbytes))
    return [
        WeightType(
            name=name,
            n_tensors=len(sizes),
            n_weights=sum(size for size, _ in sizes),
            n_bytes=sum(n_bytes for _, n_bytes in sizes),
        )
        for name, sizes in by_type.items()
    ]


def _second(model: Ctranslate2File, name: str) -> int:
    shape = model.variables[name].shape
    return int(shape[1]) if len(shape) > 1 else 0


def _languages(folder: Path) -> Iterator[str]:
    """Yields the languages that the vocabulary beside a model has tokens for."""
    for name in VOCABULARIES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            tokens = json.loads(path.read_bytes()) if path.suffix == ".json" else []
        except (OSError, ValueError, RecursionError):
            tokens = []
        for token in tokens if isinstance(tokens, list) else []:
            if isinstance(token, str) and (match := _LANGUAGE.fullmatch(token)):
                yield match[1]


def _heads(folder: Path) -> list[object]:
    path = folder / CONFIG
    told: Mapping[str, Any] = load_json(path) if path.is_file() else {}
    heads = told.get("alignment_heads")
    return heads if isinstance(heads, list) else []
