"""The wheel in an empty environment, away from the repository, runs the demo."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wheels

from models.store import Store
from tests.acceptance.conftest import MOVE, Command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.models
def test_the_wheel_runs_the_demo(
    headside: Command, store: Store, tmp_path: Path
) -> None:
    llama = wheels.ensure_wheel(
        wheels.host_spec(), wheels.wheel_cache(os.environ), wheels.build_wheel
    )
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, f"--wheel-dir={tmp_path}", str(ROOT)], check=True)
    [wheel] = tmp_path.glob("headside-*.whl")
    empty = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", str(empty)], check=True)
    install = [str(empty / "bin" / "python"), "-m", "pip", "install"]
    install += ["--only-binary=:all:", f"--find-links={llama}", str(wheel)]
    subprocess.run(install, check=True)
    installed = replace(headside, program=(str(empty / "bin" / "headside"),))

    done = installed("demo", "--json", cwd=tmp_path)

    assert (done.code, done.stderr) == (0, "")
    assert done.intents == [MOVE]
    assert [result["ok"] for result in done.of("result")] == [True] * 3
