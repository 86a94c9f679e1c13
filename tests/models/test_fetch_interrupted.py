"""A fetch that is interrupted with Ctrl-C: it says so quietly, and can go on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from models.fetch import fetch
from models.store import State, Store

if TYPE_CHECKING:
    from tests.models.conftest import LoopbackServer, Maker

# Until the first line Python itself is starting, which is not ours to answer for.
START = "from edge.cli import main; print(flush=True); main()"


def interrupt(after_s: float) -> int:
    """Returns the exit code of a fetch of the boat, interrupted after so long."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, "models", "fetch", "boat"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # Only lines of progress, such as "boat_one.whl: downloading".
    assert all(line.startswith("boat") for line in errors.splitlines()), errors
    return process.returncode


@pytest.mark.parametrize("n_times", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_interrupted_at_random_moments(
    store: Store, maker: Maker, index: LoopbackServer, n_times: int
) -> None:
    boat = maker.boat(size_bytes=300_000)
    index.bytes_per_s = 1_500_000
    moments = random.Random(20260204)  # noqa: S311
    codes = []

    for _ in range(n_times):
        codes.append(interrupt(moments.uniform(0, 1.8)))
        if store.state("boat") is not State.MISSING:
            folder = store.path("boat")  # fails where it is not whole
            assert {name: (folder / name).read_bytes() for name in boat} == boat
            store.remove("boat")

    assert set(codes) <= {0, 130}
    assert codes.count(130) > n_times / 4
    index.bytes_per_s = 0
    (folder,) = fetch(store, "boat")
    assert {name: (folder / name).read_bytes() for name in boat} == boat
    assert not list(store.staging_folder("boat").parent.iterdir())
