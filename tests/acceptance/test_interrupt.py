"""Ctrl-C at any moment: exit code 130, no traceback, and nothing is left behind."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.store import Store
from tests.acceptance.conftest import SPEECH, default_models

pytestmark = pytest.mark.models

# Until the first line Python itself is starting, which is not ours to answer for.
START = "from edge.cli import main; print(flush=True); main()"


def interrupt(
    environ: dict[str, str], after_s: float, *arguments: str | Path, n_times: int = 1
) -> int:
    """Returns the exit code of a command that is interrupted after so long."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    for _ in range(n_times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, errors = process.communicate(timeout=120)
    assert errors == "", f"after {after_s} s"
    return process.returncode


def interrupt_often(
    environ: dict[str, str], moments_s: list[float], *arguments: str | Path
) -> None:
    """Interrupts a command at these moments; some may find it done."""
    codes = [interrupt(environ, moment_s, *arguments) for moment_s in moments_s]
    assert set(codes) <= {0, 130}, list(zip(moments_s, codes, strict=True))
    assert codes.count(130) > len(codes) / 4


def moments_s(n: int, longest_s: float) -> list[float]:
    chance = random.Random(20260203)  # noqa: S311
    return [chance.uniform(0, longest_s) for _ in range(n)]


def files(store: Store) -> dict[Path, int]:
    """Returns every file of the models in use and when it was last written."""
    return {
        path: path.stat().st_mtime_ns
        for name in default_models()
        for path in store.path(name).rglob("*")
    }


@pytest.mark.parametrize("n", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run(store: Store, environ: dict[str, str], n: int) -> None:
    before = files(store)
    something = store.path(SPEECH) / "something.raw"
    arguments = ["run", "explorer", "--wav", str(something), "--json"]

    interrupt_often(environ, moments_s(n, longest_s=3), *arguments)

    assert files(store) == before


@pytest.mark.parametrize("n", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_the_demo(store: Store, environ: dict[str, str], n: int) -> None:
    before = files(store)

    interrupt_often(environ, moments_s(n, longest_s=6), "demo")

    assert files(store) == before


def test_impatiently(store: Store, environ: dict[str, str]) -> None:
    assert interrupt(environ, 1.5, "demo", "--json", n_times=20) == 130
