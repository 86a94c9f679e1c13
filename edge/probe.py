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
    "encoder": "edge.backends.minilm:use_once",
}
_ENCODER = "model.onnx"
"""In the folder of a sentence encoder."""


class ProbeError(HeadsideError):
    """A model file that cannot be used."""


def require_usable(path: Path) -> None:
    """Opens and uses a model file in a child process; returns where that went well.

    A folder is a sentence encoder's.

    Raises:
        ProbeError: ``model_file_missing``, ``model_file_kind`` or ``model_file_bad``.
    """
    file = path / _ENCODER if path.is_dir() else path
    if not file.is_file():
        raise ProbeError(
            "model_file_missing", f"There is no model file {file}.", "Check the path."
        )
    if _kind(path) not in _USES:
        known = " or ".join(kind for kind in _USES if kind.startswith("."))
        raise ProbeError(
            "model_file_kind", f"{path} is not a model file.", f"Name a {known} file."
        )
    limits = ChildLimits(
        cpu_s=_CPU_S,
        memory_bytes=3 * file.stat().st_size + _SPARE_BYTES,
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
    """Uses the file once; what the child process runs."""
    path = Path(payload["path"])
    module, _, name = _USES[_kind(path)].partition(":")
    use: Callable[[Path], None] = getattr(importlib.import_module(module), name)
    use(path)
    return {}


def _kind(path: Path) -> str:
    return "encoder" if path.is_dir() else path.suffix
