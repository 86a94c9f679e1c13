"""The manifest of a model that was made: what `models` has to know of it.

It lies beside the model and names it by its bytes, says what it was made from and with
what, and carries the licence over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from models.disk import hash_region, write_whole

_LONGEST_NAME = 64
_NO_LICENCE = "LicenseRef-unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A model that was made."""

    kind: str
    format: str
    licence: str
    """Of its source; empty where that says none."""
    parent: str
    """The name of its source."""
    method: str
    hashes: Mapping[str, str]
    """Of all it was made from, by what that is."""
    tools: Sequence[tuple[str, str]]
    notes: str
    files: Sequence[str]
    """Names of those of its folder that are the model."""


def sha256_of(path: Path) -> str:
    """Returns the hash of a whole file."""
    return hash_region(path, 0, path.stat().st_size)


def versions(names: Sequence[str]) -> list[tuple[str, str]]:
    """Returns names and versions of what figures depend on, where it is installed."""
    found = []
    for name in names:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


def manifest_name(out: Path) -> str:
    """Returns the name of a model that lies in a folder: a-z, 0-9, dots and dashes."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", out.absolute().name.lower()).strip("-._")
    return plain[:_LONGEST_NAME] or "model"


def save_manifest(folder: Path, out: Path, made: Made) -> None:
    """Writes the manifest of a model.

    Args:
        folder: Where the model is now.
        out: Where it will be; its name is the model's.
        made: What it is.
    """
    made_from = ", ".join(f"{what} {sha256}" for what, sha256 in made.hashes.items())
    made_with = ", ".join(f"{name} {version}" for name, version in made.tools)
    name = manifest_name(out)
    fields = {
        "name": name,
        "kind": made.kind,
        "format": made.format,
        "licence": made.licence or _NO_LICENCE,
        "upstream": made.parent,
        "provenance": f"By {made.method}, with {made_with}. Of {made_from}.",
        "parent": made.parent,
        "notes": made.notes,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items()]
    for file in made.files:
        lines += [
            "",
            "[[files]]",
            f"path = {_toml(file)}",
            f'sha256 = "{sha256_of(folder / file)}"',
            f"size_bytes = {(folder / file).stat().st_size}",
            f"source = {_toml(f'file:{file}')}",
        ]
    write_whole(folder / f"{name}.toml", "\n".join(lines) + "\n")


def _toml(text: str) -> str:
    """Returns a text as TOML's basic strings are written, which JSON's are."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
