"""`headside demo` on recordings of real speech, with a network and without one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from models.store import Store
from tests.acceptance.conftest import MOVE, Command, Done, Event, named

pytestmark = pytest.mark.models

IN_EMPTY_NETWORK = Path(__file__).with_name("in_empty_network.py")


@pytest.fixture(scope="module")
def demo(headside: Command, store: Store) -> Done:
    done = headside("demo", "--json")
    assert (done.code, done.stderr) == (0, "")
    return done


def result(done: Done, name: str) -> Event:
    [found] = [event for event in done.of("result") if event["name"] == name]
    return found


def assert_as_promised(done: Done) -> None:
    """Asserts the three results of the demo."""
    assert [event["name"] for event in done.of("result")] == [
        "goforward",
        "something",
        "librivox",
    ]
    assert all(event["ok"] and event["reply"] for event in done.of("result"))
    assert list(map(named, result(done, "goforward")["intents"])) == [MOVE]
    assert done.intents == [MOVE]  # no other recording brings one
    assert result(done, "librivox")["word_error"] <= 0.10


def test_a_command_moves_the_player_and_does_nothing_else(demo: Done) -> None:
    [intent] = result(demo, "goforward")["intents"]
    assert named(intent) == MOVE
    assert intent["tier"] == "grammar"


def test_words_that_are_no_command_are_answered(demo: Done) -> None:
    something = result(demo, "something")
    assert something["intents"] == []
    assert something["reply"]


def test_somebody_reading_aloud_is_understood_and_not_obeyed(demo: Done) -> None:
    librivox = result(demo, "librivox")
    assert 0 <= librivox["word_error"] <= 0.10
    assert librivox["intents"] == []


def test_the_events_of_a_turn_come_in_order_and_add_up(demo: Done) -> None:
    seen: list[Event] = []
    for event in demo.events:
        match event["type"]:
            case "turn":
                kinds = [earlier["type"] for earlier in seen]
                n_intents = len(event["intents"])
                replies = [e["text"] for e in seen if e["type"] == "reply"]
                assert kinds == [
                    "transcript",
                    *["intent"] * n_intents,
                    *["reply"] * len(replies),
                ]
                assert seen[0]["text"] == event["transcript"]
                assert " ".join(replies) == event["reply"]
                assert [t["stage"] for t in event["timings"]][:2] == ["asr", "intent"]
                seen.clear()
            case "transcript" | "intent" | "reply":
                seen.append(event)
    assert not seen
    [summary] = demo.of("summary")
    assert demo.events[-1] == summary
    assert summary["turns"] == len(demo.of("turn")) >= 7


def test_a_page_for_people_says_the_same(headside: Command, store: Store) -> None:
    done = headside("demo")
    assert (done.code, done.stderr) == (0, "")
    assert "Go forward 10 meters." in done.stdout
    assert "move  direction=forward  distance_m=10" in done.stdout
    assert done.stdout.count("as it should be: ") == 3
    assert "not as it should be" not in done.stdout
    assert "peak memory" in done.stdout


def in_empty_network(report: Path, program: Sequence[str]) -> tuple[str, ...]:
    """Returns a program that runs where there is nothing but loopback."""
    unshare = ["unshare", "--map-root-user", "--net"]
    return (*unshare, sys.executable, str(IN_EMPTY_NETWORK), str(report), *program)


@pytest.mark.requires_system("util-linux")
def test_nothing_is_sent_and_nothing_needs_a_network(
    headside: Command, store: Store, tmp_path: Path
) -> None:
    report = tmp_path / "packets.json"
    offline = replace(headside, program=in_empty_network(report, headside.program))

    done = offline("demo", "--json")

    assert (done.code, done.stderr) == (0, "")
    assert_as_promised(done)
    assert json.loads(report.read_text()) == {"sent": 0, "no_way_out": 0}


@pytest.mark.requires_system("util-linux")
@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1"])  # RFC 5737, loopback
def test_a_packet_would_have_been_seen(
    environ: dict[str, str], tmp_path: Path, host: str
) -> None:
    report = tmp_path / "packets.json"
    send = f"import socket; socket.socket().connect_ex(({host!r}, 9))"
    talkative = (sys.executable, "-c", send)

    Command(program=in_empty_network(report, talkative), environ=environ)()

    assert sum(json.loads(report.read_text()).values()) > 0
