"""The wheel carries what the runtime needs, and works away from the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import wheels

DATA = ["manifests/*.toml", "devices/*.toml", "packs/**/*", "recipes/**/*"]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps"]
    command += ["--no-build-isolation", f"--wheel-dir={folder}", str(root)]
    subprocess.run(command, check=True, capture_output=True)
    [built] = folder.glob("headside-*.whl")
    return built


def _members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_the_rooms_and_their_data(root: Path, wheel: Path) -> None:
    files = {
        path.relative_to(root).as_posix()
        for room in ("edge", "models", "quantize")
        for path in (root / room).rglob("*.py")
    }
    files |= {
        path.relative_to(root).as_posix()
        for pattern in DATA
        for path in (root / "models").glob(pattern)
        if path.is_file()
    }
    assert any(name.startswith("models/packs/") for name in files)
    assert files <= _members(wheel)


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in _members(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "edge",
        "models",
        "quantize",
    }


def test_wheel_carries_its_licence(wheel: Path) -> None:
    names = {Path(name).name for name in _members(wheel)}
    assert {"LICENSE", "NOTICE"} <= names


def test_wheel_runs_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index"]
    command += [f"--target={site}", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environ = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, site / "bin" / "headside", "--help"],
        cwd=elsewhere,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "headside" in done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import models; print(models.__file__)"],
        cwd=elsewhere,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))


@pytest.mark.slow
@pytest.mark.models
def test_wheel_runs_the_demo_in_an_empty_environment(
    wheel: Path, tmp_path: Path
) -> None:
    compiled = wheels.wheel_cache(os.environ) / wheels.host_spec().key
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    subprocess.run(
        [programs / "pip", "install", f"--find-links={compiled}", wheel],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [programs / "headside", "demo", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"move"' in done.stdout
