"""A first look at model files that no manifest vouches for.

llama.cpp aborts the whole process on some bad files. Such a file is therefore opened by
a child process first, with limits, and used there once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.child import ChildError, ChildLimits, run_child
from models.errors import HeadsideError

_CPU_S = 60
_SPARE_BYTES = 8 << 30
"""Address space beyond the file: native libraries reserve much and use little."""
_USES: dict[str, str] = {
    ".gguf": "edge.backends.llama:use_once",
    ".onnx": "edge.backends.silero:use_once",
}
SPEECH_WEIGHTS, ENCODER_WEIGHTS = "model.bin", "model.onnx"
"""What the folder of a speech model holds, and that of a sentence encoder."""
_FOLDER_USES = {
    SPEECH_WEIGHTS: "edge.backends.whisper:use_once",
    ENCODER_WEIGHTS: "edge.backends.minilm:use_once",
}


class ProbeError(HeadsideError):
    """A model file that cannot be used."""


def require_usable(path: Path) -> None:
    """Opens and uses a model file in a child process; returns where that went well.

    Args:
        path: A file, or the folder of a speech model or of a sentence encoder.

    Raises:
        ProbeError: ``model_file_missing``, ``model_file_kind`` or ``model_file_bad``.
    """
    if path.is_dir() and path.suffix not in _USES:
        _try(path, (path / _weights_in(path)).stat().st_size)
        return
    if not path.is_file():
        raise ProbeError(
            "model_file_missing", f"There is no model file {path}.", "Check the path."
        )
    if path.suffix not in _USES:
        known = " or ".join(_USES)
        raise ProbeError(
            "model_file_kind", f"{path} is not a model file.", f"Name a {known} file."
        )
    _try(path, path.stat().st_size)


def _weights_in(folder: Path) -> str:
    for name in _FOLDER_USES:
        if (folder / name).is_file():
            return name
    raise ProbeError(
        "model_file_kind",
        f"{folder} is no folder of a model: it holds no {SPEECH_WEIGHTS} and no "
        f"{ENCODER_WEIGHTS}.",
        "Name the folder of a Whisper model in CTranslate2's format, or of an encoder.",
    )


def _try(path: Path, n_bytes: int) -> None:
    limits = ChildLimits(
        cpu_s=_CPU_S,
        memory_bytes=3 * n_bytes + _SPARE_BYTES,
        output_bytes=1 << 10,
    )
    try:
        run_child("edge.probe", {"path": str(path.resolve())}, limits)
    except ChildError as cause:
        raise ProbeError(
            "model_file_bad",
            f"{path} cannot be used as a model. {cause.message}",
            "Download or convert it again.",
        ) from cause


def run(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Uses the model once; what the child process runs."""
    path = Path(payload["path"])
    target = _FOLDER_USES[_weights_in(path)] if path.is_dir() else _USES[path.suffix]
    module, _, name = target.partition(":")
    use: Callable[[Path], None] = getattr(importlib.import_module(module), name)
    use(path)
    return {}
