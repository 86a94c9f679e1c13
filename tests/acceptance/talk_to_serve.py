"""Starts `headside serve`, says something to it, and prints what came back as JSON.

Usage: talk_to_serve.py PACK RECORDING WORDS
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.build import open_sound
from edge.clients.client import Client
from edge.serve.wire import Message

BLOCK = 512
ENDS = ("turn", "cancelled", "dropped")


def main() -> int:
    """Returns the exit code of the service."""
    pack, recording, words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        command = (
            *(sys.executable, "-m", "edge.cli", "serve", pack, "--port", "0"),
            *("--json", "--secret-file", str(secret)),
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = json.loads(server.stdout.readline())["port"]
            with Client(port, secret.read_bytes()) as client:
                events = spoken(client, sound(Path(recording)))
                client.send("text", text=words)
                events += until_answered(client)
            server.terminate()
            server.wait()
    json.dump(events, sys.stdout)
    return server.returncode


def sound(path: Path) -> Samples:
    """Returns a recording, with silence after it."""
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    return np.concatenate([*(chunk.samples for chunk in open_sound(path)), silence])


def spoken(client: Client, samples: Samples) -> list[Message]:
    """Returns what a recording leads to, played as a microphone would."""
    for start in range(0, len(samples), BLOCK):
        client.send_sound(samples[start : start + BLOCK])
        time.sleep(BLOCK / SAMPLE_RATE_HZ)
    return until_answered(client)


def until_answered(client: Client) -> list[Message]:
    """Returns what comes up to the end of an utterance."""
    events = []
    for event in client.events(60):
        events.append(event)
        if event["type"] in ENDS:
            break
    return events


if __name__ == "__main__":
    sys.exit(main())
