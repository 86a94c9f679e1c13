"""Files that are kept between runs and believed only with their seal.

What native code is going to read (a state of llama.cpp) must not come from anyone else:
every file begins with an HMAC-SHA256 under a key that only its owner can read. What
does not verify is removed and counts as absent. Nothing that a player says belongs
here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32
_ABANDONED_S = 3600
_SEAL_BYTES = hashlib.sha256().digest_size
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def private_key(path: Path) -> bytes:
    """Returns the key in a file of mode 600, made at random where there is none.

    Raises:
        OSError: It can be neither read nor written, or is cut short.
        PermissionError: Others may read it, or it belongs to somebody else.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        _write_private(made, secrets.token_bytes(KEY_BYTES))
        try:
            os.link(made, path)  # whole at once, and only the first of two writers
        finally:
            made.unlink()
    key = _read_private(path)
    if len(key) != KEY_BYTES:
        raise OSError(f"{path} holds no key: remove it")
    return key


@dataclass(slots=True)
class KeptFiles:
    """A folder of sealed files, the least recently used of which make room.

    Args:
        folder: Made with mode 700 where it is missing.
        cap_bytes: Of all files together.
    """

    folder: Path
    cap_bytes: int = 256 << 20
    _key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = private_key(self.folder / "key")

    def read(self, name: str) -> memoryview | None:
        """Returns what was written under a name; None where it is not, or altered.

        It is not copied: states of a language model are large.
        """
        path = self._path(name)
        try:
            sealed = _read_private(path)
        except FileNotFoundError:
            return None
        except OSError:
            self._forget(path)
            return None
        content = memoryview(sealed)[_SEAL_BYTES:]
        if not hmac.compare_digest(sealed[:_SEAL_BYTES], self._seal(name, content)):
            self._forget(path)
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def write(self, name: str, content: bytes) -> bool:
        """Returns whether the content could be kept; a full disk is no failure."""
        if len(content) + _SEAL_BYTES > self.cap_bytes:
            return False
        path = self._path(name)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            self._make_room(len(content) + _SEAL_BYTES)
            _write_private(made, self._seal(name, memoryview(content)), content)
            made.replace(path)
        except OSError:
            with suppress(OSError):
                made.unlink()
            return False
        return True

    def _path(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.kept"

    def _seal(self, name: str, content: memoryview) -> bytes:
        seal = hmac.new(self._key, name.encode() + b"\0", hashlib.sha256)
        seal.update(content)
        return seal.digest()

    def _make_room(self, needed_bytes: int) -> None:
        found = []
        for path in self.folder.glob(".*.kept.*"):
            with suppress(OSError):  # what a writer that was killed left behind
                if path.lstat().st_mtime < time.time() - _ABANDONED_S:
                    path.unlink()
        for path in self.folder.glob("*.kept"):
            with suppress(OSError):
                about = path.lstat()
                found.append((about.st_mtime_ns, about.st_size, path))
        free = self.cap_bytes - sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if free >= needed_bytes:
                return
            self._forget(path)
            free += size

    @staticmethod
    def _forget(path: Path) -> None:
        with suppress(OSError):
            path.unlink()


def _read_private(path: Path) -> bytes:
    handle = os.open(path, _OPEN)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise PermissionError(f"{path} is not a file")
        if hasattr(os, "getuid") and (
            about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077
        ):
            raise PermissionError(f"{path} must be yours alone: chmod 600")
        return file.read()


def _write_private(path: Path, *parts: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        for part in parts:
            file.write(part)
