"""How far the range of a tensor reaches: what lies outside is cut off.

A wide range has wide steps, and a narrow one cuts off what is large. Several rules are
tried on pictures that calibrate, all tensors by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import onnx

from quantize.child import Tell
from quantize.vision.network import Network, attribute
from quantize.vision.observing import Flow
from quantize.vision.qdq import Range, Scheme, as_int8
from quantize.vision.repair import Trial

_N_BINS, _N_LEVELS = 2048, 128
"""Of the magnitudes of a tensor, as they were seen and as eight bits hold them."""
_N_TRIED = 64
"""Thresholds."""
_LEAST = 1e-9
_ALL: Range = (-np.inf, np.inf)
_FLAT_SIGMOID = 8.0
"""Beyond which sigmoid is within 0.0004 of 0 or 1."""


def within(flow: Flow, share: float, reach: float) -> Range:
    """Returns a range that holds a share of the values of a tensor, and more.

    What ends at zero, as behind ReLU, still does.

    Args:
        flow: What was seen.
        share: Of the values.
        reach: By how much the range is made wider: other photographs hold larger ones.
    """
    low, high = flow.range
    if share < 1:
        inside = np.quantile(flow.values, [1 - share, share])
        low, high = max(low, float(inside[0])), min(high, float(inside[1]))
    return low * reach, high * reach


def least_divergent(flow: Flow) -> Range:
    """Returns the range in which eight bits tell least about values wrongly.

    Of the magnitudes of what was seen, cut off at a threshold, and the same in as many
    steps as eight bits have for them, the threshold with the least divergence (Migacz
    2017, "8-bit inference with TensorRT").
    """
    low, high = flow.range
    most = max(abs(low), abs(high))
    if most <= 0:
        return low, high
    counts, _ = np.histogram(np.abs(flow.values), _N_BINS, (0, most))
    ends = np.unique(np.linspace(_N_LEVELS, _N_BINS, _N_TRIED).astype(int))
    best = min(ends, key=lambda end: _divergence(counts, int(end)))
    threshold = most * int(best) / _N_BINS
    return max(low, -threshold), min(high, threshold)


def _divergence(counts: npt.NDArray[np.int64], end: int) -> float:
    """Returns KL(p || q): p is cut off at a bin, and q is that in 128 steps."""
    inside = counts[:end].astype(np.float64)
    real = inside.copy()
    real[-1] += counts[end:].sum()
    begins = np.arange(_N_LEVELS) * end // _N_LEVELS
    is_there = (inside > 0).astype(np.float64)
    sums, n = np.add.reduceat(inside, begins), np.add.reduceat(is_there, begins)
    widths = np.diff(np.append(begins, end))
    steps = np.repeat(sums / n.clip(1), widths) * is_there
    p, q = real / real.sum(), steps / steps.sum().clip(_LEAST)
    where = p > 0
    return float((p[where] * np.log(p[where] / q[where].clip(_LEAST))).sum())


_RULES: Mapping[str, Callable[[Flow], Range]] = {
    "least and most": partial(within, share=1.0, reach=1.0),
    "least and most, and a quarter more": partial(within, share=1.0, reach=1.25),
    "least and most, and half as much more": partial(within, share=1.0, reach=1.5),
    "99.99 % of values": partial(within, share=0.9999, reach=1.0),
    "99.9 % of values": partial(within, share=0.999, reach=1.0),
    "least divergence (entropy)": least_divergent,
}


def best_ranges(
    network: Network,
    flows: Mapping[str, Flow],
    scheme: Scheme,
    trial: Trial,
    tell: Tell,
) -> tuple[str, Scheme, dict[str, float]]:
    """Returns a scheme whose ranges make the least noise, by which rule, and all tried.

    Args:
        network: With rounded weights.
        flows: What flowed where nothing was rounded.
        scheme: How it is quantized but for its ranges.
        trial: On what.
        tell: Told how many rules are done.
    """
    tried: dict[str, float] = {}
    found: dict[str, dict[str, Range]] = {}
    used = useful(network)
    for n, (name, rule) in enumerate(_RULES.items()):
        tell(n, len(_RULES))
        found[name] = {
            tensor: _inside(rule(flow), used.get(tensor, _ALL))
            for tensor, flow in flows.items()
        }
        model = as_int8(network, replace(scheme, ranges=found[name]))
        tried[name] = trial.noise_db(model)
    best = max(tried, key=tried.__getitem__)
    return best, replace(scheme, ranges=found[best]), tried


def useful(network: Network) -> dict[str, Range]:
    """Returns outside of which numbers make no difference, by tensor.

    Hard swish, x clip(x + 3, 0, 6) / 6, is nothing for all below -3, and layers make
    much that lies there: eight bits are better spent on the rest. The same goes for
    swish, sigmoid and hard sigmoid, as far as they are flat.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in network.nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {}
    for name, nodes in readers.items():
        if name in network.outputs:
            continue
        if len(nodes) == 1 and nodes[0].op_type in _FLAT:
            found[name] = _FLAT[nodes[0].op_type](nodes[0])
        products = [node for node in nodes if node.op_type == "Mul"]
        if len(nodes) == 2 and len(products) == 1:
            (other,) = [one for one in products[0].input if one != name] or [name]
            low = _gate_shuts_at(network, other, name)
            if low is not None:
                found[name] = (low, np.inf)
    return found


def _gate_shuts_at(network: Network, gate: str, of: str) -> float | None:
    """Returns below which a gate that is made of a tensor is zero; None if it is not.

    A gate is (hard) sigmoid of the tensor, or clip(x + c, 0, any) times any constant.
    """
    node = network.made_by(gate)
    while node is not None and node.op_type in ("Mul", "Div"):
        flowing = [one for one in node.input if not network.is_stored(one)]
        node = network.made_by(flowing[0]) if len(flowing) == 1 else None
    if node is None:
        return None
    if node.op_type in _FLAT and node.input[0] == of:
        return _FLAT[node.op_type](node)[0]
    if node.op_type != "Clip" or _constant(network, node.input[1:2]) != 0:
        return None
    added = network.made_by(node.input[0])
    if added is None or added.op_type != "Add" or of not in added.input:
        return None
    shift = _constant(network, [one for one in added.input if one != of])
    return None if shift is None else -shift


def _constant(network: Network, names: Sequence[str]) -> float | None:
    """Returns a single number that is stored; None where there is none."""
    if len(names) != 1 or not network.is_stored(names[0]):
        return None
    array = network.weight(names[0])
    return float(array.reshape(())) if array.size == 1 else None


def _of_hard_sigmoid(node: onnx.NodeProto) -> Range:
    """Returns where max(0, min(1, alpha x + beta)) is neither 0 nor 1."""
    alpha = float(attribute(node, "alpha", 0.2))
    beta = float(attribute(node, "beta", 0.5))
    return (-beta / alpha, (1 - beta) / alpha) if alpha > 0 else _ALL


_FLAT: Mapping[str, Callable[[onnx.NodeProto], Range]] = {
    "Sigmoid": lambda _: (-_FLAT_SIGMOID, _FLAT_SIGMOID),
    "HardSigmoid": _of_hard_sigmoid,
}


def _inside(one: Range, other: Range) -> Range:
    """Returns what two ranges share; the first where that is nothing."""
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low < high else one
