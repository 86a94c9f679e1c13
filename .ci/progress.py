"""Runs a long command, showing on one line how far it is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

SHOW_EVERY_S = 10.0
_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]")
# Variables that steer other builds on this machine must not steer this one.
_STEERING = {"CMAKE_ARGS", "CMAKE_GENERATOR", "SKBUILD_CMAKE_ARGS"}
# Says in a process's environment which log it writes to.
_MARK = "HEADSIDE_BUILD_LOG"


class CommandError(Exception):
    """A command failed; the text ends with the last lines it wrote."""


class Progress:
    """Runs commands, logs what they say, and shows one line about how far they are."""

    def __init__(self, log: Path, screen: TextIO) -> None:
        self._log_path = log
        self._screen = screen
        self._width = 0
        self._shown_s = 0.0

    def __enter__(self) -> Progress:
        self._stop_orphans()
        self._log = self._log_path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def run(self, title: str, command: list[str], *, bin_dir: Path) -> None:
        """Runs ``command`` with ``bin_dir`` first on the path.

        Raises:
            CommandError: The command failed; the message ends with its last lines.
        """
        environ = {k: v for k, v in os.environ.items() if k not in _STEERING}
        environ[_MARK] = str(self._log_path)
        environ["PATH"] = os.pathsep.join([str(bin_dir), environ.get("PATH", "")])
        environ["CMAKE_BUILD_PARALLEL_LEVEL"] = str(len(os.sched_getaffinity(0)))
        environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        started_s = time.monotonic()
        self._show(title, "", started_s, force=True)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as child:
            try:
                step = self._follow(title, started_s, child)
            except BaseException:
                os.killpg(child.pid, signal.SIGTERM)
                self._end_line()
                raise
        self._show(title, step, started_s, force=True)
        self._end_line()
        if child.returncode != 0:
            raise CommandError(
                f"{title} failed (exit code {child.returncode}):\n{self._tail()}\n"
                f"The whole log is {self._log_path}"
            )

    def _follow(
        self, title: str, started_s: float, child: subprocess.Popen[str]
    ) -> str:
        step = ""
        for line in child.stdout or ():
            self._log.write(line)
            if found := _STEP.match(line):
                step = f"[{found[1]}/{found[2]}]"
                self._show(title, step, started_s)
        return step

    def _show(
        self, title: str, step: str, started_s: float, *, force: bool = False
    ) -> None:
        now_s = time.monotonic()
        minutes, seconds = divmod(int(now_s - started_s), 60)
        line = " ".join(filter(None, [title, step, f"{minutes}:{seconds:02d}"]))
        if self._screen.isatty():
            self._screen.write("\r" + line.ljust(self._width))
            self._width = len(line)
        elif force or now_s - self._shown_s >= SHOW_EVERY_S:
            self._screen.write(line + "\n")
            self._shown_s = now_s
        self._screen.flush()

    def _end_line(self) -> None:
        if self._screen.isatty():
            self._screen.write("\n")
            self._width = 0

    def _stop_orphans(self) -> None:
        """Stops what a killed run left behind: two compilers would share a folder."""
        mark = f"{_MARK}={self._log_path}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            # Another user's process, or one that has ended.
            with suppress(OSError):
                if mark in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)

    def _tail(self, n_lines: int = 25) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(lines.splitlines()[-n_lines:])
