"""Who is let in, and what everybody else is told: nothing."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as squat

from edge.clients.client import Client, ClientError
from edge.serve.door import MAX_STRANGERS
from edge.serve.loopback import ServeError, require_origin
from edge.serve.secret import Meeting, metrics_token
from edge.serve.server import ServeOptions, Service
from edge.serve.wire import MAX_GREETING_BYTES
from tests.edge.serve.conftest import (
    PATIENCE_S,
    SECRET,
    Serving,
    Stranger,
    build,
    wait_for,
)

Serve = Callable[..., Serving]
ANYWHERE = "0.0.0.0"  # noqa: S104 - refused
PAGE = "http://localhost:5173"


def is_thrown_out(stranger: Stranger) -> bool:
    """Returns whether a connection ends without another word."""
    try:
        stranger.connection.recv(timeout=PATIENCE_S)
    except ConnectionClosed:
        return True
    return False


# Proofs ---------------------------------------------------------------------------


def test_both_sides_prove_themselves(serve: Serve) -> None:
    stranger = Stranger(serve().port)
    meeting = stranger.hello()
    assert meeting.server_nonce != stranger.nonce
    stranger.send("proof", proof=meeting.proof(SECRET, "client"))

    ready = stranger.receive()
    assert ready["type"] == "ready"
    assert not ready["resumed"]
    assert ready["characters"] == ["Mara", "Odd"]


def test_the_server_proves_itself_first(serve: Serve) -> None:
    stranger = Stranger(serve().port)
    stranger.send("hello", version=1, role="game", nonce=stranger.nonce)
    challenge = stranger.receive()
    meeting = Meeting(
        port=stranger.port,
        role="game",
        client_nonce=stranger.nonce,
        server_nonce=challenge["nonce"],
    )

    assert meeting.is_proved(SECRET, "server", challenge["proof"])


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_wrong_proof_is_thrown_out(serve: Serve, side: str) -> None:
    stranger = Stranger(serve().port)
    meeting = stranger.hello()
    wrong = b"x" * 32 if side == "client" else SECRET
    stranger.send("proof", proof=meeting.proof(wrong, side))

    assert is_thrown_out(stranger)


def test_a_proof_cannot_be_used_again(serve: Serve) -> None:
    serving = serve()
    first = Stranger(serving.port)
    proof = first.hello().proof(SECRET, "client")
    first.send("proof", proof=proof)
    first.receive()

    second = Stranger(serving.port)
    second.nonce = first.nonce
    second.hello()
    second.send("proof", proof=proof)
    assert is_thrown_out(second)


def test_who_says_nothing_is_thrown_out(serve: Serve) -> None:
    port = serve().port
    silent, halfway = Stranger(port), Stranger(port)
    halfway.hello()

    assert is_thrown_out(silent)
    assert is_thrown_out(halfway)


@pytest.mark.parametrize(
    "frame",
    [
        b"\0" * 640,
        "not json",
        '{"type":"text","id":1,"text":"hello"}',
        '{"type":"hello","version":1,"role":"admin","nonce":"' + "0" * 64 + '"}',
        '{"type":"proof","proof":"' + "0" * 64 + '"}',
        "x" * (MAX_GREETING_BYTES + 1),
        b"\0" * (MAX_GREETING_BYTES + 1),
    ],
    ids=["sound", "garbage", "text", "role", "proof", "long", "loud"],
)
@pytest.mark.parametrize("is_greeted", [False, True])
def test_nothing_is_taken_before_the_proof(
    serve: Serve, frame: str | bytes, is_greeted: bool
) -> None:
    stranger = Stranger(serve().port)
    if is_greeted:
        stranger.hello()
    stranger.connection.send(frame)

    assert is_thrown_out(stranger)


def test_too_many_strangers_are_turned_away_and_games_are_not(serve: Serve) -> None:
    serving = serve()
    with serving.client():
        strangers = [Stranger(serving.port) for _ in range(MAX_STRANGERS)]
        for stranger in strangers:
            stranger.hello()
        with pytest.raises(InvalidStatus) as refused:
            Stranger(serving.port)
        assert refused.value.response.status_code == 503
        for stranger in strangers:
            assert is_thrown_out(stranger)
        serving.client().close()


def test_connections_that_ask_nothing_keep_nobody_out_for_long(serve: Serve) -> None:
    serving = serve()
    idle = [socket.create_connection(("127.0.0.1", serving.port)) for _ in range(100)]

    for each in idle:
        each.settimeout(PATIENCE_S)
        assert b"101" not in each.recv(100)
        each.close()
    serving.client().close()


def test_a_squatter_learns_nothing() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    heard: list[str] = []

    def pretend(connection: ServerConnection) -> None:
        heard.append(str(connection.recv(timeout=PATIENCE_S)))
        fake = {"type": "challenge", "nonce": "0" * 64, "proof": "0" * 64}
        connection.send(json.dumps(fake))
        heard.extend(str(frame) for frame in connection)

    squatter = squat(pretend, sock=listening)
    thread = threading.Thread(target=squatter.serve_forever)
    thread.start()
    with pytest.raises(ClientError) as refused:
        Client(port, SECRET)
    squatter.shutdown()
    thread.join()

    assert refused.value.code == "client_squatter"
    (hello,) = heard
    assert json.loads(hello).keys() <= {"type", "version", "role", "nonce", "results"}
    assert SECRET.hex() not in hello


# Requests -------------------------------------------------------------------------


def test_a_page_needs_to_be_on_the_list(serve: Serve) -> None:
    serving = serve(origins=(PAGE,))
    host = f"Host: 127.0.0.1:{serving.port}"

    assert serving.upgrade(host, f"Origin: {PAGE}").status == 101
    assert serving.upgrade(host).status == 101
    for origin in (
        "http://localhost:5174",
        "https://localhost:5173",
        "http://localhost:5173.evil.example",
        "HTTP://LOCALHOST:5173",
        "null",
        "",
        "*",
    ):
        assert serving.upgrade(host, f"Origin: {origin}").status == 403, origin
    twice = serving.upgrade(host, f"Origin: {PAGE}", f"Origin: {PAGE}")
    assert twice.status == 403
    assert serving.get("/healthz", "Origin: http://evil.example").status == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_a_host_is_this_server(serve: Serve, name: str) -> None:
    serving = serve()

    assert serving.upgrade(f"Host: {name}:{serving.port}").status == 101


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["evil.example"],
        ["evil.example:{port}"],
        ["127.0.0.1"],
        ["127.0.0.1:1"],
        ["127.0.0.1:{port}.evil.example"],
        ["127.0.0.1:{port}", "127.0.0.1:{port}"],
        ["127.0.0.1:{port}", "evil.example"],
        ["0.0.0.0:{port}"],
    ],
)
@pytest.mark.parametrize("path", ["/v1", "/healthz", "/metrics"])
def test_no_other_host_will_do(serve: Serve, hosts: list[str], path: str) -> None:
    serving = serve()
    headers = [f"Host: {host.format(port=serving.port)}" for host in hosts]

    answer = serving.ask(f"GET {path}", *headers)

    assert answer.status == 403
    assert answer.body == b"Forbidden\n"


def test_health_says_ok_and_nothing_else(serve: Serve) -> None:
    answer = serve().get("/healthz")

    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.headers.keys() <= {
        "date",
        "connection",
        "content-length",
        "content-type",
        "cache-control",
        "x-content-type-options",
    }


def test_metrics_need_their_token(serve: Serve) -> None:
    serving = serve()
    with serving.client() as client:
        client.send("text", text="wave")
        wait_for(client, "turn")
        token = metrics_token(SECRET)
        answer = serving.get("/metrics", f"Authorization: Bearer {token}")

    assert answer.status == 200
    assert b'headside_utterances_total{outcome="turn"} 1.0' in answer.body
    assert SECRET.hex().encode() not in answer.body
    for wrong in ("", "Bearer ", f"Bearer {SECRET.hex()}", token, "Bearer \xff\xfe"):
        refused = serving.get("/metrics", f"Authorization: {wrong}")
        assert (refused.status, refused.body) == (401, b"Unauthorized\n"), wrong
    twice = [f"Authorization: Bearer {token}"] * 2
    assert serving.get("/metrics", *twice).status == 401
    assert serving.get("/metrics").status == 401


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "HEAD", "PUT"])
def test_other_methods_are_told_nothing(serve: Serve, method: str) -> None:
    serving = serve(origins=(PAGE,))
    preflight = (f"Origin: {PAGE}", "Access-Control-Request-Method: GET")

    answer = serving.get("/v1", *preflight, method=method)

    assert answer.status not in {200, 204}
    assert serving.get("/healthz").status == 200


@pytest.mark.parametrize("path", ["/", "/v2", "/v1/", "/healthz/", "//v1", "/%2e"])
def test_other_paths_are_not_there(serve: Serve, path: str) -> None:
    assert serve().get(path).status == 404


def test_garbage_is_survived(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    serving = serve()
    with caplog.at_level(logging.ERROR):
        for garbage in (
            b"\0" * 1000,
            b"GET\r\n\r\n",
            b"\x16\x03\x01" * 99,
            b"\xff\r\n",
        ):
            with socket.create_connection(("127.0.0.1", serving.port)) as rude:
                rude.settimeout(PATIENCE_S)
                rude.sendall(garbage)
                rude.shutdown(socket.SHUT_WR)
                while rude.recv(1000):
                    pass
        assert serving.get("/healthz").status == 200
    assert caplog.records == []


def test_nothing_is_compressed(serve: Serve) -> None:
    serving = serve()
    answer = serving.upgrade(
        f"Host: 127.0.0.1:{serving.port}",
        "Sec-WebSocket-Extensions: permessage-deflate",
    )

    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


# Where it listens -----------------------------------------------------------------


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.1", "example.com", ""])
def test_other_machines_are_not_listened_to(pack_file: Path, host: str) -> None:
    with pytest.raises(ServeError) as refused:
        Service(build(pack_file), "pack", SECRET, ServeOptions(host=host))

    assert refused.value.code == "serve_host"


def test_a_secret_is_long_enough(pack_file: Path) -> None:
    with pytest.raises(ServeError) as refused:
        Service(build(pack_file), "pack", b"short", ServeOptions())

    assert refused.value.code == "serve_secret"


def test_a_port_is_not_shared(serve: Serve, pack_file: Path) -> None:
    with pytest.raises(ServeError) as refused:
        Service(build(pack_file), "pack", SECRET, ServeOptions(port=serve().port))

    assert refused.value.code == "serve_port"
    assert "--port" in refused.value.hint


def test_the_other_loopback_will_do(serve: Serve) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    serving = serve(host="::1")

    with socket.create_connection(("::1", serving.port), PATIENCE_S) as asking:
        asking.sendall(
            f"GET /healthz HTTP/1.1\r\nHost: [::1]:{serving.port}\r\n\r\n".encode()
        )
        assert b"200 OK" in asking.recv(1000)


# The command ----------------------------------------------------------------------


def command(pack_file: Path, *options: str) -> list[str]:
    echoes = ["--vad", "echo", "--asr", "echo", "--llm", "echo"]
    serve = [sys.executable, "-m", "edge.cli", "serve", str(pack_file.parent)]
    return [*serve, *echoes, "--port", "0", *options]


def test_the_secret_stays_in_its_file(pack_file: Path, tmp_path: Path) -> None:
    secret_file, trace = tmp_path / "secret", tmp_path / "trace.json"
    options = ["--json", "--secret-file", str(secret_file), "--trace", str(trace)]
    with subprocess.Popen(
        command(pack_file, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        serving = json.loads(first)
        secret = secret_file.read_bytes()
        assert secret_file.stat().st_mode & 0o777 == 0o600
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        with Client(serving["port"], secret) as client:
            client.send("text", text="wave")
            wait_for(client, "turn")
        with pytest.raises(ClientError):
            Client(serving["port"], b"x" * 32)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=PATIENCE_S)

    assert process.returncode in {0, 130}
    assert errors == b""
    written = trace.read_bytes()
    assert b'"reply"' in written
    for told in (arguments, environment, first, out, errors, written):
        assert secret not in told
        assert secret.hex().encode() not in told
    assert json.loads(written)
    assert b"wave" not in written + out + first


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:5173",
        "https://game.example",
        "http://[::1]:8080",
        "chrome-extension://abcdef",
    ],
)
def test_an_origin_may_be_named_as_browsers_send_it(origin: str) -> None:
    require_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "null", "*", "localhost:5173", "http://", "javascript:x"),
        *("http://a/", "http://a/b", "http://A", "http://u@a", "http://a b"),
    ],
)
def test_what_no_browser_sends_is_no_origin(origin: str) -> None:
    with pytest.raises(ServeError) as caught:
        require_origin(origin)
    assert caught.value.code == "serve_origin"


@pytest.mark.parametrize("what", ["host", "secret", "port", "origin"])
def test_a_service_that_cannot_begin_says_why(
    pack_file: Path, tmp_path: Path, what: str
) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_bytes(SECRET)
    secret_file.chmod(0o644 if what == "secret" else 0o600)
    taken = socket.create_server(("127.0.0.1", 0))
    options = {
        "host": ["--host", ANYWHERE],
        "secret": [],
        "port": ["--port", str(taken.getsockname()[1])],
        "origin": ["--allow-origin", "http://localhost:5173/"],
    }[what]
    done = subprocess.run(
        command(pack_file, "--secret-file", str(secret_file), *options),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "COLUMNS": "500"},
        check=False,
    )
    taken.close()

    assert done.returncode == 1
    assert done.stdout == ""
    expected = {
        "host": f"{ANYWHERE} is not loopback",
        "secret": "chmod 600",
        "port": "cannot be used: Address already in use",
        "origin": '"http://localhost:5173/" is no origin',
    }
    assert expected[what] in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
