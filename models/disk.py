"""The disk: hashing, writes that last, and its failures in our words."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from models.errors import ModelError

CHUNK_BYTES = 1 << 20

_FULL = (errno.ENOSPC, errno.EDQUOT)


def size_text(n_bytes: float) -> str:
    """Return a size for people, in powers of ten: `93.8 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes:.0f} bytes"
    for unit in ("kB", "MB"):
        n_bytes /= 1000
        if n_bytes < 1000:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1000:.2f} GB"


def read_chunks(stream: IO[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Yield what a stream holds, `limit_bytes` at most."""
    while chunk := stream.read(min(CHUNK_BYTES, limit_bytes)):
        limit_bytes -= len(chunk)
        yield chunk


def hash_region(path: Path, start_bytes: int, size_bytes: int) -> str:
    """Return the sha256 of `size_bytes` of a file, fewer where it ends before."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start_bytes)
        for chunk in read_chunks(file, size_bytes):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut."""
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Replace a small file at once: a reader finds the old text or the new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def tree_bytes(path: Path) -> int:
    """Return the size of a file or of everything in a folder, 0 where none is."""
    if path.is_dir() and not path.is_symlink():
        return sum(tree_bytes(entry) for entry in path.iterdir())
    return path.lstat().st_size if os.path.lexists(path) else 0


@contextmanager
def disk_failures(root: Path) -> Iterator[None]:
    """Turn what the disk under `root` refuses into a `ModelError`.

    Raises:
        ModelError: `no_space` or `cache_unwritable`.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # whoever was told of the progress has gone
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise ModelError(
                "no_space",
                f"The disk filled up while writing to {root}.",
                "What had arrived is kept. Make room, or set HEADSIDE_CACHE to a "
                "folder on a larger disk, and run the same command again.",
            ) from error
        raise ModelError(
            "cache_unwritable",
            f"Cannot write {error.filename or root}: {reason}.",
            "Set HEADSIDE_CACHE to a folder that you may write to.",
        ) from error


def require_free(root: Path, needed_bytes: int) -> None:
    """Refuse to start what cannot end for lack of room under `root`.

    Raises:
        ModelError: `no_space`, with the needed and the free bytes.
    """
    free_bytes = shutil.disk_usage(root).free
    if needed_bytes > free_bytes:
        raise ModelError(
            "no_space",
            f"{size_text(needed_bytes)} ({needed_bytes} bytes) are needed in {root} "
            f"and {size_text(free_bytes)} ({free_bytes} bytes) are free.",
            "Make room, or set HEADSIDE_CACHE to a folder on a larger disk.",
        )


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock between processes; `waiting` is called once where it must wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
