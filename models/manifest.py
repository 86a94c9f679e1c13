"""What a model is: its files, where their bytes come from, and who vouches for them.

A manifest names every byte by its sha256 and knows nothing of what is on this machine:
that is the store's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.errors import ModelError
from models.table import Table

BUILT_IN = Path(__file__).parent / "manifests"
"""The folder of the manifests that ship with Headside."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACKAGE = re.compile(
    r"pypi:(?P<project>[\w.-]+)==(?P<version>[\w.!+-]+?)!(?P<member>.+)"
)
_HUB = re.compile(r"hf:(?P<repo>[\w.-]+(/[\w.-]+)?)@(?P<revision>[\w.-]+)/(?P<path>.+)")
_KEYS = (
    *("name", "kind", "format", "licence", "upstream", "provenance"),
    *("parent", "notes", "archives", "files"),
)
_CODE = "manifest_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A wheel or an sdist in the user's package index."""

    project: str
    version: str
    filename: str
    """The one file of the release that is meant."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageMember:
    """A file inside a wheel or an sdist."""

    archive: Archive
    member: str
    """Full name inside the archive."""

    def __str__(self) -> str:
        return f"pypi:{self.archive.project}=={self.archive.version}!{self.member}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file in a repository on the model hub."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hf:{self.repo}@{self.revision}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file on this machine."""

    path: Path

    def __str__(self) -> str:
        return f"file:{self.path}"


Source = PackageMember | HubFile | LocalFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file that comes over the network: an archive, or a file of the hub."""

    origin: Archive | HubFile
    filename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of bytes from one source."""

    source: Source
    sha256: str
    size_bytes: int

    @property
    def download(self) -> Download | None:
        """What must be fetched for it; None where it is on this machine."""
        if isinstance(self.source, PackageMember):
            archive = self.source.archive
            return Download(
                origin=archive,
                filename=archive.filename,
                sha256=archive.sha256,
                size_bytes=archive.size_bytes,
            )
        if isinstance(self.source, HubFile):
            return Download(
                origin=self.source,
                filename=PurePosixPath(self.source.path).name,
                sha256=self.sha256,
                size_bytes=self.size_bytes,
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model: its parts, one after the other."""

    path: PurePosixPath
    """Relative to the model's folder."""
    sha256: str
    size_bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelManifest:
    """Everything known about a model before its first byte is here."""

    name: str
    kind: str
    """What it does: `asr`, `llm`, `vad`, `encoder`, `vision`, `recordings`, ..."""
    format: str
    """What opens it: `ctranslate2`, `gguf`, `onnx`, ..."""
    licence: str
    """SPDX expression of the weights' or recordings' licence."""
    upstream: str
    """Who made it."""
    provenance: str
    """How it came from upstream to the bytes named here."""
    parent: str
    """The model it was derived from; empty where it was not."""
    notes: str
    files: tuple[ModelFile, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def downloads(self) -> tuple[Download, ...]:
        """Everything that is fetched for this model, once each."""
        parts = (part for file in self.files for part in file.parts)
        found = dict.fromkeys(part.download for part in parts)
        return tuple(download for download in found if download is not None)


def load_manifest(path: Path) -> ModelManifest:
    """Return the manifest in a TOML file; its name is the file's.

    Raises:
        ModelError: `manifest_invalid`, with the file and the key.
    """
    table = Table.load(path, code=_CODE)
    table.only(_KEYS)
    name = table.text("name")
    if not _NAME.fullmatch(name) or name != path.stem:
        raise table.error(f"name must be the file's own, {path.stem}, in a-z 0-9 . _ -")
    archives = tuple(_parse_archive(entry) for entry in table.tables("archives"))
    if len({(archive.project, archive.version) for archive in archives}) < len(
        archives
    ):
        raise table.error("two archives are of the same project and version")
    files = tuple(
        _parse_file(entry, archives, path.parent) for entry in table.tables("files")
    )
    if not files:
        raise table.error("a model has at least one file")
    _refuse_collisions(table, files)
    return ModelManifest(
        name=name,
        kind=table.text("kind"),
        format=table.text("format"),
        licence=table.text("licence"),
        upstream=table.text("upstream"),
        provenance=table.text("provenance"),
        parent=table.text("parent", default=""),
        notes=table.text("notes", default=""),
        files=files,
    )


def _parse_archive(table: Table) -> Archive:
    table.only(("project", "version", "filename", "sha256", "size_bytes"))
    filename = table.text("filename")
    if "/" in filename or "\\" in filename:
        raise table.error("filename must be a bare file name")
    return Archive(
        project=table.text("project"),
        version=table.text("version"),
        filename=filename,
        sha256=_sha256(table),
        size_bytes=table.size_bytes("size_bytes"),
    )


def _parse_file(table: Table, archives: tuple[Archive, ...], folder: Path) -> ModelFile:
    table.only(("path", "sha256", "size_bytes", "source", "parts"))
    path = _parse_path(table)
    sha256, size_bytes = _sha256(table), table.size_bytes("size_bytes")
    if ("source" in table) == ("parts" in table):
        raise table.error("a file has either a source or parts")
    entries = table.tables("parts")
    for entry in entries:
        entry.only(("source", "sha256", "size_bytes"))
    # A file in one piece is its own only part; its sums are not written twice.
    parts = tuple(
        Part(
            source=_parse_source(entry, archives, folder),
            sha256=_sha256(entry),
            size_bytes=entry.size_bytes("size_bytes"),
        )
        for entry in entries or (table,)
    )
    if sum(part.size_bytes for part in parts) != size_bytes:
        raise table.error("the sizes of the parts do not add up to size_bytes")
    return ModelFile(path=path, sha256=sha256, size_bytes=size_bytes, parts=parts)


def _parse_source(table: Table, archives: tuple[Archive, ...], folder: Path) -> Source:
    text = table.text("source")
    if match := _PACKAGE.fullmatch(text):
        wanted = (match["project"], match["version"])
        for archive in archives:
            if (archive.project, archive.version) == wanted:
                return PackageMember(archive=archive, member=match["member"])
        raise table.error(f"no archive {wanted[0]}=={wanted[1]} is described")
    if match := _HUB.fullmatch(text):
        return HubFile(
            repo=match["repo"], revision=match["revision"], path=match["path"]
        )
    if text.startswith("file:") and len(text) > len("file:"):
        return LocalFile(path=folder / text.removeprefix("file:"))
    raise table.error(
        "source must be pypi:NAME==VERSION!member, hf:REPO@REVISION/path or file:PATH"
    )


def _parse_path(table: Table) -> PurePosixPath:
    text = table.text("path")
    path = PurePosixPath(text)
    # A leading dot is the store's: its stamp lies beside the model's files.
    if (
        str(path) != text
        or path.is_absolute()
        or any(piece.startswith(".") for piece in path.parts)
        or "\\" in text
        or any(ord(letter) < 32 for letter in text)
    ):
        raise table.error(f"path {text!r} must stay inside the model's folder")
    return path


def _refuse_collisions(table: Table, files: tuple[ModelFile, ...]) -> None:
    paths = {file.path for file in files}
    if len(paths) != len(files):
        raise table.error("two files have the same path")
    if any(parent in paths for path in paths for parent in path.parents):
        raise table.error("a file stands where another file needs a folder")


def _sha256(table: Table) -> str:
    text = table.text("sha256")
    if not _SHA256.fullmatch(text):
        raise table.error("sha256 must be 64 lower-case hexadecimal digits")
    return text


def find_manifests(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Return the manifest file of every model by name; a folder may be absent.

    Raises:
        ModelError: `manifest_invalid`, where two folders claim one name.
    """
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        if path.stem in found:
            raise ModelError(
                _CODE,
                f"{path}: {found[path.stem]} already describes {path.stem}.",
                "Give the model another name.",
            )
        found[path.stem] = path
    return found
