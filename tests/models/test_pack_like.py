"""Examples of what players say in other words, as a pack declares them."""

from __future__ import annotations

from pathlib import Path

from models.pack import Pack, PackModels
from models.pack_file import load_pack

PACK = """\
format = 1
name = "harbour"
[models]
encoder = "minilm-l6-v2"
[understand]
tiers = ["grammar", "semantic"]
[character.Mara]
persona = "Harbour pilot."
[lists]
light = { values = { bright = ["bright"], dim = ["dim"] } }
[intents.set_light]
say = ["make it {light}", "lights"]
like = [
    "I can barely see",
    "something more {light} perhaps",
]
"""


def read(folder: Path, text: str) -> Pack:
    (folder / "pack.toml").write_text(text, encoding="utf-8")
    return load_pack(folder)


def test_examples_are_read_with_their_lines(tmp_path: Path) -> None:
    (intent,) = read(tmp_path, PACK).intents

    assert [(line.text, line.line) for line in intent.like] == [
        ("I can barely see", 14),
        # A slot may be missing from what was said, unlike in a reply.
        ("something more {light} perhaps", 15),
    ]


def test_a_pack_chooses_the_tier_and_its_model(tmp_path: Path) -> None:
    pack = read(tmp_path, PACK)

    assert pack.tiers == ("grammar", "semantic")
    assert pack.models.encoder == "minilm-l6-v2"
    assert pack.models.lines["encoder"] == 4


def test_there_is_an_encoder_and_there_are_no_examples_unless_a_pack_says_so(
    tmp_path: Path,
) -> None:
    text = PACK.replace('encoder = "minilm-l6-v2"', "").split("like =")[0]
    pack = read(tmp_path, text)

    assert pack.models.encoder == PackModels().encoder
    assert pack.intents[0].like == ()
