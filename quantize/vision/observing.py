"""What flows through a network on real images, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quantize.child import Tell
from quantize.onnx_session import Array, open_session, run
from quantize.vision.network import Floats, Network

_N_KEPT = 2048
"""Values of a tensor that are kept of each image: enough for the 99.9th percentile of
some dozens of images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flow:
    """A tensor, over all images."""

    low: Floats
    """(channels,) the least."""
    high: Floats
    """(channels,) the most."""
    square: Floats
    """(channels,) the mean of squares."""
    values: Floats
    """(n,) some of them, in ascending order."""
    shape: tuple[int, ...]
    """Of one image."""

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most of all."""
        return float(self.low.min()), float(self.high.max())


def observe(
    network: Network, inputs: Sequence[Mapping[str, Array]], threads: int, tell: Tell
) -> dict[str, Flow]:
    """Returns what every tensor of floats holds that depends on the input.

    Args:
        network: Float; channels are the second dimension of a tensor, and one where it
            has no second.
        inputs: By name, one image each.
        threads: How many work.
        tell: Told how many images are done.
    """
    names = list(network.flowing())
    session = open_session(
        network.exposing(names).SerializeToString(deterministic=True), threads=threads
    )
    given = [one.name for one in session.get_outputs()]
    lows: dict[str, list[Floats]] = {}
    highs: dict[str, list[Floats]] = {}
    squares: dict[str, list[Floats]] = {}
    kept: dict[str, list[Floats]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for n, feeds in enumerate(inputs):
        tell(n, len(inputs))
        for name, array in [
            *feeds.items(),
            *zip(given, run(session, feeds), strict=True),
        ]:
            if array.dtype != np.float32 or not array.size:
                continue
            rows = _by_channel(array)
            lows.setdefault(name, []).append(rows.min(axis=1))
            highs.setdefault(name, []).append(rows.max(axis=1))
            squares.setdefault(name, []).append((rows * rows).mean(axis=1))
            shapes[name] = array.shape
            step = max(1, array.size // _N_KEPT)
            kept.setdefault(name, []).append(array.ravel()[::step].copy())
    return {
        name: Flow(
            low=np.min(lows[name], axis=0),
            high=np.max(highs[name], axis=0),
            square=np.mean(squares[name], axis=0),
            values=np.sort(np.concatenate(kept[name])),
            shape=shapes[name],
        )
        for name in lows
    }


def _by_channel(array: Array) -> Floats:
    """Returns (channels, values)."""
    if array.ndim < 2:
        return array.reshape(1, -1)
    moved: Floats = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
    return moved
