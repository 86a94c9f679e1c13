"""The microphone, through the real PortAudio, from an ALSA device that is a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import samplerate

from models.fetch import fetch
from models.store import Store, cache_root

DEVICE_RATE_HZ = 44_100
N_TIMES = 60
PATIENCE_S = 180
MODELS = ("silero-vad", "whisper-base")

pytestmark = [pytest.mark.models, pytest.mark.requires_system("libportaudio2")]


@pytest.fixture
def device_home(tmp_path: Path) -> Path:
    """A home whose default sound device hears `goforward`, again and again.

    The device is not paced, so that sound may be dropped while the runtime is busy.
    """
    recordings, *_ = fetch(Store.default(), "speech-pocketsphinx", *MODELS)
    raw = np.fromfile(recordings / "goforward.raw", "<i2").astype(np.float32) / 32768
    spoken = samplerate.resample(raw, DEVICE_RATE_HZ / 16_000, "sinc_best")
    silence = np.zeros(DEVICE_RATE_HZ, np.float32)
    sound = tmp_path / "heard.raw"
    np.tile(np.concatenate([silence, spoken]), N_TIMES).astype("<f4").tofile(sound)
    (tmp_path / ".asoundrc").write_text(
        f"""pcm.!default {{
            type file
            slave.pcm "null"
            file "/dev/null"
            infile "{sound}"
            format "raw"
        }}"""
    )
    return tmp_path


def test_a_spoken_command_becomes_an_intent_and_ctrl_c_ends_it(
    device_home: Path,
) -> None:
    command = [sys.executable, "-m", "edge.cli", "run", "explorer", "--mic", "--json"]
    with subprocess.Popen(
        [*command, "--llm", "echo"],
        env=os.environ
        | {"HOME": str(device_home), "HEADSIDE_CACHE": str(cache_root())},
        stdout=subprocess.PIPE,
        text=True,
    ) as listening:
        watchdog = threading.Timer(PATIENCE_S, listening.kill)
        watchdog.start()
        assert listening.stdout is not None
        moves = (
            event["slots"]
            for event in map(json.loads, listening.stdout)
            if event["type"] == "intent"
        )
        assert next(moves, None) == {"direction": "forward", "distance_m": 10}
        listening.send_signal(signal.SIGINT)
        assert listening.wait() == 130
        watchdog.cancel()


def test_without_a_device_the_message_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / ".asoundrc").write_text('pcm.!default { type hw card "none" }')
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "run", "explorer", "--mic"],
        env=os.environ | {"HOME": str(tmp_path), "HEADSIDE_CACHE": str(cache_root())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--wav" in done.stderr
    assert "Traceback" not in done.stderr
