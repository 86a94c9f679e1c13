"""A pack says in another language what it says in English, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.pack_check import check_pack
from models.pack import Pack, PackError, Problem, RangeList, ValuesList
from models.pack_file import load_pack

MODELS = (
    "silero-vad",
    "whisper-base",
    "smollm2-135m-instruct-q4_1",
    "minilm-l6-v2-int8",
    "cmudict-en-us",
)
ENGLISH = """\
format = 1
name = "harbour"
languages = ["en", "zh"]
[character.Mara]
persona = "Harbour pilot."
[lists]
light = { values = { bright = ["bright"], dim = ["dim"] } }
mood = { values = ["calm", "wild"] }
metres = { range = [1, 50], unit = "m" }
colour = { type = "colour" }
boat = { from_scene = { tag = "boat" } }
[intents.set_light]
say = ["make it {light} [{metres:far}]"]
default = { far = 5 }
when = "harbour.open"
[intents.sink]
say = ["sink the {boat}"]
risk = "high"
confirm = "Sink the {boat}?"
[intents.paint]
say = ["paint the {boat} {colour}"]
[intents.sing]
say = ["sing [something {mood}]"]
[[scene.object]]
id = "boat_1"
name = "Kraken"
aliases = ["old boat"]
tags = ["boat"]
position = [1, 2, 3]
"""
CHINESE = """\
[character.Mara]
persona = "你是港口的领航员。"
[lists.light.values]
bright = ["亮", "亮一点"]
[names]
boat_1 = ["海怪", "旧船"]
[rules]
please = "[请]"
[intents.sink]
say = ["<please>弄沉{boat}"]
confirm = "要弄沉{boat}吗？"
reply = ["{boat}沉了。"]
test = { "请弄沉旧船" = { boat = "boat_1" } }
[intents.set_light]
say = ["<please>{light}"]
test = { "请亮一点" = { light = "bright" } }
[intents.paint]
say = ["把{boat}涂成{colour}"]
test = { "把海怪涂成红色" = { boat = "boat_1", colour = "red" } }
[never]
say = ["你好"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pack.toml").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "pack.zh.toml").write_text(CHINESE, encoding="utf-8")
    return tmp_path


def rewritten(folder: Path, old: str, new: str) -> Pack:
    assert old in CHINESE
    text = CHINESE.replace(old, new, 1)
    (folder / "pack.zh.toml").write_text(text, encoding="utf-8")
    return load_pack(folder, "zh")


def mistakes(folder: Path, old: str, new: str) -> tuple[Problem, ...]:
    with pytest.raises(PackError) as error:
        rewritten(folder, old, new)
    assert error.value.code == "pack_invalid"
    return error.value.problems


def test_english_is_spoken_unless_another_language_is_asked_for(folder: Path) -> None:
    english, chinese = load_pack(folder), load_pack(folder, "zh")
    assert (english.language, chinese.language) == ("en", "zh")
    assert english.languages == chinese.languages == ("en", "zh")
    assert chinese.file == str(folder / "pack.zh.toml")
    assert english.character().persona == "Harbour pilot."
    assert chinese.character().persona == "你是港口的领航员。"
    assert chinese.character().fallback != english.character().fallback


def test_structure_is_taken_over_and_words_are_not(folder: Path) -> None:
    english, chinese = load_pack(folder), load_pack(folder, "zh")
    light, sink, paint = chinese.intents
    assert [i.name for i in chinese.intents] == ["set_light", "sink", "paint"]
    assert (light.when, light.default) == ("harbour.open", {"far": 5})
    assert light.slots == {"light": "light", "far": "metres"}
    assert sink.high_risk
    assert sink.confirm == "要弄沉{boat}吗？"
    assert sink.required == {"boat"}
    assert paint.reply == ()
    assert isinstance(chinese.lists["metres"], RangeList)
    assert chinese.lists["metres"] == english.lists["metres"]
    assert "please" in chinese.rules
    assert [line.text for line in chinese.never] == ["你好"]


def test_lists_hold_the_phrases_of_the_language(folder: Path) -> None:
    chinese = load_pack(folder, "zh")
    light, colour = chinese.lists["light"], chinese.lists["colour"]
    assert isinstance(light, ValuesList)
    assert [(v.value, v.phrases) for v in light.values] == [
        ("bright", ("亮", "亮一点"))
    ]
    assert isinstance(colour, ValuesList)
    english = load_pack(folder).lists["colour"]
    assert isinstance(english, ValuesList)
    assert [v.value for v in colour.values] == [v.value for v in english.values]
    assert "红色" in colour.values[0].phrases


def test_things_have_their_names_and_stay_where_they_are(folder: Path) -> None:
    (boat,) = load_pack(folder, "zh").objects
    assert (boat.id, boat.name, boat.aliases) == ("boat_1", "海怪", ("旧船",))
    assert (boat.tags, boat.position) == (frozenset({"boat"}), (1, 2, 3))


def test_the_version_covers_every_language(folder: Path) -> None:
    english, chinese = load_pack(folder), load_pack(folder, "zh")
    assert english.version != chinese.version
    changed = rewritten(folder, "你好", "再见")
    assert changed.version != chinese.version
    assert load_pack(folder).version != english.version


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("[names]", "[nam]", 5, 'unknown key "nam"'),
        ("bright =", "brigt =", 4, '"brigt" is no value of this list'),
        ("[lists.light.values]", "[lists.metres.values]", 3, "no such list of values"),
        ("[lists.light.values]", "[lists.ligt.values]", 3, "no such list of values"),
        ("boat_1 = [", "boat_2 = [", 6, 'no object "boat_2"'),
        ("[character.Mara]", "[character.Tom]", 1, 'no character "Tom"'),
        ('persona = "', 'mood = "', 1, "has no persona"),
        ("[intents.sink]", "[intents.sank]", 9, 'no intent "sank"'),
        ('confirm = "要弄沉{boat}吗？"\n', "", 9, "needs its question"),
        ('say = ["<please>弄沉{boat}"]', 'risk = "high"', 10, 'unknown key "risk"'),
        ('"<please>弄沉{boat}"', '"弄沉[{boat}]"', 10, 'leave out slot "boat"'),
        ('"<please>弄沉{boat}"', '"弄沉{boat:x}"', 10, "no slot {boat:x}"),
        ('"<please>弄沉{boat}"', '"<pleas>弄沉{boat}"', 10, "unknown rule <pleas>"),
        ('"<please>{light}"', '"{light}{mood}"', 15, "{mood} has no phrases"),
        ('"{boat}沉了。"', '"{size}沉了。"', 12, 'no template fills a slot "size"'),
        ("[never]", "[[never", 20, "not valid TOML"),
    ],
)
def test_a_mistake_is_explained_in_the_file_of_the_language(
    folder: Path, old: str, new: str, line: int, message: str
) -> None:
    found = mistakes(folder, old, new)
    assert {problem.file for problem in found} == {str(folder / "pack.zh.toml")}
    assert any(p.line == line and message in p.message for p in found), [
        str(problem) for problem in found
    ]


def test_a_language_needs_its_file(folder: Path) -> None:
    (folder / "pack.zh.toml").unlink()
    with pytest.raises(PackError, match=r"no pack\.zh\.toml") as error:
        load_pack(folder)
    (problem,) = error.value.problems
    assert (problem.file, problem.line) == (str(folder / "pack.toml"), 3)


def test_a_language_that_is_not_spoken_says_which_are(folder: Path) -> None:
    with pytest.raises(PackError, match="does not speak") as error:
        load_pack(folder, "fr")
    assert error.value.code == "language_unknown"
    assert "en, zh" in error.value.hint


def test_a_pack_is_in_english_first(folder: Path) -> None:
    text = ENGLISH.replace('["en", "zh"]', '["zh"]')
    (folder / "pack.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PackError, match="in English"):
        load_pack(folder)


def test_the_file_of_a_language_is_no_link(folder: Path) -> None:
    (folder / "pack.zh.toml").rename(folder / "other.toml")
    (folder / "pack.zh.toml").symlink_to(folder / "other.toml")
    with pytest.raises(PackError) as error:
        load_pack(folder)
    assert error.value.code == "pack_link"


def test_a_check_covers_every_language(folder: Path) -> None:
    report = check_pack(str(folder), models=MODELS)
    assert [problem for problem in report.problems if not problem.is_warning] == []
    assert (report.n_intents, report.n_templates) == (4, 7)
    assert (report.n_tests, report.n_never) == (3, 1)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"请弄沉旧船"', '"请弄沉新船"', 13, "is not understood"),
        ('colour = "red"', 'colour = "blue"', 19, "yields"),
        ('"你好"', '"弄沉海怪"', 21, 'is understood as "sink"'),
        ('"亮", ', '"亮", "嗯", ', 3, "is never heard"),
        ('persona = "', 'mood = "', 1, "has no persona"),
    ],
)
def test_a_check_finds_what_is_wrong_in_another_language(
    folder: Path, old: str, new: str, line: int, message: str
) -> None:
    text = CHINESE.replace(old, new, 1)
    (folder / "pack.zh.toml").write_text(text, encoding="utf-8")
    report = check_pack(str(folder), models=MODELS)
    assert not report.ok
    assert any(
        Path(p.file).name == "pack.zh.toml" and p.line == line and message in p.message
        for p in report.problems
    ), [str(problem) for problem in report.problems]


def test_things_without_a_name_are_a_warning(folder: Path) -> None:
    rewritten(folder, 'boat_1 = ["海怪", "旧船"]\n', "")
    report = check_pack(str(folder), models=MODELS)
    assert any("has no name" in problem.message for problem in report.problems)
