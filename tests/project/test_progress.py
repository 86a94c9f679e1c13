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


def test_interrupt_stops_the_compiler_too(tmp_path: Path) -> None:
    script = (
        "import signal, sys, progress\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "sleeper = ['sh', '-c', 'echo $$ > pid; exec sleep 60']\n"
        "with progress.Progress(Path('log'), sys.stderr) as shown:\n"
        "    shown.run('compiling', sleeper, bin_dir=Path())\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(progress.__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environ,
        stderr=subprocess.DEVNULL,
    )
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
