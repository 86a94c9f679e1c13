"""What an ONNX file is: its inputs and outputs, its operators, and how much is int8.

Weights that are kept beside the file are not read: all is told by shapes and types.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from quantize.errors import QuantizeError
from quantize.onnx_file import nodes

_MOST_BYTES = 2_000_000_000
_INT8 = {TensorProto.INT8, TensorProto.UINT8}
_FLOAT_PRODUCTS = {"MatMul", "Gemm", "Conv", "ConvTranspose", "FusedMatMul"}
_INT8_PRODUCTS = {
    *("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm"),
    *("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QAttention"),
}
_BLOCKS = "MatMulNBits"
_PASSES = {"DequantizeLinear", "Transpose", "Reshape", "Identity"}
"""Through which a weight is still one."""

Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or an output."""

    name: str
    type: str
    shape: Shape
    """Sizes, names of sizes that vary, and ``?``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightShare:
    """The stored numbers of a type."""

    type: str
    n_tensors: int
    n_weights: int
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxInspection:
    """What is in a file."""

    producer: str
    opset: int
    n_bytes: int
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    operators: Mapping[str, int]
    """Nodes of each, the most frequent first; those of others with their domain."""
    weights: Sequence[WeightShare]
    """The largest first; constants of nodes are counted in."""
    int8_weights: float
    """Share of the stored numbers."""
    int8_products: float | None
    """Share of the multiply-adds with a weight (MatMul, Gemm, Conv), for each row or
    place alike; None where there is none whose shape is known."""


def inspect_onnx(path: Path) -> OnnxInspection:
    """Returns what is in a file; nothing of it is run.

    Raises:
        QuantizeError: ``onnx_missing``, ``onnx_too_large`` or ``onnx_invalid``.
    """
    model = _parsed(path)
    graph = model.graph
    stored = {one.name: one for one in graph.initializer}
    every = list(nodes(graph))
    tensors = [*graph.initializer, *_constants(every)]
    shares = _shares(tensors)
    n_all = sum(one.n_weights for one in shares)
    names = {TensorProto.DataType.Name(one).lower() for one in _INT8}
    n_int8 = sum(one.n_weights for one in shares if one.type in names)
    counted = Counter(
        f"{one.domain}.{one.op_type}" if one.domain else one.op_type for one in every
    )
    return OnnxInspection(
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset=next(
            (int(one.version) for one in model.opset_import if not one.domain), 0
        ),
        n_bytes=path.stat().st_size,
        inputs=[_port(one) for one in graph.input if one.name not in stored],
        outputs=[_port(one) for one in graph.output],
        operators=dict(sorted(counted.items(), key=lambda one: (-one[1], one[0]))),
        weights=shares,
        int8_weights=n_int8 / max(1, n_all),
        int8_products=_int8_products(graph, stored),
    )


def _parsed(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise QuantizeError("onnx_missing", f"There is no file {path}.", "")
    if path.stat().st_size > _MOST_BYTES:
        raise QuantizeError(
            "onnx_too_large", f"{path} is larger than such a file can be.", ""
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise _invalid(path, "it cannot be read") from error
    if not model.graph.node:
        raise _invalid(path, "it computes nothing")
    return model


def _invalid(path: Path, why: str) -> QuantizeError:
    return QuantizeError(
        "onnx_invalid", f"{path} is no ONNX: {why}.", "Download or export it again."
    )


def _constants(every: Sequence[onnx.NodeProto]) -> list[TensorProto]:
    return [
        attribute.t
        for node in every
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.TENSOR
    ]


def _shares(tensors: Sequence[TensorProto]) -> list[WeightShare]:
    found: dict[int, list[TensorProto]] = {}
    for one in tensors:
        found.setdefault(one.data_type, []).append(one)
    shares = []
    for kind, group in found.items():
        n = sum(math.prod(one.dims) for one in group)
        name = _type(kind)
        shares.append(
            WeightShare(
                type=name,
                n_tensors=len(group),
                n_weights=n,
                n_bytes=round(n * _width(kind)),
            )
        )
    return sorted(shares, key=lambda one: -one.n_bytes)


def _type(kind: int) -> str:
    try:
        return str(TensorProto.DataType.Name(kind)).lower()
    except ValueError:
        return f"type {kind}"


def _width(kind: int) -> float:
    """Returns the bytes of a number; 0 where that varies or is unknown."""
    if kind in (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1):
        return 0.5
    try:
        return float(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, TypeError):
        return 0.0


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape: list[int | str] = []
    for side in tensor.shape.dim:
        if side.HasField("dim_value"):
            shape.append(int(side.dim_value))
        else:
            shape.append(side.dim_param or "?")
    return Port(name=value.name, type=_type(tensor.elem_type), shape=tuple(shape))


def _int8_products(
    graph: onnx.GraphProto, stored: Mapping[str, TensorProto]
) -> float | None:
    """Returns the share of multiply-adds with weights that integers do."""
    makers = {name: node for node in graph.node for name in node.output}
    constants = {
        node.output[0]: _constants([node])[0]
        for node in graph.node
        if _constants([node])
    }
    known = {**constants, **stored}
    n_all, n_int8 = 0, 0
    for node in graph.node:
        found = _weight(node, makers, known)
        if found is None:
            continue
        n = math.prod(found.dims)
        n_all += n
        n_int8 += n * _is_int8(node, found, makers)
    return n_int8 / n_all if n_all else None


def _weight(
    node: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    known: Mapping[str, TensorProto],
) -> TensorProto | None:
    """Returns the weight of a product; None where it is none or has none."""
    if node.op_type not in {*_FLOAT_PRODUCTS, *_INT8_PRODUCTS, _BLOCKS}:
        return None
    for name in node.input:
        at = name
        while at not in known and at in makers and makers[at].op_type in _PASSES:
            at = makers[at].input[0]
        if at in known and len(known[at].dims) > 1:
            return known[at]
    return None


def _is_int8(
    node: onnx.NodeProto, weight: TensorProto, makers: Mapping[str, onnx.NodeProto]
) -> bool:
    if node.op_type in _INT8_PRODUCTS:
        return True
    if node.op_type == _BLOCKS:
        level = {one.name: one.i for one in node.attribute}
        return level.get("bits") == 8 and level.get("accuracy_level") == 4
    # QDQ: both sides come from integers, which the runtime then multiplies as such.
    before = [makers[name].op_type for name in node.input[:2] if name in makers]
    return weight.data_type in _INT8 and before == ["DequantizeLinear"] * 2
