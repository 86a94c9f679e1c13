"""Whisper's weights in eight bits, made once and kept.

CTranslate2 reads a float16 model whole and makes 8-bit integers of it, at every start:
half a second and 120 MB for what is the same each time. Here the same is done once, and
its result is what later starts read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from models.ctranslate2_file import int8_variables, load_ctranslate2, save_ctranslate2
from models.disk import hash_region, locked
from models.errors import ModelError
from models.stamp import Stamp, build_stamp, load_stamps, save_stamps
from models.store import discard

_WEIGHTS = "model.bin"
_SOURCE = "source"
"""Under which the stamp of what it was made from is kept."""


def int8_copy(source: Path, target: Path) -> Path:
    """Returns a folder with the same model in eight bits, made where it is missing.

    It computes the same, bit for bit. The source itself is returned where its weights
    are no floats, or where the copy cannot be made or kept.

    Args:
        source: A Whisper model in CTranslate2's format.
        target: Where the copy is kept.
    """
    if _is_current(source, target):
        return target
    try:
        with locked(target.with_name(f"{target.name}.lock"), lambda: None):
            if not _is_current(source, target) and not _make(source, target):
                return source
    except (OSError, ModelError):
        return source
    return target


def _is_current(source: Path, target: Path) -> bool:
    stamps = dict(load_stamps(target))
    made_from = stamps.pop(_SOURCE, None)
    return (
        made_from is not None
        and _is_unchanged(source / _WEIGHTS, made_from)
        and _WEIGHTS in stamps
        and all(_is_unchanged(target / name, stamps[name]) for name in stamps)
    )


def _is_unchanged(path: Path, stamp: Stamp) -> bool:
    try:
        return build_stamp(path.lstat(), stamp.sha256) == stamp
    except OSError:
        return False


def _make(source: Path, target: Path) -> bool:
    """Returns whether a copy was made: not of weights that are integers already."""
    made_from = _stamp(source / _WEIGHTS)
    model = load_ctranslate2(source / _WEIGHTS)
    if model.is_quantized:
        return False
    making = target.with_name(f"{target.name}.making")
    discard(making)
    try:
        making.mkdir(parents=True)
        save_ctranslate2(making / _WEIGHTS, model, int8_variables(model))
        for file in source.glob("*.json"):
            if not file.name.startswith("."):
                shutil.copyfile(file, making / file.name)
        save_stamps(making, _stamps(making) | {_SOURCE: made_from})
        discard(target)
        making.rename(target)
    finally:
        discard(making)
    return True


def _stamps(folder: Path) -> dict[str, Stamp]:
    return {path.name: _stamp(path) for path in folder.iterdir()}


def _stamp(path: Path) -> Stamp:
    status = path.lstat()
    return build_stamp(status, hash_region(path, 0, status.st_size))
