"""The manifest of a model that was made: what `models` has to know of it.

It lies beside the model and names it by its bytes, says what it was made from and with
what, and carries the licence over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from models.disk import write_whole
from quantize.report import Report

_LONGEST_NAME = 64
_NO_LICENCE = "LicenseRef-unknown"


def manifest_name(out: Path) -> str:
    """Returns the name of a model that lies in a folder: a-z, 0-9, dots and dashes."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", out.absolute().name.lower()).strip("-._")
    return plain[:_LONGEST_NAME] or "model"


def save_manifest(path: Path, report: Report, hashes: Mapping[str, str]) -> None:
    """Writes the manifest of a model that lies in the same folder.

    Args:
        path: Its name is the model's.
        report: Of the model.
        hashes: Of all it was made from, by what that is.
    """
    made_from = ", ".join(f"{what} {sha256}" for what, sha256 in hashes.items())
    made_with = ", ".join(f"{name} {version}" for name, version in report.tools)
    kl = report.methods[0].summary.kl_mean.mean
    fields = {
        "name": path.stem,
        "kind": "llm",
        "format": "gguf",
        "licence": report.licence or _NO_LICENCE,
        "upstream": report.source.name,
        "provenance": f"By {report.method}, with {made_with}. Of {made_from}.",
        "parent": report.source.name,
        "notes": (
            f"{report.out.bits_per_weight} bits per weight; its divergence from the "
            f"parent is {kl:.4f} nats per token (see report.html)."
        ),
    }
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items()]
    lines += [
        "",
        "[[files]]",
        f"path = {_toml(report.out.name)}",
        f'sha256 = "{report.out.sha256}"',
        f"size_bytes = {report.out.n_bytes}",
        f"source = {_toml(f'file:{report.out.name}')}",
    ]
    write_whole(path, "\n".join(lines) + "\n")


def _toml(text: str) -> str:
    """Returns a text as TOML's basic strings are written, which JSON's are."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
