"""Writes small GGUF files: float32 tensors and the metadata that names them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from models.disk import sync_folder
from quantize.ggml import Floats
from quantize.gguf import MAGIC

Entry = int | str | tuple[str, ...]
"""Whole numbers are written as unsigned 32-bit."""
_VERSION = 3
_ALIGNMENT = 32
_U32, _STRING, _ARRAY = 4, 8, 9
_F32 = 0


def write_gguf(
    path: Path, metadata: Mapping[str, Entry], tensors: Mapping[str, Floats]
) -> None:
    """Writes a file whole or not at all.

    Args:
        path: Where.
        metadata: In the order in which it is written.
        tensors: float32, outermost dimension first; written in this order.
    """
    beside = path.with_name(f"{path.name}.part")
    with beside.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(metadata)))
        for key, value in metadata.items():
            _write_string(file, key)
            _write_value(file, value)
        offset = 0
        for name, values in tensors.items():
            _write_string(file, name)
            shape = values.shape[::-1]
            file.write(struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            file.write(struct.pack("<IQ", _F32, offset))
            offset += values.nbytes + -values.nbytes % _ALIGNMENT
        for values in tensors.values():
            file.write(bytes(-file.tell() % _ALIGNMENT))
            file.write(np.ascontiguousarray(values, "<f4").tobytes())
        file.write(bytes(-file.tell() % _ALIGNMENT))
    beside.replace(path)
    sync_folder(path.parent)


def _write_string(file: BinaryIO, text: str) -> None:
    spelled = text.encode()
    file.write(struct.pack("<Q", len(spelled)) + spelled)


def _write_value(file: BinaryIO, value: Entry) -> None:
    if isinstance(value, int):
        file.write(struct.pack("<II", _U32, value))
    elif isinstance(value, str):
        file.write(struct.pack("<I", _STRING))
        _write_string(file, value)
    else:
        file.write(struct.pack("<IIQ", _ARRAY, _STRING, len(value)))
        for text in value:
            _write_string(file, text)
