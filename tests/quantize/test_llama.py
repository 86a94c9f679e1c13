"""A model run through llama.cpp."""

from __future__ import annotations

from pathlib import Path

from quantize.gguf_file import write_gguf
from quantize.llama import Llama
from tests.quantize.conftest import refusal


def test_why_a_file_is_not_loaded_is_said(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, {"general.architecture": "abacus"}, {})

    error = refusal(lambda: Llama(path, n_tokens=8, threads=1))

    assert error.code == "model_unreadable"
    assert "unknown model architecture: 'abacus'" in error.message
    assert "llama_model_load" not in error.message
