"""The header of a GGUF file: what a model says of itself, and where its tensors lie.

The format is that of ggml's `docs/gguf.md`, versions 2 and 3, little-endian. Files come
from anywhere: every count, length and offset is checked against the file's size before
it is believed, and no tensor is read. What the numbers mean to llama.cpp this module
does not know.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from models.errors import HeadsideError

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 256 << 20
"""Of the header; a vocabulary of 262,144 words takes some 10 MiB."""
MAX_ENTRIES = 1 << 16
"""Of metadata, and of tensors."""
MAX_NAME_BYTES = 1 << 16
"""As the format has it."""
MAX_DIMENSIONS = 4
_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS: Mapping[int, struct.Struct] = MappingProxyType(
    {
        number: struct.Struct(f"<{code}")
        for number, code in {
            0: "B",
            1: "b",
            2: "H",
            3: "h",
            4: "I",
            5: "i",
            6: "f",
            7: "?",
            10: "Q",
            11: "q",
            12: "d",
        }.items()
    }
)


class GgufError(HeadsideError):
    """A file is no GGUF file, or lies about what is in it."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """How numbers are stored: in blocks of some numbers, of some bytes each."""

    name: str
    n_block: int
    block_bytes: int

    @property
    def bits(self) -> float:
        """Bits per number."""
        return 8 * self.block_bytes / self.n_block


TYPES: Mapping[int, TensorType] = MappingProxyType(
    {
        number: TensorType(*found)
        for number, found in {
            0: ("f32", 1, 4),
            1: ("f16", 1, 2),
            2: ("q4_0", 32, 18),
            3: ("q4_1", 32, 20),
            6: ("q5_0", 32, 22),
            7: ("q5_1", 32, 24),
            8: ("q8_0", 32, 34),
            10: ("q2_K", 256, 84),
            11: ("q3_K", 256, 110),
            12: ("q4_K", 256, 144),
            13: ("q5_K", 256, 176),
            14: ("q6_K", 256, 210),
            16: ("iq2_xxs", 256, 66),
            17: ("iq2_xs", 256, 74),
            18: ("iq3_xxs", 256, 98),
            19: ("iq1_s", 256, 50),
            20: ("iq4_nl", 32, 18),
            21: ("iq3_s", 256, 110),
            22: ("iq2_s", 256, 82),
            23: ("iq4_xs", 256, 136),
            24: ("i8", 1, 1),
            25: ("i16", 1, 2),
            26: ("i32", 1, 4),
            27: ("i64", 1, 8),
            28: ("f64", 1, 8),
            29: ("iq1_m", 256, 56),
            30: ("bf16", 1, 2),
            34: ("tq1_0", 256, 54),
            35: ("tq2_0", 256, 66),
            39: ("mxfp4", 32, 17),
        }.items()
    }
)
"""By their number in ``ggml.h``; a test compares them with the installed llama.cpp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Where a tensor lies, and how."""

    name: str
    shape: tuple[int, ...]
    """Innermost first, as ggml has it: the first is the length of a row."""
    type: TensorType
    offset: int
    """In bytes, from the beginning of the file."""

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows it has, and of how many columns: what a block lies within."""
        return self.n_numbers // self.shape[0], self.shape[0]

    @property
    def n_numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """What it takes in the file."""
        return self.n_numbers // self.type.n_block * self.type.block_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of itself, checked against its size."""

    version: int
    metadata: Mapping[str, Value]
    tensors: Sequence[Tensor]
    data_offset: int
    """Where the tensors begin, in bytes."""
    file_bytes: int

    def text(self, key: str) -> str:
        """Returns a text of the metadata; empty where there is none."""
        found = self.metadata.get(key, "")
        return found if isinstance(found, str) else ""

    def number(self, key: str) -> int | None:
        """Returns a whole number of the metadata; None where there is none."""
        found = self.metadata.get(key)
        is_whole = isinstance(found, int) and not isinstance(found, bool)
        return found if is_whole and isinstance(found, int) else None

    def size(self, key: str) -> int | None:
        """Returns a number that the architecture names, such as ``block_count``."""
        return self.number(f"{self.text('general.architecture')}.{key}")


def load_header(path: Path) -> Header:
    """Returns the header of a file.

    Raises:
        GgufError: ``gguf_unreadable``, ``gguf_not``, ``gguf_version``, ``gguf_broken``.
    """
    try:
        with path.open("rb") as file:
            return _Reader(path, file).header()
    except OSError as error:
        raise GgufError(
            "gguf_unreadable",
            f"{path} cannot be read: {error.strerror or error}.",
            "Name a .gguf file.",
        ) from error


class _Reader:
    """Reads a header from its beginning to its end."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._size = file.seek(0, 2)
        file.seek(0)
        self._at = 0

    def header(self) -> Header:
        if self._size < len(MAGIC) or self._take(len(MAGIC)) != MAGIC:
            raise GgufError(
                "gguf_not",
                f"{self._path} is no GGUF file.",
                "A GGUF file begins with the letters GGUF; convert the model first.",
            )
        version = self._int("<I")
        if version not in VERSIONS:
            is_swapped = version in (v << 24 for v in VERSIONS)
            raise GgufError(
                "gguf_version",
                f"{self._path} is of GGUF version {version}, not of 2 or 3"
                + (" (it is big-endian)." if is_swapped else "."),
                "Convert the model again with a llama.cpp of today.",
            )
        n_tensors = self._count("tensors")
        n_entries = self._count("entries of metadata")
        metadata: dict[str, Value] = {}
        for _ in range(n_entries):
            key = self._name("a key of the metadata")
            if key in metadata:
                raise self._broken(f'the metadata holds "{key}" twice')
            metadata[key] = self._value(self._int("<I"), key)
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if (
            not isinstance(alignment, int)
            or not 1 <= alignment <= 1 << 16
            or alignment & (alignment - 1)
        ):
            raise self._broken(f"the alignment is {alignment}, no small power of two")
        infos = [self._tensor() for _ in range(n_tensors)]
        data_offset = -(-self._at // alignment) * alignment
        tensors = tuple(self._placed(info, data_offset, alignment) for info in infos)
        self._check_apart(tensors)
        return Header(
            version=version,
            metadata=MappingProxyType(metadata),
            tensors=tensors,
            data_offset=data_offset,
            file_bytes=self._size,
        )

    def _tensor(self) -> Tensor:
        """Returns a tensor whose offset counts from the beginning of the data."""
        name = self._name("the name of a tensor")
        n_dimensions = self._int("<I")
        if not 1 <= n_dimensions <= MAX_DIMENSIONS:
            raise self._broken(f'"{name}" has {n_dimensions} dimensions')
        shape = tuple(self._int("<Q") for _ in range(n_dimensions))
        number = self._int("<I")
        if number not in TYPES:
            raise self._broken(f'"{name}" is of type {number}, which nobody knows')
        offset = self._int("<Q")
        return Tensor(name=name, shape=shape, type=TYPES[number], offset=offset)

    def _placed(self, tensor: Tensor, data_offset: int, alignment: int) -> Tensor:
        """Returns a tensor with its place in the file."""
        if 0 in tensor.shape:
            raise self._broken(f'"{tensor.name}" is empty')
        if tensor.shape[0] % tensor.type.n_block:
            raise self._broken(
                f'the rows of "{tensor.name}" are {tensor.shape[0]} long, which '
                f"{tensor.type.name} cannot store in blocks of {tensor.type.n_block}"
            )
        if tensor.offset % alignment:
            raise self._broken(f'"{tensor.name}" is not aligned to {alignment} bytes')
        offset = data_offset + tensor.offset
        if offset + tensor.n_bytes > self._size:
            raise self._broken(
                f'"{tensor.name}" ends at byte {offset + tensor.n_bytes:,}, but the '
                f"file has {self._size:,}"
            )
        return replace(tensor, offset=offset)

    def _check_apart(self, tensors: Sequence[Tensor]) -> None:
        names: set[str] = set()
        end, before = 0, ""
        for tensor in sorted(tensors, key=lambda found: found.offset):
            if tensor.name in names:
                raise self._broken(f'there are two tensors "{tensor.name}"')
            names.add(tensor.name)
            if tensor.offset < end:
                raise self._broken(f'"{before}" and "{tensor.name}" overlap')
            end, before = tensor.offset + tensor.n_bytes, tensor.name

    def _value(self, kind: int, key: str) -> Value:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string(f'"{key}"')
        if kind != _ARRAY:
            raise self._broken(f'"{key}" is of type {kind}, which nobody knows')
        of, n = self._int("<I"), self._int("<Q")
        if of == _STRING:
            self._check_left(8 * n, f'"{key}"')
            return tuple(self._string(f'"{key}"') for _ in range(n))
        if of not in _SCALARS:
            raise self._broken(f'"{key}" is a list of type {of}, which nobody knows')
        scalar = _SCALARS[of]
        self._check_left(scalar.size * n, f'"{key}"')
        raw = self._take(scalar.size * n)
        return tuple(value for (value,) in scalar.iter_unpack(raw))

    def _count(self, what: str) -> int:
        n = self._int("<Q")
        if n > MAX_ENTRIES:
            raise self._broken(f"it claims to hold {n:,} {what}")
        return n

    def _name(self, what: str) -> str:
        name = self._string(what, MAX_NAME_BYTES)
        if not name:
            raise self._broken(f"{what} is empty")
        return name

    def _string(self, what: str, most: int = MAX_HEADER_BYTES) -> str:
        n = self._int("<Q")
        if n > most:
            raise self._broken(f"{what} claims to be {n:,} bytes long")
        self._check_left(n, what)
        # Tokens of byte-level vocabularies are not always whole characters.
        return self._take(n).decode("utf-8", errors="replace")

    def _int(self, code: str) -> int:
        value: int = struct.unpack(code, self._take(struct.calcsize(code)))[0]
        return value

    def _scalar(self, scalar: struct.Struct) -> Scalar:
        value: Scalar = scalar.unpack(self._take(scalar.size))[0]
        return value

    def _check_left(self, n: int, what: str) -> None:
        if self._at + n > min(self._size, MAX_HEADER_BYTES):
            raise self._broken(f"{what} goes on beyond the end of the file")

    def _take(self, n: int) -> bytes:
        self._check_left(n, "the header")
        raw = self._file.read(n)
        if len(raw) != n:  # it became shorter meanwhile
            raise self._broken("the header goes on beyond the end of the file")
        self._at += n
        return raw

    def _broken(self, what: str) -> GgufError:
        return GgufError(
            "gguf_broken",
            f"{self._path} is broken at byte {self._at:,}: {what}.",
            "It may have been cut off; fetch or convert it again.",
        )
