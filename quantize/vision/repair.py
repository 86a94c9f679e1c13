"""Finds the fewest layers that have to stay float.

Nothing here sees what judges the result: it is tried on pictures of photographs that
calibrate, which the judging ones do not share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from quantize.child import Tell, in_silence
from quantize.onnx_session import Array
from quantize.vision.evaluation import Said, noise_db, say
from quantize.vision.network import Network
from quantize.vision.qdq import INT8, Scheme, as_int8, with_bounds

Parts = Mapping[str, Sequence[onnx.NodeProto]]
"""Nodes that are quantized together, by the name of the first."""
_N_ALONE = 12
"""Pictures on which a part alone is tried."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """Pictures on which choices are tried, and what float says of them."""

    input: str
    pictures: Sequence[Array]
    reference: Said
    threads: int
    is_exact: bool

    def said(self, model: onnx.ModelProto, n: int | None = None) -> Said:
        """Returns what a network says of the first n pictures."""
        return say(
            model,
            self.input,
            self.pictures[:n],
            threads=self.threads,
            tell=in_silence,
            is_exact=self.is_exact,
        )

    def noise_db(self, model: onnx.ModelProto, n: int | None = None) -> float:
        """Returns its signal by noise."""
        reference = Said(self.reference.outputs[:n])
        return noise_db(reference, self.said(model, n))


def losses(
    whole: Network,
    small: Network,
    scheme: Scheme,
    parts: Parts,
    trial: Trial,
    tell: Tell,
) -> dict[str, float]:
    """Returns what each part adds to the noise alone, by the energy of the output.

    Args:
        whole: Float.
        small: The same with rounded weights.
        scheme: Of all of it.
        parts: What is quantized together.
        trial: On what.
        tell: Told how many parts are done.
    """
    found = {}
    for n, (name, nodes) in enumerate(parts.items()):
        tell(n, len(parts))
        names = frozenset(node.name for node in nodes)
        alone = replace(scheme, only=with_bounds(whole, names))
        db = trial.noise_db(as_int8(mixed(whole, small, nodes), alone), _N_ALONE)
        found[name] = float(10 ** (-db / 10))
    return found


def parts_of(network: Network, types: Mapping[str, str]) -> Parts:
    """Returns what is quantized together, by the name of its first node.

    That is a node with weights and what follows it up to the next ones: a sum or an
    activation function is worth nothing in eight bits where the layer before it is in
    float. What follows several belongs to the last of them.

    Args:
        network: Float.
        types: What each node is computed as, once it is quantized.
    """
    weighted = {node.name for node in network.weighted()}
    found: dict[str, list[onnx.NodeProto]] = {}
    part_of: dict[str, str] = {}
    order: dict[str, int] = {}
    for node in network.nodes:
        before = {part_of[name] for name in node.input if name in part_of}
        is_first = node.name in weighted or not before
        name = node.name if is_first else max(before, key=order.__getitem__)
        order.setdefault(name, len(order))
        part_of.update(dict.fromkeys(node.output, name))
        if types[node.name] == INT8:
            found.setdefault(name, []).append(node)
    return found


def mixed(one: Network, other: Network, nodes: Sequence[onnx.NodeProto]) -> Network:
    """Returns a network that has the weights of some nodes from another."""
    found = one.copy()
    for node in nodes:
        for name in filter(one.is_stored, node.input):
            found.replace(name, other.weight(name))
    return found


def fewest_floats(
    order: Sequence[str],
    make: Callable[[frozenset[str]], onnx.ModelProto],
    is_enough: Callable[[onnx.ModelProto], bool],
    tell: Tell,
) -> tuple[frozenset[str], onnx.ModelProto]:
    """Returns the nodes that stay float, and the network with them.

    Args:
        order: Nodes, the worst first.
        make: Returns the network with some nodes in float.
        is_enough: Whether that does.
        tell: Told how many tries there were.

    Returns:
        As few of the first as do; all of the order, where none do.
    """
    n_tries = 0

    def does(n: int) -> tuple[bool, onnx.ModelProto]:
        nonlocal n_tries
        n_tries += 1
        tell(n_tries, n_tries + 1)
        model = make(frozenset(order[:n]))
        return is_enough(model), model

    good, model = does(0)
    if good:
        return frozenset(), model
    low, high = 0, 1
    while True:
        high = min(high, len(order))
        good, model = does(high)
        if good or high == len(order):
            break
        low, high = high, 2 * high
    while high - low > 1 and good:
        middle = (low + high) // 2
        is_better, tried = does(middle)
        low, high = (low, middle) if is_better else (middle, high)
        model = tried if is_better else model
    return frozenset(order[:high]), model
