"""Gives channels one size around gates, which equalisation has to leave alone.

A factor does not go through hard swish or a squeeze-and-excite product. But where those
are computed in float, a channel can be multiplied just before a layer reads it, and
divided just behind a layer that made it: what is rounded in between then has channels
of one size. It costs a multiplication for each number, which is little beside a layer,
and the network computes the same. Before layers this is SmoothQuant (Xiao et al. 2023);
how far to go follows from the noise that is expected, as for equalisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from quantize.vision.equalisation import (
    factors_for,
    is_scalable,
    scale_columns,
    scale_rows,
    size_of,
)
from quantize.vision.network import Floats, Network
from quantize.vision.observing import Flow

_MOST = np.float32(64)
"""That a channel is multiplied by: others are not worth more."""
_BOUNDS = {"Relu", "Clip", "LeakyRelu"}
"""What is computed in eight bits with the layer before it."""


def spread(network: Network, flows: Mapping[str, Flow]) -> tuple[Network, int]:
    """Returns a network that computes the same, and how many tensors changed.

    Args:
        network: Float; batch normalisation is folded into its weights.
        flows: What flows through it.
    """
    changed, n_changed = network.copy(), 0
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in changed.nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before: dict[str, onnx.NodeProto] = {}
    behind: dict[str, onnx.NodeProto] = {}
    for name, flow in flows.items():
        maker = changed.made_by(name)
        if maker is None or name in changed.outputs:
            continue
        layers = [node for node in readers.get(name, ()) if is_scalable(changed, node)]
        is_made = is_scalable(changed, maker)
        is_bounded = maker.op_type in _BOUNDS or any(
            node.op_type in _BOUNDS for node in readers.get(name, ())
        )
        if is_made and not layers and not is_bounded:
            factors = _even(flow)
            scale_rows(changed, maker, factors)
            back = np.float32(1) / factors
            behind[maker.name] = _times(changed, maker, name, back)
            n_changed += 1
        elif layers and not is_made and not is_bounded:
            found = factors_for(changed, layers, [flow] * len(layers))
            if found is None:
                continue
            factors = found.clip(1 / _MOST, _MOST)
            for node in layers:
                scale_columns(changed, node, np.float32(1) / factors)
            before[layers[0].name] = _even_input(changed, layers, name, factors)
            n_changed += 1
    return Network(_with(changed.model, before, behind)), n_changed


def _even(flow: Flow) -> Floats:
    """Returns (channels,) factors with which all channels reach as far."""
    sizes = size_of(flow)
    found: Floats = (sizes.max() / sizes.clip(1e-30)).clip(1, _MOST)
    return found


def _times(
    network: Network, maker: onnx.NodeProto, name: str, factors: Floats
) -> onnx.NodeProto:
    """Returns what divides again what a layer makes; the layer's output is renamed."""
    even = f"{name}_even"
    maker.output[0] = even
    stored = f"{name}_back"
    network.add(stored, _shaped(network, maker, factors))
    return onnx.helper.make_node("Mul", [even, stored], [name], f"{maker.name}_back")


def _even_input(
    network: Network, layers: list[onnx.NodeProto], name: str, factors: Floats
) -> onnx.NodeProto:
    """Returns what multiplies what layers read; their input is renamed."""
    even, stored = f"{name}_spread", f"{name}_factors"
    network.add(stored, _shaped(network, layers[0], factors))
    for node in layers:
        node.input[0] = even
    return onnx.helper.make_node(
        "Mul", [name, stored], [even], f"{layers[0].name}_spread"
    )


def _shaped(network: Network, node: onnx.NodeProto, factors: Floats) -> Floats:
    """Returns factors along the channels of what a layer reads or makes."""
    n_more = network.weight(node.input[1]).ndim - 2 if node.op_type == "Conv" else 0
    return factors.astype(np.float32).reshape(1, -1, *[1] * n_more)


def _with(
    model: onnx.ModelProto,
    before: Mapping[str, onnx.NodeProto],
    behind: Mapping[str, onnx.NodeProto],
) -> onnx.ModelProto:
    """Returns a model with one more node before or behind some, by their names."""
    nodes = []
    for node in model.graph.node:
        around = before.get(node.name), node, behind.get(node.name)
        nodes += [one for one in around if one is not None]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
