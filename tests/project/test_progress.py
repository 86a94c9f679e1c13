"""A long command shows how far it is, tells why it failed, and can be stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import progress
import pytest
from progress import CommandError, Progress

RUN_SLEEPER = """
import signal, sys
from pathlib import Path
from progress import Progress

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sleeper = ["sh", "-c", "echo $$; exec sleep 60"]
with Progress(Path(sys.argv[1]), sys.stderr) as shown:
    shown.run("compiling", sleeper, bin_dir=Path())
"""


def _start_sleeper(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Returns a process that runs a command, and the command's own process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_SLEEPER, str(folder / "log")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(progress.__file__).parent)},
        stderr=subprocess.DEVNULL,
    )
    log = folder / "log"
    while not (log.exists() and log.read_text().endswith("\n")):
        assert process.poll() is None
        time.sleep(0.05)
    return process, int(log.read_text())


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_progress_shows_steps_and_keeps_the_log(tmp_path: Path) -> None:
    screen = io.StringIO()
    steps = "print('noise'); print('  [7/9] Building', flush=True)"
    with Progress(tmp_path / "log", screen) as shown:
        shown.run("compiling", [sys.executable, "-c", steps], bin_dir=tmp_path)
    assert screen.getvalue() == "compiling 0:00\ncompiling [7/9] 0:00\n"
    assert (tmp_path / "log").read_text() == "noise\n  [7/9] Building\n"


def test_failed_command_is_told_with_its_last_words(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no space left')"]
    with (
        Progress(tmp_path / "log", io.StringIO()) as shown,
        pytest.raises(CommandError, match="no space left"),
    ):
        shown.run("compiling", failing, bin_dir=tmp_path)


def test_interrupt_stops_the_command_too(tmp_path: Path) -> None:
    process, command = _start_sleeper(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert not _is_running(command)


def test_next_run_stops_what_a_killed_one_left(tmp_path: Path) -> None:
    process, command = _start_sleeper(tmp_path)
    process.kill()
    process.wait(timeout=60)
    assert _is_running(command)
    with Progress(tmp_path / "another-log", io.StringIO()):
        assert _is_running(command)
    with Progress(tmp_path / "log", io.StringIO()):
        pass
    for _ in range(200):
        if not _is_running(command):
            break
        time.sleep(0.05)
    assert not _is_running(command)
