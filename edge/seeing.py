"""Vision models by name: where each lies, and loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edge.engines import load_backend, threads_of
from edge.kept import KeptFiles
from edge.vision import VisionError, VisionFiles, VisionModel
from models.device import device_profile
from models.errors import ModelError
from models.preprocessing import FILE
from models.store import Store, cache_root

MODEL = "model.onnx"
KIND = "vision"
_BACKEND = "edge.backends.vision:OnnxVision"
_MAKE = "Make one: headside quantize vision"
_MOST_BYTES = 512 << 20
"""Bytes that all optimised graphs together may take."""


def find_vision(name: str, preprocess: Path | None, store: Store) -> VisionFiles:
    """Returns where a vision model lies.

    Args:
        name: An ``.onnx`` file, a folder, or a name in the store.
        preprocess: What is done to pictures; what lies beside the model where None.
        store: Where the models with names are.

    Raises:
        HeadsideError: It is not there, is of another kind, or lacks a file.
    """
    path = Path(name)
    if name.endswith(".onnx"):
        if not path.is_file():
            raise VisionError(
                "vision_missing", f"There is no model file {path}.", "Check the path."
            )
        return _files(path, preprocess)
    if path.is_dir():
        return _in_folder(path, preprocess)
    if os.sep in name or name.startswith((".", "~")):
        raise VisionError(
            "vision_missing", f"There is no folder {path}.", "Check the path."
        )
    manifest = store.manifest(name)
    if manifest.kind != KIND:
        raise VisionError(
            "vision_kind",
            f"The model {name} is of the kind {manifest.kind}, not {KIND}.",
            "See which there are: headside models list",
        )
    return _in_folder(store.path(name), preprocess, is_vouched=True)


def load_vision(
    files: VisionFiles,
    *,
    device: str = "desktop",
    threads: int | None = None,
    names: Sequence[str] = (),
) -> VisionModel:
    """Returns a model that looks at pictures.

    Args:
        files: Where it lies.
        device: Whose threads to use.
        threads: How many; the device's number where None.
        names: Of its classes; none where they are not known.

    Raises:
        HeadsideError: There is no such device, or the model cannot be loaded.
    """
    n_threads = threads or threads_of(device_profile(device))
    model: VisionModel = load_backend(_BACKEND)(
        files, threads=n_threads, names=names, kept=_kept_graphs()
    )
    return model


def load_names(path: Path) -> tuple[str, ...]:
    """Returns the names of classes, from a file with one a line.

    Raises:
        VisionError: ``labels_unreadable``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else "it is not UTF-8"
        raise VisionError(
            "labels_unreadable",
            f"The labels in {path} cannot be read: {why}.",
            "Give a text file with one name a line.",
        ) from cause
    names = tuple(line.strip() for line in text.removesuffix("\n").split("\n"))
    if not any(names):
        raise VisionError(
            "labels_unreadable",
            f"There are no labels in {path}.",
            "Give a text file with one name a line.",
        )
    return names


def _in_folder(
    folder: Path, preprocess: Path | None, *, is_vouched: bool = False
) -> VisionFiles:
    if not (folder / MODEL).is_file():
        raise VisionError("vision_missing", f"{folder} holds no {MODEL}.", _MAKE)
    return _files(folder / MODEL, preprocess, is_vouched=is_vouched)


def _files(
    model: Path, preprocess: Path | None, *, is_vouched: bool = False
) -> VisionFiles:
    chosen = preprocess or model.with_name(FILE)
    if not chosen.is_file():
        raise VisionError(
            "preprocess_missing",
            f"There is no {chosen}, which says what is done to pictures before "
            f"{model.name} sees them.",
            "Name the file that does: --preprocess FILE.toml",
        )
    return VisionFiles(model=model, preprocess=chosen, is_vouched=is_vouched)


def _kept_graphs() -> KeptFiles | None:
    """Returns where optimised graphs are kept; None where the disk lets nobody."""
    try:
        return KeptFiles(cache_root() / "graphs", cap_bytes=_MOST_BYTES)
    except (OSError, ModelError):
        return None
