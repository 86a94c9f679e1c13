"""Networks for `bench_quantize_onnx.py`, as `quantize vision` is told of them."""

from __future__ import annotations

from typing import Any

from efficientnet_lite_pytorch import EfficientNet


def efficientnet_lite0() -> Any:
    """Returns EfficientNet-Lite0, as it was trained: with ReLU6."""
    return EfficientNet.from_name("efficientnet-lite0")


def swish_for_relu6() -> Any:
    """Returns the same with another activation function: a mistake of an export."""
    network = efficientnet_lite0()
    network.set_swish()
    return network
