"""Stamps: how a file that was hashed once is known again without reading it.

A stamp is not a proof. Whoever can write to the store can forge one; it notices what
happens to files by accident, and it is what lets a start take milliseconds. `verify`
reads every byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from models.disk import write_whole

STAMPS_FILE = ".stamps.json"
"""Lies in the model's folder, so that a folder and its stamps appear at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the file system said of a file when it was hashed."""

    sha256: str
    size_bytes: int
    mtime_ns: int
    inode: int


def build_stamp(status: os.stat_result, sha256: str) -> Stamp:
    """Return the stamp of a file whose status was taken before it was hashed."""
    return Stamp(
        sha256=sha256,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
    )


def load_stamps(folder: Path) -> dict[str, Stamp]:
    """Return the stamps of a model's files by path; none where they are unreadable.

    A missing stamp costs one hash, so a damaged list of them is no error.
    """
    try:
        entries = json.loads((folder / STAMPS_FILE).read_text(encoding="utf-8"))
        return {path: Stamp(**entry) for path, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save_stamps(folder: Path, stamps: Mapping[str, Stamp]) -> None:
    """Write the stamps of a model's files beside them, at once."""
    entries = {path: asdict(stamp) for path, stamp in sorted(stamps.items())}
    write_whole(folder / STAMPS_FILE, json.dumps(entries, indent=1) + "\n")
