"""Whether a network is given what it was trained with, as its own weights remember.

Batch normalisation keeps the mean and the variance of what flowed into each layer
while the network was trained. Given the same kind of pictures, prepared in the same
way, about the same flows again. Another mean, blue for red, or another activation
function show as a distance: the divergence of normal distributions

    KL = (v / V + (M - m)^2 / V - 1 + log(V / v)) / 2

of mean m and variance v, as they are, from M and V, as they were, averaged over
channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.preprocessing import Preprocessing
from quantize.errors import QuantizeError
from quantize.onnx_session import Array, open_session, run
from quantize.vision.network import Network, attribute
from quantize.vision.photographs import Crop, numbers

_N_FIRST = 4
"""Layers at which pictures are still nearly what they were given as."""
_FITS_BETTER = 0.75
"""Of the distance, from which on another preparation is taken for the right one."""
_IS_ANOTHER = 0.4
"""Median distance over all layers from which on the network is not what was trained."""
_ALTERNATIVES: Mapping[str, tuple[float, tuple[float, ...], tuple[float, ...]]] = {
    "the mean and deviation of ImageNet": (
        1 / 255,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "numbers from -1 to 1": (1 / 255, (127 / 255,) * 3, (128 / 255,) * 3),
    "numbers from 0 to 1": (1 / 255, (0.0,) * 3, (1.0,) * 3),
    "numbers from 0 to 255": (1.0, (0.0,) * 3, (1.0,) * 3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far what flows is from what was trained with."""

    first: float
    """Over the first layers."""
    median: float
    """Over all layers."""


def check_trained(network: Network, how: Preprocessing, some: Sequence[Crop]) -> str:
    """Returns what was found, in a sentence; nothing where a network remembers nothing.

    Args:
        network: As it was exported, with its batch normalisation.
        how: How pictures are said to be prepared.
        some: Pictures.

    Raises:
        QuantizeError: ``preprocess_wrong`` or ``network_wrong``.
    """
    if not _layers(network):
        return ""
    here = distance(network, numbers(some, how))
    others = {
        name: distance(network, numbers(some, other))
        for name, other in _others(how).items()
    }
    best, nearest = min(others.items(), key=lambda one: one[1].first)
    if nearest.first < _FITS_BETTER * here.first:
        raise QuantizeError(
            "preprocess_wrong",
            f"Pictures are not prepared as the network was trained: with {best} its "
            f"first layers see what they saw then (distance {nearest.first:.3f}), and "
            f"as it is they do not ({here.first:.3f}).",
            "Mend order, scale, mean and std of the preprocessing.",
        )
    if here.median > _IS_ANOTHER:
        raise QuantizeError(
            "network_wrong",
            "The network is not the one that was trained: the pictures fit, and then "
            f"what flows does not (distance {here.median:.2f} in its middle layer, "
            f"{here.first:.2f} in the first). An activation function, such as ReLU6, "
            "became another, or layers are missing.",
            "Export it as it was trained.",
        )
    return (
        "Batch normalisation remembers what it was trained with: the distance of these "
        f"pictures is {here.first:.3f} in the first layers and {here.median:.3f} in "
        f"the middle one; {best} would be next, with {nearest.first:.3f}."
    )


def distance(network: Network, pictures: Sequence[Array]) -> Distance:
    """Returns how far what flows is from what was trained with.

    Args:
        network: With batch normalisation.
        pictures: As it is given them.
    """
    layers = _layers(network)
    names = [layer[0] for layer in layers]
    session = open_session(
        network.exposing(names).SerializeToString(deterministic=True), threads=1
    )
    given = [one.name for one in session.get_outputs()]
    sums: dict[str, Array] = {}
    squares: dict[str, Array] = {}
    counts: dict[str, int] = {}
    (name,) = network.inputs
    for picture in pictures:
        for tensor, array in zip(given, run(session, {name: picture}), strict=True):
            if tensor not in names:
                continue
            axes = (0, *range(2, array.ndim))
            exact = array.astype(np.float64)
            sums[tensor] = sums.get(tensor, 0) + exact.sum(axis=axes)
            squares[tensor] = squares.get(tensor, 0) + (exact**2).sum(axis=axes)
            counts[tensor] = counts.get(tensor, 0) + array.size // array.shape[1]
    found = []
    for tensor, mean, variance, least in layers:
        m = sums[tensor] / counts[tensor]
        v = squares[tensor] / counts[tensor] - m**2 + least
        big = variance + least
        kl = (v / big + (mean - m) ** 2 / big - 1 + np.log(big / v)) / 2
        found.append(float(kl.mean()))
    return Distance(
        first=float(np.mean(found[:_N_FIRST])), median=float(np.median(found))
    )


def _layers(network: Network) -> list[tuple[str, Array, Array, float]]:
    """Returns what flows into each batch normalisation, and what flowed then."""
    return [
        (
            str(node.input[0]),
            network.weight(node.input[3]).astype(np.float64),
            network.weight(node.input[4]).astype(np.float64),
            float(attribute(node, "epsilon", 1e-5)),
        )
        for node in network.nodes
        if node.op_type == "BatchNormalization"
        and all(network.is_stored(name) for name in node.input[3:5])
        and not network.is_stored(node.input[0])
    ]


def _others(how: Preprocessing) -> dict[str, Preprocessing]:
    """Returns other ways to prepare pictures, by what they are called."""
    swapped = "bgr" if how.order == "rgb" else "rgb"
    turned = replace(how, order=swapped, mean=how.mean[::-1], std=how.std[::-1])
    found = {f"{swapped.upper()} for {how.order.upper()}": turned}
    for name, (scale, mean, std) in _ALTERNATIVES.items():
        first, second, third = mean
        wide, wider, widest = std
        other = replace(
            how,
            scale=scale,
            mean=(first, second, third),
            std=(wide, wider, widest),
        )
        if not _is_about(how, other):
            found[name] = other
    return found


def _is_about(how: Preprocessing, other: Preprocessing) -> bool:
    """Whether two ways make nearly the same numbers."""
    ends = np.array([0.0, 255.0])
    return all(
        np.allclose((ends * how.scale - m) / s, (ends * other.scale - n) / t, atol=0.05)
        for m, s, n, t in zip(how.mean, how.std, other.mean, other.std, strict=True)
    )
