"""A model file that cannot be used ends as a message, even if it kills its reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)

from edge.probe import ProbeError, require_usable

if TYPE_CHECKING:
    from tests.edge.conftest import TinyModels

NOISE = np.random.default_rng(5).bytes(10_000)
NO_BYTES = {"<unk>": 2, "<s>": 3, "</s>": 3, "a": 1, "b": 1}
"""A converted vocabulary that has lost its byte tokens."""
ENDLESS = """\
{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"""


def reason(path: Path) -> str:
    """Returns why a file that is there cannot be used."""
    with pytest.raises(ProbeError) as caught:
        require_usable(path)
    assert caught.value.code == "model_file_bad"
    assert caught.value.message.startswith(f"{path} cannot be used as a model. It ")
    assert "\n" not in caught.value.message
    assert "edge." not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_a_model_that_works_may_be_used(tiny: TinyModels) -> None:
    require_usable(tiny.llama())
    require_usable(tiny.mamba())


@pytest.mark.models
def test_the_voice_detector_may_be_used(silero_file: Path) -> None:
    require_usable(silero_file)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", NOISE, b"GGUF" + NOISE, b"GGUF\x03\0\0\0" + b"\xff" * 99]
)
def test_what_is_no_gguf_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    assert "could not be loaded" in reason(path)


def test_a_gguf_file_cut_short(tiny: TinyModels) -> None:
    path = tiny.llama()
    content = path.read_bytes()
    for part in (content[: len(content) // 2], content[:1000]):
        path.write_bytes(part)

        assert "could not be loaded" in reason(path)


@pytest.mark.models
def test_half_of_a_real_model(llama_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    with llama_file.open("rb") as whole:
        path.write_bytes(whole.read(llama_file.stat().st_size // 2))

    assert "could not be loaded" in reason(path)


def test_a_model_that_kills_whoever_reads_with_it(tiny: TinyModels) -> None:
    # llama.cpp loads it, and dies when it should write a byte as a token.
    assert "by signal" in reason(replace(tiny, tokens=NO_BYTES).llama())


def test_a_model_that_computes_no_numbers(tiny: TinyModels) -> None:
    assert "not a number" in reason(replace(tiny, loudness=float("nan")).llama())


@pytest.mark.parametrize("template", [ENDLESS, "{% for", "{{ 'a' * 10**9 }}"])
def test_a_model_with_a_bad_chat_template(tiny: TinyModels, template: str) -> None:
    assert "chat template" in reason(replace(tiny, template=template).llama())


@pytest.mark.parametrize("content", [b"", NOISE])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    assert "could not be loaded" in reason(path)


@pytest.mark.models
def test_half_of_a_real_onnx_model(silero_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(silero_file.read_bytes()[: silero_file.stat().st_size // 2])

    assert "could not be loaded" in reason(path)


def test_an_onnx_model_that_does_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    number = make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = make_graph([make_node("Abs", ["x"], ["y"])], "other", [number], [result])
    opset = make_opsetid("", 17)
    onnx.save(make_model(graph, opset_imports=[opset], ir_version=8), path)

    assert "voice detector failed" in reason(path)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nothing.gguf", "model_file_missing"),
        ("folder.gguf", "model_file_missing"),
        ("model.bin", "model_file_kind"),
    ],
)
def test_what_is_no_model_file_at_all(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "model.bin").touch()

    with pytest.raises(ProbeError) as caught:
        require_usable(tmp_path / name)

    assert caught.value.code == code
    assert str(tmp_path / name) in caught.value.message
