"""What is told arrives once and in order, or its client is cut off."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from edge.serve.link import MAX_WAITING_BYTES, Link
from edge.serve.outgoing import MAX_LOG_BYTES, Outgoing, with_session

PATIENCE_S = 20


class Wire:
    """Two ends of a real connection."""

    def __init__(self) -> None:
        self._ends = threading.Event()
        self._is_met = threading.Event()
        self.near: ServerConnection | None = None
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._server = serve(self._meet, sock=listening, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.n_cut = 0
        self._calling = connect(
            f"ws://127.0.0.1:{listening.getsockname()[1]}",
            proxy=None,
            compression=None,
            max_queue=1,
            close_timeout=0.1,
        )
        self.far: ClientConnection = self._calling.__enter__()
        assert self._is_met.wait(PATIENCE_S)

    def link(self) -> Link:
        assert self.near is not None
        return Link(self.near, self._cut)

    def received(self, n: int) -> list[dict[str, Any]]:
        return [json.loads(self.far.recv(timeout=PATIENCE_S)) for _ in range(n)]

    def close(self) -> None:
        self._ends.set()
        self._server.shutdown()
        self._thread.join()
        self.far.close()

    def _cut(self) -> None:
        self.n_cut += 1

    def _meet(self, connection: ServerConnection) -> None:
        self.near = connection
        self._is_met.set()
        self._ends.wait(PATIENCE_S)


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def outgoing(observed: list[str] | None = None) -> Outgoing:
    told = [] if observed is None else observed
    return Outgoing(lambda: 1.5, told.append)


def say(out: Outgoing, n: int, *, size: int = 1) -> None:
    for _ in range(n):
        out.send("partial", utterance=1, stable="x" * size, tail="")


def test_events_are_numbered_and_stamped(wire: Wire) -> None:
    out = outgoing()
    assert out.attach(wire.link(), greeting='{"type":"ready"}', seen=0)
    say(out, 3)

    greeting, *events = wire.received(4)

    assert greeting == {"type": "ready"}
    assert [event["id"] for event in events] == [1, 2, 3]
    assert {event["t"] for event in events} == {1.5}


def test_what_was_missed_is_repeated_before_what_is_new(wire: Wire) -> None:
    out = outgoing()
    say(out, 5)
    assert out.attach(wire.link(), greeting="{}", seen=2)
    say(out, 1)

    assert [event.get("id") for event in wire.received(5)] == [None, 3, 4, 5, 6]


@pytest.mark.parametrize("seen", [4, 9])
def test_nobody_has_seen_what_was_not_said(wire: Wire, seen: int) -> None:
    out = outgoing()
    say(out, 3)

    assert not out.attach(wire.link(), greeting="{}", seen=seen)


def test_what_is_kept_to_be_repeated_is_bounded(wire: Wire) -> None:
    out = outgoing()
    n_too_many = MAX_LOG_BYTES // 2000 + 10
    say(out, n_too_many, size=2000)
    link = wire.link()

    assert not out.attach(link, greeting="{}", seen=0)
    assert out.attach(link, greeting="{}", seen=n_too_many - 5)
    assert len(wire.received(6)) == 6


def test_all_that_is_kept_can_be_repeated(wire: Wire) -> None:
    out = outgoing()
    say(out, MAX_LOG_BYTES // 2000 + 10, size=2000)
    seen = next(
        n for n in range(1000) if out.attach(wire.link(), greeting="{}", seen=n)
    )
    n_missed = MAX_LOG_BYTES // 2000 + 10 - seen

    ids = [event.get("id") for event in wire.received(n_missed + 1)]

    assert ids[1:] == list(range(seen + 1, seen + 1 + n_missed))
    assert wire.n_cut == 0


def test_a_new_connection_takes_the_place_of_the_old(wire: Wire) -> None:
    other = Wire()
    out = outgoing()
    before, after = wire.link(), other.link()
    out.attach(before, greeting="{}", seen=0)
    out.attach(after, greeting="{}", seen=0)
    say(out, 1)

    assert [event.get("id") for event in other.received(2)] == [None, 1]
    assert not out.is_attached(before)
    assert not out.detach(before)
    assert out.detach(after)
    other.close()


def test_observers_see_the_same_order() -> None:
    seen: list[str] = []
    out = outgoing(seen)
    tellers = [threading.Thread(target=say, args=(out, 200)) for _ in range(4)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()

    assert [json.loads(text)["id"] for text in seen] == list(range(1, 801))
    assert json.loads(with_session(seen[0], "a"))["session"] == "a"


def test_a_client_that_never_reads_is_cut_off(wire: Wire) -> None:
    out = outgoing()
    out.attach(wire.link(), greeting="{}", seen=0)
    until_s = time.monotonic() + PATIENCE_S
    n_bytes = 0
    while not wire.n_cut:
        assert time.monotonic() < until_s
        assert n_bytes < 20 * MAX_WAITING_BYTES
        say(out, 1, size=2000)
        n_bytes += 2000

    assert wire.n_cut == 1
    say(out, 10)
    assert wire.n_cut == 1


def test_a_goodbye_waits_no_longer_than_it_must(wire: Wire) -> None:
    link = wire.link()
    for _ in range(400):
        link.send("x" * 2000)
    link.close(time.monotonic())

    link.send("too late")
    assert wire.n_cut == 0


def test_what_waits_is_written_before_the_end(wire: Wire) -> None:
    link = wire.link()
    for n in range(20):
        link.send(json.dumps({"n": n}))
    link.close()

    assert [each["n"] for each in wire.received(20)] == list(range(20))
