"""What an ONNX file is, in figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from quantize.commands import app
from quantize.errors import QuantizeError
from quantize.onnx_inspection import inspect_onnx
from tests.quantize.conftest import refusal


def saved(path: Path, *, is_quantized: bool) -> Path:
    """Writes two products, of 8 x 4 and of 4 x 4; the first in int8 where asked."""
    first = np.ones((8, 4), np.int8 if is_quantized else np.float32)
    stored = [
        numpy_helper.from_array(first, "first"),
        numpy_helper.from_array(np.ones((4, 4), np.float32), "second"),
        numpy_helper.from_array(np.array(0.5, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["y"]),
        helper.make_node("MatMul", ["y", "second"], ["z"]),
    ]
    if is_quantized:
        scale = ["scale", "zero"]
        nodes[0] = helper.make_node("MatMul", ["x.dq", "first.dq"], ["y"])
        nodes[:0] = [
            helper.make_node("QuantizeLinear", ["x", *scale], ["x.q"]),
            helper.make_node("DequantizeLinear", ["x.q", *scale], ["x.dq"]),
            helper.make_node("DequantizeLinear", ["first", *scale], ["first.dq"]),
        ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def test_of_floats_nothing_is_int8(tmp_path: Path) -> None:
    found = inspect_onnx(saved(tmp_path / "m.onnx", is_quantized=False))

    assert found.opset == 17
    assert [(one.name, one.type, one.shape) for one in found.inputs] == [
        ("x", "float", ("n", 8))
    ]
    assert found.operators == {"MatMul": 2}
    assert found.int8_products == 0


def test_of_qdq_the_share_is_that_of_multiply_adds(tmp_path: Path) -> None:
    found = inspect_onnx(saved(tmp_path / "m.onnx", is_quantized=True))

    assert found.int8_products == pytest.approx(32 / 48)
    assert found.int8_weights == pytest.approx(33 / 50)
    by_type = {one.type: one.n_weights for one in found.weights}
    assert by_type == {"float": 17, "int8": 33}


def test_the_command_shows_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", is_quantized=True)

    done = CliRunner().invoke(app, ["inspect", str(path)])
    in_json = CliRunner().invoke(app, ["inspect", str(path), "--json"])

    assert done.exit_code == 0
    assert "2 DequantizeLinear, 2 MatMul" in done.stdout
    assert "67% of the multiply-adds" in done.stdout
    assert json.loads(in_json.stdout)["inputs"][0]["shape"] == ["n", 8]


@pytest.mark.parametrize("data", [b"", b"no model", b"\x00" * 64])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)

    error: QuantizeError = refusal(lambda: inspect_onnx(path))

    assert error.code == "onnx_invalid"
    assert str(path) in error.message
