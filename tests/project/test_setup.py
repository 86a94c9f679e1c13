"""`make` sets itself up once; after that it starts at once, without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SYSTEM_PACKAGES


@pytest.mark.requires_system("util-linux")
def test_second_setup_needs_no_network(root: Path) -> None:
    if Path(sys.prefix) != root / ".venv":
        pytest.skip("needs the environment that `make test` sets up")
    setup = str(root / ".ci" / "setup")
    subprocess.run([setup, "dev"], capture_output=True, check=True)
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", setup, "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_old_python_is_refused_with_a_remedy(root: Path, tmp_path: Path) -> None:
    for name in ("python3.11", "python3"):
        (tmp_path / name).symlink_to("/bin/false")
    done = subprocess.run(
        [root / ".ci" / "setup", "run"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
    assert "apt install" in done.stderr


def test_help_lists_what_make_offers(root: Path) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    targets = set(re.findall(r"^ +make ([a-z-]+) +\w", done.stdout, re.MULTILINE))
    assert {"demo", "test", "test-slow", "check", "bench", "system-deps"} <= targets


def test_system_packages_are_listed_and_probed(root: Path) -> None:
    lines = (root / "apt.txt").read_text().splitlines()
    listed = {line.split("#")[0].strip() for line in lines} - {""}
    assert listed == SYSTEM_PACKAGES.keys()
