"""The JavaScript client in Node, against the real service."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_sockets

from tests.edge.clients.conftest import Server

if TYPE_CHECKING:
    from tests.edge.clients.conftest import Event, Player, Serve

ECHO = ("--vad", "echo", "--asr", "echo", "--llm", "echo")
ROOT = Path(__file__).parents[3]
LIGHTHOUSE = {"id": "l-1", "name": "lighthouse", "tags": ["place"]}
TEMPLE = {"id": "t-1", "name": "temple", "tags": ["place"]}
MOVE = {"direction": "forward", "distance_m": 10}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service for games that do it no harm; each has its own session."""
    server = Server(tmp_path_factory.mktemp("server"), *ECHO)
    yield server
    server.kill()


def ask(player: Player, text: str) -> list[Event]:
    """Returns what came of typed words, from the first event to the turn's end."""
    n_before = len(player.events)
    player.do("text", text)
    player.wait("turn")
    return player.events[n_before:]


def intents(events: list[Event]) -> list[tuple[str, Any]]:
    """Returns names and slots."""
    found = [event for event in events if event["type"] == "intent"]
    return [(event["name"], event["slots"]) for event in found]


# Who talks to whom ----------------------------------------------------------------


def test_both_sides_prove_themselves_and_the_session_begins(
    player: Player, server: Server
) -> None:
    ready = player.connect(server)

    assert ready["pack"] == "explorer"
    assert not ready["resumed"]
    assert player.wait("done", name="connect")


def test_a_server_with_another_secret_is_refused(
    player: Player, server: Server
) -> None:
    player.tell("connect", {"port": server.port, "secret": 64 * "0"})

    assert player.wait("failed")["code"] == "server_unproved"


def test_a_client_may_try_again(player: Player, server: Server) -> None:
    player.tell("connect", {"port": 1, "secret": server.secret})
    assert player.wait("failed")["code"] == "not_reached"

    assert player.connect(server)


class Squatter:
    """Holds the port without the secret, answers `hello`, and hears what follows."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.heard: list[str | bytes] = []
        self.is_over = threading.Event()
        self._answers = answers

    def __call__(self, connection: ServerConnection) -> None:
        try:
            self.heard.append(connection.recv())
            for answer in self._answers:
                connection.send(json.dumps(answer))
            for message in connection:
                self.heard.append(message)
        except ConnectionClosed:
            pass
        finally:
            self.is_over.set()


@contextmanager
def squatting(squatter: Squatter, port: int = 0) -> Iterator[int]:
    """Yields the port that is held."""
    with serve_sockets(squatter, "127.0.0.1", port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


CHALLENGE = {"type": "challenge", "nonce": 64 * "a", "proof": 64 * "b"}


@pytest.mark.parametrize(
    "answers",
    [
        [CHALLENGE],
        [{"type": "challenge"}],
        [{"type": "ready", "session": "mine"}],
        [CHALLENGE, {"type": "ready", "session": "mine"}],
    ],
)
def test_a_squatter_gets_hello_and_no_more(
    player: Player, answers: list[dict[str, Any]]
) -> None:
    squatter = Squatter(answers)
    with squatting(squatter) as port:
        player.do("setScene", [LIGHTHOUSE])
        player.do("text", "go forward")
        player.tell("connect", {"port": port, "secret": 64 * "0"})

        assert player.wait("failed")["code"] in {
            "server_unproved",
            "unexpected_message",
        }
        assert squatter.is_over.wait(10)

    [hello] = [json.loads(message) for message in squatter.heard]
    assert hello.keys() == {"type", "version", "role", "nonce"}


def test_a_squatter_that_takes_over_a_lost_servers_port_gets_hello_and_no_more(
    player: Player, serve: Serve
) -> None:
    server = serve(*ECHO)
    player.connect(server)
    squatter = Squatter([CHALLENGE])

    server.kill()
    player.tell("text", "go forward")
    with squatting(squatter, server.port):
        assert player.wait("closed")["code"] == "server_unproved"
        assert squatter.is_over.wait(10)

    [hello] = [json.loads(message) for message in squatter.heard]
    assert hello["type"] == "hello"


# What is said ---------------------------------------------------------------------


def test_typed_words_become_an_intent(player: Player, server: Server) -> None:
    player.connect(server)

    events = ask(player, "go forward ten meters")

    assert intents(events) == [("move", MOVE)]


def test_what_is_sent_before_there_is_a_connection_arrives(
    player: Player, server: Server
) -> None:
    player.do("setScene", [LIGHTHOUSE])
    player.do("text", "take me to the lighthouse")
    player.connect(server)

    player.wait("turn")
    assert intents(player.events) == [("teleport", {"place": "l-1"})]


def test_a_change_of_the_scene_can_be_talked_about(
    player: Player, server: Server
) -> None:
    player.connect(server)
    player.do("setScene", [LIGHTHOUSE], {"door.open": True})
    player.do("patchScene", {"set": [TEMPLE], "remove": ["l-1"]})

    assert intents(ask(player, "take me to the temple")) == [
        ("teleport", {"place": "t-1"})
    ]
    assert intents(ask(player, "take me to the lighthouse")) == []


def test_a_change_of_another_scene_is_followed_by_the_whole(
    player: Player, server: Server
) -> None:
    player.connect(server)
    player.do("setScene", [LIGHTHOUSE])
    player.do("misnumber", 77)
    player.do("patchScene", {"set": [TEMPLE], "remove": ["l-1"]})

    assert player.wait("error")["code"] == "scene_base"
    assert player.wait("scene.ack")["errors"] == []
    assert intents(ask(player, "take me to the temple")) == [
        ("teleport", {"place": "t-1"})
    ]
    assert intents(ask(player, "take me to the lighthouse")) == []


def test_a_player_chooses_between_two_things(player: Player, server: Server) -> None:
    player.connect(server)
    player.do("setScene", [{**LIGHTHOUSE, "size": [4, 20, 4]}, TEMPLE])
    player.do("patchScene", {"set": [{**LIGHTHOUSE, "id": "l-2"}]})
    events = ask(player, "take me to the lighthouse")
    [asked] = [event for event in events if event["type"] == "clarify"]
    [other] = [o for o in asked["options"] if o["slots"] == {"place": "l-2"}]

    wrong = player.do("choose", asked["utterance"], 9)
    assert player.wait("error", of=wrong)["code"] == "option_unknown"
    player.do("choose", asked["utterance"], other["n"])
    assert player.wait("intent")["slots"] == {"place": "l-2"}
    late = player.do("choose", asked["utterance"], other["n"])
    assert player.wait("error", of=late)["code"] == "nothing_to_choose"


def test_a_game_goes_on_in_another_language(player: Player, server: Server) -> None:
    assert "zh" in player.connect(server)["languages"]
    player.do("language", "zh")
    player.wait("scene.ack")
    events = ask(player, "你好")

    [transcript] = [event for event in events if event["type"] == "transcript"]
    assert transcript["language"] == "zh"


def test_a_game_ends_its_session(player: Player, server: Server) -> None:
    player.connect(server)

    player.do("close")

    assert [event["why"] for event in player.of("bye")] == ["client"]
    assert player.of("closed") == [{"type": "closed", "code": "closed"}]
    player.tell("text", "go forward")
    assert player.wait("failed")["code"] == "closed"


def test_an_observer_hears_all_and_says_nothing(
    player: Player, observer: Player, server: Server
) -> None:
    observer.connect(server, role="observer")
    first = player.connect(server)["session"]
    ask(player, "go forward ten meters")

    assert observer.wait("intent", session=first)["name"] == "move"
    observer.wait("turn", session=first)
    observer.tell("text", "go forward")
    assert observer.wait("failed")["code"] == "observer"
    observer.do("close")
    assert observer.of("closed") == [{"type": "closed", "code": "closed"}]


# Lost connections -----------------------------------------------------------------


def test_a_cut_connection_loses_nothing_and_repeats_nothing(
    player: Player, server: Server
) -> None:
    session = player.connect(server)["session"]
    player.do("setScene", [LIGHTHOUSE])

    n_asked = 0
    for moment in 2 * ["in a turn", "before it", "while nobody is there"]:
        if moment == "in a turn":
            player.tell("text", "go forward ten meters")
            player.wait("transcript")
            player.tell("cut")
        elif moment == "before it":
            player.tell("batch", [["text", "go forward ten meters"], ["cut"]])
        else:
            player.tell("batch", [["cut"], ["text", "go forward ten meters"]])
        n_asked += 1
        ready = player.wait("ready")
        assert ready["resumed"]
        assert ready["session"] == session
        player.wait_for_turns(n_asked)

    assert intents(player.events) == n_asked * [("move", MOVE)]
    assert player.message_ids == list(range(1, len(player.message_ids) + 1))
    assert player.of("restarted") == []


def test_more_than_can_be_kept_is_made_good_by_the_whole_scene(
    player: Player, server: Server
) -> None:
    player.connect(server)
    player.do("setScene", [LIGHTHOUSE])
    facts = [["fact", "steps", n] for n in range(1_500)]
    player.do("batch", [["cut"], ["patchScene", {"set": [TEMPLE]}], *facts])

    assert player.wait("ready")["resumed"]
    assert intents(ask(player, "take me to the temple")) == [
        ("teleport", {"place": "t-1"})
    ]


def audio_at(player: Player) -> int:
    """Returns where the server believes the sound to be, once it has taken all."""
    ask(player, "go forward")
    player.tell("cut")
    at: int = player.wait("ready")["audio_at"]
    return at


def test_time_goes_on_where_a_connection_was_too_slow(
    player: Player, server: Server
) -> None:
    player.connect(server)
    assert player.do("hear", 1_600)

    player.do("jam", True)
    assert not player.do("hear", 800)
    player.do("jam", False)
    assert player.do("hear", 400)

    assert player.do("dropped") == 800
    assert audio_at(player) == 2_800


def test_time_goes_on_where_a_connection_was_lost(
    player: Player, server: Server
) -> None:
    player.connect(server)
    player.do("hear", 1_600)
    # Nobody knows yet that the connection is gone.
    player.tell("batch", [["cut"], ["hear", 800]])
    player.wait("ready")
    player.do("hear", 400)

    assert audio_at(player) == 2_800


@pytest.mark.parametrize("ending", ["kill", "interrupt"])
def test_a_restarted_server_is_told_the_scene_again(
    player: Player, serve: Serve, ending: str
) -> None:
    server = serve(*ECHO)
    player.connect(server)
    player.do("setScene", [LIGHTHOUSE])
    player.do("patchScene", {"set": [TEMPLE]})
    ask(player, "go forward")
    n_before = len(player.events)

    getattr(server, ending)()
    player.wait("disconnected")
    player.do("text", "take me to the temple")
    server.kill()
    serve(*ECHO, port=server.port)

    assert not player.wait("ready")["resumed"]
    player.wait("restarted")
    player.wait("turn")
    assert intents(player.events[n_before:]) == [("teleport", {"place": "t-1"})]
    assert player.of("lost") == []
    # The scene and the words were the first two.
    assert player.do("cancel") == 3


def test_utterances_of_a_lost_session_are_told(player: Player, serve: Serve) -> None:
    server = serve(*ECHO)
    player.connect(server, results=True)
    player.tell("text", "go forward")
    # The reply waits a moment to be told what became of this, in vain.
    player.wait("intent")
    server.kill()
    player.wait("disconnected")
    serve(*ECHO, port=server.port)
    player.wait("restarted")

    # A busy machine may come too late for the moment.
    ended = [event["utterance"] for event in player.of("turn") + player.of("lost")]
    assert ended == [1]


# The wire -------------------------------------------------------------------------


def test_types_say_what_the_schema_says() -> None:
    schema = json.loads((ROOT / "edge/serve/wire.schema.json").read_text())
    types = (ROOT / "edge/clients/js/wire.js").read_text()

    declared: dict[str, set[str]] = {}
    for block in re.findall(r"/\*\*.*?\*/", types, re.DOTALL):
        fields = re.findall(r"@property \{(.*?)\}\s+(?:\* +)?(\[?\w+\]?)", block)
        kinds = [kind.strip('"') for kind, name in fields if name == "type"]
        declared |= {kind: {name for _, name in fields} for kind in kinds}

    for kind, message in schema["server"].items():
        required = set(message["required"])
        assert declared[kind] == {
            name if name in required else f"[{name}]" for name in message["properties"]
        }


def test_every_message_can_be_sent() -> None:
    schema = json.loads((ROOT / "edge/serve/wire.schema.json").read_text())
    sources = [path.read_text() for path in (ROOT / "edge/clients/js").glob("*.js")]

    for kind in schema["client"]:
        assert any(f'type: "{kind}"' in source for source in sources), kind
