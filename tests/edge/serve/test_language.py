"""A session goes on in another of the pack's languages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.serve.wire import WireError
from models.pack_file import load_pack
from tests.edge.serve.conftest import (
    Hears,
    Model,
    Rig,
    Serving,
    Stranger,
    build,
    wait_for,
)

PACK = """
format = 1
name = "harbour"
languages = ["en", "zh"]
[listen]
mode = "open_mic"
[understand]
tiers = ["grammar"]
[character.Mara]
persona = "Harbour pilot."
fallback = ["Say again?"]
[character.Odd]
persona = "Cook."
fallback = ["Hm?"]
[lists.boat]
from_scene = { tag = "boat" }
[intents.wave]
say = ["wave"]
reply = ["Ahoy!"]
[intents.board]
say = ["board the {boat}"]
reply = ["Aboard the {boat}."]
[[scene.object]]
id = "b1"
name = "Marigold"
tags = ["boat"]
"""
CHINESE = """
[character.Mara]
persona = "港口领航员。"
fallback = ["再说一遍？"]
[character.Odd]
persona = "厨师。"
fallback = ["嗯？"]
[names]
b1 = ["金盏花"]
[intents.wave]
say = ["挥手"]
reply = ["你好！"]
[intents.board]
say = ["登上{boat}"]
reply = ["上了{boat}。"]
"""

Serve = Callable[..., Serving]


@pytest.fixture
def pack_file(tmp_path: Path) -> Path:
    path = tmp_path / "pack.toml"
    path.write_text(PACK)
    (tmp_path / "pack.zh.toml").write_text(CHINESE)
    return path


@pytest.fixture
def rig(pack_file: Path) -> Rig:
    return Rig(build(pack_file, Model()).join())


def replies(rig: Rig) -> list[str]:
    return [event["text"] for event in rig.of("reply.delta")]


def test_words_and_lines_are_those_of_the_language(rig: Rig) -> None:
    rig.send("language", language="zh")
    rig.send("text", text="挥手")
    rig.send("text", text="登上金盏花")
    rig.work()
    rig.send("language", language="en")
    rig.send("text", text="board the Marigold")
    rig.work()

    assert replies(rig) == ["你好！", "上了金盏花。", "Aboard the Marigold."]
    assert [event["language"] for event in rig.of("transcript")] == ["zh", "zh", "en"]
    assert rig.of("intent")[1]["slots"] == {"boat": "b1"}
    first, second = rig.of("scene.ack")
    assert first["lexicon"] != second["lexicon"]


def test_objects_that_the_game_told_keep_their_names(rig: Rig) -> None:
    rig.send(
        "scene.set", rev=1, objects=[{"id": "b9", "name": "海鸥", "tags": ["boat"]}]
    )
    rig.send("language", language="zh")
    rig.send("text", text="登上海鸥")
    rig.work()

    assert rig.of("intent")[0]["slots"] == {"boat": "b9"}
    assert rig.of("scene.ack")[-1]["rev"] == 1


def test_the_character_stays_and_the_conversation_begins_anew(rig: Rig) -> None:
    rig.send("character", name="Odd")
    rig.send("text", text="wave")
    rig.send("language", language="zh")
    rig.work()
    assert rig.session.runtime.conversation.exchanges == ()

    rig.send("text", text="挥手")
    rig.work()
    assert rig.of("reply.delta")[-1]["character"] == "Odd"


def test_the_language_that_it_is_changes_nothing(rig: Rig) -> None:
    rig.send("text", text="wave")
    rig.send("language", language="en")
    rig.work()

    assert len(rig.session.runtime.conversation.exchanges) == 1
    assert len(rig.of("scene.ack")) == 1


def test_a_language_has_to_be_the_packs(rig: Rig) -> None:
    with pytest.raises(WireError) as refused:
        rig.send("language", language="fr")

    assert refused.value.code == "language_unknown"
    assert "en, zh" in refused.value.hint


def test_a_language_with_mistakes_is_told_and_the_old_one_stays(
    rig: Rig, pack_file: Path
) -> None:
    pack_file.with_name("pack.zh.toml").write_text("title = 5")
    wrong = rig.send("language", language="zh")
    rig.send("text", text="wave")
    rig.work()

    (error,) = rig.of("error")
    assert (error["code"], error["of"]) == ("pack_invalid", wrong)
    assert replies(rig) == ["Ahoy!"]


def test_who_listens_is_the_runtimes_own_recogniser(rig: Rig, pack_file: Path) -> None:
    rig.session.runtime.recogniser = Hears("挥手")
    rig.session.set_pack(load_pack(str(pack_file.parent), "zh"))
    rig.say()
    rig.work()

    assert replies(rig) == ["你好！"]


# Over a socket --------------------------------------------------------------------


def test_each_game_has_its_language(serve: Serve) -> None:
    serving = serve()
    stranger = Stranger(serving.port)
    ready = stranger.enter()
    assert (ready["language"], ready["languages"]) == ("en", ["en", "zh"])
    with serving.client() as other:
        stranger.send("language", id=1, language="zh")
        stranger.send("text", id=2, text="挥手")
        assert stranger.wait("reply.delta")["text"] == "你好！"
        other.send("text", text="wave")
        assert wait_for(other, "reply.delta")["text"] == "Ahoy!"
        refused = other.send("language", language="fr")
        error = wait_for(other, "error")
        assert (error["code"], error["of"]) == ("language_unknown", refused)

    stranger.connection.close()
    again = Stranger(serving.port).enter(resume=ready["session"], seen=0)
    assert (again["resumed"], again["language"]) == (True, "zh")


def test_a_pack_is_read_anew_in_the_language_of_each(
    serve: Serve, pack_file: Path
) -> None:
    with serve().client() as client:
        client.send("language", language="zh")
        wait_for(client, "scene.ack")
        chinese = pack_file.with_name("pack.zh.toml")
        chinese.write_text(CHINESE.replace("你好！", "早！"))
        client.send("pack.reload")
        wait_for(client, "scene.ack")
        client.send("text", text="挥手")

        assert wait_for(client, "reply.delta")["text"] == "早！"


def test_a_pack_without_the_language_any_more_is_an_error(
    serve: Serve, pack_file: Path
) -> None:
    with serve().client() as client:
        client.send("language", language="zh")
        wait_for(client, "scene.ack")
        pack_file.write_text(PACK.replace('"en", "zh"', '"en"'))
        client.send("pack.reload")
        assert wait_for(client, "error")["code"] == "language_unknown"
        client.send("text", text="挥手")
        assert wait_for(client, "reply.delta")["text"] == "你好！"
