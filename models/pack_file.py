"""Packs on disk: found by name or folder, read without leaving the folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from models.pack import Pack, PackError, PackModels, Problem
from models.pack_language import read_language
from models.pack_reader import read_pack
from models.pack_syntax import parse_document
from models.pack_table import Findings

BUILT_IN_FOLDER = Path(__file__).parent / "packs"
MAX_PACK_BYTES = 256 * 1024
MAX_KNOWLEDGE_BYTES = 64 * 1024
"""Of one file a character knows."""


def pack_names() -> tuple[str, ...]:
    """Returns the names of the packs that come with Headside, sorted."""
    return tuple(
        sorted(file.parent.name for file in BUILT_IN_FOLDER.glob("*/pack.toml"))
    )


def find_pack(name_or_path: str | os.PathLike[str]) -> Path:
    """Returns the folder of a pack.

    Args:
        name_or_path: The name of a pack that comes with Headside, a folder that holds
            a ``pack.toml``, or that file.

    Raises:
        PackError: ``pack_unknown`` or ``pack_no_toml``.
    """
    wanted = os.fspath(name_or_path)
    if wanted in pack_names():
        return BUILT_IN_FOLDER / wanted
    folder = Path(wanted)
    if folder.name == "pack.toml" and folder.is_file():
        return folder.parent
    if wanted and folder.is_dir():
        if not os.path.lexists(folder / "pack.toml"):
            raise PackError(
                "pack_no_toml",
                f'Folder "{wanted}" holds no pack.toml.',
                "A pack is a folder with a pack.toml in it.",
            )
        return folder
    raise PackError(
        "pack_unknown",
        f'There is no pack "{wanted}".',
        f"Known packs: {', '.join(pack_names())}. A folder with a pack.toml does, too.",
    )


def load_pack(name_or_path: str | os.PathLike[str], language: str = "en") -> Pack:
    """Returns the pack, read and checked; its tests are not run here.

    Args:
        name_or_path: As for ``find_pack``.
        language: One of the pack's languages, ISO 639-1. The file of another language
            than this one is not checked, although the version covers it.

    Raises:
        PackError: The pack is not there, cannot be read, ``language_unknown``, or
            ``pack_invalid``: then ``problems`` holds every mistake that was found.
    """
    folder = find_pack(name_or_path)
    reader = _FolderReader(folder=folder)
    file = str(folder / "pack.toml")
    text = reader.read_text("pack.toml", limit_bytes=MAX_PACK_BYTES)
    document = parse_document(text, file=file)
    findings = Findings(file=file, lines=document.lines, problems=document.problems)
    if document.values or not document.problems:
        pack = read_pack(document.values, findings=findings, files=reader)
    if findings.problems:
        raise invalid(str(name_or_path), findings.problems)
    others = {
        other: reader.read_text(_file_of(other), limit_bytes=MAX_PACK_BYTES)
        for other in pack.languages
        if other != "en"
    }
    if language not in pack.languages:
        raise PackError(
            "language_unknown",
            f'Pack "{pack.name}" does not speak "{language}".',
            f"It speaks: {', '.join(pack.languages)}.",
        )
    pack = dataclasses.replace(pack, version=reader.version)
    if language == "en":
        return pack
    return _in_language(pack, language, others[language], name=str(name_or_path))


def _in_language(pack: Pack, language: str, text: str, *, name: str) -> Pack:
    file = str(Path(pack.file).with_name(_file_of(language)))
    document = parse_document(text, file=file)
    findings = Findings(file=file, lines=document.lines, problems=document.problems)
    if document.values or not document.problems:
        spoken = read_language(
            document.values, pack=pack, language=language, findings=findings
        )
    if findings.problems:
        raise invalid(name, findings.problems)
    version = hashlib.sha256(f"{pack.version}.{language}".encode()).hexdigest()[:16]
    return dataclasses.replace(spoken, version=version)


def _file_of(language: str) -> str:
    return f"pack.{language}.toml"


def peek_models(
    name_or_path: str | os.PathLike[str],
) -> tuple[PackModels, tuple[str, ...]] | None:
    """Returns a pack's models and tiers, before it is read; None where it is unclear.

    For those who want to begin to load them meanwhile; `load_pack` says what is wrong.
    """
    try:
        folder = find_pack(name_or_path)
        reader = _FolderReader(folder=folder)
        text = reader.read_text("pack.toml", limit_bytes=MAX_PACK_BYTES)
        document = tomllib.loads(text)
        named = document.get("models", {})
        tiers = document.get("understand", {}).get("tiers", ())
        standard = PackModels()
        models = PackModels(
            vad=str(named.get("vad", standard.vad)),
            asr=str(named.get("asr", standard.asr)),
            llm=str(named.get("llm", standard.llm)),
            encoder=str(named.get("encoder", standard.encoder)),
            pronunciations=str(named.get("pronunciations", standard.pronunciations)),
        )
        return models, (tiers,) if isinstance(tiers, str) else tuple(map(str, tiers))
    except (PackError, ValueError, TypeError, AttributeError):
        return None


def invalid(name: str, problems: list[Problem]) -> PackError:
    """Returns the error for a pack with mistakes, sorted by file and line."""
    ordered = sorted(problems, key=lambda problem: (problem.file, problem.line))
    n_more = len(ordered) - 1
    hint = ordered[0].hint or "Mend this line."
    if n_more:
        mistakes = "mistake" if n_more == 1 else "mistakes"
        hint = f"{hint} {n_more} more {mistakes}: headside pack check {name}".strip()
    first = ordered[0]
    return PackError(
        "pack_invalid",
        f"{first.file}:{first.line}: {first.message}",
        hint,
        tuple(ordered),
    )


@dataclass(slots=True)
class _FolderReader:
    """Reads files of one folder and of nothing else."""

    folder: Path
    _digest: str = field(default="")

    @property
    def version(self) -> str:
        """Changes with every text that was read."""
        return self._digest[:16]

    def has_language(self, language: str) -> bool:
        """Returns whether there is a file for a language other than English."""
        return os.path.lexists(self.folder / _file_of(language))

    def read_knowledge(self, name: str) -> str:
        """Returns the text of a file that a character knows."""
        return self.read_text(name, limit_bytes=MAX_KNOWLEDGE_BYTES)

    def read_text(self, name: str, *, limit_bytes: int) -> str:
        """Returns the text of a file of the folder.

        Raises:
            PackError: The name leads out of the folder or over a link, or the file is
                missing, too long or not UTF-8.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name:
            raise PackError(
                "pack_path",
                f'"{name}" leads out of the pack.',
                "Name a file inside the pack's folder, like lore/harbour.md.",
            )
        path = self.folder
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise PackError(
                    "pack_link",
                    f'"{name}" is a link.',
                    "Packs hold no links; copy the file into the folder.",
                )
        data = _read_bytes(path, limit_bytes=limit_bytes)
        self._digest = hashlib.sha256(self._digest.encode() + data).hexdigest()
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise PackError(
                "pack_encoding",
                f"{path}:{line}: this is not UTF-8 text.",
                "Save it as UTF-8.",
            ) from error


def _read_bytes(path: Path, *, limit_bytes: int) -> bytes:
    try:
        # Not to follow a link put there meanwhile, nor to wait for a pipe's writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            is_file = stat.S_ISREG(os.fstat(handle).st_mode)
            data = _read_all(handle, limit_bytes + 1) if is_file else b""
        finally:
            os.close(handle)
    except OSError as error:
        raise PackError(
            "pack_file",
            f"{path} cannot be read: {error.strerror or error}.",
        ) from error
    if not is_file:
        raise PackError("pack_file", f"{path} is not a file.")
    if len(data) > limit_bytes:
        raise PackError(
            "pack_size",
            f"{path} is longer than {limit_bytes // 1024} KiB.",
        )
    return data


def _read_all(handle: int, limit_bytes: int) -> bytes:
    data = b""
    while len(data) < limit_bytes and (more := os.read(handle, limit_bytes)):
        data += more
    return data[:limit_bytes]
