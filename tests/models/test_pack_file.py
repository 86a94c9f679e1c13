"""Packs are found, read without leaving their folder, and described as types."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.pack import Pack, PackError, RangeList, SceneList, TextList, ValuesList
from models.pack_file import (
    MAX_KNOWLEDGE_BYTES,
    MAX_PACK_BYTES,
    find_pack,
    load_pack,
    pack_names,
)

MINIMAL = """\
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
[intents.wave]
say = ["wave"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pack.toml").write_text(MINIMAL, encoding="utf-8")
    return tmp_path


def rewritten(folder: Path, text: str) -> Pack:
    (folder / "pack.toml").write_text(text, encoding="utf-8")
    return load_pack(folder)


def knowing(folder: Path, name: str) -> Pack:
    return rewritten(
        folder, MINIMAL.replace("[intents", f'knows = ["{name}"]\n[intents')
    )


def problems_of(error: PackError) -> list[str]:
    return [str(problem) for problem in error.problems]


def test_the_packs_that_come_with_headside_load_by_name() -> None:
    assert pack_names() == ("barista", "explorer")
    assert [load_pack(name).name for name in pack_names()] == ["barista", "explorer"]


def test_a_pack_is_found_by_its_folder_and_by_its_file(folder: Path) -> None:
    assert find_pack(folder) == folder
    assert find_pack(str(folder / "pack.toml")) == folder


@pytest.mark.parametrize("name", ["nowhere", "", "../explorer", "explorer/pack.toml"])
def test_an_unknown_pack_names_the_known_ones(name: str) -> None:
    with pytest.raises(PackError, match="no pack") as error:
        load_pack(name)
    assert error.value.code == "pack_unknown"
    assert "barista, explorer" in error.value.hint


def test_a_folder_without_a_pack_says_so(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"holds no pack\.toml") as error:
        load_pack(tmp_path)
    assert error.value.code == "pack_no_toml"


def test_what_is_not_written_has_its_standard_value(folder: Path) -> None:
    pack = load_pack(folder)
    assert pack.title == "harbour"
    assert pack.languages == ("en",)
    assert pack.tiers == ("grammar",)
    assert pack.models.asr == "whisper-base"
    assert pack.listening.endpoint_ms == (250, 700)
    assert pack.character().fallback


def test_a_character_is_found_by_name_and_the_first_without(folder: Path) -> None:
    pack = rewritten(folder, MINIMAL + '[character.Tom]\npersona = "A cook."\n')
    assert pack.character().name == "Mara"
    assert pack.character("Tom").persona == "A cook."
    with pytest.raises(PackError, match='no character "Zoe"') as error:
        pack.character("Zoe")
    assert "Mara, Tom" in error.value.hint


def test_every_kind_of_list_becomes_its_type(folder: Path) -> None:
    pack = rewritten(
        folder,
        MINIMAL
        + """
        [lists]
        light = { values = { bright = ["bright", "full"] } }
        roast = { values = ["dark roast", "light roast"] }
        metres = { range = [1, 50], unit = "m" }
        boat = { from_scene = { tag = "boat" } }
        way = { type = "direction" }
        shade = { type = "colour" }
        words = { type = "text" }
        """,
    )
    light, roast = pack.lists["light"], pack.lists["roast"]
    assert isinstance(light, ValuesList)
    assert light.values[0].phrases == ("bright", "full")
    assert isinstance(roast, ValuesList)
    assert [item.value for item in roast.values] == ["dark roast", "light roast"]
    metres, boat = pack.lists["metres"], pack.lists["boat"]
    assert isinstance(metres, RangeList)
    assert (metres.low, metres.high, metres.unit) == (1, 50, "m")
    assert isinstance(boat, SceneList)
    assert boat.tag == "boat"
    for name, value in (("way", "forward"), ("shade", "light blue")):
        built_in = pack.lists[name]
        assert isinstance(built_in, ValuesList)
        assert value in [item.value for item in built_in.values]
    assert isinstance(pack.lists["words"], TextList)


def test_the_default_scene_is_read(folder: Path) -> None:
    pack = rewritten(
        folder,
        MINIMAL
        + """
        [scene.facts]
        "harbour.open" = true
        [[scene.object]]
        id = "boat_1"
        name = "Kraken"
        aliases = ["old boat"]
        tags = ["boat"]
        position = [1, 0.5, -2]
        size = [2, 0.8, 4.5]
        [[scene.object]]
        id = "buoy"
        name = "buoy"
        """,
    )
    assert pack.facts == {"harbour.open": True}
    boat, buoy = pack.objects
    assert (boat.id, boat.name, boat.aliases) == ("boat_1", "Kraken", ("old boat",))
    assert boat.tags == frozenset({"boat"})
    assert boat.position == (1, 0.5, -2)
    assert boat.size == (2, 0.8, 4.5)
    assert (buoy.position, buoy.size) == (None, None)


def test_what_a_character_knows_is_read_and_changes_the_version(folder: Path) -> None:
    (folder / "lore").mkdir()
    lore = folder / "lore" / "harbour.md"
    lore.write_text("Built in 1861.\n", encoding="utf-8")
    before = knowing(folder, "lore/harbour.md")
    assert before.character().knowledge == "Built in 1861."
    lore.write_text("Built in 1862.\n", encoding="utf-8")
    assert load_pack(folder).version != before.version


@pytest.mark.parametrize(
    "name",
    ["../secret.md", "lore/../../secret.md", "/etc/hostname", "..", "a\\\\..\\\\b"],
)
def test_a_pack_cannot_read_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("secret", encoding="utf-8")
    with pytest.raises(PackError) as error:
        knowing(folder, name)
    assert "leads out of the pack" in problems_of(error.value)[0]
    assert "pack.toml:5:" in problems_of(error.value)[0]


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_pack_holds_no_links(tmp_path: Path, linked: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "harbour.md").write_text("secret", encoding="utf-8")
    folder = tmp_path / "pack"
    folder.mkdir()
    if linked == "file":
        (folder / "lore").mkdir()
        (folder / "lore" / "harbour.md").symlink_to(outside / "harbour.md")
    else:
        (folder / "lore").symlink_to(outside)
    with pytest.raises(PackError) as error:
        knowing(folder, "lore/harbour.md")
    assert "is a link" in problems_of(error.value)[0]


def test_the_pack_file_itself_is_no_link(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "pack.toml").symlink_to(folder / "pack.toml")
    with pytest.raises(PackError, match="is a link"):
        load_pack(other)


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "lore.md")
    with pytest.raises(PackError) as error:
        knowing(folder, "lore.md")
    assert "is not a file" in problems_of(error.value)[0]


def test_a_folder_in_place_of_the_pack_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").mkdir()
    with pytest.raises(PackError, match=r"pack\.toml is not a file"):
        load_pack(tmp_path)


def test_files_have_a_greatest_size(folder: Path) -> None:
    (folder / "lore.md").write_text("x" * (MAX_KNOWLEDGE_BYTES + 1), encoding="utf-8")
    with pytest.raises(PackError) as error:
        knowing(folder, "lore.md")
    assert "longer than 64 KiB" in problems_of(error.value)[0]
    with pytest.raises(PackError, match="longer than 256 KiB"):
        rewritten(folder, MINIMAL + "#" * MAX_PACK_BYTES)


def test_text_that_is_not_utf_8_is_refused_with_its_line(folder: Path) -> None:
    (folder / "pack.toml").write_bytes(MINIMAL.encode() + b'title = "caf\xe9"\n')
    with pytest.raises(PackError, match=r"pack\.toml:7: this is not UTF-8"):
        load_pack(folder)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(folder: Path) -> None:
    text = "\ufeff" + MINIMAL.replace("\n", "\r\n")
    (folder / "pack.toml").write_bytes(text.encode())
    assert load_pack(folder).name == "harbour"
