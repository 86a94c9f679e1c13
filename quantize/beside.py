"""An adapter that stays beside its quantized base, to compare with one merged before.

At run time llama.cpp adds what the adapter makes of an input to what the quantized
weight makes of it. That is what a weight does that is rounded and then has the
adapter's change added: a file of float32 with such weights is as far from the source as
the two together would be.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from quantize.adapters import WEIGHTS
from quantize.compensation import Rounding
from quantize.ggml import Floats
from quantize.gguf import Tensor, TensorType, load_header
from quantize.safetensors_file import load_weights

_BYTES = 2
"""Of each number of an adapter, as llama.cpp's converter writes it."""


def write_beside(
    merged: Path,
    bare: Path,
    out: Path,
    types: Mapping[str, TensorType],
    rounding: Rounding,
    *,
    tell: Callable[[int, int], None],
) -> None:
    """Writes a model of float32 that does what base and adapter do side by side.

    Args:
        merged: A GGUF file of float32: the base with the adapter in it.
        bare: The same without the adapter.
        out: Where it goes.
        types: Of the tensors of the base that are quantized.
        rounding: How.
        tell: Told how many tensors are done.
    """
    shutil.copyfile(merged, out)
    bases = {tensor.name: tensor for tensor in load_header(bare).tensors}
    tensors = [one for one in load_header(merged).tensors if one.name in types]
    for n, tensor in enumerate(tensors):
        tell(n, len(tensors))
        stored = _rows(out, tensor, "r+")
        # A head that only the merged model has is all the adapter's.
        base = bases.get(tensor.name)
        before = _rows(bare, base, "r") if base else np.zeros_like(stored)
        left = rounding.left(tensor.name, before, types[tensor.name])
        stored += left - before
        del stored
    tell(len(tensors), len(tensors))


def adapter_bytes(adapters: Sequence[Path]) -> int:
    """Returns how large adapters are beside a model."""
    return _BYTES * sum(
        weight.n_numbers
        for adapter in adapters
        for weight in load_weights(adapter / WEIGHTS).values()
    )


def _rows(path: Path, tensor: Tensor, mode: Literal["r", "r+"]) -> Floats:
    return np.memmap(path, np.float32, mode, tensor.offset, tensor.rows)
