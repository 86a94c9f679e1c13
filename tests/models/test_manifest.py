"""Manifests: those that ship are sound, and every mistake names file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ModelError
from models.manifest import BUILT_IN, find_manifests, load_manifest

SUM = "0" * 64
HEAD = """\
name = "boat"
kind = "vad"
format = "onnx"
licence = "MIT"
upstream = "a yard"
provenance = "built"
"""
ARCHIVE = f"""
[[archives]]
project = "boats"
version = "1.0"
filename = "boats-1.0-py3-none-any.whl"
sha256 = "{SUM}"
size_bytes = 10
"""
FILE = f"""
[[files]]
path = "hull.onnx"
sha256 = "{SUM}"
size_bytes = 3
source = "pypi:boats==1.0!boats/hull.onnx"
"""
GOOD = HEAD + ARCHIVE + FILE


def load(folder: Path, text: str) -> None:
    """Load a manifest of this text."""
    path = folder / "boat.toml"
    path.write_text(text, encoding="utf-8")
    load_manifest(path)


@pytest.mark.parametrize("name", sorted(find_manifests((BUILT_IN,))))
def test_every_manifest_that_ships_is_sound(name: str) -> None:
    manifest = load_manifest(BUILT_IN / f"{name}.toml")

    assert manifest.name == name
    assert manifest.size_bytes > 0
    assert manifest.downloads


def test_whisper_comes_in_two_packages() -> None:
    manifest = load_manifest(BUILT_IN / "whisper-base.toml")
    model, *_ = manifest.files

    assert [part.size_bytes for part in model.parts] == [94_371_840, 50_845_767]
    assert model.sha256.startswith("905e5bf8")
    assert len(manifest.downloads) == 2


def test_the_manifest_of_the_mistakes_below_is_good(tmp_path: Path) -> None:
    load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "boat"', 'name = "ship"', "name must be the file's own"),
        ('licence = "MIT"', "", "licence must be a non-empty string"),
        ('licence = "MIT"', "licence = 2", "licence must be a non-empty string"),
        ('kind = "vad"', 'kin = "vad"', "unknown key kin"),
        ('format = "onnx"', 'format = "onnx', "boat.toml"),
        (FILE, "", "at least one file"),
        (ARCHIVE, "", "no archive boats==1.0 is described"),
        (ARCHIVE, ARCHIVE + ARCHIVE, "two archives are of the same project"),
        ("boats==1.0!", "boats==2.0!", "no archive boats==2.0 is described"),
        ("pypi:boats==1.0!", "ftp:boats/", "source must be"),
        ("boats==1.0!boats/hull.onnx", "boats", "source must be"),
        ("size_bytes = 3", "size_bytes = -3", "size_bytes must be a number of bytes"),
        ("size_bytes = 3", "size_bytes = true", "size_bytes must be a number of bytes"),
        (SUM, "F" * 64, "64 lower-case hexadecimal digits"),
        (SUM, "0" * 63, "64 lower-case hexadecimal digits"),
        ('"boats-1.0-py3', '"../boats-1.0-py3', "filename must be a bare file name"),
        (FILE, FILE + FILE, "two files have the same path"),
        (FILE, FILE + FILE.replace("hull.onnx", "hull.onnx/deck"), "a file stands"),
        ('source = "', 'parts = []\nsource = "', "either a source or parts"),
        ('source = "', 'sauce = "', "unknown key sauce"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in GOOD

    with pytest.raises(ModelError) as caught:
        load(tmp_path, GOOD.replace(old, new))

    assert caught.value.code == "manifest_invalid"
    assert reason in caught.value.message
    assert "boat.toml" in caught.value.message


@pytest.mark.parametrize(
    "path",
    [
        "../hull",
        "/etc/passwd",
        "a/../../hull",
        "./hull",
        "a//hull",
        "a/",
        ".stamps.json",
        "a/.hidden/hull",
        "a\\\\..\\\\hull",
        "a\\nb",
        "a\\u0000b",
    ],
)
def test_a_file_stays_in_its_models_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(ModelError, match="must stay inside the model's folder"):
        load(tmp_path, GOOD.replace('path = "hull.onnx"', f'path = "{path}"'))


def test_parts_add_up(tmp_path: Path) -> None:
    part = f'\n[[files.parts]]\nsource = "file:a"\nsha256 = "{SUM}"\nsize_bytes = 2\n'
    file = FILE.replace('source = "pypi:boats==1.0!boats/hull.onnx"\n', "")

    with pytest.raises(ModelError, match="do not add up"):
        load(tmp_path, HEAD + file + part)
    load(tmp_path, HEAD + file + part + part.replace("= 2", "= 1"))
