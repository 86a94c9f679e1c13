"""A recipe: the type of each tensor, and what it was found with.

With the importance matrix that it names, and the texts that calibrated, it makes the
same file again, bit for bit, by the same llama.cpp.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.disk import write_whole
from quantize.assignment import PRESETS
from quantize.errors import QuantizeError
from quantize.ggml import named
from quantize.gguf import TensorType

_SCHEMA = 1
_MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a file is made from its source."""

    source_sha256: str
    imatrix_sha256: str
    """Empty where it was made without."""
    mended_sha256: str
    """Of the texts that say how losses are mended; empty where none are."""
    types: Mapping[str, TensorType]
    """By tensor."""
    preset: str = ""
    """llama.cpp's own rule, where that chose the types."""
    without_layers: tuple[int, ...] = ()
    """Numbers of layers that are left out, rising."""
    n_words: int = 0
    """That stay; 0 for all."""
    words_sha256: str = ""
    """Of their numbers, where not all stay."""


def save_recipe(path: Path, recipe: Recipe) -> None:
    """Writes a recipe, whole or not at all."""
    lines = [
        f"schema = {_SCHEMA}",
        f'source_sha256 = "{recipe.source_sha256}"',
        f'imatrix_sha256 = "{recipe.imatrix_sha256}"',
        f'mended_sha256 = "{recipe.mended_sha256}"',
        f'preset = "{recipe.preset}"',
        f"without_layers = {list(recipe.without_layers)}",
        f"n_words = {recipe.n_words}",
        f'words_sha256 = "{recipe.words_sha256}"',
        "",
        "[types]",
        *(f'"{name}" = "{type_.name}"' for name, type_ in recipe.types.items()),
    ]
    write_whole(path, "\n".join(lines) + "\n")


def load_recipe(path: Path) -> Recipe:
    """Returns a recipe.

    Raises:
        QuantizeError: ``recipe_broken``, ``unknown_type``.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _broken(path, "it is too large for one")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _broken(path, str(error)) from error
    if found.get("schema") != _SCHEMA:
        raise _broken(path, f"its schema is {found.get('schema')}, not {_SCHEMA}")
    types = found.get("types")
    if not isinstance(types, dict) or not all(
        isinstance(name, str) for name in types.values()
    ):
        raise _broken(path, "[types] names no types")
    preset = _text(path, {"preset": "", **found}, "preset")
    if preset and preset not in PRESETS:
        raise _broken(path, f'llama.cpp has no preset "{preset}"')
    layers = found.get("without_layers", [])
    if not isinstance(layers, list) or not all(
        isinstance(layer, int) and layer >= 0 for layer in layers
    ):
        raise _broken(path, "without_layers names no layers")
    n_words = found.get("n_words", 0)
    if not isinstance(n_words, int) or n_words < 0:
        raise _broken(path, "n_words is no number of words")
    return Recipe(
        source_sha256=_text(path, found, "source_sha256"),
        imatrix_sha256=_text(path, found, "imatrix_sha256"),
        mended_sha256=_text(path, found, "mended_sha256"),
        types={tensor: named(name) for tensor, name in types.items()},
        preset=preset,
        without_layers=tuple(layers),
        n_words=n_words,
        words_sha256=_text(path, {"words_sha256": "", **found}, "words_sha256"),
    )


def _text(path: Path, found: Mapping[str, object], key: str) -> str:
    text = found.get(key)
    if not isinstance(text, str):
        raise _broken(path, f"{key} is missing")
    return text


def _broken(path: Path, why: str) -> QuantizeError:
    return QuantizeError(
        "recipe_broken",
        f"{path} is no recipe: {why}.",
        "Name the .recipe.toml that was written beside a model, or leave it out.",
    )
