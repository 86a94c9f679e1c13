"""The header of a safetensors file, checked against the file's size; and its numbers.

The format is that of huggingface/safetensors: eight bytes of length, a JSON object, the
tensors without gaps. No tensor is read but to see whether its numbers are numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np

from quantize.errors import QuantizeError

MAX_HEADER_BYTES = 100_000_000
"""As the format's own library has it."""
_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 24
_METADATA = "__metadata__"
_AGAIN = "It may have been cut off; download or save it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberType:
    """How a number is stored."""

    n_bytes: int
    odd: int = 0
    """The bits that are all set in what is not finite; 0 where everything is."""


TYPES: Mapping[str, NumberType] = MappingProxyType(
    {
        "F64": NumberType(n_bytes=8, odd=0x7FF0_0000_0000_0000),
        "F32": NumberType(n_bytes=4, odd=0x7F80_0000),
        "F16": NumberType(n_bytes=2, odd=0x7C00),
        "BF16": NumberType(n_bytes=2, odd=0x7F80),
        "F8_E5M2": NumberType(n_bytes=1, odd=0x7C),
        "F8_E4M3": NumberType(n_bytes=1, odd=0x7F),
        **{
            f"{sign}{8 * n}": NumberType(n_bytes=n)
            for sign in "IU"
            for n in (1, 2, 4, 8)
        },
        "BOOL": NumberType(n_bytes=1),
    }
)
UNQUANTIZED = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A tensor, and where it lies."""

    name: str
    type_: str
    """One of ``TYPES``."""
    shape: tuple[int, ...]
    """Outermost first."""
    path: Path
    offset: int
    """In bytes, from the beginning of the file."""

    @property
    def n_numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """What it takes in the file."""
        return self.n_numbers * TYPES[self.type_].n_bytes


def load_weights(path: Path) -> dict[str, Weight]:
    """Returns where the tensors of a file lie, by name.

    Raises:
        QuantizeError: ``weights_unreadable`` or ``weights_broken``.
    """
    try:
        with path.open("rb") as file:
            return _read_header(path, file)
    except OSError as error:
        raise QuantizeError(
            "weights_unreadable",
            f"{path} cannot be read: {error.strerror or error}.",
            "Is it there, and yours to read?",
        ) from error


def _read_header(path: Path, file: BinaryIO) -> dict[str, Weight]:
    n_file = file.seek(0, 2)
    file.seek(0)
    n_header = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    start = _LENGTH_BYTES + n_header
    if n_file < _LENGTH_BYTES or start > n_file or n_header > MAX_HEADER_BYTES:
        raise _broken(
            path, f"it claims a header of {n_header:,} bytes and has {n_file:,} in all"
        )
    try:
        found = json.loads(file.read(n_header), object_pairs_hook=_without_twins)
        entries = {name: found[name] for name in found if name != _METADATA}
        weights = [_parse(path, name, entries[name], start) for name in entries]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _broken(path, f"its header is no list of tensors ({error})") from error
    end = start
    for weight in sorted(weights, key=lambda found: (found.offset, found.n_bytes)):
        if weight.offset != end:
            raise _broken(
                path, f"{weight.name} begins at {weight.offset:,}, not {end:,}"
            )
        end += weight.n_bytes
        if end > n_file:
            raise _broken(
                path, f"{weight.name} ends at byte {end:,}, but the file has {n_file:,}"
            )
    if end != n_file:
        raise _broken(path, f"it ends at byte {n_file:,}, its tensors at {end:,}")
    return {weight.name: weight for weight in weights}


def _parse(path: Path, name: str, entry: Mapping[str, Any], start: int) -> Weight:
    type_, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type_ not in TYPES:
        raise ValueError(f"{name} is of the unknown type {type_!r}")
    sizes = (*shape, begin, end)
    if not all(isinstance(size, int) and 0 <= size < 1 << 48 for size in sizes):
        raise ValueError(f"{name} has no sizes")
    weight = Weight(
        name=name, type_=type_, shape=tuple(shape), path=path, offset=start + begin
    )
    if end - begin != weight.n_bytes:
        raise ValueError(
            f"{name} is {' x '.join(map(str, shape))} numbers of {type_} in "
            f"{end - begin:,} bytes"
        )
    return weight


def _without_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def check_finite(weights: Iterable[Weight], tell: Callable[[int], None]) -> None:
    """Reads weights and refuses what is not a finite number.

    Args:
        weights: Of one file or several.
        tell: Called with the bytes read so far.

    Raises:
        QuantizeError: ``weights_not_finite`` or ``weights_unreadable``.
    """
    n_read = 0
    for weight in weights:
        n_wrong, first = 0, None
        for at, wrong in _wrong(weight):
            if wrong.size and first is None:
                first = at + int(wrong[0])
            n_wrong += wrong.size
        if first is not None:
            raise QuantizeError(
                "weights_not_finite",
                f"{n_wrong:,} of the {weight.n_numbers:,} weights of {weight.name} in "
                f"{weight.path} are infinite or no numbers (the first is number "
                f"{first:,}).",
                "Training diverged or the file is damaged: take an earlier one.",
            )
        n_read += weight.n_bytes
        tell(n_read)


def _wrong(weight: Weight) -> Iterable[tuple[int, np.ndarray[Any, Any]]]:
    """Yields pieces: where each begins, and where in it numbers are not finite."""
    type_ = TYPES[weight.type_]
    if not type_.odd:
        return
    bits = np.dtype(f"<u{type_.n_bytes}")
    mask = bits.type(type_.odd)
    n_piece = _CHUNK_BYTES // type_.n_bytes
    with weight.path.open("rb") as file:
        file.seek(weight.offset)
        for at in range(0, weight.n_numbers, n_piece):
            n = min(n_piece, weight.n_numbers - at)
            found = np.fromfile(file, bits, n)
            if found.size != n:  # it became shorter meanwhile
                raise _broken(weight.path, f"{weight.name} is cut off")
            yield at, np.flatnonzero((found & mask) == mask)


def _broken(path: Path, what: str) -> QuantizeError:
    return QuantizeError("weights_broken", f"{path} is broken: {what}.", _AGAIN)
