"""What cannot be done is said before anything takes time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantize.checks import check_searchable
from quantize.gguf import Header, load_header
from quantize.gguf_file import write_gguf
from tests.quantize.conftest import refusal


def header_of(path: Path, *shape: int) -> Header:
    tensors = {"blk.0.ffn_up.weight": np.zeros(shape, np.float32)}
    write_gguf(path, {"general.architecture": "llama"}, tensors)
    return load_header(path)


def test_matrices_are_searched(tmp_path: Path) -> None:
    check_searchable(header_of(tmp_path / "model.gguf", 8, 32))


def test_a_mixture_of_experts_is_not(tmp_path: Path) -> None:
    header = header_of(tmp_path / "model.gguf", 4, 8, 32)

    error = refusal(lambda: check_searchable(header))

    assert error.code == "experts"
    assert "blk.0.ffn_up.weight" in error.message
    assert "--preset" in error.hint
