"""What is committed fits every user: no registry's host, no path of one machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

# Joined here, so that this file does not hold them.
FORBIDDEN = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    ]
] + ["/".join(["", "work", ""]), "/".join(["", "tmp", "exp"])]
MAX_FILE_BYTES = 1_000_000


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    if not (root / ".git").exists():
        pytest.skip("needs a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    return [root / name for name in listed.stdout.split("\0") if name]


def test_no_tracked_file_names_a_registry_or_a_machine(tracked: list[Path]) -> None:
    found = [
        f"{path.name}: {word}"
        for path in tracked
        if path.is_file()
        for word in FORBIDDEN
        if word.encode() in path.read_bytes()
    ]
    assert found == []


def test_no_weights_or_recordings_are_tracked(tracked: list[Path]) -> None:
    media = {".bin", ".flac", ".gguf", ".onnx", ".pt", ".raw", ".safetensors", ".wav"}
    large = [
        path.name
        for path in tracked
        if path.is_file()
        and (path.suffix in media or path.stat().st_size > MAX_FILE_BYTES)
    ]
    assert large == []


def test_top_level_folders_are_the_rooms(root: Path, tracked: list[Path]) -> None:
    folders = {path.relative_to(root).parts[0] for path in tracked if path != root}
    folders = {name for name in folders if (root / name).is_dir()}
    rooms = {"benchmarks", "edge", "models", "quantize", "tests"}
    assert {name for name in folders if not name.startswith(".")} <= rooms
