"""What every room's tests share: tests that need a system package name it."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import settings

# Time is measured by benchmarks: a busy machine fails no test. Examples are drawn anew
# in each run, but for CI, which says the same twice of the same code.
settings.register_profile(
    "headside", deadline=None, derandomize=os.environ.get("CI") == "true"
)
settings.load_profile("headside")

# A shell that starts the tests in the background has them ignore Ctrl-C, and every
# command that they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _can_unshare() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    command = [unshare, "--map-root-user", "--net", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# One probe for each package in apt.txt: whether what the tests need of it works.
SYSTEM_PACKAGES: dict[str, Callable[[], bool]] = {
    "chromium": lambda: shutil.which("chromium") is not None,
    "g++": lambda: shutil.which("g++") is not None,
    "libportaudio2": lambda: _can_load("libportaudio.so.2"),
    "util-linux": _can_unshare,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose system package is missing; under CI=true it fails."""
    for marker in item.iter_markers("requires_system"):
        for package in marker.args:
            if SYSTEM_PACKAGES[package]():
                continue
            message = f"needs {package}, which `make system-deps` installs"
            if os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
