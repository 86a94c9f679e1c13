"""A convolutional network as its ONNX graph, with weights that can be looked at."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper

Floats = npt.NDArray[np.float32]
WEIGHTED = ("Conv", "Gemm", "MatMul", "ConvTranspose")
"""What has multiply-adds."""


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A model whose weights can be replaced.

    Args:
        model: Only its initializers are ever changed.
    """

    model: onnx.ModelProto
    _at: dict[str, int] = field(default_factory=dict)
    _made_by: dict[str, onnx.NodeProto] = field(default_factory=dict)
    _n_uses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        graph = self.model.graph
        self._at.update({one.name: n for n, one in enumerate(graph.initializer)})
        for node in graph.node:
            self._made_by.update(dict.fromkeys(node.output, node))
            self._n_uses.update(node.input)

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """All nodes, each after those that it needs."""
        found: Sequence[onnx.NodeProto] = self.model.graph.node
        return found

    @property
    def inputs(self) -> list[str]:
        """Names of what is given to it."""
        return [one.name for one in self.model.graph.input if one.name not in self._at]

    @property
    def outputs(self) -> list[str]:
        """Names of what it gives."""
        return [one.name for one in self.model.graph.output]

    def copy(self) -> Network:
        """Returns another that can be changed."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return Network(model)

    def made_by(self, tensor: str) -> onnx.NodeProto | None:
        """Returns the node that a tensor comes from; none for inputs and weights."""
        return self._made_by.get(tensor)

    def is_stored(self, tensor: str) -> bool:
        """Whether a tensor is a weight."""
        return tensor in self._at

    def is_shared(self, tensor: str) -> bool:
        """Whether several nodes use a tensor."""
        return self._n_uses[tensor] > 1

    def weight(self, name: str) -> npt.NDArray[Any]:
        """Returns a stored tensor."""
        return numpy_helper.to_array(self.model.graph.initializer[self._at[name]])

    def replace(self, name: str, array: npt.NDArray[Any]) -> None:
        """Stores another tensor of the same name and type."""
        stored = self.model.graph.initializer[self._at[name]]
        kept = numpy_helper.to_array(stored).dtype
        stored.CopyFrom(numpy_helper.from_array(array.astype(kept), name))

    def add(self, name: str, array: npt.NDArray[Any]) -> None:
        """Stores a tensor that was not there."""
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        self._at[name] = len(self.model.graph.initializer) - 1

    def weighted(self) -> list[onnx.NodeProto]:
        """Returns the nodes that multiply what flows with a stored weight."""
        return [
            node
            for node in self.nodes
            if node.op_type in WEIGHTED and any(map(self.is_stored, node.input[:2]))
        ]

    def exposing(self, tensors: Iterable[str]) -> onnx.ModelProto:
        """Returns the model with more outputs."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        there = {one.name for one in model.graph.output}
        for name in dict.fromkeys(tensors):
            if name not in there:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
        return model

    def flowing(self) -> Iterator[str]:
        """Yields the tensors that depend on the input, in order."""
        known = set(self.inputs)
        yield from self.inputs
        for node in self.nodes:
            if known.intersection(node.input):
                known.update(node.output)
                yield from filter(None, node.output)


def attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    """Returns an attribute of a node."""
    for one in node.attribute:
        if one.name == name:
            return onnx.helper.get_attribute_value(one)
    return otherwise


def multiply_adds(network: Network, node: onnx.NodeProto, made: tuple[int, ...]) -> int:
    """Returns how many a node does.

    Args:
        network: Of the node.
        node: With a stored weight.
        made: The shape of what it makes.
    """
    at = 1 if network.is_stored(node.input[1]) else 0
    weight = network.weight(node.input[at]).shape
    if node.op_type == "Conv":
        return math.prod(made) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        # Each number that is read is multiplied with all that it spreads to.
        strides = attribute(node, "strides", [1] * (len(weight) - 2))
        sides = zip(made[2:], strides, strict=True)
        read = math.prod(-(-side // stride) for side, stride in sides)
        return int(made[0] * math.prod(weight) * read)
    if node.op_type == "Gemm":
        is_turned = attribute(node, "transB" if at == 1 else "transA", 0)
        columns = weight[1 - at] if not is_turned else weight[at]
    else:
        columns = weight[-2] if at == 1 and len(weight) > 1 else weight[-1]
    return math.prod(made) * int(columns)


def prepared(model: onnx.ModelProto, threads: int) -> Network:
    """Returns a network with its constants and batch normalisation folded in.

    Every node has a name of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        )
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        onnxruntime.InferenceSession(
            model.SerializeToString(deterministic=True),
            options,
            providers=["CPUExecutionProvider"],
        )
        folded = onnx.load(path)
    del folded.metadata_props[:]
    taken: set[str] = set()
    for at, node in enumerate(folded.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{at}"
        taken.add(node.name)
    return Network(folded)
