"""ONNX files of somebody else's: what is taken, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantize.errors import QuantizeError
from quantize.onnx_file import QDQ_OPSET, load_onnx
from quantize.onnx_session import open_session, run
from tests.quantize.conftest import refusal

WEIGHT = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def made(
    nodes: Sequence[onnx.NodeProto] | None = None,
    *,
    opset: int = 17,
    weights: Sequence[onnx.TensorProto] = (),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """x (n, 4) times w, and a bound; or other nodes from x to y."""
    if nodes is None:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Relu", ["m"], ["y"]),
        ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "made",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["a", "b"])],
        [numpy_helper.from_array(WEIGHT, "w"), *weights],
    )
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(one, 1) for one in domains]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def refused(path: Path, code: str) -> QuantizeError:
    error = refusal(lambda: load_onnx(path))
    assert error.code == code, error
    assert str(path) in error.message
    assert "Traceback" not in error.message
    return error


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def outside(folder: Path, **told: Any) -> Path:
    """Writes a model whose weight is told to lie somewhere else."""
    model = made()
    (weight,) = model.graph.initializer
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        weight.external_data.add(key=key, value=str(value))
    return written(folder, model)


def test_a_sound_model_is_taken(tmp_path: Path) -> None:
    model = made()

    assert load_onnx(written(tmp_path, model)) == model


def test_weights_beside_it_are_taken_in(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"head" + WEIGHT.tobytes() + b"tail")
    path = outside(tmp_path, location="w.bin", offset=4, length=WEIGHT.nbytes)

    (weight,) = load_onnx(path).graph.initializer

    assert np.array_equal(numpy_helper.to_array(weight), WEIGHT)
    assert weight.data_location == TensorProto.DEFAULT
    assert not weight.external_data


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    refused(tmp_path / "not_there.onnx", "onnx_missing")
    refused(tmp_path, "onnx_missing")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        np.random.default_rng(0).bytes(4096),
        b"\x08",
        made().SerializeToString()[:-30],
        b"\x3a\xff\xff\xff\xff\x0f",
        b"<html>No model.</html>",
    ],
)
def test_bytes_that_are_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    refused(path, "onnx_invalid")


def test_graphs_that_hold_one_another_without_end(tmp_path: Path) -> None:
    def field(tag: int, inside: bytes) -> bytes:
        size, low = bytearray(), len(inside)
        while low > 127:
            size.append(low & 127 | 128)
            low >>= 7
        return bytes([tag << 3 | 2, *size, low]) + inside

    inside = b""
    for tag in (6, 5, 1) * 300:  # of an attribute, of a node, of a graph
        inside = field(tag, inside)
    path = tmp_path / "deep.onnx"
    path.write_bytes(field(7, inside))

    refused(path, "onnx_invalid")


def test_a_graph_that_gives_nothing(tmp_path: Path) -> None:
    model = made()
    del model.graph.output[:]

    refused(written(tmp_path, model), "onnx_invalid")


def test_an_opset_that_is_not_said(tmp_path: Path) -> None:
    model = made()
    del model.opset_import[:]

    refused(written(tmp_path, model), "onnx_invalid")


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("Frobnicate", "x", "y")], "Frobnicate"),
        ([("Relu", "b", "a"), ("Relu", "a", "b"), ("Relu", "x", "y")], "sorted"),
        ([("Relu", "x", "y"), ("Tanh", "x", "y")], "SSA"),
        ([("Relu", "nowhere", "y")], "nowhere"),
    ],
)
def test_graphs_that_make_no_sense(
    tmp_path: Path, nodes: list[tuple[str, str, str]], said: str
) -> None:
    model = made([helper.make_node(op, [one], [to]) for op, one, to in nodes])

    assert said in refused(written(tmp_path, model), "onnx_invalid").message


@pytest.mark.parametrize("is_inside", [False, True])
def test_operators_of_others_are_refused_by_name(
    tmp_path: Path, is_inside: bool
) -> None:
    own = helper.make_node("Warp", ["x"], ["y"], domain="org.example.warp")
    model = made([own], domains=["org.example.warp"])
    if is_inside:
        model = made([helper.make_node("F", ["x"], ["y"], domain="own")])
        opsets = [helper.make_opsetid("org.example.warp", 1)]
        model.functions.append(
            helper.make_function("own", "F", ["x"], ["y"], [own], opsets)
        )

    error = refused(written(tmp_path, model), "onnx_custom_ops")

    assert "org.example.warp" in error.message


@pytest.mark.parametrize("opset", [6, 25, 10**12, -1])
def test_an_opset_that_cannot_run(tmp_path: Path, opset: int) -> None:
    refused(written(tmp_path, made(opset=opset)), "onnx_opset")


def test_an_old_opset_is_brought_up_and_computes_the_same(tmp_path: Path) -> None:
    model = made(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Clip", ["a"], ["b"], min=-0.5, max=0.5),
            helper.make_node("Unsqueeze", ["b"], ["c"], axes=[0]),
            helper.make_node("ReduceSum", ["c"], ["d"], axes=[0], keepdims=0),
            helper.make_node("Softmax", ["d"], ["y"], axis=1),
        ],
        opset=9,
    )
    path = written(tmp_path, model)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)

    found = load_onnx(path)

    assert [one.version for one in found.opset_import] == [QDQ_OPSET]
    before = run(open_session(path, threads=1), {"x": x})
    after = run(open_session(found.SerializeToString(), threads=1), {"x": x})
    np.testing.assert_allclose(after[0], before[0], rtol=1e-6)


@pytest.mark.parametrize("how", ["up", "absolute", "link", "folder_link", "itself"])
def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path, how: str) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    location = {
        "up": "../secret.bin",
        "absolute": str(secret),
        "link": "link.bin",
        "folder_link": "there/secret.bin",
        "itself": ".",
    }[how]
    (folder / "link.bin").symlink_to(secret)
    (folder / "there").symlink_to(tmp_path)

    error = refused(outside(folder, location=location), "onnx_external")

    assert "outside of its folder" in error.message


@pytest.mark.parametrize("location", ["", "a\0b", "a" * 5000, "circle"])
def test_weights_in_what_is_no_place(tmp_path: Path, location: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")

    refused(outside(tmp_path, location=location), "onnx_external")


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    error = refused(outside(tmp_path, location="w.bin"), "onnx_external")

    assert "'w.bin', which is not there" in error.message


@pytest.mark.parametrize(
    "told",
    [
        {"length": 40},
        {"length": -48},
        {"length": "many"},
        {"length": 10**9},
        {"length": "9" * 5000},
        {"offset": -4},
        {"offset": 4, "length": 48},
        {"offset": 10**30},
        {"offset": "1e3"},
        {"offset": 48},
    ],
)
def test_weights_that_lie_about_where_they_are(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())

    refused(outside(tmp_path, location="w.bin", **told), "onnx_external")


def test_a_file_of_weights_that_is_too_short(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes()[:-1])

    refused(outside(tmp_path, location="w.bin"), "onnx_external")


def test_lengths_of_more_than_fits(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())

    path = outside(tmp_path, location="w.bin", length=10**10)

    refused(path, "onnx_too_large")


@pytest.mark.parametrize("where", ["attribute", "sparse", "list"])
def test_what_hides_elsewhere_is_found(tmp_path: Path, where: str) -> None:
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    hidden = TensorProto(name="h", dims=[4, 3], data_type=TensorProto.FLOAT)
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="../secret.bin")
    node = helper.make_node("Relu", ["x"], ["y"])
    model = made([node])
    attribute = model.graph.node[0].attribute.add(name="value")
    if where == "attribute":
        attribute.t.CopyFrom(hidden)  # of no type that is told
    elif where == "list":
        attribute.tensors.append(hidden)
    else:
        model.graph.sparse_initializer.add().values.CopyFrom(hidden)

    refused(written(folder, model), "onnx_external")


@pytest.mark.parametrize("data_type", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_weights_that_are_no_numbers(tmp_path: Path, data_type: int) -> None:
    bad = WEIGHT.astype(helper.tensor_dtype_to_np_dtype(data_type))
    bad[2, 1] = np.nan
    model = made(weights=[numpy_helper.from_array(bad, "bad")])

    assert "bad" in refused(written(tmp_path, model), "onnx_not_finite").message


@pytest.mark.parametrize(
    "change",
    [
        {"dims": [4, 4]},
        {"dims": [-4, -3]},
        {"dims": [2**40, 2**40]},
        {"data_type": 0},
        {"data_type": 999},
        {"data_type": TensorProto.DOUBLE},
    ],
)
def test_weights_that_are_not_what_they_say(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    model = made()
    (weight,) = model.graph.initializer
    if "dims" in change:
        del weight.dims[:]
        weight.dims.extend(change["dims"])
    else:
        weight.data_type = change["data_type"]

    with pytest.raises(QuantizeError) as caught:
        load_onnx(written(tmp_path, model))
    assert caught.value.code in ("onnx_invalid", "onnx_unusable")
    assert "model.onnx" in caught.value.message
