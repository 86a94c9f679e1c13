"""Engines leave no trace of their own: no device identifier, no queue of events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

USE_EVERY_ENGINE = """
from pathlib import Path

import numpy as np
from edge.backends import llama, silero, whisper
import faster_whisper

for engine in (llama, silero, whisper):
    engine.describe()
assets = Path(faster_whisper.__file__).parent / "assets"
detector = silero.Silero(assets / "silero_vad_v6.onnx")
detector.probabilities(np.zeros((4, 512), np.float32))
"""


def test_engines_write_nothing_into_the_home_folder(tmp_path: Path) -> None:
    places = {"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    environ = {name: v for name, v in os.environ.items() if name not in places}
    done = subprocess.run(
        [sys.executable, "-c", USE_EVERY_ENGINE],
        env={**environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
