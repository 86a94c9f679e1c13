"""ONNX files that somebody else made: opened only once they are found to be sound.

A file is parsed without running anything. What it keeps outside of itself has to lie in
its own folder, and what it computes has to be what onnxruntime knows without libraries
that the file would bring along. Then a process of its own checks and opens it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data
from onnx.version_converter import convert_version

from quantize.child import Tell, in_child
from quantize.errors import QuantizeError
from quantize.onnx_session import open_session

LEAST_OPSET, MOST_OPSET = 7, 24
"""That onnxruntime runs."""
QDQ_OPSET = 17
"""What files are brought to that are older: scales by channel came with 13, and what
exporters write as one node since 17."""
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_MOST_BYTES = 2_000_000_000
"""What one message can hold."""
_MOST_NAME, _MOST_DIGITS = 1024, 18
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, ArithmeticError)
"""What the loader of tensors raises on lying sizes and types."""
_HINT = "Export the model again."
_FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
)


def load_onnx(path: Path) -> onnx.ModelProto:
    """Returns a model that can be quantized, all of its weights in it.

    Raises:
        QuantizeError: ``onnx_missing``, ``onnx_invalid``, ``onnx_too_large``,
            ``onnx_external``, ``onnx_custom_ops``, ``onnx_opset``,
            ``onnx_not_finite``, or ``child_died``.
    """
    model = _parsed(path)
    _take_in(model, path)
    _check_operators(model, path)
    opset = _opset(model, path)
    _check_finite(model, path)
    in_child(_open, {"path": str(path)}, doing=f"Opening {path}")
    return model if opset >= QDQ_OPSET else _upgraded(model, path, opset)


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Writes a model, the same bytes for the same model."""
    path.write_bytes(model.SerializeToString(deterministic=True))


def weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Returns the stored tensors of a model by name."""
    return {one.name: one for one in model.graph.initializer}


def nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Yields all nodes, those inside of branches and loops, too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes(inner)


def _parsed(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise QuantizeError("onnx_missing", f"There is no file {path}.", "")
    if path.stat().st_size > _MOST_BYTES:
        raise QuantizeError(
            "onnx_too_large",
            f"{path} is larger than the two gigabytes that such a file can have.",
            "Keep its weights outside, as external data.",
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise _invalid(path, "it cannot be read") from error
    if not model.graph.node or not model.graph.output:
        raise _invalid(path, "it computes nothing")
    return model


def _take_in(model: onnx.ModelProto, path: Path) -> None:
    """Reads what a file keeps outside, which has to lie in its folder."""
    folder = path.parent.resolve()
    total = path.stat().st_size
    for tensor in _tensors(model):
        if not uses_external_data(tensor):
            continue
        told = {entry.key: entry.value for entry in tensor.external_data}
        location = told.get("location", "")
        target = _beside(folder, location)
        if target is None:
            raise QuantizeError(
                "onnx_external",
                f"{path} keeps {tensor.name} in {location!r}, outside of its folder.",
                "Put its data beside it.",
            )
        if not target.is_file():
            raise QuantizeError(
                "onnx_external",
                f"{path} keeps {tensor.name} in {location!r}, which is not there.",
                f"Put {location!r} beside it.",
            )
        total += _length(told, target)
        if total > _MOST_BYTES:
            raise QuantizeError(
                "onnx_too_large",
                f"{path} has more than two gigabytes of weights.",
                "Quantize a smaller model.",
            )
        try:
            load_external_data_for_tensor(tensor, str(folder))
            numpy_helper.to_array(tensor)
        except (*_UNREADABLE, onnx.checker.ValidationError) as error:
            raise QuantizeError(
                "onnx_external",
                f"{path} keeps {tensor.name} in {location!r}, which does not hold it: "
                f"{_first_line(error)}.",
                _HINT,
            ) from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _beside(folder: Path, location: str) -> Path | None:
    """Returns a file in a folder; none where it is elsewhere, links followed."""
    try:
        target = (folder / location).resolve()
    except (OSError, ValueError, RuntimeError):  # no name; too long; links in a circle
        return None
    is_inside = target != folder and target.is_relative_to(folder)
    return target if location and is_inside and len(location) < _MOST_NAME else None


def _length(told: Mapping[str, str], target: Path) -> int:
    """Returns how many bytes are taken from a file; the loader refuses odd numbers."""
    length = told.get("length", "")
    is_told = length.isascii() and length.isdigit() and len(length) < _MOST_DIGITS
    return int(length) if is_told else target.stat().st_size


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yields all stored tensors, those inside of branches, loops and functions, too."""
    graphs = [model.graph]
    every = list(nodes(model.graph))
    for function in model.functions:
        every.extend(nodes(function))
    for node in every:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs.extend(attribute.graphs)
            sparse = [*attribute.sparse_tensors]
            sparse += [attribute.sparse_tensor] * attribute.HasField("sparse_tensor")
            for one in sparse:
                yield from (one.values, one.indices)
    for graph in graphs:
        yield from graph.initializer
        for one in graph.sparse_initializer:
            yield from (one.values, one.indices)


def _check_operators(model: onnx.ModelProto, path: Path) -> None:
    used = {node.domain for node in nodes(model.graph)}
    for function in model.functions:
        used.update(node.domain for node in nodes(function))
    custom = used - _DOMAINS - {function.domain for function in model.functions}
    if custom:
        raise QuantizeError(
            "onnx_custom_ops",
            f"{path} computes with operators of {', '.join(sorted(custom))}, "
            "which need a library of their own.",
            "Export it with the operators of ONNX alone.",
        )


def _opset(model: onnx.ModelProto, path: Path) -> int:
    for one in model.opset_import:
        if one.domain not in ("", "ai.onnx"):
            continue
        if LEAST_OPSET <= one.version <= MOST_OPSET:
            return int(one.version)
        raise QuantizeError(
            "onnx_opset",
            f"{path} is of opset {one.version}; {LEAST_OPSET} to {MOST_OPSET} can run.",
            f"Export it with opset {QDQ_OPSET}.",
        )
    raise _invalid(path, "it does not say its opset")


def _check_finite(model: onnx.ModelProto, path: Path) -> None:
    for tensor in _tensors(model):
        if tensor.data_type not in _FLOATS:
            continue
        try:
            array = numpy_helper.to_array(tensor)
        except _UNREADABLE as error:
            raise _invalid(path, f"{tensor.name} is not whole") from error
        # Infinities are masks; as a weight they would show in what comes out.
        if np.isnan(array).any():
            raise QuantizeError(
                "onnx_not_finite",
                f"{path}: {tensor.name} holds what is no number.",
                "The training went wrong; take an earlier checkpoint.",
            )


def _open(arguments: Mapping[str, Any], _tell: Tell) -> None:
    path = Path(arguments["path"])
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _invalid(path, _first_line(error)) from error
    open_session(path, threads=1)


def _upgraded(model: onnx.ModelProto, path: Path, opset: int) -> onnx.ModelProto:
    """Returns a model of a later opset; a process of its own brings it there."""
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder) / "old.onnx", Path(folder) / "new.onnx"
        save_onnx(model, old)
        told = {"name": str(path), "opset": opset, "old": str(old), "new": str(new)}
        in_child(_upgrade, told, doing=f"Bringing {path} to opset {QDQ_OPSET}")
        return onnx.load(new)


def _upgrade(arguments: Mapping[str, Any], _tell: Tell) -> None:
    name, new = arguments["name"], Path(arguments["new"])
    try:
        model = convert_version(onnx.load(arguments["old"]), QDQ_OPSET)
        save_onnx(model, new)
        open_session(new, threads=1)
    except (RuntimeError, ValueError, QuantizeError) as error:
        raise QuantizeError(
            "onnx_opset",
            f"{name} is of opset {arguments['opset']}, and cannot be brought to "
            f"{QDQ_OPSET}: {_first_line(error)}.",
            f"Export it with opset {QDQ_OPSET} or later.",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:400].rstrip(".")


def _invalid(path: Path, why: str) -> QuantizeError:
    return QuantizeError("onnx_invalid", f"{path} is no sound ONNX: {why}.", _HINT)
