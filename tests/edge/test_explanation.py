"""Why something was understood as it was, in words that help an author."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.asr import Transcript
from edge.commands.intent import app
from edge.explanation import explain
from edge.intent import Tier
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.phonetics.sounds import Sounds
from edge.referents import Referents
from edge.tiers import Understood, understood
from models.pack_file import load_pack

FARM = """\
format = 1
name = "farm"
[character.Ann]
persona = "x"
[lists]
animal = { values = ["goat", "cow"] }
plant = { values = ["beech", "beach"] }
[intents.feed]
say = ["feed [the] {animal}"]
[intents.water]
say = ["water [the] {plant}"]
[intents.bow]
say = ["greet a knight"]
[intents.wait]
say = ["greet a night"]
[intents.harvest]
say = ["harvest the field"]
when = "summer"
"""


@pytest.fixture
def farm(tmp_path: Path) -> Lexicon:
    (tmp_path / "pack.toml").write_text(FARM, encoding="utf-8")
    pack = load_pack(tmp_path)
    return build_lexicon(pack, default_scene(pack), sounds=Sounds())


@cache
def explorer() -> Lexicon:
    pack = load_pack("explorer")
    return build_lexicon(pack, default_scene(pack), sounds=Sounds())


def meant(lexicon: Lexicon, text: str, *others: str) -> Understood:
    return understood(
        lexicon,
        Transcript(text=text, alternatives=others, confidence=0.8),
        Referents(),
        tiers=frozenset([Tier.GRAMMAR]),
        paraphrases=None,
    )


def why(lexicon: Lexicon, text: str) -> str:
    transcript = Transcript(text=text, confidence=0.8)
    with_facts = build_lexicon(
        lexicon.pack,
        replace(default_scene(lexicon.pack), facts={"summer": True}),
        previous=lexicon,
    )
    found = meant(lexicon, text)
    tiers = frozenset([Tier.GRAMMAR])
    told = explain(lexicon, transcript, found, tiers=tiers, with_facts=with_facts)
    return " ".join(told.why)


# Which of two -----------------------------------------------------------------------


def test_words_that_sound_alike_are_asked_about(farm: Lexicon) -> None:
    found = meant(farm, "water the beetch")

    assert found.intents == ()
    assert found.clarify is not None
    values = [option.values["plant"] for option in found.clarify.options]
    assert sorted(map(str, values)) == ["beach", "beech"]
    assert "“water the beech”" in found.clarify.question
    assert "“water the beach”" in found.clarify.question


@pytest.mark.parametrize("plant", ["beech", "beach"])
def test_the_one_that_was_spelled_out_is_not(farm: Lexicon, plant: str) -> None:
    (intent,) = meant(farm, f"watter the {plant}").intents

    assert intent.values == {"plant": plant}


def test_two_intents_that_are_as_near_are_asked_about(farm: Lexicon) -> None:
    found = meant(farm, "greet a nyte")

    assert found.clarify is not None
    names = {option.name for option in found.clarify.options}
    assert names == {"bow", "wait"}
    assert "“greet a knight”" in found.clarify.question


def test_the_nearer_of_two_is_not_asked_about(farm: Lexicon) -> None:
    (intent,) = meant(farm, "feed the coat").intents

    assert intent.values == {"animal": "goat"}


def test_the_very_words_are_never_asked_about(farm: Lexicon) -> None:
    (intent,) = meant(farm, "water the beach", "water the beech").intents

    assert intent.values == {"plant": "beach"}


def test_one_of_two_below_the_threshold_is_not_asked_about(farm: Lexicon) -> None:
    strict = replace(farm, pack=replace(farm.pack, confidence=0.99))

    assert meant(strict, "water the beetch") == replace(
        meant(strict, "water the beetch"), intents=(), clarify=None
    )


# Why --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("feed the goat", 'It is said by line 9: "feed [the] {animal}".'),
        ("feed the coat", 'It sounds like "feed the goat", which line 9 says'),
        ("water the beetch", "It can mean 2 things, so the player is asked: Did you"),
        ("harvest the field", "the fact summer is not true"),
        ("feed the ghost", 'The nearest sentence is "feed the goat", at a cost'),
        ("feed the ghost", "give an intent a template that says it"),
        ("I went to town yesterday", "give an intent a template that says it"),
    ],
)
def test_it_is_told_why(farm: Lexicon, text: str, told: str) -> None:
    assert told in why(farm, text)


def test_a_fact_that_has_nothing_to_do_with_it_is_not_told(farm: Lexicon) -> None:
    assert "summer" not in why(farm, "I went to town yesterday")
    assert "template" not in why(farm, "harvest the field")


def test_several_commands_are_told_to_be_that(farm: Lexicon) -> None:
    told = why(farm, "feed the goat and water the beech")

    assert told == "Each of its parts is a command."


def test_a_word_that_means_nothing_needs_no_template() -> None:
    told = why(explorer(), "paint that red")

    assert '"that" means nothing' in told
    assert "template" not in told
    assert "fact" not in told


# The command ------------------------------------------------------------------------


def test_either_words_or_a_recording_are_asked_for(tmp_path: Path) -> None:
    neither = CliRunner().invoke(app, ["explain"])
    both = CliRunner().invoke(app, ["explain", "feed", "--wav", str(tmp_path / "a")])

    for result in (neither, both):
        assert result.exit_code == 2
        assert "--wav" in result.output


def test_the_command_tells_machines_the_same(farm: Lexicon, tmp_path: Path) -> None:
    args = ["explain", "feed the coat", "--pack", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, args)

    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.output)
    assert row["heard"] == "feed the coat"
    assert [intent["slots"] for intent in row["intents"]] == [{"animal": "goat"}]
    (candidate, *_) = row["candidates"]
    assert 0 < candidate["cost_per_sound"] < 0.2
    assert candidate["confidence"] >= row["asked_for"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["feed the goat", "--fact", "sumer"], 'Did you mean "summer"?'),
        (["feed the goat", "--fact", ""], "no fact ''"),
        (["feed the goat", "--language", "zh"], "zh"),
    ],
)
def test_what_cannot_be_explained(
    farm: Lexicon, tmp_path: Path, arguments: list[str], told: str
) -> None:
    del farm  # its file is there
    command = ["explain", *arguments, "--pack", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, command)

    assert result.exit_code == 1
    row = json.loads(result.output)
    assert row["type"] == "error"
    assert told in f"{row['message']} {row['hint']}"


def test_other_tiers_are_explained_by_themselves(farm: Lexicon, tmp_path: Path) -> None:
    del farm
    args = ["explain", "feed the goat", "--pack", str(tmp_path), "--tier", "llm"]
    result = CliRunner().invoke(app, [*args, "--json"])

    (row,) = json.loads(result.output)
    assert (row["intents"], row["candidates"]) == ([], [])
    assert row["why"] == [
        "The language model is not asked here; see `headside run --tier llm`."
    ]


@pytest.mark.parametrize("text", ["...", "\U0001f680"])
def test_what_is_no_word_needs_no_template(farm: Lexicon, text: str) -> None:
    assert why(farm, text) == "There is no word of the language 'en' in it."
