"""A transcript that says what a template says becomes that intent, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from edge.grammar import Said, claimed, match, sentences_of, tokens_of
from edge.intent import Intent, Tier
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.referents import Referents
from edge.scene import Fact
from models.pack import PackError
from models.pack_file import load_pack

HEAD = 'format = 1\nname = "test"\n[character.Mara]\npersona = "x"\n'
LISTS = """
[lists]
light = { values = { bright = ["bright", "full"], dim = ["dim", "very dim"] } }
metres = { range = [0.5, 50], unit = "m" }
degrees = { range = [-180, 180], unit = "deg" }
seconds = { range = [1, 3600], unit = "s" }
level = { range = [-5, 100] }
boat = { from_scene = { tag = "boat" } }
way = { type = "direction" }
shade = { type = "colour" }
words = { type = "text" }
"""
SCENE = """
[[scene.object]]
id = "boat_1"
name = "Kraken"
aliases = ["old boat", "boat"]
tags = ["boat"]
[[scene.object]]
id = "boat_2"
name = "boat"
tags = ["boat"]
[[scene.object]]
id = "rock"
name = "rock"
"""


def built(folder: Path, text: str) -> Lexicon:
    (folder / "pack.toml").write_text(HEAD + text + LISTS + SCENE, encoding="utf-8")
    pack = load_pack(folder)
    return build_lexicon(pack, default_scene(pack))


def saying(folder: Path, *templates: str, more: str = "") -> Lexicon:
    said = ", ".join(f"'{template}'" for template in templates)
    return built(folder, f"[intents.it]\nsay = [{said}]\n{more}\n")


def said_by(lexicon: Lexicon, sentence: str) -> list[Said]:
    return sentences_of(lexicon, sentence, tokens_of(lexicon, sentence))


def values_of(intent: Intent | None) -> object:
    return intent.values if intent else None


def explorer() -> Lexicon:
    pack = load_pack("explorer")
    return build_lexicon(pack, default_scene(pack))


def test_the_recorded_command_becomes_its_intent() -> None:
    intent = match(explorer(), "Go forward ten meters.")
    assert intent is not None
    assert (intent.name, intent.tier, intent.confidence) == ("move", Tier.GRAMMAR, 1.0)
    assert intent.values == {"direction": "forward", "distance_m": 10}
    assert intent.span == (0, 21)
    assert [slot.text for slot in intent.slots] == ["forward", "ten meters"]


def test_the_recorded_sentence_that_is_no_command_becomes_nothing() -> None:
    assert match(explorer(), "go somewhere and do something") is None


@pytest.mark.parametrize(
    ("template", "sentences", "others"),
    [
        ("turn (on|off) it", ["turn on it", "Turn off it!"], ["turn it", "turn on"]),
        ("[please] go", ["go", "please go"], ["please", "go go", "go please go"]),
        ("light[s] on", ["light on", "lights on"], ["light s on", "on"]),
        ("[un]lock it", ["lock it", "unlock it"], ["un lock it"]),
        ("colo[u]r it", ["color it", "colour it"], ["colo it"]),
        ("(one;two;[three]) go", ["two one go", "three one two go"], ["one go"]),
        ("I(| have|'ve) seen it", ["I've seen it", "I have seen it", "i seen it"], []),
        ("twenty five", ["25", "twenty-five"], ["20 5 0", "twenty"]),
        ("the 8oz one", ["the eight ounce one"], ["the eight one"]),
        ("<polite> go", ["could you go", "go", "can you go"], ["could go"]),
        (r"smile \(wide\)", ["smile wide", "smile (wide)"], ["smile"]),
        ("go, now - quickly!", ["go now quickly"], ["go quickly"]),
        ("{level}%", ["50%", "fifty percent"], ["fifty"]),
        ("a|b c|[d] e", ["a", "b c", "e", "d e"], ["a c", "d"]),
    ],
)
def test_a_template_accepts_its_sentences_and_no_others(
    tmp_path: Path, template: str, sentences: list[str], others: list[str]
) -> None:
    rules = '[rules]\npolite = "[(could|can) you]"'
    lexicon = saying(tmp_path, template.replace("'", "\u2019"), more=rules)
    assert [s for s in sentences if match(lexicon, s) is None] == []
    assert [s for s in others if match(lexicon, s) is not None] == []


@pytest.mark.parametrize(
    ("template", "sentence", "value", "text"),
    [
        ("go {metres:x}", "go ten metres", 10, "ten metres"),
        ("go {metres:x}", "go 2.5 m", 2.5, "2.5 m"),
        ("go {metres:x}", "go five feet", 1.524, "five feet"),
        ("go {metres:x}", "go 3 feet", 0.9144, "3 feet"),
        ("go {metres:x}", "go fifty centimetres", 0.5, "fifty centimetres"),
        ("go {metres:x}", "go a metre", 1, "a metre"),
        ("go {metres:x}", "go half a metre", 0.5, "half a metre"),
        ("go {metres:x}", "go one and a half meters", 1.5, "one and a half meters"),
        ("go {metres:x}", "go a metre and a half", 1.5, "a metre and a half"),
        ("go {metres:x}", "go a couple of metres", 2, "a couple of metres"),
        ("go {metres:x}", "go a hundred inches", 2.54, "a hundred inches"),
        ("turn {degrees:x}", "turn minus 90°", -90, "minus 90°"),
        ("turn {degrees:x}", "turn half a turn", 180, "half a turn"),
        ("wait {seconds:x}", "wait two minutes", 120, "two minutes"),
        ("set {level:x}", "set twenty five", 25, "twenty five"),
        ("set {level:x}", "set -5", -5, "-5"),
        ("set {level:x} percent", "set 50%", 50, "50"),
        ("make it {light:x}", "make it full", "bright", "full"),
        ("make it {light:x}", "make it very dim", "dim", "very dim"),
        ("go {way:x}", "go to the left", "left", "to the left"),
        ("go {way:x}", "go straight ahead", "forward", "straight ahead"),
        ("paint it {shade:x}", "paint it sky-blue", "light blue", "sky-blue"),
        ("paint it {shade:x}", "paint it gray", "grey", "gray"),
        ("sink the {boat:x}", "sink the Kraken", "boat_1", "Kraken"),
        ("say {words:x}", 'say "Hello, World"', "Hello, World", "Hello, World"),
        ("say {words:x} now", "say now or never now", "now or never", "now or never"),
    ],
)
def test_a_slot_is_filled_with_its_value_and_keeps_its_words(
    tmp_path: Path, template: str, sentence: str, value: object, text: str
) -> None:
    intent = match(saying(tmp_path, template), sentence)
    assert intent is not None
    (slot,) = intent.slots
    assert (slot.value, slot.text) == (value, text)
    assert type(slot.value) is type(value)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("go {metres}", "go fifty one metres"),
        ("go {metres}", "go ten centimetres"),
        ("go {metres}", "go ten"),
        ("go {metres}", "go ten degrees"),
        ("go {metres}", "go minus ten metres"),
        ("set {level}", "set minus six"),
        ("set {level}", "set a"),
        ("sink the {boat}", "sink the rock"),
        ("say {words}", "say"),
        ("say {words}", "say " + "word " * 21),
    ],
)
def test_what_a_list_does_not_hold_fills_no_slot(
    tmp_path: Path, template: str, sentence: str
) -> None:
    assert match(saying(tmp_path, template), sentence) is None


def test_slots_in_any_order_are_told_apart(tmp_path: Path) -> None:
    lexicon = saying(tmp_path, "set ([{light}];[{shade}];[{level}]) please do")
    for sentence in ("set red dim 5 please do", "set five red very dim please do"):
        intent = match(lexicon, sentence)
        assert intent is not None
        assert intent.values == {"light": "dim", "shade": "red", "level": 5}


def test_defaults_fill_what_was_not_said(tmp_path: Path) -> None:
    lexicon = saying(
        tmp_path, "go [{way}] [{metres}]", more='default = { way = "up", metres = 2 }'
    )
    intent = match(lexicon, "go down")
    assert intent is not None
    assert [(s.name, s.value, s.text) for s in intent.slots] == [
        ("way", "down", "down"),
        ("metres", 2, ""),
    ]


@pytest.mark.parametrize(
    ("sentence", "span"),
    [
        ("Please go.", (7, 9)),
        ("Mara, go!", (6, 8)),
        ("Okay, well, hey Mara, please go now, thank you", (29, 31)),
        ("go, Mara", (0, 2)),
        ("um, go", (4, 6)),
    ],
)
def test_politeness_and_the_name_of_the_character_may_stand_around(
    tmp_path: Path, sentence: str, span: tuple[int, int]
) -> None:
    intent = match(saying(tmp_path, "go"), sentence)
    assert intent is not None
    assert intent.span == span


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "  ",
        "?!",
        "please",
        "Mara",
        "I want to go",
        "go and stay",
        "um",
        "word " * 300,
    ],
)
def test_anything_else_around_it_makes_it_no_command(
    tmp_path: Path, sentence: str
) -> None:
    assert match(saying(tmp_path, "go"), sentence) is None


def test_the_template_with_more_words_of_its_own_wins(tmp_path: Path) -> None:
    lexicon = built(
        tmp_path,
        """
        [intents.say]
        say = ["play {words}"]
        [intents.listed]
        say = ["play {light} {way}"]
        [intents.literal]
        say = ["play bright music"]
        """,
    )
    for sentence, name in [
        ("play bright music", "literal"),
        ("play dim up", "listed"),
        ("play something", "say"),
    ]:
        intent = match(lexicon, sentence)
        assert intent is not None
        assert intent.name == name
    found = said_by(lexicon, "play bright music")
    assert [said.declared.name for said in found] == ["literal", "say"]


def test_within_a_template_the_way_with_more_words_of_its_own_wins(
    tmp_path: Path,
) -> None:
    lexicon = saying(tmp_path, "say ({words}|{light}|hello) now")
    for sentence, slots in [
        ("say hello now", {}),
        ("say dim now", {"light": "dim"}),
        ("say it now", {"words": "it"}),
    ]:
        assert values_of(match(lexicon, sentence)) == slots


def test_of_equals_the_intent_declared_first_wins(tmp_path: Path) -> None:
    lexicon = built(
        tmp_path,
        """
        [intents.b]
        say = ["go {way}"]
        [intents.a]
        say = ["go {way}"]
        """,
    )
    intent = match(lexicon, "go up")
    assert intent is not None
    assert intent.name == "b"


def test_a_name_that_two_objects_share_means_either(tmp_path: Path) -> None:
    lexicon = saying(tmp_path, "sink the {boat}")

    assert match(lexicon, "sink the boat") is None
    (said,) = said_by(lexicon, "sink the boat")
    meanings = said.meanings(lexicon, Referents())
    assert [intent.values for intent in meanings] == [
        {"boat": "boat_1"},
        {"boat": "boat_2"},
    ]
    assert {slot.text for intent in meanings for slot in intent.slots} == {"boat"}


def test_of_two_that_share_a_name_the_one_spoken_of_is_meant(tmp_path: Path) -> None:
    lexicon = saying(tmp_path, "sink the {boat}")

    intent = match(lexicon, "sink the boat", Referents(focus=("rock", "boat_2")))

    assert values_of(intent) == {"boat": "boat_2"}


def test_a_risky_intent_asks_by_the_name_of_the_thing(tmp_path: Path) -> None:
    more = 'risk = "high"\nconfirm = "Sink the {boat}, and {n}?"\ndefault = { n = 3 }'
    lexicon = saying(tmp_path, "sink the {boat} [{level:n}]", more=more)
    intent = match(lexicon, "sink the old boat")
    assert intent is not None
    assert intent.confirm == "Sink the Kraken, and 3?"


@pytest.mark.parametrize(
    ("fact", "name"), [(True, "open_gate"), (False, None), ("yes", None), (1, None)]
)
def test_an_intent_whose_fact_is_not_true_cannot_be_said(
    fact: Fact, name: str | None
) -> None:
    pack = load_pack("explorer")
    scene = replace(default_scene(pack), facts=MappingProxyType({"tide.low": fact}))
    intent = match(build_lexicon(pack, scene), "open the gate")
    assert (intent.name if intent else None) == name


def test_every_template_may_be_glued_without_end_only_so_far(tmp_path: Path) -> None:
    glued = "".join(f"[{letter}]" for letter in "abcdefghijklmnop")
    with pytest.raises(PackError) as error:
        saying(tmp_path, f"{glued} x", f"{glued} y")
    assert error.value.code == "pack_spellings"


def test_many_optional_words_take_no_longer_than_few(tmp_path: Path) -> None:
    # Backtracking would try 2 ** 16 ways for each of 64 templates.
    optional = "[very] " * 16
    lexicon = saying(tmp_path, *(f"{optional} good {n}" for n in range(64)))
    assert match(lexicon, "very " * 16 + "bad") is None
    assert match(lexicon, "very " * 16 + "good 63") is not None


CLAIMS = """
[intents.light]
say = ["lights {light}"]
claims = ["the light[s] (is|are) [now] {light}", "I [have] (turned|switched)"]
[intents.gate]
say = ["open the gate"]
claims = ["the gate is open"]
when = "never.true"
[intents.wave]
say = ["wave"]
"""


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("Sure, I've turned the lights on for you!", {"light"}),
        ("As you can see the light is very dim now.", {"light"}),
        ("The gate is open and the lights are full.", {"light", "gate"}),
        ("The lights are on the wall.", set()),
        ("I wave at you.", set()),
        ("", set()),
    ],
)
def test_claims_are_found_inside_a_sentence(
    tmp_path: Path, sentence: str, names: set[str]
) -> None:
    assert set(claimed(built(tmp_path, CLAIMS), sentence)) == names


def test_the_published_grammar_understands_an_order() -> None:
    pack = load_pack("barista")
    lexicon = build_lexicon(pack, default_scene(pack))
    assert values_of(
        match(lexicon, "Can I get a 16oz medium roast iced mocha with a lot of cream?")
    ) == {
        "size": "sixteen ounce",
        "roast": "medium roast",
        "coffeeDrink": "iced mocha",
        "milkAmount": "a lot of cream",
    }
