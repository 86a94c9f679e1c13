"""The ways to make an encoder small, those that onnxruntime knows and others.

onnxruntime's own quantizer does the dynamic and the static way; `rewriting` the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from quantize.encoder.pieces import Feeds
from quantize.encoder.rewriting import (
    BLOCK,
    Calibration,
    blocks,
    by_piece,
    copied,
    products,
    smoothed,
)
from quantize.onnx_file import save_onnx
from quantize.onnx_session import without_advice

Build = Callable[[onnx.ModelProto, Collection[str], Calibration], onnx.ModelProto]
"""Makes a copy of a model small, some of its products left in float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A way, and what is known of it before it is tried."""

    name: str
    told: str
    build: Build
    is_apart: bool
    """Whether a sentence's vector never depends on what is read together with it."""
    is_fast: bool = True
    """Whether it is one of those to choose from; others are shown beside."""


def dynamic(
    model: onnx.ModelProto, left: Collection[str], _calibration: Calibration
) -> onnx.ModelProto:
    """Returns what onnxruntime makes, with a scale for each input as it comes."""
    names = [one.name for one in products(model) if one.name not in left]
    if not names:
        return copied(model)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        save_onnx(model, before)
        with without_advice():
            quantize_dynamic(
                before,
                after,
                nodes_to_quantize=names,
                per_channel=True,
                # Signed ones overflow in AVX2's products where they have all 8 bits.
                weight_type=QuantType.QUInt8,
            )
        return onnx.load(after)


def static(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    """Returns what onnxruntime makes, with the scales that it calibrates (QDQ)."""
    names = [one.name for one in products(model) if one.name not in left]
    if not names:
        return copied(model)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        save_onnx(model, before)
        with without_advice():
            quantize_static(
                before,
                after,
                _Reader(calibration.feeds),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                nodes_to_quantize=names,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QUInt8,
                # What comes out goes into sums and norms, which are in float.
                extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
            )
        return onnx.load(after)


def _smoothed_dynamic(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    return dynamic(smoothed(model, left, calibration), left, calibration)


def _smoothed_static(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    return static(smoothed(model, left, calibration), left, calibration)


def _plain_by_piece(
    model: onnx.ModelProto, left: Collection[str], _calibration: Calibration
) -> onnx.ModelProto:
    return by_piece(model, left, None)


def _smoothed_by_piece(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    return by_piece(_less_gelu(model, left, calibration), left, None)


def _mended_by_piece(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    return by_piece(_less_gelu(model, left, calibration), left, calibration)


def _less_gelu(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    """Returns a smoothed model, but for what Gelu gives: that has a known least."""
    gelus = {one.output[0] for one in model.graph.node if one.op_type == "Gelu"}
    after = {one.name for one in products(model) if one.input[0] in gelus}
    return smoothed(model, {*left, *after}, calibration)


DYNAMIC = Recipe(
    name="dynamic",
    told="onnxruntime, a scale for each input as it comes",
    build=dynamic,
    is_apart=False,
)
MENDED = Recipe(
    name="by piece, smoothed, mended",
    told="the same, and weights make up for what others lose (GPTQ)",
    build=_mended_by_piece,
    is_apart=True,
)
WAYS = (
    DYNAMIC,
    Recipe(
        name="dynamic, smoothed",
        told="the same, channels made alike first",
        build=_smoothed_dynamic,
        is_apart=False,
    ),
    Recipe(
        name="static",
        told="onnxruntime, scales calibrated on sentences (QDQ, min and max)",
        build=static,
        is_apart=True,
    ),
    Recipe(
        name="static, smoothed",
        told="the same, channels made alike first",
        build=_smoothed_static,
        is_apart=True,
    ),
    Recipe(
        name="by piece",
        told="integers with a scale for each piece of a sentence",
        build=_plain_by_piece,
        is_apart=True,
    ),
    Recipe(
        name="by piece, smoothed",
        told="the same, channels made alike first",
        build=_smoothed_by_piece,
        is_apart=True,
    ),
    MENDED,
    Recipe(
        name="blocks",
        told=f"weights with a scale for {BLOCK} of a column (MatMulNBits); slow where "
        "there is no AVX-512, so it is only shown",
        build=blocks,
        is_apart=True,
        is_fast=False,
    ),
)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)
