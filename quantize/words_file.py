"""The file of a language model without some of its words.

Words keep their order and get new numbers; rows are copied as they are stored, and all
other metadata byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from models.disk import read_chunks, require_free, sync_folder
from quantize.errors import QuantizeError
from quantize.gguf import MAGIC, GgufError, Header, Tensor, load_header
from quantize.words import (
    KINDS,
    MERGES,
    NUMBER,
    NUMBERS,
    SCORES,
    WORDS,
    Vocabulary,
    unknown,
)

_SUPPRESSED = ".suppress_tokens"
"""How a key ends that holds the numbers of words that are never written."""
_EMBEDDING = "token_embd.weight"
_BY_WORD = (_EMBEDDING, "output.weight", "output.bias")
"""Tensors with a row for each word."""
_STRING, _ARRAY = 8, 9
_WHOLE: Mapping[int, str] = MappingProxyType(
    {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
)
"""The format's types of whole numbers."""
_N_BYTES: Mapping[int, int] = MappingProxyType(
    {**{kind: struct.calcsize(_WHOLE[kind]) for kind in _WHOLE}, 6: 4, 7: 1, 12: 8}
)


def without_words(base: Path, out: Path, keep: Sequence[int]) -> None:
    """Writes a file with some of a model's words alone, whole or not at all.

    Args:
        base: A GGUF file; rows are copied as they are, whatever their type.
        out: Where the other goes.
        keep: What `kept_words` found.

    Raises:
        GgufError: The base is not to be believed.
        QuantizeError: ``words_unknown`` or ``words_broken``.
        ModelError: ``no_space``.
    """
    header = load_header(base)
    vocabulary = Vocabulary.of(header)
    _check_kept(vocabulary, keep)
    _check_tensors(header, len(vocabulary.words))
    smaller = _Smaller(header, keep)
    beside = out.with_name(f"{out.name}.part")
    try:
        with base.open("rb") as source, beside.open("wb") as file:
            head = smaller.head(_Head(source.read(header.data_offset)))
            n_whole = len(head) + sum(map(smaller.room, header.tensors))
            require_free(beside.absolute().parent, n_whole)
            file.write(head)
            for tensor in header.tensors:
                for start, n_bytes in smaller.spans(tensor):
                    _copy(source, file, start, n_bytes)
                file.write(bytes(smaller.room(tensor) - smaller.n_bytes(tensor)))
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(out.absolute().parent)


def _check_kept(vocabulary: Vocabulary, keep: Sequence[int]) -> None:
    n_words = len(vocabulary.words)
    is_rising = all(one < other for one, other in pairwise((-1, *keep, n_words)))
    if not is_rising or not vocabulary.fixed <= set(keep):
        raise QuantizeError(
            "words_broken",
            f"The {len(keep)} words that are to stay were not chosen from the "
            f"{n_words} of this model.",
            "Choose them again.",
        )


def _check_tensors(header: Header, n_words: int) -> None:
    """Refuses a model of which it is not clear what has a row for each word."""
    if header.size("vocab_size") not in {None, n_words}:
        raise unknown(f"it has {n_words} words, and says that it has others")
    if all(tensor.name != _EMBEDDING for tensor in header.tensors):
        raise unknown(f"it has no {_EMBEDDING}")
    for tensor in header.tensors:
        if tensor.name not in _BY_WORD:
            is_clear = n_words not in tensor.shape
        elif len(tensor.shape) == 1:
            is_clear = tensor.shape == (n_words,) and tensor.type.n_block == 1
        else:
            is_clear = tensor.shape[1:] == (n_words,)
        if not is_clear:
            shape = " x ".join(map(str, tensor.shape))
            raise unknown(f"its {tensor.name} is {shape}, with {n_words} words")


def _copy(source: BinaryIO, file: BinaryIO, start: int, n_bytes: int) -> None:
    source.seek(start)
    for chunk in read_chunks(source, n_bytes):
        n_bytes -= file.write(chunk)
    if n_bytes:
        raise GgufError(
            "gguf_broken",
            f"{source.name} became shorter while it was read.",
            "Convert the model again.",
        )


class _Head:
    """A header's bytes, taken apart; `load_header` has checked them.

    Nothing is decoded: words need not be whole characters.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, len(MAGIC)
        self.version = self._whole("<I")
        n_tensors, n_entries = self._whole("<Q"), self._whole("<Q")
        entries = [self._entry() for _ in range(n_entries)]
        self.entries = {key: (kind, value) for key, kind, value in entries}
        self.tensors = [self._tensor() for _ in range(n_tensors)]
        """The name, the shape and the type of each."""

    def _entry(self) -> tuple[bytes, int, bytes]:
        key, kind = self._string(), self._whole("<I")
        start = self._at
        of, n = (self._whole("<I"), self._whole("<Q")) if kind == _ARRAY else (kind, 1)
        if of == _STRING:
            for _ in range(n):
                self._string()
        else:
            self._at += n * _N_BYTES[of]
        return key, kind, self._raw[start : self._at]

    def _tensor(self) -> tuple[bytes, tuple[int, ...], int]:
        name, n = self._string(), self._whole("<I")
        shape = tuple(self._whole("<Q") for _ in range(n))
        kind, _offset = self._whole("<I"), self._whole("<Q")
        return name, shape, kind

    def _whole(self, code: str) -> int:
        found: int = struct.unpack_from(code, self._raw, self._at)[0]
        self._at += struct.calcsize(code)
        return found

    def _string(self) -> bytes:
        n = self._whole("<Q")
        self._at += n
        return self._raw[self._at - n : self._at]


class _Smaller:
    """What becomes of a file without some of its words.

    Args:
        header: Of the file.
        keep: Numbers of the words that stay, rising.
    """

    def __init__(self, header: Header, keep: Sequence[int]) -> None:
        self._keep, self._tensors = keep, header.tensors
        self._moved = {number: at for at, number in enumerate(keep)}
        self._size_key = f"{header.text('general.architecture')}.vocab_size"
        self._alignment = header.number("general.alignment") or 32

    def n_bytes(self, tensor: Tensor) -> int:
        """Returns what is left of a tensor."""
        return sum(n_bytes for _, n_bytes in self.spans(tensor))

    def room(self, tensor: Tensor) -> int:
        """Returns the same with what fills it up to where the next begins."""
        return -(-self.n_bytes(tensor) // self._alignment) * self._alignment

    def spans(self, tensor: Tensor) -> Iterator[tuple[int, int]]:
        """Yields where what is left of a tensor begins in the file, and its bytes."""
        if tensor.name not in _BY_WORD:
            yield tensor.offset, tensor.n_bytes
            return
        n_row, first = tensor.n_bytes // tensor.shape[-1], 0
        for end, number in enumerate(self._keep, 1):
            if number + 1 not in self._moved:
                yield tensor.offset + self._keep[first] * n_row, (end - first) * n_row
                first = end

    def head(self, head: _Head) -> bytes:
        """Returns the new header, up to where the first tensor begins."""
        words = _apart(head.entries[WORDS.encode()][1])[1]
        kept = {words[number] for number in self._keep}
        n_each = len(head.tensors), len(head.entries)
        parts = [MAGIC, struct.pack("<IQQ", head.version, *n_each)]
        for key, (kind, value) in head.entries.items():
            changed = self._changed(key.decode(errors="replace"), kind, value, kept)
            parts += [_string(key), struct.pack("<I", kind), changed]
        offset = 0
        for tensor, (name, shape, kind) in zip(
            self._tensors, head.tensors, strict=True
        ):
            left = (*shape[:-1], len(self._keep)) if tensor.name in _BY_WORD else shape
            parts += [_string(name), struct.pack(f"<I{len(left)}Q", len(left), *left)]
            parts += [struct.pack("<IQ", kind, offset)]
            offset += self.room(tensor)
        raw = b"".join(parts)
        return raw + bytes(-len(raw) % self._alignment)

    def _changed(self, key: str, kind: int, value: bytes, kept: set[bytes]) -> bytes:
        """Returns what becomes of a value.

        Args:
            key: Of the metadata.
            kind: The type of the value.
            value: As it stands.
            kept: The words that stay.
        """
        if kind == _ARRAY:
            of, items = _apart(value)
            if key in {WORDS, KINDS, SCORES}:
                return _joined(of, [items[number] for number in self._keep])
            if key == MERGES:
                return _joined(of, [one for one in items if _is_built(one, kept)])
            if key.endswith((NUMBERS, _SUPPRESSED)) and of in _WHOLE:
                before = (struct.unpack(_WHOLE[of], item)[0] for item in items)
                moved = [self._moved[one] for one in before if one in self._moved]
                return _joined(of, [struct.pack(_WHOLE[of], one) for one in moved])
        elif kind in _WHOLE:
            (number,) = struct.unpack(_WHOLE[kind], value)
            if key == self._size_key:
                return struct.pack(_WHOLE[kind], len(self._keep))
            if key.endswith(NUMBER):  # or what is no word, before as after
                return struct.pack(_WHOLE[kind], self._moved.get(number, number))
        return value


def _is_built(merge: bytes, kept: set[bytes]) -> bool:
    left, _, right = merge.partition(b" ")
    return {left, right, left + right} <= kept


def _string(spelled: bytes) -> bytes:
    return struct.pack("<Q", len(spelled)) + spelled


def _apart(value: bytes) -> tuple[int, list[bytes]]:
    """Returns the type of what a list holds, and that."""
    of, n = struct.unpack_from("<IQ", value)
    at, items = struct.calcsize("<IQ"), []
    for _ in range(n):
        n_bytes = _N_BYTES.get(of, 0)
        if of == _STRING:
            (n_bytes,) = struct.unpack_from("<Q", value, at)
            at += struct.calcsize("<Q")
        items.append(value[at : at + n_bytes])
        at += n_bytes
    return of, items


def _joined(of: int, items: Sequence[bytes]) -> bytes:
    """Returns a list as it is stored."""
    stored = map(_string, items) if of == _STRING else items
    return struct.pack("<IQ", of, len(items)) + b"".join(stored)
