"""A network in eight bits: onnxruntime's quantizer, told every range and every step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from quantize.onnx_session import without_advice
from quantize.vision.network import (
    WEIGHTED,
    Floats,
    Network,
    attribute,
    multiply_adds,
)
from quantize.vision.observing import Flow

Range = tuple[float, float]
INT8, FLOAT = "int8", "float"
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear"}
_LAYERS = {*WEIGHTED, "Relu", "Clip", "MaxPool", "Reshape", "Transpose", "Squeeze"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scheme:
    """How a network is quantized."""

    ranges: Mapping[str, Range]
    """The least and the most of every tensor that flows."""
    steps: Mapping[str, Floats] = field(default_factory=dict)
    """(rows,) of weights, by node; where there are none, what onnxruntime takes."""
    floats: frozenset[str] = frozenset()
    """Names of nodes that stay as they are."""
    only: frozenset[str] = frozenset()
    """Names of the only nodes that are quantized; all, where it is empty."""
    is_layers: bool = False
    """Whether only what has weights is quantized, and what hands on what it makes.
    Sums, products and gates then stay float between layers."""


def as_int8(network: Network, scheme: Scheme) -> onnx.ModelProto:
    """Returns a network with scales around all that eight bits are to compute.

    Weights are signed and have a scale for each row; activations are unsigned and have
    a zero point.

    Args:
        network: Float, with a name for each node.
        scheme: How.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    ranges = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in scheme.ranges.items()
    }
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
        nodes_to_quantize=sorted(scheme.only),
        nodes_to_exclude=sorted(scheme.floats | _between(network, scheme)),
        op_types_to_quantize=sorted(
            _LAYERS if scheme.is_layers else {*QLinearOpsRegistry, *QDQRegistry}
        ),
        extra_options={
            "ActivationSymmetric": False,
            "WeightSymmetric": True,
            "TensorQuantOverrides": _overrides(network, scheme),
        },
    )
    with without_advice():
        quantizer.quantize_model()
    found: onnx.ModelProto = quantizer.model.model
    _keep_float(found, scheme.floats)
    # The quantizer's own name and version are of no use to whoever compares bytes.
    found.producer_name, found.producer_version = "headside", ""
    return found


def _between(network: Network, scheme: Scheme) -> frozenset[str]:
    """Returns the products of two tensors that flow, where they stay float."""
    if not scheme.is_layers:
        return frozenset()
    weighted = {node.name for node in network.weighted()}
    return frozenset(
        node.name
        for node in network.nodes
        if node.op_type in WEIGHTED and node.name not in weighted
    )


def _keep_float(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Keeps onnxruntime from rounding the weights of nodes that are to stay float.

    It does so by itself, with one scale for all rows, where a layer of float weights
    stands between scales. A leaky ReLU of slope 1, which changes nothing and becomes
    part of the layer as it runs, is what it does not see through.
    """
    nodes = model.graph.node
    apart: dict[str, onnx.NodeProto] = {}
    for node in nodes:
        if node.name in names and node.op_type in WEIGHTED:
            (made,) = node.output
            apart[made] = onnx.helper.make_node(
                "LeakyRelu",
                [made],
                [f"{made}_apart"],
                name=f"{node.name}_apart",
                alpha=1.0,
            )
    ends = {one.name for one in model.graph.output}
    for node in nodes:
        for at, name in enumerate(node.input):
            if name in apart and name not in ends:
                node.input[at] = f"{name}_apart"
    kept = list(nodes)
    del nodes[:]
    for node in kept:
        nodes.append(node)
        nodes.extend(
            apart[name] for name in node.output if name in apart and name not in ends
        )


def in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a model with every node behind those that it needs, as ONNX wants it.

    The quantizer leaves scales at the end, which onnxruntime takes, and others do not.
    """
    sorted_ = ONNXModel(model)
    sorted_.topological_sort()
    found: onnx.ModelProto = sorted_.model
    return found


def plain_int8(network: Network, flows: Mapping[str, Flow]) -> onnx.ModelProto:
    """Returns what onnxruntime makes of a network by itself, from least and most."""
    return as_int8(
        network, Scheme(ranges={name: one.range for name, one in flows.items()})
    )


def types_of(model: onnx.ModelProto, network: Network) -> dict[str, str]:
    """Returns what each node of a network is computed as once it is quantized.

    A node counts as int8 where all that flows into it, and its weight, comes out of a
    scale, and what it makes goes into one; a layer may also make floats.
    """
    stored = {one.name for one in model.graph.initializer}
    weighted = {node.name for node in network.weighted()}
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    rounded = {
        node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"
    }
    there = {node.name: node for node in model.graph.node}
    found = {}
    for node in network.nodes:
        now = there.get(node.name)
        if now is None:  # became part of the one before it
            found[node.name] = INT8
            continue
        flowing = [name for name in now.input if name in made_by]
        is_all = flowing and all(made_by[name] in _QUANTIZED for name in flowing)
        if node.name in weighted and stored.intersection(now.input[:2]):
            is_all = False  # what it reads was in eight bits, and its weight is not
        if node.name not in weighted and rounded.isdisjoint(now.output):
            is_all = False
        found[node.name] = INT8 if is_all else FLOAT
    return found


def cost_of(network: Network, work: Mapping[str, int]) -> dict[str, float]:
    """Returns what it costs to leave a node float: its share of work and of weights."""
    sizes = {
        node.name: sum(
            network.weight(name).size for name in node.input if network.is_stored(name)
        )
        for node in network.nodes
    }
    all_work, all_sizes = sum(work.values()) or 1, sum(sizes.values()) or 1
    return {
        name: work.get(name, 0) / all_work + size / all_sizes
        for name, size in sizes.items()
    }


def with_bounds(network: Network, names: frozenset[str]) -> frozenset[str]:
    """Returns nodes with the activation functions behind them."""
    made = {
        name for node in network.nodes if node.name in names for name in node.output
    }
    behind = {
        node.name
        for node in network.nodes
        if node.op_type in ("Clip", "Relu") and node.input[0] in made
    }
    return names | behind


def float_share(
    network: Network, types: Mapping[str, str], work: Mapping[str, int]
) -> float:
    """Returns the share of multiply-adds that are not computed in eight bits."""
    total = sum(work.values())
    left = sum(
        work.get(node.name, 0) for node in network.nodes if types[node.name] == FLOAT
    )
    return left / total if total else 0.0


def work_of(network: Network, flows: Mapping[str, Flow]) -> dict[str, int]:
    """Returns the multiply-adds of each node that has any."""
    return {
        node.name: multiply_adds(network, node, flows[node.output[0]].shape)
        for node in network.weighted()
        if node.output[0] in flows
    }


def _overrides(network: Network, scheme: Scheme) -> dict[str, list[dict[str, Any]]]:
    """Returns the steps of weights as onnxruntime's quantizer is told them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for node in network.weighted():
        if node.name not in scheme.steps or node.name in scheme.floats:
            continue
        is_rows_first = node.op_type == "Conv" or attribute(node, "transB", 0)
        rows: list[dict[str, Any]] = [
            {"quant_type": QuantType.QInt8, "scale": step, "zero_point": np.int8(0)}
            for step in scheme.steps[node.name]
        ]
        rows[0]["axis"] = 0 if is_rows_first else 1
        found[node.input[1]] = rows
    return found
