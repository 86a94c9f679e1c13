"""CTranslate2's `model.bin`: the variables of a model by name, read and written.

The layout is that of `ctranslate2.specs.model_spec`, version 6: little-endian, strings
with a length and a closing zero, each variable as name, rank, dimensions, type, bytes.
Nothing is executed, and no size is believed before the file is found to be that long.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

Array = npt.NDArray[Any]
"""bfloat16, which numpy lacks, is held as uint16."""

VERSION = 6
_TYPES = ("<f4", "i1", "<i2", "<i4", "<f2", "<u2")
"""By the number that the file has for each."""
_BFLOAT16 = np.dtype("<u2")
_MAX_RANK = 8
_SMALLEST = np.float32(127) / np.finfo(np.float32).max
"""So that every scale is a float32."""
_BLOCK_ROWS = 1024
"""Made floats of at once: a vocabulary has as many rows as words."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ctranslate2File:
    """A model file, its variables mapped and not read before they are used."""

    spec: str
    revision: int
    variables: dict[str, Array]
    aliases: dict[str, str]
    """Further names of variables."""

    @property
    def is_quantized(self) -> bool:
        """Whether matrices are integers already, with scales."""
        return any(name.endswith("weight_scale") for name in self.variables)


def load_ctranslate2(path: Path) -> Ctranslate2File:
    """Return the contents of a `model.bin`.

    Raises:
        ModelError: `model_format`.
    """
    try:
        reader = _Reader(np.memmap(path, np.uint8, "r"))
        if (version := reader.number("<I")) != VERSION:
            raise _MalformedError(f"it is of version {version}, not {VERSION}")
        spec, revision = reader.string(), reader.number("<I")
        variables = dict(reader.variable() for _ in range(reader.number("<I")))
        aliases = {reader.string(): reader.string() for _ in range(reader.number("<I"))}
    except (_MalformedError, OSError, ValueError) as error:
        raise ModelError(
            "model_format",
            f"{path} is not a model file of CTranslate2: {error}.",
            "Convert the model again.",
        ) from error
    return Ctranslate2File(
        spec=spec, revision=revision, variables=variables, aliases=aliases
    )


def save_ctranslate2(
    path: Path, model: Ctranslate2File, variables: Iterable[tuple[str, Array]]
) -> None:
    """Write a model file with other variables, one at a time."""
    with path.open("wb") as file:
        file.write(struct.pack("<I", VERSION))
        _write_string(file, model.spec)
        file.write(struct.pack("<I", model.revision))
        counted_at, n_variables = file.tell(), 0
        file.write(struct.pack("<I", 0))
        for name, array in variables:
            _write_variable(file, name, array)
            n_variables += 1
        file.write(struct.pack("<I", len(model.aliases)))
        for alias, name in model.aliases.items():
            _write_string(file, alias)
            _write_string(file, name)
        file.seek(counted_at)
        file.write(struct.pack("<I", n_variables))


def int8_variables(model: Ctranslate2File) -> Iterator[tuple[str, Array]]:
    """Yield a model's variables, its float matrices as 8-bit integers with scales.

    As CTranslate2 does on loading, bit for bit: each row of a matrix W (n, m) has the
    scale s = 127 / max |w|, and becomes round(s w), to the nearest even.
    """
    for name, array in model.variables.items():
        if not name.endswith("weight") or array.ndim != 2 or array.dtype == np.int8:
            yield name, array
            continue
        rounded = np.empty(array.shape, np.int8)
        scales = np.empty(len(array), np.float32)
        for at in range(0, len(array), _BLOCK_ROWS):
            block = slice(at, at + _BLOCK_ROWS)
            rounded[block], scales[block] = _int8_rows(_as_float32(array[block]))
        yield name, rounded
        yield f"{name}_scale", scales


def _int8_rows(
    rows: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    largest = np.abs(rows).max(axis=1)
    largest[largest == 0] = 127
    scales = np.float32(127) / np.maximum(largest, _SMALLEST)
    return np.rint(rows * scales[:, None]).astype(np.int8), scales


def _as_float32(array: Array) -> npt.NDArray[np.float32]:
    if array.dtype == _BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


class _MalformedError(Exception):
    """What is wrong with a file."""


class _Reader:
    """Takes one thing after another from the bytes of a file."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self._at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)).tobytes())
        return int(value)

    def string(self) -> str:
        raw = self._take(self.number("<H")).tobytes()
        if not raw.endswith(b"\0"):
            raise _MalformedError("a name does not end")
        return raw[:-1].decode()

    def variable(self) -> tuple[str, Array]:
        name, rank = self.string(), self.number("<B")
        if rank > _MAX_RANK:
            raise _MalformedError(f"{name} has {rank} dimensions")
        shape = [self.number("<I") for _ in range(rank)]
        kind, n_bytes = self.number("<B"), self.number("<I")
        if kind >= len(_TYPES):
            raise _MalformedError(f"{name} is of an unknown type")
        array = self._take(n_bytes).view(_TYPES[kind])
        return name, array.reshape(shape)

    def _take(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        taken = self._data[self._at : self._at + n_bytes]
        if len(taken) != n_bytes:
            raise _MalformedError("it ends too early")
        self._at += n_bytes
        return taken


def _write_string(file: BinaryIO, text: str) -> None:
    raw = text.encode() + b"\0"
    file.write(struct.pack("<H", len(raw)) + raw)


def _write_variable(file: BinaryIO, name: str, array: Array) -> None:
    _write_string(file, name)
    kind = _TYPES.index(array.dtype.str.replace("|", ""))
    file.write(struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape))
    file.write(struct.pack("<BI", kind, array.nbytes))
    file.write(np.ascontiguousarray(array).data)
