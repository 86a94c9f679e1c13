"""Rounds weights to eight bits so that what one weight loses, its neighbours make up.

Rounded each for itself, the weights of a filter lose what is worst to lose:
neighbouring pixels hold nearly the same, and errors of one sign add up. Here each
filter is rounded weight by weight, and the error of each goes into those that are still
to come, as far as what they are multiplied with goes together (GPTQ; Frantar et al.
2023). What is left of the mean goes into the bias, which is what bias correction does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from numpy.lib.stride_tricks import sliding_window_view

from quantize.child import Tell
from quantize.onnx_session import Array, open_session, run
from quantize.vision.network import Floats, Network, attribute

Numbers = npt.NDArray[np.float64]
_N_PLACES = 256
"""Of each image, at which a filter is seen."""
_DAMP = 0.01
"""Of the mean of the diagonal, added to it."""
_MOST_BIAS = 2.0**30
"""Steps of a bias; as much again is left for the sum of the products. A channel that
died in training has tiny weights and a large bias: in steps as tiny, it would fill all
of the 32 bits, and the first product would make the sum wrap around."""
_FLOW_STEPS = 255


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Together:
    """How what a node's weights are multiplied with goes together."""

    means: Numbers
    """(groups, columns)"""
    products: Numbers
    """(groups, columns, columns) the mean of products, less that of means."""


def gather(
    network: Network, inputs: Sequence[Mapping[str, Array]], threads: int, tell: Tell
) -> dict[str, Together]:
    """Returns what goes together at each node that has weights, by its name.

    Args:
        network: Float.
        inputs: By name, one image each.
        threads: How many work.
        tell: Told how many images are done.
    """
    every = [one for one in network.weighted() if _is_roundable(network, one)]
    names = [one.input[0] for one in every]
    model = network.exposing(name for name in names if name not in network.inputs)
    session = open_session(model.SerializeToString(deterministic=True), threads=threads)
    given = [one.name for one in session.get_outputs()]
    chance = np.random.default_rng(0)
    sums: dict[str, Numbers] = {}
    squares: dict[str, Numbers] = {}
    counts: dict[str, int] = {}
    for n, feeds in enumerate(inputs):
        tell(n, len(inputs))
        flows = {**feeds, **dict(zip(given, run(session, feeds), strict=True))}
        for node in every:
            seen = _seen(network, node, flows[node.input[0]], chance)
            key = node.name
            sums[key] = sums.get(key, 0) + seen.sum(axis=1)
            squares[key] = squares.get(key, 0) + np.swapaxes(seen, 1, 2) @ seen
            counts[key] = counts.get(key, 0) + seen.shape[1]
    found = {}
    for name, total in sums.items():
        means = total / counts[name]
        products = squares[name] / counts[name] - means[:, :, None] * means[:, None]
        found[name] = Together(means=means, products=products)
    return found


def scales(
    network: Network, node: onnx.NodeProto, flow: tuple[float, float], bits: int
) -> Floats:
    """Returns (rows,) the step of each row of a node's weight.

    Args:
        network: Float.
        node: With weights.
        flow: The least and the most of what they are multiplied with.
        bits: Of each weight.
    """
    rows = _rows(network, node)
    steps = np.abs(rows).max(axis=1) / (2 ** (bits - 1) - 1)
    if len(node.input) > 2 and node.input[2] and network.is_stored(node.input[2]):
        low, high = min(flow[0], 0.0), max(flow[1], 0.0)
        bias = np.abs(network.weight(node.input[2])).reshape(-1)
        if high > low and len(bias) == len(steps):
            steps = np.maximum(steps, bias * _FLOW_STEPS / (_MOST_BIAS * (high - low)))
    steps[steps == 0] = 1
    found: Floats = steps.astype(np.float32)
    return found


def rounded(
    network: Network,
    together: Mapping[str, Together],
    steps: Mapping[str, Floats],
    bits: int,
) -> Network:
    """Returns a network whose weights lie on their steps, and its biases beside them.

    Args:
        network: Float.
        together: By node.
        steps: (rows,) by node, in the order of its rows.
        bits: Of each weight.
    """
    changed = network.copy()
    most = 2 ** (bits - 1) - 1
    for node in network.weighted():
        if node.name not in together or node.name not in steps:
            continue
        rows = _rows(network, node).astype(np.float64)
        found, step = together[node.name], steps[node.name].astype(np.float64)
        n_groups = len(found.means)
        n_each = len(rows) // n_groups
        shape = (n_groups, n_each, rows.shape[1])
        new = _compensated(
            rows.reshape(shape), found.products, step.reshape(n_groups, n_each), most
        )
        moved = np.einsum("gec,gc->ge", rows.reshape(shape) - new, found.means)
        _put_rows(changed, node, new.reshape(rows.shape))
        if len(node.input) > 2 and node.input[2]:
            bias = network.weight(node.input[2])
            changed.replace(node.input[2], bias + moved.reshape(bias.shape))
    return changed


def _compensated(
    rows: Numbers, products: Numbers, steps: Numbers, most: int
) -> Numbers:
    """Returns (groups, rows, columns) rounded, later columns making up for earlier.

    Args:
        rows: (groups, rows, columns)
        products: (groups, columns, columns)
        steps: (groups, rows)
        most: The largest number.
    """
    n_columns = rows.shape[2]
    diagonal = np.einsum("gcc->gc", products)
    damp = _DAMP * diagonal.mean(axis=1) + 1e-12
    # What weighs most is rounded first, while there is most to make up for it.
    order = np.argsort(-diagonal, axis=1, kind="stable")  # (groups, columns)
    back = np.argsort(order, axis=1, kind="stable")
    sorted_ = np.take_along_axis(
        np.take_along_axis(products, order[:, :, None], axis=1),
        order[:, None, :],
        axis=2,
    )
    sorted_ = sorted_ + damp[:, None, None] * np.eye(n_columns)
    upper = np.swapaxes(np.linalg.cholesky(np.linalg.inv(sorted_)), 1, 2)
    left = np.take_along_axis(rows, order[:, None, :], axis=2).copy()
    found = np.empty_like(left)
    for at in range(n_columns):
        column = left[:, :, at]
        nearest = np.clip(np.rint(column / steps), -most, most) * steps
        found[:, :, at] = nearest
        lost = (column - nearest) / upper[:, None, at, at]
        left[:, :, at + 1 :] -= lost[:, :, None] * upper[:, None, at, at + 1 :]
    return np.take_along_axis(found, back[:, None, :], axis=2)


def _is_roundable(network: Network, node: onnx.NodeProto) -> bool:
    """Whether a node's weight is its own, and seen by it in columns."""
    if node.op_type not in ("Conv", "Gemm") or not network.is_stored(node.input[1]):
        return False
    if network.is_shared(node.input[1]) or network.weight(node.input[1]).ndim not in (
        2,
        4,
    ):
        return False
    if len(node.input) > 2 and (
        not network.is_stored(node.input[2]) or network.is_shared(node.input[2])
    ):
        return False
    if node.op_type == "Gemm":
        is_plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
        if not is_plain or attribute(node, "transA", 0):
            return False
    # A bias that all rows share cannot take the mean of each.
    return len(node.input) < 3 or (
        network.weight(node.input[2]).size == len(_rows(network, node))
    )


def _rows(network: Network, node: onnx.NodeProto) -> Floats:
    """Returns (rows, columns) a node's weight; a row makes one channel."""
    weight: Floats = network.weight(node.input[1])
    if node.op_type == "Gemm" and not attribute(node, "transB", 0):
        return weight.T
    return weight.reshape(len(weight), -1)


def _put_rows(network: Network, node: onnx.NodeProto, rows: Numbers) -> None:
    shape = network.weight(node.input[1]).shape
    if node.op_type == "Gemm" and not attribute(node, "transB", 0):
        network.replace(node.input[1], rows.T)
    else:
        network.replace(node.input[1], rows.reshape(shape))


def _seen(
    network: Network, node: onnx.NodeProto, flow: Array, chance: np.random.Generator
) -> Numbers:
    """Returns (groups, places, columns) what a node's weights are multiplied with."""
    if node.op_type == "Gemm":
        return flow.reshape(1, -1, flow.shape[-1]).astype(np.float64)
    weight = network.weight(node.input[1])
    groups = attribute(node, "group", 1)
    pads = _pads(node, flow.shape[2:], weight.shape[2:])
    padded = np.pad(flow[0], [(0, 0), *pads])
    strides = attribute(node, "strides", [1, 1])
    dilations = attribute(node, "dilations", [1, 1])
    reach = [
        (size - 1) * apart + 1
        for size, apart in zip(weight.shape[2:], dilations, strict=True)
    ]
    windows = sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    n_places = windows.shape[1] * windows.shape[2]
    some = chance.choice(n_places, min(_N_PLACES, n_places), replace=False)
    down, across = np.divmod(some, windows.shape[2])
    seen = windows[:, down, across]  # (channels, places, kh, kw)
    seen = seen.reshape(groups, len(flow[0]) // groups, len(some), -1)
    return seen.transpose(0, 2, 1, 3).reshape(groups, len(some), -1).astype(np.float64)


def _pads(
    node: onnx.NodeProto, picture: Sequence[int], kernel: Sequence[int]
) -> list[tuple[int, int]]:
    """Returns what is added before and after, downwards and across."""
    auto = attribute(node, "auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", ""):
        top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
        return [(top, bottom), (left, right)]
    if auto == "VALID":
        return [(0, 0), (0, 0)]
    found = []
    strides = attribute(node, "strides", [1, 1])
    dilations = attribute(node, "dilations", [1, 1])
    for size, width, stride, apart in zip(
        picture, kernel, strides, dilations, strict=True
    ):
        reach = (width - 1) * apart + 1
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        less = total // 2
        more = total - less
        found.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return found
