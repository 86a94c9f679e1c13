"""`headside serve` on real models, where there is no network but loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from models.store import Store
from tests.acceptance.conftest import MOVE, Command, named
from tests.acceptance.test_demo import in_empty_network

TALK = Path(__file__).with_name("talk_to_serve.py")


@pytest.mark.requires_system("util-linux")
def test_a_game_is_heard_and_answered_without_a_network(
    environ: dict[str, str], store: Store, goforward: Path, tmp_path: Path
) -> None:
    report = tmp_path / "packets.json"
    talk = (sys.executable, str(TALK), "explorer")
    offline = Command(program=in_empty_network(report, talk), environ=environ)

    done = offline(goforward, "who are you")

    assert (done.code, done.stderr) == (130, "")  # ended by a signal, as it was told
    events = json.loads(done.stdout)
    kinds = [event["type"] for event in events]
    for kind in ("speech.start", "partial", "speech.end", "transcript", "intent"):
        assert kind in kinds, kinds
    (intent,) = (event for event in events if event["type"] == "intent")
    assert named(intent) == MOVE
    begin_s, end_s = intent["span_s"]
    assert 0 < begin_s < end_s < 3
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert kinds.count("turn") == 2
    assert kinds[-1] == "turn"
    assert json.loads(report.read_text())["no_way_out"] == 0
