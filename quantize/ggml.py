"""ggml's kernels and tensors, as far as quantizing needs them, through ctypes.

The layout of a tensor is that of `ggml.h`; it is compared with what the library says
of itself before it is believed. What a model is this module does not know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.lean_import import modules_of
from quantize.errors import QuantizeError
from quantize.gguf import TYPES, TensorType

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp

Floats = npt.NDArray[np.float32]
_NUMBERS = {type_.name: number for number, type_ in TYPES.items()}
_OBJECT_BYTES = 32
"""Of what ggml keeps beside each tensor (``GGML_OBJECT_SIZE``)."""


class TensorStruct(ctypes.Structure):
    """A tensor of a graph, as ``ggml.h`` lays it out."""


TensorStruct._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(TensorStruct) * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
    ("extra", ctypes.c_void_p),
    ("padding", ctypes.c_char * 8),
]


class _Traits(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("n_block", ctypes.c_int64),
        ("n_interleaved", ctypes.c_int64),
        ("block_bytes", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        (
            "to_float",
            ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64),
        ),
        ("from_float", ctypes.c_void_p),
    )


@cache
def library() -> Any:
    """Returns ggml's own library, which llama.cpp has loaded.

    Raises:
        QuantizeError: It is laid out unlike the one this was written for.
    """
    folder = Path(llama_cpp._lib._name).parent  # noqa: SLF001
    ggml = ctypes.CDLL(str(folder / "libggml-base.so"))
    ggml.ggml_tensor_overhead.restype = ctypes.c_size_t
    if ggml.ggml_tensor_overhead() != ctypes.sizeof(TensorStruct) + _OBJECT_BYTES:
        raise QuantizeError(
            "llama_version",
            "The installed llama.cpp lays out its tensors in another way.",
            "Install the version of llama-cpp-python that pyproject.toml names.",
        )
    ggml.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    ggml.ggml_op_name.restype = ctypes.c_char_p
    ggml.ggml_quantize_requires_imatrix.restype = ctypes.c_bool
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    return ggml


def number_of(type_: TensorType) -> int:
    """Returns the number of a type in ``ggml.h``."""
    return _NUMBERS[type_.name]


def named(name: str) -> TensorType:
    """Returns a type by its name, whatever the case of its letters.

    Raises:
        QuantizeError: There is none.
    """
    for type_ in TYPES.values():
        if type_.name.lower() == name.lower():
            return type_
    names = ", ".join(type_.name for type_ in TYPES.values() if type_.n_block > 1)
    raise QuantizeError(
        "unknown_type", f'No tensor type is called "{name}".', f"There are {names}."
    )


def fits(type_: TensorType, n_columns: int) -> bool:
    """Returns whether rows of so many numbers are whole blocks of a type."""
    return n_columns % type_.n_block == 0


def rounded(
    rows: Floats, type_: TensorType, importance: Floats | None = None
) -> Floats:
    """Returns (rows, columns) what is left of weights that go through a type.

    Args:
        rows: (rows, columns) float32.
        type_: The type.
        importance: (columns,) the mean square of what each column is multiplied with.
    """
    n_rows, n_columns = rows.shape
    rows = np.ascontiguousarray(rows, np.float32)
    stored = np.empty(rows.size // type_.n_block * type_.block_bytes, np.uint8)
    ggml = library()
    weights = None if importance is None else np.ascontiguousarray(importance)
    ggml.ggml_quantize_chunk(
        number_of(type_),
        rows.ctypes.data,
        stored.ctypes.data,
        0,
        n_rows,
        n_columns,
        None if weights is None else weights.ctypes.data,
    )
    return read_as(stored, type_, (n_rows, n_columns))


def read_as(
    stored: npt.NDArray[np.uint8], type_: TensorType, shape: Sequence[int]
) -> Floats:
    """Returns stored numbers of a type as float32.

    What is stored as float32 is not copied.

    Args:
        stored: Their bytes.
        type_: How they are stored.
        shape: Outermost first.
    """
    if type_.name == "f32":
        return stored.view(np.float32).reshape(tuple(shape))
    found: Floats = np.empty(tuple(shape), np.float32)
    traits = library().ggml_get_type_traits(number_of(type_)).contents
    traits.to_float(stored.ctypes.data, found.ctypes.data, found.size)
    return found


def stored_as(values: Floats, type_: TensorType) -> npt.NDArray[np.uint8]:
    """Returns the bytes of numbers in a type, without importance.

    Those of float32 are not copied.

    Args:
        values: (rows, columns) float32.
        type_: The type.
    """
    rows = np.ascontiguousarray(values, np.float32)
    if type_.name == "f32":
        return rows.view(np.uint8).reshape(-1)
    stored = np.empty(rows.size // type_.n_block * type_.block_bytes, np.uint8)
    library().ggml_quantize_chunk(
        number_of(type_), rows.ctypes.data, stored.ctypes.data, 0, *rows.shape, None
    )
    return stored
