"""A GGUF header says what is in the file, and is not believed where it lies."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.gguf import MAX_ENTRIES, TYPES, GgufError, Header, load_header

F32, Q4_0 = 0, 2


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, value: str | int | Sequence[str]) -> bytes:
    """Returns a key and its value as the file has it."""
    match value:
        case str():
            return text(key) + struct.pack("<I", 8) + text(value)
        case int():
            return text(key) + struct.pack("<II", 4, value)
        case _:
            head = struct.pack("<IIQ", 9, 8, len(value))
            return text(key) + head + b"".join(map(text, value))


def tensor(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    dims = struct.pack(f"<{len(shape)}Q", *shape)
    return (
        text(name)
        + struct.pack("<I", len(shape))
        + dims
        + struct.pack("<IQ", kind, offset)
    )


@dataclass
class File:
    """A small file, any part of which can be made to lie."""

    magic: bytes = b"GGUF"
    version: int = 3
    entries: list[bytes] = field(
        default_factory=lambda: [
            entry("general.architecture", "llama"),
            entry("llama.block_count", 2),
            entry("tokenizer.ggml.tokens", ["a", "b", "ü"]),
        ]
    )
    tensors: list[bytes] = field(
        default_factory=lambda: [
            tensor("token_embd.weight", (64, 3), Q4_0, 0),
            tensor("output_norm.weight", (64,), F32, 128),
        ]
    )
    n_entries: int | None = None
    n_tensors: int | None = None
    data: bytes = bytes(128 + 256)

    def raw(self) -> bytes:
        n_entries = len(self.entries) if self.n_entries is None else self.n_entries
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        head = self.magic + struct.pack("<IQQ", self.version, n_tensors, n_entries)
        head += b"".join(self.entries) + b"".join(self.tensors)
        return head + bytes(-len(head) % 32) + self.data

    def header(self, folder: Path) -> Header:
        path = folder / "model.gguf"
        path.write_bytes(self.raw())
        return load_header(path)


def test_what_is_in_a_file(tmp_path: Path) -> None:
    found = File().header(tmp_path)

    assert found.version == 3
    assert found.text("general.architecture") == "llama"
    assert found.number("llama.block_count") == 2
    assert found.metadata["tokenizer.ggml.tokens"] == ("a", "b", "ü")
    embedding, norm = found.tensors
    assert (embedding.shape, embedding.type.name) == ((64, 3), "q4_0")
    assert (embedding.n_numbers, embedding.n_bytes) == (192, 6 * 18)
    assert embedding.offset == found.data_offset
    assert found.data_offset % 32 == 0
    assert (norm.n_bytes, norm.offset) == (256, found.data_offset + 128)


def test_lists_of_numbers_are_read(tmp_path: Path) -> None:
    raw = text("tokenizer.ggml.scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 1.5)

    header = File(entries=[raw]).header(tmp_path)

    assert header.metadata["tokenizer.ggml.scores"] == (0.5, 1.5)


def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    found = File().header(tmp_path)

    assert found.text("general.name") == ""
    assert found.text("llama.block_count") == ""
    assert found.number("general.architecture") is None
    assert found.number("nothing") is None


@pytest.mark.parametrize(
    ("lie", "code", "told"),
    [
        ({"magic": b"GGML"}, "gguf_not", "no GGUF file"),
        ({"version": 1}, "gguf_version", "version 1"),
        ({"version": 3 << 24}, "gguf_version", "big-endian"),
        ({"n_entries": 1 << 60}, "gguf_broken", "entries of metadata"),
        ({"n_tensors": MAX_ENTRIES + 1}, "gguf_broken", "tensors"),
        ({"n_tensors": 9}, "gguf_broken", "broken at byte"),
        ({"data": bytes(10)}, "gguf_broken", "but the file has"),
        (
            {"entries": [struct.pack("<Q", 1 << 40) + b"general"]},
            "gguf_broken",
            "claims to be 1,099,511,627,776 bytes long",
        ),
        (
            {"entries": [entry("a", 1), entry("a", 2)]},
            "gguf_broken",
            'holds "a" twice',
        ),
        (
            {"entries": [text("a") + struct.pack("<I", 77)]},
            "gguf_broken",
            "of type 77",
        ),
        (
            {"entries": [text("a") + struct.pack("<IIQ", 9, 4, 1 << 61)]},
            "gguf_broken",
            "beyond the end",
        ),
        (
            {"entries": [text("a") + struct.pack("<IIQ", 9, 9, 1)]},
            "gguf_broken",
            "a list of type 9",
        ),
        (
            {"entries": [entry("general.alignment", 0)]},
            "gguf_broken",
            "the alignment is 0",
        ),
        (
            {"entries": [entry("general.alignment", 48)]},
            "gguf_broken",
            "no small power of two",
        ),
        ({"tensors": [tensor("a", (), F32, 0)]}, "gguf_broken", "0 dimensions"),
        ({"tensors": [tensor("a", (1,) * 9, F32, 0)]}, "gguf_broken", "9 dimensions"),
        ({"tensors": [tensor("a", (0, 4), F32, 0)]}, "gguf_broken", "is empty"),
        ({"tensors": [tensor("a", (32,), 999, 0)]}, "gguf_broken", "of type 999"),
        ({"tensors": [tensor("a", (33,), Q4_0, 0)]}, "gguf_broken", "33 long"),
        ({"tensors": [tensor("a", (32,), F32, 4)]}, "gguf_broken", "not aligned"),
        (
            {"tensors": [tensor("a", (32,), F32, 1 << 40)]},
            "gguf_broken",
            "ends at byte",
        ),
        (
            {"tensors": [tensor("a", (1 << 40, 1 << 40), F32, 0)]},
            "gguf_broken",
            "ends at byte",
        ),
        (
            {"tensors": [tensor("a", (32,), F32, 0), tensor("b", (32,), F32, 96)]},
            "gguf_broken",
            '"a" and "b" overlap',
        ),
        (
            {"tensors": [tensor("a", (32,), F32, 0), tensor("a", (32,), F32, 128)]},
            "gguf_broken",
            'two tensors "a"',
        ),
    ],
)
def test_a_lie_is_told(
    tmp_path: Path, lie: Mapping[str, Any], code: str, told: str
) -> None:
    with pytest.raises(GgufError) as raised:
        File(**lie).header(tmp_path)

    assert raised.value.code == code
    assert told in raised.value.message
    assert "model.gguf" in raised.value.message
    assert raised.value.hint


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.gguf", tmp_path):
        with pytest.raises(GgufError) as raised:
            load_header(path)
        assert raised.value.code == "gguf_unreadable"
        assert str(path) in raised.value.message


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_changed_nothing_else_is_raised(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(File().raw())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    path = tmp_path_factory.mktemp("changed") / "model.gguf"
    path.write_bytes(raw[:cut] if data.draw(st.booleans()) else raw)

    try:
        found = load_header(path)
    except GgufError:
        return
    for each in found.tensors:
        assert each.offset + each.n_bytes <= found.file_bytes


def test_types_are_those_of_llama_cpp() -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    library = next(Path(llama_cpp.__file__).parent.rglob("*ggml-base*"))
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    for number, known in TYPES.items():
        assert ggml.ggml_type_name(number).decode() == known.name
        assert ggml.ggml_type_size(number) == known.block_bytes
        assert ggml.ggml_blck_size(number) == known.n_block
