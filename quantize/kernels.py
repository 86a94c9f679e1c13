"""How long the products of a type and a shape take on this machine, as it decodes.

One layer of the model and its head are written in each type, opened as the runtime
would, with the layout that its kernels want, and given one token at a time. A headset
has other kernels: which types are fast there is known from llama.cpp's sources
(`inspection.FAST_ON_ARM`), and is not measured.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.disk import write_whole
from quantize.assignment import is_quantizable, quantize_by
from quantize.child import Tell, in_child
from quantize.ggml import fits, named
from quantize.gguf import Tensor, load_header
from quantize.llama import Llama

_N_TOKENS, _N_FIRST = 48, 8
"""Timed, and read before."""
_ANY_TOKEN = 5

Seconds = Mapping[str, float]
"""Of one product, by `key`."""


def key(type_name: str, n_columns: int, n_rows: int) -> str:
    """Returns the name of a kernel."""
    return f"{type_name} {n_columns}x{n_rows}"


def measure_kernels(
    base: Path, types: Sequence[str], kept: Path, *, tell: Tell
) -> Seconds:
    """Returns how long products take on one thread, where it was not measured yet.

    Args:
        base: A GGUF file of float32.
        types: Names of types.
        kept: A file of what was measured before; written anew.
        tell: Told how many types are done.
    """
    known: dict[str, float] = json.loads(kept.read_text()) if kept.exists() else {}
    header = load_header(base)
    first = [one for one in header.tensors if is_quantizable(one) and _is_first(one)]
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        for n, name in enumerate(types):
            tell(n, len(types))
            type_ = named(name)
            fitting = {one.name: type_ for one in first if fits(type_, one.shape[0])}
            keys = {_key(name, one) for one in first if one.name in fitting}
            if not fitting or keys <= known.keys():
                continue
            small = Path(folder) / f"{name}.gguf"
            quantize_by(
                base,
                small,
                fitting,
                imatrix=None,
                threads=1,
                without_layers=range(1, header.size("block_count") or 1),
            )
            found = in_child(_time, {"path": str(small)}, doing=f"Timing {name}")
            for tensor in first:
                if tensor.name in fitting and tensor.name in found:
                    known[_key(name, tensor)] = found[tensor.name]
            small.unlink()
            write_whole(kept, json.dumps(known, indent=1))
    tell(len(types), len(types))
    return known


def _key(type_name: str, tensor: Tensor) -> str:
    n_rows, n_columns = tensor.rows
    return key(type_name, n_columns, n_rows)


def _is_first(tensor: Tensor) -> bool:
    """Returns whether a tensor is of the first layer, or of none."""
    return tensor.name.startswith("blk.0.") or not tensor.name.startswith("blk.")


def _time(arguments: Mapping[str, Any], _tell: Tell) -> dict[str, float]:
    """Returns the median seconds of the product of each weight."""
    found: dict[str, list[float]] = {}
    with Llama(
        Path(arguments["path"]),
        n_tokens=_N_FIRST + _N_TOKENS,
        threads=1,
    ) as model:
        model.logits([_ANY_TOKEN] * _N_FIRST)
        for n in range(_N_TOKENS):
            for name, seconds in model.timed(_ANY_TOKEN, n_read=_N_FIRST + n).items():
                found.setdefault(name, []).append(seconds)
    return {name: statistics.median(every) for name, every in found.items()}
