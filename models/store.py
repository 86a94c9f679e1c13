"""The store: the name of a model in, the folder that holds it, checked, out.

    <root>/models/NAME/      a complete model and its stamps
    <root>/staging/NAME/     a model that is being put together
    <root>/downloads/        archives on their way, by their sha256
    <root>/prepared/NAME/    a model in the form that its engine loads fastest
    <root>/locks/            one lock per model and per archive
    <root>/manifests/*.toml  manifests of your own

The store never opens a connection; `models.fetch` fills it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from models.disk import disk_failures, hash_region, locked, tree_bytes
from models.errors import ModelError
from models.manifest import (
    BUILT_IN,
    ModelFile,
    ModelManifest,
    find_manifests,
    load_manifest,
)
from models.stamp import Stamp, build_stamp, load_stamps, save_stamps


class State(StrEnum):
    """What a model, or one of its files, is found to be."""

    READY = "ready"
    MISSING = "missing"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What was found where a file of a model belongs."""

    path: PurePosixPath
    state: State
    stamp: Stamp | None = None
    """Of a file that is ready."""


def _in_silence() -> None:
    pass


class Store:
    """The models on this machine.

    Args:
        root: The cache folder; it need not exist.
        manifest_folders: Where the manifests lie.
        offline: Whether fetching is forbidden.
    """

    def __init__(
        self,
        root: Path,
        *,
        manifest_folders: tuple[Path, ...] = (BUILT_IN,),
        offline: bool = False,
    ) -> None:
        self.root = root
        self.offline = offline
        self._manifest_folders = manifest_folders

    @classmethod
    def default(cls, *, offline: bool = False) -> Store:
        """Return the user's store.

        It lies in HEADSIDE_CACHE or the user's cache folder; HEADSIDE_OFFLINE=1
        forbids fetching whatever `offline` says.
        """
        root = cache_root()
        return cls(
            root,
            manifest_folders=(BUILT_IN, root / "manifests"),
            offline=offline or os.environ.get("HEADSIDE_OFFLINE", "0") not in ("", "0"),
        )

    def names(self) -> tuple[str, ...]:
        """Return the names of all models with a manifest, here or not, sorted."""
        return tuple(sorted(find_manifests(self._manifest_folders)))

    def manifest(self, name: str) -> ModelManifest:
        """Return a model's manifest.

        Raises:
            ModelError: `model_unknown` or `manifest_invalid`.
        """
        found = find_manifests(self._manifest_folders)
        if name not in found:
            raise ModelError(
                "model_unknown",
                f"No manifest describes a model named {name!r}.",
                f"The models are {', '.join(sorted(found))}.",
            )
        return load_manifest(found[name])

    def folder(self, name: str) -> Path:
        """Return where a model lies once it is complete; nothing is checked."""
        return self.root / "models" / name

    def prepared_folder(self, name: str) -> Path:
        """Return where an engine may keep a form of a model that it loads faster."""
        return self.root / "prepared" / name

    def staging_folder(self, name: str) -> Path:
        """Return where a model is put together."""
        return self.root / "staging" / name

    def download_path(self, sha256: str) -> Path:
        """Return where a download is kept until its contents are in place."""
        return self.root / "downloads" / f"{sha256}.part"

    def lock_path(self, artifact: str) -> Path:
        """Return the lock of a model, by name, or of a download, by sha256."""
        return self.root / "locks" / f"{artifact}.lock"

    def path(self, name: str) -> Path:
        """Return the folder of a model whose every file is what its manifest says.

        Files whose stamp holds are not read again; the others are hashed.

        Raises:
            ModelError: `model_unknown`, `model_missing`, `model_altered` or
                `cache_unreadable`.
        """
        state, checks = self._check(self.manifest(name))
        if state is State.MISSING:
            raise ModelError(
                "model_missing",
                f"The model {name} is not in {self.root}.",
                f"Run: headside models fetch {name}",
            )
        if state is State.ALTERED:
            bad = [str(check.path) for check in checks if check.state != State.READY]
            raise ModelError(
                "model_altered",
                f"The model {name} in {self.folder(name)} is not what its manifest "
                f"says: {', '.join(bad)}.",
                f"Run: headside models fetch {name}",
            )
        return self.folder(name)

    def state(self, name: str) -> State:
        """Return whether a model is ready, missing or altered, as `path` sees it."""
        state, _ = self._check(self.manifest(name))
        return state

    def verify(self, name: str) -> tuple[FileCheck, ...]:
        """Return the check of every file, each read from first byte to last."""
        manifest = self.manifest(name)
        checks = check_files(manifest, self.folder(name), {})
        self._keep_stamps(name, checks)
        return checks

    def remove(self, name: str, *, waiting: Callable[[], None] = _in_silence) -> int:
        """Return the bytes freed by removing a model and what was fetched of it.

        Args:
            name: The model.
            waiting: Called where another process is at work on it.

        Raises:
            ModelError: `model_unknown` or `cache_unwritable`.
        """
        downloads = self.manifest(name).downloads
        if not self.root.is_dir():
            return 0
        with disk_failures(self.root), locked(self.lock_path(name), waiting):
            freed_bytes = 0
            for download in downloads:
                path = self.download_path(download.sha256)
                with locked(self.lock_path(download.sha256), waiting):
                    freed_bytes += tree_bytes(path)
                    path.unlink(missing_ok=True)
            staging = self.staging_folder(name)
            freed_bytes += discard(staging)
            freed_bytes += discard(self.prepared_folder(name))
            if self.folder(name).is_dir():
                # Renamed first, so that no one sees a model half removed.
                staging.parent.mkdir(parents=True, exist_ok=True)
                self.folder(name).rename(staging)
                freed_bytes += discard(staging)
            return freed_bytes

    def _check(self, manifest: ModelManifest) -> tuple[State, tuple[FileCheck, ...]]:
        folder = self.folder(manifest.name)
        try:
            if not folder.is_dir():
                return State.MISSING, ()
            stamps = load_stamps(folder)
            checks = check_files(manifest, folder, stamps)
        except OSError as error:
            raise ModelError(
                "cache_unreadable",
                f"Cannot read {error.filename or folder}: {error.strerror}.",
                "Set HEADSIDE_CACHE to a folder that is yours.",
            ) from error
        if any(check.stamp != stamps.get(str(check.path)) for check in checks):
            self._keep_stamps(manifest.name, checks)
        if all(check.state is State.READY for check in checks):
            return State.READY, checks
        return State.ALTERED, checks

    def _keep_stamps(self, name: str, checks: tuple[FileCheck, ...]) -> None:
        stamps = {str(check.path): check.stamp for check in checks if check.stamp}
        # A store that cannot be written to is hashed at every start.
        with suppress(OSError):
            save_stamps(self.folder(name), stamps)


def check_files(
    manifest: ModelManifest, folder: Path, stamps: Mapping[str, Stamp]
) -> tuple[FileCheck, ...]:
    """Return the check of every file of a model, and of files it should not have."""
    checks = [
        _check_file(file, folder / file.path, stamps.get(str(file.path)))
        for file in manifest.files
    ]
    expected = {file.path for file in manifest.files}
    for path in sorted(folder.rglob("*")):
        place = PurePosixPath(path.relative_to(folder).as_posix())
        hidden = any(piece.startswith(".") for piece in place.parts)
        if place not in expected and not hidden and not _is_folder(path):
            checks.append(FileCheck(path=place, state=State.ALTERED))
    return tuple(checks)


def _check_file(file: ModelFile, path: Path, stamp: Stamp | None) -> FileCheck:
    try:
        status = path.lstat()
    except OSError:
        return FileCheck(path=file.path, state=State.MISSING)
    altered = FileCheck(path=file.path, state=State.ALTERED)
    if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
        return altered
    good = build_stamp(status, file.sha256)
    if stamp == good:
        return FileCheck(path=file.path, state=State.READY, stamp=good)
    try:
        found = hash_region(path, 0, file.size_bytes)
    except OSError:
        return altered
    if found != file.sha256:
        return altered
    return FileCheck(path=file.path, state=State.READY, stamp=good)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def discard(path: Path) -> int:
    """Return the bytes freed by removing a folder or a file, 0 where there is none."""
    freed_bytes = tree_bytes(path)
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return freed_bytes


def cache_root() -> Path:
    """Return HEADSIDE_CACHE, or `headside` in the user's cache folder.

    Raises:
        ModelError: `cache_unset`, where there is neither.
    """
    if chosen := os.environ.get("HEADSIDE_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "headside"
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "headside"
    try:
        home = Path.home()
    except RuntimeError as error:  # neither HOME nor a password database
        raise ModelError(
            "cache_unset",
            "There is no home folder to keep models in.",
            "Set HEADSIDE_CACHE to a folder that you may write to.",
        ) from error
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return home / caches / "headside"
