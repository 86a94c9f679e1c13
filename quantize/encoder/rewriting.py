"""Rewrites an encoder's float graph: each function returns another that is smaller.

Built of operators that onnxruntime has kernels for. Words are stored as int8 with a
scale for each word. Channels of activations that are far larger than others are made
smaller before a product and its weights larger (SmoothQuant, Xiao et al. 2023): the
product stays the same. Activations get a scale for each piece of a sentence, so that no
sentence depends on those it is read with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from quantize.encoder.building import EMBEDDING, IDS, Floats
from quantize.encoder.pieces import Feeds
from quantize.encoder.rounding import Doubles, rounded
from quantize.onnx_file import weights

SMOOTHED = 0.75
"""How much of the difference between channels goes to the weights."""
BLOCK = 64
EMBEDDED = "embedding/words"
"""The node that looks words up."""
_BITS = 127
_MIDDLE = 128
_GELU_LEAST = 0.17
"""Gelu gives nothing below minus this."""
_GELU_ZERO = 20
"""What stands for 0 among 256 steps where nothing is below minus a fraction."""
_GELU_STEPS = 255 - _GELU_ZERO
_MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What flows into a product, over the sentences that calibrate."""

    most: Floats
    """(channels,) the largest magnitude."""
    gram: Doubles
    """(channels, channels) sums of products."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is known of activations."""

    seen: Mapping[str, Seen]
    """By product."""
    feeds: Sequence[Feeds]
    """The sentences, for onnxruntime's own calibration."""
    mended: dict[str, npt.NDArray[np.int8]] = field(default_factory=dict)
    """Weights in steps, once they were rounded: that takes long."""


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Returns the products with a weight, in order; what is between vectors is not."""
    stored = weights(model)
    return [
        node
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in stored
    ]


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns another model like it."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def embedding_in_rows(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a model whose words are stored as int8, with a scale for each."""
    made = copied(model)
    rows = numpy_helper.to_array(weights(made)[EMBEDDING])  # (words, d)
    scales = _scales(rows, axis=1)  # (words, 1)
    _drop(made, EMBEDDING)
    name = _store(made, f"{EMBEDDING}.int8", np.round(rows / scales).astype(np.int8))
    scale = _store(made, f"{EMBEDDING}.scale", scales.astype(np.float32))
    at = next(n for n, one in enumerate(made.graph.node) if one.name == EMBEDDED)
    _replace(
        made,
        at,
        [
            _node("Gather", [name, IDS], f"{EMBEDDED}.int8"),
            _node("Cast", [f"{EMBEDDED}.int8"], f"{EMBEDDED}.float", to=1),
            _node("Gather", [scale, IDS], f"{EMBEDDED}.scale"),
            _node("Mul", [f"{EMBEDDED}.float", f"{EMBEDDED}.scale"], EMBEDDED),
        ],
    )
    return made


def smoothed(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration
) -> onnx.ModelProto:
    """Returns a model that computes the same, its activations more alike."""
    made = copied(model)
    for node in list(products(made)):
        if node.name in left:
            continue
        weight = numpy_helper.to_array(weights(made)[node.input[1]])  # (in, out)
        most = calibration.seen[node.name].most.clip(1e-4)
        rows = np.abs(weight).max(axis=1).clip(1e-5)
        by = most**SMOOTHED / rows ** (1 - SMOOTHED)
        by = (by / np.exp(np.log(by).mean())).astype(np.float32)  # (in,)
        name = node.input[1]
        _drop(made, name)
        _store(made, name, weight * by[:, None])
        scale = _store(made, f"{node.name}.smooth", 1 / by)
        at = list(made.graph.node).index(node)
        even = f"{node.name}/smooth"
        mul = _node("Mul", [node.input[0], scale], even)
        node.input[0] = even
        made.graph.node.insert(at, mul)
    return made


def by_piece(
    model: onnx.ModelProto, left: Collection[str], calibration: Calibration | None
) -> onnx.ModelProto:
    """Returns a model whose products are of integers, a scale for each piece.

    Args:
        model: Smoothed or not.
        left: Products that stay in float.
        calibration: With it, weights make up for what others lose by rounding.
    """
    made = copied(model)
    gelus = {one.output[0] for one in made.graph.node if one.op_type == "Gelu"}
    zero = _store(made, "rows.middle", np.uint8(_MIDDLE))
    low = _store(made, "rows.low", np.uint8(_GELU_ZERO))
    unit = _store(made, "rows.unit", np.float32(1))
    last = _store(made, "rows.last", np.array([-1], np.int64))
    even = _store(made, "rows.even", np.float32(_BITS))
    steps = _store(made, "rows.steps", np.float32(_GELU_STEPS))
    floor = np.float32(_GELU_LEAST * _GELU_STEPS / _GELU_ZERO)
    least = _store(made, "rows.least", floor)
    tiny = _store(made, "rows.tiny", np.float32(1e-9))
    for node in list(products(made)):
        if node.name in left:
            continue
        name, at, state = node.input[1], node.name, node.input[0]
        weight = numpy_helper.to_array(weights(made)[name])  # (in, out)
        scales = _scales(weight, axis=0)[0]  # (out,)
        _drop(made, name)
        whole = np.round(weight / scales).astype(np.int8)
        if calibration is not None:
            whole = _mended(made, node, weight, scales, calibration)
        ints = _store(
            made, f"{name}.uint8", (whole.astype(np.int16) + _MIDDLE).astype(np.uint8)
        )
        is_gelu = state in gelus
        n_steps, top = (_GELU_STEPS, steps) if is_gelu else (_BITS, even)
        by = _store(made, f"{name}.scale", (scales / n_steps).astype(np.float32))
        if is_gelu:
            found = [
                _node("ReduceMax", [state, last], f"{at}.top", keepdims=1),
                _node("Max", [f"{at}.top", least], f"{at}.most"),
            ]
        else:
            found = [
                _node("Abs", [state], f"{at}.abs"),
                _node("ReduceMax", [f"{at}.abs", last], f"{at}.top", keepdims=1),
                _node("Max", [f"{at}.top", tiny], f"{at}.most"),
            ]
        offset = low if is_gelu else zero
        found += [
            _node("Div", [top, f"{at}.most"], f"{at}.by"),
            _node("Mul", [state, f"{at}.by"], f"{at}.scaled"),
            _node("QuantizeLinear", [f"{at}.scaled", unit, offset], f"{at}.in"),
            _node("MatMulInteger", [f"{at}.in", ints, offset, zero], f"{at}.sum"),
            _node("Cast", [f"{at}.sum"], f"{at}.float", to=1),
            _node("Mul", [f"{at}.float", f"{at}.most"], f"{at}.piece"),
            _node("Mul", [f"{at}.piece", by], at),
        ]
        _replace(made, list(made.graph.node).index(node), found)
    return made


def blocks(
    model: onnx.ModelProto, left: Collection[str], _calibration: Calibration
) -> onnx.ModelProto:
    """Returns a model whose weights have a scale for each block of a column."""
    made = copied(model)
    for node in list(products(made)):
        name = node.input[1]
        weight = numpy_helper.to_array(weights(made)[name])  # (in, out)
        n_in, n_out = weight.shape
        if node.name in left or n_in % BLOCK:
            continue
        parts = weight.T.reshape(n_out, n_in // BLOCK, BLOCK)
        scales = _scales(parts, axis=2)  # (out, blocks, 1)
        whole = np.round(parts / scales).astype(np.int16) + _MIDDLE
        _drop(made, name)
        ints = _store(made, f"{name}.blocks", whole.astype(np.uint8))
        by = _store(made, f"{name}.scale", scales[..., 0].astype(np.float32))
        product = helper.make_node(
            "MatMulNBits",
            [node.input[0], ints, by],
            list(node.output),
            node.name,
            domain=_MICROSOFT,
            K=n_in,
            N=n_out,
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # activations are int8 as well
        )
        _replace(made, list(made.graph.node).index(node), [product])
    if all(one.domain != _MICROSOFT for one in made.opset_import):
        made.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
    return made


def _mended(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    weight: Floats,
    scales: Floats,
    calibration: Calibration,
) -> npt.NDArray[np.int8]:
    """Returns the steps of a weight; what else stays in float changes nothing."""
    known = calibration.mended
    if node.name not in known:
        gram = _gram(model, node.name, calibration)
        known[node.name] = rounded(
            weight.astype(np.float64), scales.astype(np.float64), gram
        )
    return known[node.name]


def _gram(model: onnx.ModelProto, name: str, calibration: Calibration) -> Doubles:
    """Returns how the inputs of a product correlate, where they were smoothed, too."""
    gram = calibration.seen[name].gram
    by = weights(model).get(f"{name}.smooth")
    if by is None:
        return gram
    scale = numpy_helper.to_array(by).astype(np.float64)
    scaled: Doubles = gram * np.outer(scale, scale)
    return scaled


def _scales(array: Floats, *, axis: int) -> Floats:
    """Returns steps so that the largest magnitude along an axis is 127 of them."""
    most = np.abs(array).max(axis=axis, keepdims=True)
    scales: Floats = np.where(most > 0, most / np.float32(_BITS), np.float32(1))
    return scales


def _store(model: onnx.ModelProto, name: str, array: object) -> str:
    stored = np.asarray(array)
    if stored.ndim:
        stored = np.ascontiguousarray(stored)
    model.graph.initializer.append(numpy_helper.from_array(stored, name))
    return name


def _drop(model: onnx.ModelProto, name: str) -> None:
    model.graph.initializer.remove(weights(model)[name])


def _node(op: str, inputs: Sequence[str], name: str, **settings: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [name], name, **settings)


def _replace(model: onnx.ModelProto, at: int, nodes: Sequence[onnx.NodeProto]) -> None:
    del model.graph.node[at]
    for n, node in enumerate(nodes):
        model.graph.node.insert(at + n, node)
