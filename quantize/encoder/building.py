"""An encoder as an ONNX graph of float32, pooling and normalisation in it.

It is built from the weights, node by node, so that the same weights give the same bytes
and every product has a name. Query, key and value are one product: they read the same.
What it computes is compared with torch before anybody relies on it (`parity`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.encoder_file import OUTPUT
from quantize.encoder.shape import Pooling, Shape

OPSET = 20
"""The first with Gelu; layer norms came with 17."""
IR_VERSION = 10
EMBEDDING = "embedding.words"
"""Of the weight that most of the bytes are in."""
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
_HIDDEN = -1e9
"""Added to the score of padding; its share is then 0 to the last bit."""

Floats = npt.NDArray[np.float32]


def build_encoder(shape: Shape, weights: Mapping[str, Floats]) -> onnx.ModelProto:
    """Returns an encoder of sentences: pieces in, a vector of length 1 out, (b, d).

    Args:
        shape: Its sizes.
        weights: By name, as its family names them.
    """
    graph = _Graph(shape=shape, weights=weights)
    state = graph.embedded()  # (b, t, d)
    for n in range(shape.n_layers):
        state = graph.layer(n, state)
    graph.pooled(state)
    inputs = [IDS, MASK, *([TYPES] if shape.family.types else [])]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "encoder",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"])
                for name in inputs
            ],
            [
                helper.make_tensor_value_info(
                    OUTPUT, TensorProto.FLOAT, ["b", shape.width]
                )
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="headside",
    )
    model.ir_version = IR_VERSION
    return model


@dataclass(slots=True, kw_only=True)
class _Graph:
    shape: Shape
    weights: Mapping[str, Floats]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def embedded(self) -> str:
        """Returns the name of what the layers read."""
        family = self.shape.family
        words = self._stored(EMBEDDING, self.weights[family.words])
        found = self._node("Gather", [words, IDS], "embedding/words")
        positions = self._stored("embedding.positions", self.weights[family.positions])
        length = self._node("Shape", [IDS], "embedding/length", start=1, end=2)
        placed = self._node(
            "Slice",
            [positions, self._ints("zero", [0]), length, self._ints("rows", [0])],
            "embedding/positions",
        )
        found = self._node("Add", [found, placed], "embedding/placed")
        if family.types:
            types = self._stored("embedding.types", self.weights[family.types])
            told = self._node("Gather", [types, TYPES], "embedding/types")
            found = self._node("Add", [found, told], "embedding/typed")
        mask = self._node("Cast", [MASK], "mask/float", to=TensorProto.FLOAT)
        absent = self._node("Sub", [self._one(), mask], "mask/absent")
        hidden = self._node(
            "Mul", [absent, self._stored("hidden", np.float32(_HIDDEN))], "mask/hidden"
        )
        self._node("Unsqueeze", [hidden, self._ints("heads", [1, 2])], "mask/scores")
        return self._norm(found, family.norm, "embedding/norm")

    def layer(self, n: int, state: str) -> str:
        """Returns the name of what a layer makes of the one before it, (b, t, d)."""
        names, at = self.shape.family.names, f"layer{n}"
        where = self.shape.family.layer.format(n)
        mixed = self._attention(at, where, state)
        mixed = self._product(mixed, [f"{where}.{names.attended}"], f"{at}/attended")
        mixed = self._node("Add", [mixed, state], f"{at}/attended_sum")
        mixed = self._norm(mixed, f"{where}.{names.attended_norm}", f"{at}/mid_norm")
        wide = self._product(mixed, [f"{where}.{names.widened}"], f"{at}/widened")
        wide = self._node("Gelu", [wide], f"{at}/gelu")
        found = self._product(wide, [f"{where}.{names.narrowed}"], f"{at}/narrowed")
        found = self._node("Add", [found, mixed], f"{at}/narrowed_sum")
        return self._norm(found, f"{where}.{names.narrowed_norm}", f"{at}/norm")

    def pooled(self, state: str) -> None:
        """Adds how the vectors of pieces become one of length 1."""
        if self.shape.pooling is Pooling.CLS:
            one = self._node(
                "Gather",
                [state, self._stored("first", np.int64(0))],
                "pool/one",
                axis=1,
            )
        else:
            axis = self._ints("pieces", [1])
            mask = self._node(
                "Unsqueeze", ["mask/float", self._ints("last", [2])], "pool/mask"
            )
            kept = self._node("Mul", [state, mask], "pool/kept")
            total = self._node("ReduceSum", [kept, axis], "pool/sum", keepdims=0)
            n_all = self._node("ReduceSum", [mask, axis], "pool/count", keepdims=0)
            n_all = self._node("Max", [n_all, self._one()], "pool/least")
            one = self._node("Div", [total, n_all], "pool/one")
        length = self._node(
            "ReduceL2", [one, self._ints("width", [1])], "pool/length", keepdims=1
        )
        least = self._stored("least", np.float32(1e-12))
        length = self._node("Max", [length, least], "pool/positive")
        self.nodes.append(helper.make_node("Div", [one, length], [OUTPUT], name=OUTPUT))

    def _attention(self, at: str, where: str, state: str) -> str:
        shape, names = self.shape, self.shape.family.names
        n_each = shape.width // shape.n_heads
        both = self._product(
            state,
            [f"{where}.{one}" for one in (names.query, names.key, names.value)],
            f"{at}/qkv",
            scales=(1 / math.sqrt(n_each), 1, 1),
        )  # (b, t, 3 d)
        split = self._ints("split", [0, 0, 3, shape.n_heads, n_each])
        both = self._node("Reshape", [both, split], f"{at}/qkv_split")
        parts = [f"{at}/{name}" for name in ("query", "key", "value")]
        self.nodes.append(
            helper.make_node(
                "Split",
                [both],
                [f"{one}_row" for one in parts],
                f"{at}/parts",
                axis=2,
                num_outputs=3,
            )
        )
        query, key, value = (
            self._node(
                "Transpose",
                [
                    self._node(
                        "Squeeze",
                        [f"{one}_row", self._ints("last", [2])],
                        f"{one}_part",
                    )
                ],
                one,
                perm=[0, 2, 3, 1] if one.endswith("key") else [0, 2, 1, 3],
            )
            for one in parts
        )  # (b, h, t, d / h), but the keys (b, h, d / h, t)
        scores = self._node("MatMul", [query, key], f"{at}/scores")
        scores = self._node("Add", [scores, "mask/scores"], f"{at}/scores_masked")
        shares = self._node("Softmax", [scores], f"{at}/shares", axis=-1)
        mixed = self._node("MatMul", [shares, value], f"{at}/mixed")
        mixed = self._node("Transpose", [mixed], f"{at}/mixed_rows", perm=[0, 2, 1, 3])
        joined = self._ints("joined", [0, 0, shape.width])
        return self._node("Reshape", [mixed, joined], f"{at}/mixed_all")

    def _product(
        self, state: str, names: Sequence[str], at: str, scales: Sequence[float] = (1,)
    ) -> str:
        """Adds a product with one or more weights side by side, and their biases."""
        sides = [
            self.weights[f"{one}.weight"].T * np.float32(scale)
            for one, scale in zip(names, scales, strict=True)
        ]  # (in, out)
        shifts = [
            self.weights[f"{one}.bias"] * np.float32(scale)
            for one, scale in zip(names, scales, strict=True)
        ]
        weight = self._stored(f"{at}.weight", np.concatenate(sides, axis=1))
        bias = self._stored(f"{at}.bias", np.concatenate(shifts))
        found = self._node("MatMul", [state, weight], at)
        return self._node("Add", [found, bias], f"{at}_bias")

    def _norm(self, state: str, name: str, at: str) -> str:
        scale = self._stored(f"{at}.scale", self.weights[f"{name}.weight"])
        bias = self._stored(f"{at}.bias", self.weights[f"{name}.bias"])
        return self._node(
            "LayerNormalization",
            [state, scale, bias],
            at,
            axis=-1,
            epsilon=self.shape.epsilon,
        )

    def _node(self, op: str, inputs: Sequence[str], name: str, **settings: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name, **settings))
        return name

    def _stored(self, name: str, array: npt.ArrayLike) -> str:
        if all(one.name != name for one in self.initializers):
            stored = (
                np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
            )
            self.initializers.append(numpy_helper.from_array(stored, name))
        return name

    def _ints(self, name: str, numbers: Sequence[int]) -> str:
        return self._stored(f"ints.{name}", np.array(numbers, np.int64))

    def _one(self) -> str:
        return self._stored("one", np.float32(1))
