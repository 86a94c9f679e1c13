"""Vision models in onnxruntime, on a graph that is optimised once.

onnxruntime fuses the nodes of a graph at every start. What it makes of one is kept,
sealed, under the model's sha256, onnxruntime's version and what this processor can do,
and the next start reads that instead. A model that nobody vouches for is loaded and
used by a process of its own before; a graph that was kept tells that it was.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edge.backends.failures import vendor_errors
from edge.child import ChildError, ChildLimits, run_child
from edge.kept import KeptFiles
from edge.vision import (
    N_LABELS,
    Array,
    Output,
    Seen,
    Start,
    VisionError,
    VisionFiles,
    labels_of,
)
from models.device import device_profile
from models.preprocessing import Pixels, Preprocessing, load_preprocessing

_SILENT = 4
_MOST_BYTES = 2_000_000_000
"""What one message of ONNX can hold."""
_TRIAL_CPU_S = 60
_SPARE_BYTES = 8 << 30
"""Address space beyond the file: native libraries reserve much and use little."""
_HINT = "Make it again: headside quantize vision"


class OnnxVision:
    """A vision model of one input and any number of outputs.

    Args:
        files: Where it lies.
        threads: How many work on one picture.
        names: Of its classes; none where they are not known.
        kept: Where optimised graphs are kept; nowhere where None.

    Raises:
        HeadsideError: It cannot be read or loaded, or does not take what the
            preprocessing makes.
    """

    def __init__(
        self,
        files: VisionFiles,
        *,
        threads: int = 1,
        names: Sequence[str] = (),
        kept: KeptFiles | None = None,
    ) -> None:
        self._how = load_preprocessing(files.preprocess)
        self._names = tuple(names)
        self._path = files.model
        began = time.perf_counter()
        model = _read(files.model)
        name = _graph_name(model)
        session = _from_kept(kept, name, threads)
        is_kept, trial_ms = session is not None, 0.0
        if session is None:
            if not files.is_vouched:
                trial_ms = _try_in_child(files)
            with vendor_errors(
                VisionError,
                "vision_model",
                f"{files.model} could not be loaded.",
                _HINT,
            ):
                session = _made(model, kept, name, threads)
        self._input = _picture_input(session, files, self._how)
        self._outputs = _tensor_outputs(session, files.model)
        self._session: onnxruntime.InferenceSession | None = session
        whole_ms = _ms_since(began)
        self._start = Start(
            load_ms=whole_ms - trial_ms, trial_ms=trial_ms, is_kept=is_kept
        )

    @property
    def start(self) -> Start:
        """Returns how it came to be loaded."""
        return self._start

    def look(self, pixels: Pixels, n_labels: int = N_LABELS) -> Seen:
        """Returns what it makes of a picture of any size, (height, width, 3)."""
        if self._session is None:
            raise VisionError("vision_closed", "The vision model is closed.")
        began = time.perf_counter()
        prepared = self._how.prepared(pixels)
        prepare_ms = _ms_since(began)
        began = time.perf_counter()
        with vendor_errors(
            VisionError,
            "vision_failed",
            f"{self._path} failed on what its preprocessing makes of a picture.",
            "Check the size in the preprocessing.",
        ):
            found: Sequence[Array] = self._session.run(
                self._outputs, {self._input: prepared}
            )
        run_ms = _ms_since(began)
        outputs = tuple(
            Output(name=name, values=np.asarray(values))
            for name, values in zip(self._outputs, found, strict=True)
        )
        return Seen(
            labels=labels_of(outputs, self._names, n_labels),
            outputs=outputs,
            prepare_ms=prepare_ms,
            run_ms=run_ms,
        )

    def close(self) -> None:
        """Gives the model's memory back."""
        self._session = None


def run(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Uses a model once; what the child process runs.

    Returns:
        Code, message and hint of what was wrong, under ``refused``, or nothing.
    """
    files = VisionFiles(
        model=Path(payload["model"]),
        preprocess=Path(payload["preprocess"]),
        is_vouched=True,
    )
    try:
        model = OnnxVision(files)
        model.look(np.zeros((8, 8, 3), np.uint8))
    except VisionError as error:
        return {"refused": (error.code, error.message, error.hint)}
    return {}


def _try_in_child(files: VisionFiles) -> float:
    """Returns how long a process of its own took to load and use a model, in ms."""
    began = time.perf_counter()
    limits = ChildLimits(
        cpu_s=_TRIAL_CPU_S,
        memory_bytes=3 * files.model.stat().st_size + _SPARE_BYTES,
        output_bytes=1 << 14,
    )
    places = {"model": files.model, "preprocess": files.preprocess}
    payload = {key: str(path.resolve()) for key, path in places.items()}
    try:
        answer = run_child("edge.backends.vision", payload, limits)
    except ChildError as cause:
        raise VisionError(
            "vision_model",
            f"{files.model} cannot be used as a model. {cause.message}",
            _HINT,
        ) from cause
    if "refused" in answer:
        raise VisionError(*answer["refused"])
    return _ms_since(began)


def _read(path: Path) -> bytes:
    """Returns a whole file: what is hashed is what is loaded."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise VisionError(
                "vision_model",
                f"{path} is larger than the two gigabytes that such a file can have.",
            )
        return path.read_bytes()
    except OSError as cause:
        raise VisionError(
            "vision_model", f"{path} cannot be read: {cause.strerror}.", _HINT
        ) from cause


def _graph_name(model: bytes) -> str:
    """Changes whenever another graph may be the fastest here."""
    features = device_profile("desktop").isa_features.value or ()
    return " ".join(
        (
            "vision",
            hashlib.sha256(model).hexdigest(),
            f"onnxruntime-{onnxruntime.__version__}",
            platform.machine(),
            *features,
        )
    )


def _from_kept(
    kept: KeptFiles | None, name: str, threads: int
) -> onnxruntime.InferenceSession | None:
    """Returns a model from its optimised graph; None where that is not to be had."""
    graph = kept.read(name) if kept is not None else None
    if graph is None:
        return None
    options = _options(threads)
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    with (
        suppress(VisionError),
        vendor_errors(VisionError, "vision_graph", "What was kept does not load."),
    ):
        return _opened(bytes(graph), options)
    return None


def _made(
    model: bytes, kept: KeptFiles | None, name: str, threads: int
) -> onnxruntime.InferenceSession:
    """Returns a model whose optimised graph is kept, if the disk lets it."""
    if kept is None:
        return _opened(model, _options(threads))
    # Named like what a writer that was killed leaves behind, which is cleared away.
    path = kept.folder / f".{secrets.token_hex(8)}.kept.graph"
    options = _options(threads)
    options.optimized_model_filepath = str(path)
    try:
        with (
            suppress(VisionError, OSError),
            vendor_errors(VisionError, "vision_graph", "The graph cannot be kept."),
        ):
            session = _opened(model, options)
            kept.write(name, path.read_bytes())
            return session
        return _opened(model, _options(threads))
    finally:
        with suppress(OSError):
            path.unlink()


def _opened(
    model: bytes, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads
    options.log_severity_level = _SILENT
    # Threads that spin lose a whole time slice where a game holds their core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _picture_input(
    session: onnxruntime.InferenceSession, files: VisionFiles, how: Preprocessing
) -> str:
    """Returns the name of the one input, which takes what the preprocessing makes."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        told = ", ".join(f"{one.name} of {one.type}" for one in inputs) or "nothing"
        raise VisionError(
            "vision_input",
            f"{files.model} takes {told}, and not one picture of float32.",
            "Export it with pictures as its one input.",
        )
    shape = inputs[0].shape
    sides = (how.height, how.width)
    made = (1, 3, *sides) if how.layout == "nchw" else (1, *sides, 3)
    fits = len(shape) == len(made) and all(
        wanted == given
        for wanted, given in zip(shape, made, strict=True)
        if isinstance(wanted, int)
    )
    if not fits:
        wanted = " x ".join(str(side or "any") for side in shape)
        raise VisionError(
            "vision_input",
            f"{files.model} takes {wanted}, and {files.preprocess} makes "
            f"{' x '.join(map(str, made))}.",
            "Mend size and layout in the preprocessing.",
        )
    name: str = inputs[0].name
    return name


def _tensor_outputs(session: onnxruntime.InferenceSession, path: Path) -> list[str]:
    """Returns the names of the outputs, which are all of numbers."""
    outputs = session.get_outputs()
    for one in outputs:
        if not one.type.startswith("tensor(") or one.type == "tensor(string)":
            raise VisionError(
                "vision_output",
                f"{path} answers with {one.name} of {one.type}, which is no tensor "
                "of numbers.",
                "Export it without what turns its numbers into words.",
            )
    return [one.name for one in outputs]


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
