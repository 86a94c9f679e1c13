"""Which tensor is stored how, and llama.cpp doing so.

An assignment names a type for each tensor; a preset is llama.cpp's own rule for all.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.disk import sync_folder
from models.lean_import import modules_of
from quantize.child import Tell, in_child
from quantize.errors import QuantizeError
from quantize.ggml import Floats, named, number_of
from quantize.gguf import Tensor, TensorType
from quantize.imatrix import load_importance
from quantize.llama import silence, why

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp

PRESETS: Mapping[str, int] = {
    "q4_0": 2,
    "q4_k_m": 15,
    "iq4_nl": 25,
    "q5_k_m": 17,
    "q6_k": 18,
    "q8_0": 7,
}
"""llama.cpp's own rules, and their numbers in ``llama.h``."""
FLOAT = "f32"
"""Everything as float32: the rule that rounds nothing."""
_FLOAT_NUMBER = 0
_WORK_BYTES = 256 << 20
"""Rows that llama.cpp holds as float32 at once."""
_UNTOUCHED = ("_norm", "ffn_gate_inp", "altup", "laurel", "per_layer_model_proj")
"""Parts of names of tensors that llama.cpp never quantizes."""
_UNTOUCHED_ENDS = ("position_embd.weight", "token_types.weight", "attn_rel_b.weight")

Assignment = Mapping[str, TensorType]


def is_quantizable(tensor: Tensor) -> bool:
    """Returns whether llama.cpp would store a tensor in blocks."""
    name = tensor.name
    return (
        name.endswith(".weight")
        and len(tensor.shape) > 1
        and not any(part in name for part in _UNTOUCHED)
        and not name.endswith(_UNTOUCHED_ENDS)
    )


def types_in(tensors: Iterable[Tensor]) -> dict[str, TensorType]:
    """Returns the type of each tensor that llama.cpp would store in blocks."""
    return {one.name: one.type for one in tensors if is_quantizable(one)}


def quantize_by(
    source: Path,
    out: Path,
    how: str | Assignment,
    *,
    imatrix: Path | None,
    threads: int,
    without_layers: Sequence[int] = (),
) -> None:
    """Writes a quantized file, whole or not at all, in a process of its own.

    Args:
        source: A GGUF file.
        out: Where the other goes.
        how: The name of a preset, `FLOAT`, or the type of each tensor.
        imatrix: A file with the importance of columns.
        threads: How many work.
        without_layers: Numbers of layers that are left out; those after them move up.

    Raises:
        QuantizeError: llama.cpp failed.
    """
    beside = out.with_name(f"{out.name}.part")
    types = how if isinstance(how, str) else {n: t.name for n, t in how.items()}
    arguments = {
        "source": str(source),
        "out": str(beside),
        "types": types,
        "imatrix": str(imatrix) if imatrix else None,
        "threads": threads,
        "without_layers": list(without_layers),
    }
    try:
        in_child(_quantize, arguments, doing=f"Quantizing {source}")
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(out.parent)


def _quantize(arguments: Mapping[str, Any], _tell: Tell) -> None:
    silence()
    options = llama_cpp.llama_model_quantize_default_params()
    options.nthread = arguments["threads"]
    options.max_buf_size = _WORK_BYTES
    options.allow_requantize = True  # whoever asks has been asked
    types = arguments["types"]
    if isinstance(types, str):
        options.ftype = _FLOAT_NUMBER if types == FLOAT else PRESETS[types]
    else:
        options.ftype = PRESETS["q8_0"]
        overrides = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
        for override, (name, type_name) in zip(overrides, types.items(), strict=False):
            override.pattern = f"^{re.escape(name)}$".encode()
            override.type = number_of(named(type_name))
        options.tt_overrides = overrides
    if without := arguments["without_layers"]:
        options.prune_layers = (ctypes.c_int32 * (len(without) + 1))(*without, -1)
    entries, _kept = _importance(arguments["imatrix"])
    if entries is not None:
        options.imatrix = entries
    failed = llama_cpp.llama_model_quantize(
        arguments["source"].encode(), arguments["out"].encode(), ctypes.byref(options)
    )
    if failed:
        raise QuantizeError(
            "quantize_failed",
            f"llama.cpp could not quantize {arguments['source']}{why()}.",
            "`headside quantize inspect` says whether the file is whole.",
        )


def _importance(path: str | None) -> tuple[Any, list[Floats]]:
    """Returns llama.cpp's table of an importance matrix, and what it points to."""
    if path is None:
        return None, []
    means = load_importance(Path(path)).means()
    entries = (llama_cpp.llama_model_imatrix_data * (len(means) + 1))()
    kept = []
    for entry, (name, mean) in zip(entries, means.items(), strict=False):
        kept.append(np.ascontiguousarray(mean, np.float32))
        entry.name = name.encode()
        entry.data = kept[-1].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = mean.size
    return entries, kept
