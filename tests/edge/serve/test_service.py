"""A service in the hands of games: frames, sessions, observers, and how it ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from edge.serve import link, server
from edge.serve.secret import metrics_token
from edge.serve.server import MAX_OBSERVERS, MAX_REFUSED_FRAMES, MAX_SESSIONS
from edge.serve.wire import MAX_AUDIO_BYTES, MAX_TEXT_BYTES
from edge.serve.worker import Worker
from tests.edge.serve.conftest import (
    PACK,
    PATIENCE_S,
    SECRET,
    Model,
    Rig,
    Serving,
    Stranger,
    drained,
    wait_for,
)

Serve = Callable[..., Serving]


def game(serving: Serving, **fields: object) -> Stranger:
    stranger = Stranger(serving.port, max_size=None)
    stranger.enter(**fields)
    return stranger


def ends_with(stranger: Stranger) -> list[str]:
    """Returns the types of what still comes until the connection ends."""
    kinds = []
    try:
        while True:
            kinds.append(stranger.receive()["type"])
    except ConnectionClosed:
        return kinds


# Frames ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "frame_json"),
        ("[" * 100_000, "frame_json"),
        ("\u0000", "frame_json"),
        ('{"type":"reboot","id":7}', "frame_type"),
        ('{"type":"frame","id":7,"late":1e999}', "frame_json"),
        ('{"type":"text","id":7,"text":""}', "frame_invalid"),
        ('{"type":"proof","proof":"' + "0" * 64 + '"}', "frame_type"),
        (b"\0", "audio_odd"),
        (b"\0" * (MAX_AUDIO_BYTES + 2), "audio_size"),
    ],
)
def test_a_malformed_frame_is_an_error_and_no_more(
    serve: Serve, frame: str | bytes, code: str
) -> None:
    stranger = game(serve())
    stranger.connection.send(frame)

    error = stranger.receive()
    assert (error["type"], error["code"], error["fatal"]) == ("error", code, False)
    assert error["hint"]
    stranger.send("text", id=1, text="wave")
    stranger.wait("turn")


def test_an_error_names_its_message(serve: Serve) -> None:
    stranger = game(serve())
    stranger.send("result", id=5, intent=1, ok=True)
    stranger.send("text", id=6, text="")
    stranger.send("text", id=-1, text="")

    assert [stranger.receive()["of"] for _ in range(3)] == [5, 6, 0]


def test_who_sends_only_garbage_is_cut_off_and_may_come_back(serve: Serve) -> None:
    serving = serve()
    stranger = Stranger(serving.port)
    ready = stranger.enter()
    for _ in range(MAX_REFUSED_FRAMES):
        stranger.connection.send("garbage")

    errors = [stranger.receive() for _ in range(MAX_REFUSED_FRAMES)]
    assert ends_with(stranger) == []
    assert [error["fatal"] for error in errors[-2:]] == [False, True]
    again = Stranger(serving.port).enter(resume=ready["session"], seen=errors[-1]["id"])
    assert again["resumed"]


def test_a_frame_beyond_the_limit_ends_the_connection_alone(serve: Serve) -> None:
    serving = serve()
    stranger = game(serving)
    big = "x" * (MAX_TEXT_BYTES - 200)
    stranger.send("text", id=1, text="wave", more=big)
    stranger.wait("turn")
    stranger.connection.send("x" * (MAX_TEXT_BYTES + 1))

    with pytest.raises(ConnectionClosed) as ended:
        stranger.receive()
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009
    game(serving)


# Sessions -------------------------------------------------------------------------


def test_a_session_is_taken_up_where_it_was_left(serve: Serve) -> None:
    serving = serve()
    first = Stranger(serving.port)
    name = first.enter()["session"]
    first.send("text", id=1, text="wave")
    turn = first.wait("turn")
    first.connection.send(b"\0" * 640)
    first.send("text", id=2, text="make it dim")
    last = first.wait("turn")
    first.connection.close()

    second = Stranger(serving.port)
    ready = second.enter(resume=name, seen=turn["id"])

    assert ready["resumed"]
    assert (ready["seen"], ready["audio_at"]) == (2, 320)
    ids = [second.receive()["id"] for _ in range(last["id"] - turn["id"])]
    assert ids == list(range(turn["id"] + 1, last["id"] + 1))
    second.send("text", id=2, text="make it dim")
    second.send("text", id=3, text="wave")
    assert second.receive()["type"] == "speech.end"
    assert second.wait("turn")["utterance"] == 3


def test_a_second_connection_takes_the_place_of_the_first(serve: Serve) -> None:
    serving = serve()
    first = Stranger(serving.port)
    name = first.enter()["session"]
    second = Stranger(serving.port)

    assert second.enter(resume=name, seen=0)["resumed"]
    assert ends_with(first) == []
    second.send("text", id=1, text="wave")
    second.wait("turn")


@pytest.mark.parametrize("resume", ["", "unknown", "0" * 32])
def test_a_session_that_is_not_known_begins_anew(serve: Serve, resume: str) -> None:
    ready = Stranger(serve().port).enter(resume=resume, seen=5)

    assert not ready["resumed"]
    assert (ready["seen"], ready["audio_at"]) == (0, 0)
    assert ready["session"] != resume


def test_who_has_seen_too_much_begins_anew(serve: Serve) -> None:
    serving = serve()
    first = Stranger(serving.port)
    name = first.enter()["session"]
    ready = Stranger(serving.port).enter(resume=name, seen=99)

    assert not ready["resumed"]
    assert ends_with(first) == []


def test_goodbye_is_the_last_word_and_ends_what_was_said(
    serve: Serve, model: Model
) -> None:
    model.waits_after = 1
    serving = serve(language_model=model)
    stranger = Stranger(serving.port)
    name = stranger.enter()["session"]
    stranger.send("text", id=1, text="hello")
    assert model.waiting.wait(PATIENCE_S)
    stranger.send("bye", id=2)

    assert ends_with(stranger)[-3:] == ["reply.end", "cancelled", "bye"]
    assert not Stranger(serving.port).enter(resume=name, seen=0)["resumed"]


def test_sessions_are_few_and_absent_ones_make_room(serve: Serve) -> None:
    serving = serve()
    games = [Stranger(serving.port) for _ in range(MAX_SESSIONS)]
    names = [each.enter()["session"] for each in games]
    one_more = Stranger(serving.port)
    meeting = one_more.hello()
    one_more.send("proof", proof=meeting.proof(SECRET, "client"))
    with pytest.raises(ConnectionClosed) as refused:
        one_more.receive()
    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 1013

    games[3].connection.close()
    until_absent(serving, names[3])
    game(serving)
    back = Stranger(serving.port)
    meeting = back.hello(resume=names[3], seen=0)
    back.send("proof", proof=meeting.proof(SECRET, "client"))
    with pytest.raises(ConnectionClosed):
        back.receive()


def until_absent(serving: Serving, name: str) -> None:
    """Waits until the service knows that a session's client is gone."""
    worker = serving.service._worker
    with worker._changed:
        assert worker._changed.wait_for(lambda: name in worker._left_s, PATIENCE_S)


def test_a_session_is_forgotten_after_a_while(rig: Rig) -> None:
    forgotten = threading.Event()
    worker = Worker(lambda _: forgotten.set(), forgotten_s=0.1)
    worker.start()
    assert worker.add(rig.session, 1)
    assert worker.take_up(rig.session.name) is rig.session
    worker.left(rig.session)

    assert forgotten.wait(PATIENCE_S)
    assert worker.take_up(rig.session.name) is None
    worker.close()


def test_games_hear_nothing_of_each_other(serve: Serve) -> None:
    serving = serve()
    with serving.client() as one, serving.client() as other:
        for n in range(10):
            one.send("text", text=f"apple {n}")
            other.send("text", text=f"pear {n}")
            wait_for(one, "turn")
            wait_for(other, "turn")
        one.send("text", text="and now")
        other.send("text", text="and now")
        assert "pear" not in str([wait_for(one, "turn"), *drained(one)])
        assert "apple" not in str([wait_for(other, "turn"), *drained(other)])


# Observers ------------------------------------------------------------------------


def test_observers_see_every_session_and_change_nothing(serve: Serve) -> None:
    serving = serve()
    observer = Stranger(serving.port, role="observer")
    assert observer.enter()["session"] == ""
    one, other = Stranger(serving.port), Stranger(serving.port)
    names = [one.enter()["session"], other.enter()["session"]]
    for player in (one, other):
        player.send("text", id=1, text="wave")
        player.wait("turn")

    seen = [json.loads(observer.connection.recv()) for _ in range(12)]
    assert {event["session"] for event in seen} == set(names)
    for name in names:
        ids = [event["id"] for event in seen if event["session"] == name]
        assert ids == list(range(1, 7))

    observer.send("text", id=1, text="make it dim")
    assert ends_with(observer) == []
    one.send("text", id=9, text="wave")
    assert one.wait("speech.end")["utterance"] == 2


def test_observers_are_few(serve: Serve) -> None:
    serving = serve()
    observers = [Stranger(serving.port, role="observer") for _ in range(5)]
    for observer in observers[:MAX_OBSERVERS]:
        observer.enter()
    meeting = observers[-1].hello()
    observers[-1].send("proof", proof=meeting.proof(SECRET, "client"))

    assert ends_with(observers[-1]) == []


# Packs ----------------------------------------------------------------------------


def test_a_pack_is_swapped_between_turns(
    serve: Serve, model: Model, pack_file: Path
) -> None:
    model.waits_after = 1
    serving = serve(language_model=model)
    one, other = game(serving), game(serving)
    pack_file.write_text(PACK.replace('["Ahoy!"]', '["Hello!"]'))
    one.send("text", id=1, text="hello")
    assert model.waiting.wait(PATIENCE_S)
    one.send("pack.reload", id=2)
    model.goes_on.set()

    kinds = [one.receive()["type"] for _ in range(7)]
    assert kinds.index("turn") < kinds.index("scene.ack")
    for player in (one, other):
        player.send("text", id=3, text="wave")
        assert player.wait("reply.delta")["text"] == "Hello!"
    newcomer = game(serving)
    newcomer.send("text", id=1, text="wave")
    assert newcomer.wait("reply.delta")["text"] == "Hello!"


def test_a_broken_pack_is_refused_and_the_old_one_stays(
    serve: Serve, pack_file: Path
) -> None:
    player = game(serve())
    pack_file.write_text("format = 1\nname = 5")
    player.send("pack.reload", id=1)
    error = player.wait("error")
    assert (error["code"], error["of"]) == ("pack_invalid", 1)

    player.send("text", id=2, text="wave")
    assert player.wait("reply.delta")["text"] == "Ahoy!"


# The end --------------------------------------------------------------------------


def test_a_service_that_ends_says_goodbye_last(serve: Serve, model: Model) -> None:
    model.waits_after = 1
    serving = serve(language_model=model)
    player = game(serving)
    player.send("text", id=1, text="hello")
    assert model.waiting.wait(PATIENCE_S)
    player.send("text", id=2, text="wave")
    serving.service.close()

    kinds = ends_with(player)
    assert kinds[-1] == "bye"
    assert kinds.count("speech.end") == kinds.count("cancelled") + kinds.count("turn")


def narrow(serving: Serving) -> Serving:
    """Returns a service whose connections hold little."""
    serving.service._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return serving


def n_cut_off(serving: Serving) -> float:
    token = metrics_token(SECRET)
    text = serving.get("/metrics", f"Authorization: Bearer {token}").body.decode()
    return float(text.partition("\nheadside_slow_clients_total ")[2].split()[0])


def test_an_observer_that_never_reads_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "MAX_WAITING_BYTES", 1 << 14)
    serving = narrow(serve())
    slow = Stranger(serving.port, role="observer", max_queue=1)
    slow.enter()
    with serving.client() as client:
        while not n_cut_off(serving):
            client.send("say", text="x" * 1000)
            wait_for(client, "turn")
    assert n_cut_off(serving) == 1


def test_a_game_that_never_reads_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SEND_S", 0.2)
    serving = narrow(serve())
    slow = Stranger(serving.port, max_queue=1)
    slow.enter()

    def flood() -> None:
        with suppress(ConnectionClosed):
            for n in count(1):
                slow.send("say", id=n, text="x" * 1000)

    flooding = threading.Thread(target=flood)
    flooding.start()
    with serving.client() as client:
        for _ in range(100_000):
            client.send("text", text="wave")
            wait_for(client, "turn")
            if n_cut_off(serving):
                break
    assert n_cut_off(serving) == 1
    with suppress(OSError):
        slow.connection.socket.shutdown(socket.SHUT_RDWR)
    flooding.join(PATIENCE_S)


def test_a_client_that_never_reads_does_not_hold_up_the_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FAREWELL_S", 0.2)
    serving = narrow(serve())
    slow = Stranger(serving.port, role="observer", max_queue=1)
    slow.enter()
    with serving.client() as client:
        for _ in range(500):
            client.send("say", text="x" * 1000)
            wait_for(client, "turn")

    serving.stop()
    assert slow.receive()


def test_a_connection_that_waits_for_room_does_not_hold_up_the_end(
    serve: Serve,
) -> None:
    serving = serve()
    idle = [socket.create_connection(("127.0.0.1", serving.port)) for _ in range(65)]
    assert idle[-1].recv(1) == b""

    serving.stop()
    for each in idle:
        each.close()
