"""onnxruntime, as measurements need it: on so many threads, the same each time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from quantize.errors import QuantizeError

Array = npt.NDArray[Any]
_SILENT = 4


def open_session(
    model: Path | bytes, *, threads: int, is_optimised: bool = True
) -> onnxruntime.InferenceSession:
    """Returns a model that can be run.

    Args:
        model: A file, or a whole model in memory.
        threads: How many work on one inference.
        is_optimised: Whether nodes are fused; not where what flows between them counts.

    Raises:
        QuantizeError: ``onnx_unusable``: onnxruntime does not run it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    if not is_optimised:
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # its errors have no root of their own
        if type(error).__module__.partition(".")[0] != "onnxruntime":
            raise
        raise QuantizeError(
            "onnx_unusable",
            f"onnxruntime does not run {_name(model)}: {_first_line(error)}",
            "Export it with the operators of ONNX alone.",
        ) from error


def run(
    session: onnxruntime.InferenceSession, feeds: Mapping[str, Array]
) -> list[Array]:
    """Returns what a model makes of its inputs.

    Raises:
        QuantizeError: ``onnx_failed``.
    """
    try:
        found: Sequence[Array] = session.run(None, dict(feeds))
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "onnxruntime":
            raise
        raise QuantizeError(
            "onnx_failed",
            f"The model failed on its input: {_first_line(error)}",
            "Give an example of the input that it takes.",
        ) from error
    return [np.asarray(one) for one in found]


@contextmanager
def without_advice() -> Iterator[None]:
    """Keeps what onnxruntime's quantizer advises for other models to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _name(model: Path | bytes) -> str:
    return str(model) if isinstance(model, Path) else "the model"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:400]
