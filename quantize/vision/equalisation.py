"""Gives the channels of a tensor one size, so that eight bits do for all of them.

A tensor has one scale for its activations, and a channel that is a hundred times
smaller than its neighbour is left with one or two of 255 steps. Between a layer that
makes channels and those that read them, each channel may be multiplied by a factor on
one side and divided by it on the other: the network computes the same (Nagel et al.
2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"). Here

- channels that flow together, along residual sums and activation functions, get their
  factors together;
- a clipped activation (ReLU6) has one bound for all channels, which stay as they are:
  scaled, they would be clipped elsewhere in pictures that were not seen;
- how far to go follows from the noise that is expected: what activations gain, the
  columns of the weights that read them lose, but not in depthwise layers, whose weights
  have a scale for each channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from quantize.vision.network import Floats, Network, attribute
from quantize.vision.observing import Flow

_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST = np.float32(1e4)
"""That a channel is multiplied by; the weights of dead ones would grow without end."""
_STEPS = 255
_WEIGHT_STEPS = 254
_ELEMENTWISE = {
    *("Relu", "Clip", "LeakyRelu", "Add", "Identity", "Dropout"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean"),
    *("Flatten", "Reshape", "Squeeze"),
}


@dataclass(slots=True, eq=False)
class Space:
    """Channels that flow together: the tensors, who makes them, who reads them."""

    tensors: list[str] = field(default_factory=list)
    makers: list[onnx.NodeProto] = field(default_factory=list)
    readers: list[onnx.NodeProto] = field(default_factory=list)
    is_fixed: bool = False


def equalise(network: Network, flows: Mapping[str, Flow]) -> tuple[Network, int]:
    """Returns a network that computes the same over the images that were seen.

    Args:
        network: Float; batch normalisation is folded into its weights.
        flows: What flows through it.

    Returns:
        The other network, and how many groups of channels changed.
    """
    changed, n_changed = network.copy(), 0
    for space in _spaces(network, flows):
        read = [flows[node.input[0]] for node in space.readers]
        factors = factors_for(changed, space.readers, read)
        if factors is None:
            continue
        for node in space.makers:
            scale_rows(changed, node, factors)
        for node in space.readers:
            scale_columns(changed, node, np.float32(1) / factors)
        n_changed += 1
    return changed, n_changed


def is_depthwise(network: Network, node: onnx.NodeProto) -> bool:
    """Whether each channel is made of one channel, and no other is."""
    groups = attribute(node, "group", 1)
    if node.op_type != "Conv" or groups == 1:
        return False
    shape = network.weight(node.input[1]).shape
    return bool(shape[1] == 1 and shape[0] == groups)


def _spaces(network: Network, flows: Mapping[str, Flow]) -> list[Space]:
    """Returns the groups of channels that may be scaled."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for node in network.nodes:
        if _is_elementwise(network, node, flows):
            first, *others = [*_flowing(network, node), *map(str, node.output)]
            for other in others:
                root[find(other)] = find(first)
    spaces: dict[str, Space] = {}

    def space(name: str) -> Space:
        return spaces.setdefault(find(name), Space())

    for name in network.flowing():
        space(name).tensors.append(name)
    for name in (*network.inputs, *network.outputs):
        space(name).is_fixed = True
    for node in network.nodes:
        inputs = _flowing(network, node)
        if _is_elementwise(network, node, flows):
            if node.op_type == "Clip" and _is_bounded(network, node):
                space(node.output[0]).is_fixed = True
        elif is_scalable(network, node):
            space(node.input[0]).readers.append(node)
            space(node.output[0]).makers.append(node)
        else:
            for name in (*inputs, *map(str, node.output)):
                space(name).is_fixed = True
    return [
        one
        for one in spaces.values()
        if one.makers and one.readers and not one.is_fixed
    ]


def _flowing(network: Network, node: onnx.NodeProto) -> list[str]:
    return [name for name in node.input if name and not network.is_stored(name)]


def _is_elementwise(
    network: Network, node: onnx.NodeProto, flows: Mapping[str, Flow]
) -> bool:
    """Whether a factor of a channel goes through a node as it is."""
    if node.op_type not in _ELEMENTWISE:
        return False
    if node.op_type == "Add" and any(map(network.is_stored, node.input)):
        return False
    # Channels stay what they are, as far as that can be seen.
    sizes = {
        len(flows[name].low) if name in flows else 0
        for name in (*_flowing(network, node), node.output[0])
    }
    return len(sizes) == 1 and 0 not in sizes and 1 not in sizes


def is_scalable(network: Network, node: onnx.NodeProto) -> bool:
    """Whether rows and columns of a node's weight can take factors."""
    names = node.input[1:]
    if node.op_type not in ("Conv", "Gemm") or not all(map(network.is_stored, names)):
        return False
    if any(map(network.is_shared, names)):
        return False
    if node.op_type == "Gemm":
        return (
            attribute(node, "alpha", 1.0) == 1.0
            and attribute(node, "beta", 1.0) == 1.0
            and not attribute(node, "transA", 0)
        )
    return attribute(node, "group", 1) == 1 or is_depthwise(network, node)


def _is_bounded(network: Network, node: onnx.NodeProto) -> bool:
    """Whether a clipped activation has another bound than zero."""
    return any(
        name and not (network.is_stored(name) and not network.weight(name).any())
        for name in node.input[1:3]
    )


def factors_for(
    network: Network, readers: Sequence[onnx.NodeProto], read: Sequence[Flow]
) -> Floats | None:
    """Returns (channels,) what each is multiplied by; none where nothing is won.

    Args:
        network: Float.
        readers: Layers that read the channels.
        read: What each of them reads.
    """
    sizes = np.max(
        [size_of(one) / size_of(one).max().clip(1e-30) for one in read], axis=0
    )
    best, best_noise = None, np.inf
    for power in _POWERS:
        factors = (1 / sizes.clip(1 / _MOST)) ** np.float32(power)
        noise = sum(
            _noise(network, node, flow, factors)
            for node, flow in zip(readers, read, strict=True)
        )
        if noise < best_noise * (1 if best is None else 0.99):
            best, best_noise = (None if power == 0 else factors), noise
            if power == 0:
                best_noise = noise
    return best


def size_of(flow: Flow) -> Floats:
    """Returns (channels,) how far each reaches from zero."""
    found: Floats = np.maximum(np.abs(flow.low), np.abs(flow.high))
    return found


def _noise(
    network: Network, node: onnx.NodeProto, flow: Flow, factors: Floats
) -> float:
    """Returns the noise expected in what a node makes, by its energy.

    A step d of rounding adds d^2 / 12 to what is multiplied with the other side.
    """
    columns = _columns(network, node)  # (out, in, positions)
    energy = np.maximum(flow.square, 1e-30)
    low, high = float((flow.low * factors).min()), float((flow.high * factors).max())
    step = (max(high, 0.0) - min(low, 0.0)) / _STEPS
    scaled = columns / factors[None, :, None]
    if is_depthwise(network, node):
        scaled = network.weight(node.input[1]) / factors[:, None, None, None]
        scaled = scaled.reshape(len(factors), 1, -1)
        energy = energy[:, None]
        grown = factors[:, None] ** 2
    else:
        energy, grown = energy[None], factors[None] ** 2
    squares = (scaled**2).sum(axis=2)  # (out, in)
    steps = np.abs(scaled).max(axis=(1, 2)) * 2 / _WEIGHT_STEPS  # (out,)
    n_positions = scaled.shape[2]
    signal = (squares * grown * energy).sum(axis=1)
    from_flow = step**2 / 12 * squares.sum(axis=1)
    from_weights = steps**2 / 12 * (n_positions * grown * energy).sum(axis=1)
    return float(((from_flow + from_weights) / signal.clip(1e-30)).mean())


def _columns(network: Network, node: onnx.NodeProto) -> Floats:
    """Returns (out, in, positions) the weight of a node."""
    weight: Floats = network.weight(node.input[1])
    if node.op_type == "Gemm":
        rows = weight if attribute(node, "transB", 0) else weight.T
        return rows[:, :, None]
    return weight.reshape(*weight.shape[:2], -1)


def scale_rows(network: Network, node: onnx.NodeProto, factors: Floats) -> None:
    """Multiplies what a node makes."""
    weight = network.weight(node.input[1])
    at = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    network.replace(node.input[1], weight * _along(factors, weight.ndim, at))
    if len(node.input) > 2 and node.input[2]:
        network.replace(node.input[2], network.weight(node.input[2]) * factors)


def scale_columns(network: Network, node: onnx.NodeProto, factors: Floats) -> None:
    """Multiplies what a node reads."""
    weight = network.weight(node.input[1])
    at = 1 if node.op_type == "Conv" or attribute(node, "transB", 0) else 0
    if is_depthwise(network, node):
        at = 0
    network.replace(node.input[1], weight * _along(factors, weight.ndim, at))


def _along(factors: Floats, n_dimensions: int, at: int) -> Floats:
    shape = [1] * n_dimensions
    shape[at] = len(factors)
    return factors.reshape(shape)
