"""Every mistake in a pack is explained in one run, each with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.pack import PackError, Problem
from models.pack_file import load_pack

SOUND = """\
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
[lists]
light = { values = { bright = ["bright"], dim = ["dim"] } }
metres = { range = [1, 50], unit = "m" }
words = { type = "text" }
[intents.move]
say = ["go [{metres}]", "walk"]
"""
N_LINES = SOUND.count("\n")
NESTED = "\n".join(f'r{n} = "<r{n + 1}>"' for n in range(8)) + '\nr8 = "x"'


def mistakes(folder: Path, text: str) -> tuple[Problem, ...]:
    (folder / "pack.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PackError) as error:
        load_pack(folder)
    assert error.value.code == "pack_invalid"
    return error.value.problems


def only(folder: Path, text: str) -> Problem:
    found = mistakes(folder, text)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


@pytest.mark.parametrize(
    ("added", "line", "message", "hint"),
    [
        # Templates.
        ('[intents.a]\nsay = ["go (now"]', 2, "never closed", ""),
        ('[intents.a]\nsay = ["a|b;c"]', 2, "mixes | and ;", ""),
        ('[intents.a]\nsay = [\n"hi",\n"go {metre}",\n]', 4, "{metre}", '"metres"'),
        ('[intents.a]\nsay = ["<pleas> hi"]', 2, "unknown rule <pleas>", "no rules"),
        ('[intents.a]\nsay = ["[go]"]', 2, "without any word of its own", ""),
        ('[intents.a]\nsay = ["{words}"]', 2, "without any word of its own", ""),
        ('[intents.a]\nsay = ["{light} {light}"]', 2, 'fill slot "light" twice', ""),
        ('[intents.a]\nsay = ["a {light:x}", "b {metres:x}"]', 2, "two lists", ""),
        ('[intents.a]\nsay = ["' + "[a][b][c]" * 6 + ' x"]', 2, "262,144", "list"),
        # Rules.
        ('[rules]\na = "x <b>"\nb = "<c>"\nc = "<b>"', 3, "<b> ends up in itself", ""),
        ('[rules]\na = "<a>"', 2, "<a> ends up in itself", ""),
        ('[rules]\na = "(x"', 2, "never closed", ""),
        (f"[rules]\n{NESTED}", 2, "more than 8 deep in each other", ""),
        # Intents.
        ("[intents.a]", 1, "has no sentences", "say ="),
        ('[intents.a]\nsay = "go"', 2, "must be a list of texts", '["..."]'),
        ('[intents."a b"]\nsay = ["x"]', 1, "cannot be the name of an intent", ""),
        ('[intents.a]\nsya = ["x"]\nsay = ["x"]', 2, 'key "sya"', '"say"'),
        ('[intents.a]\nliek = ["x"]\nsay = ["x"]', 2, 'key "liek"', '"like"'),
        ('[intents.a]\nsay = ["x"]\nlike = ["a", "b {y}"]', 3, 'slot "y"', "no slots"),
        ('[intents.a]\nsay = ["x"]\nlike = ["(a|b) c"]', 3, "plain sentence", "{slot}"),
        ('[intents.a]\nsay = ["x"]\nlike = ["a {light"]', 3, "plain sentence", ""),
        ('[intents.a]\npointing = "x"\nsay = ["x"]', 2, 'key "pointing"', "Known"),
        ('[intents.a]\nsay = ["x"]\nrisk = "hgih"', 3, "hgih", '"high"'),
        ('[intents.a]\nsay = ["x"]\nrisk = "high"', 3, "needs a question", "confirm"),
        ('[intents.a]\nsay = ["x"]\ndefault = { y = 1 }', 3, 'slot "y"', "no slots"),
        (
            '[intents.a]\nsay = ["x {light}"]\ntest = { "x dim" = { lihgt = "dim" } }',
            3,
            'slot "lihgt"',
            '"light"',
        ),
        (
            '[intents.a]\nsay = ["x {light}"]\n[intents.a.default]\nlight = "dimm"',
            4,
            "'dimm' is not in list light",
            '"dim"',
        ),
        (
            '[intents.a]\nsay = ["x {metres}"]\ndefault = { metres = 51 }',
            3,
            "not a number from 1 to 50",
            "",
        ),
        (
            '[intents.a]\nsay = ["x [{light}]"]\nreply = ["y", "now {light}"]',
            3,
            "may be missing",
            "default",
        ),
        # Lists.
        ("[lists.a]", 1, "says nothing", "exactly one of"),
        ('[lists.a]\nrange = [1, 2]\ntype = "text"', 1, "range and type", "one of"),
        ('[lists.a]\ntype = "color"', 2, "unknown type 'color'", '"colour"'),
        ("[lists.a]\nrange = [2, 1]", 2, "above the second", ""),
        ("[lists.a]\nrange = [1, nan]", 2, "must be 2 numbers", ""),
        ('[lists.a]\nrange = [1, 2]\nunit = "metre"', 3, 'unit "metre"', "Known units"),
        ('[lists.a]\ntype = "text"\nunit = "m"', 3, 'goes with "range"', ""),
        ('[lists.a]\nvalues = ["x", "(y)"]', 2, 'holds "("', "plain words"),
        ("[lists.a]\nvalues = { x = [] }", 2, "has no phrases", ""),
        ('[lists.a.values]\nx = ["b"]\ny = ["c",\n"B"]', 4, '"x" and for "y"', ""),
        ("[lists.a]\nfrom_scene = {}", 2, "needs a tag", ""),
        # The rest.
        ('[models]\nasr = "Whisper Base"', 2, "not the name of a model", ""),
        ('[models]\nencoder = "../x"', 2, "not the name of a model", ""),
        ('[listen]\nmode = "open_mike"', 2, 'mode "open_mike"', "open_mic"),
        ('[listen]\nmode = "wake_phrase"', 2, "go together", "wake = "),
        ('[listen]\nwake = ["hey Wren"]', 2, "go together", "wake_phrase"),
        (
            '[listen]\nmode = "open_mic"\nwake = ["hey Wren"]',
            3,
            "go together",
            "wake_phrase",
        ),
        ('[listen]\nmode = "wake_phrase"\nwake = "hey"', 3, "list of texts", ""),
        ('[listen]\ninstant = "no"', 2, "must be true or false", "Without quotes"),
        ("[listen]\nbarge_in = 1", 2, "must be true or false", "Without quotes"),
        ("[listen]\nbargein = true", 2, 'key "bargein"', '"barge_in"'),
        ("[listen]\nendpoint_ms = [700, 250]", 2, "shorter first", "[250, 700]"),
        ('[understand]\ntiers = ["grammar", "sematic"]', 2, '"sematic"', "semantic"),
        ("[understand]\ntiers = []", 2, '"tiers" is empty', "grammar"),
        ("[understand]\nconfidence = 2", 2, '"confidence" must be', "Higher"),
        ('[understand]\ntiers = ["grammer"]', 2, 'unknown tier "grammer"', "grammar"),
        ('[character.Tom]\nfallback = ["Hm."]', 1, "has no persona", ""),
        ('[character.Tom]\npersona = "x"\nexamples = [["a"]]', 3, "pair of texts", ""),
        ('[never]\nsay = ["x", ""]', 2, "must hold texts", ""),
        ('[[scene.object]]\nname = "x"', 1, 'has no "id"', ""),
        (
            '[[scene.object]]\nid = "x"\nname = "x"\n[[scene.object]]\nid = "x"',
            5,
            '"x" is declared twice',
            "",
        ),
        (
            '[[scene.object]]\nid = "x"\nname = "x"\nposition = [1, 2]',
            4,
            "must be 3 numbers",
            "",
        ),
        *(
            (
                f'[[scene.object]]\nid = "x"\nname = "x"\nsize = {size}',
                4,
                message,
                hint,
            )
            for size, message, hint in (
                ("2", "must be 3 numbers", ""),
                ("[1, 2, nan]", "must be 3 numbers", ""),
                ("[1, 0, 1]", "from 0.001 to 1000 metres", "[width, height, depth]"),
                ("[1, -2, 1]", "from 0.001 to 1000 metres", ""),
                ("[1, 2, 1001]", "from 0.001 to 1000 metres", ""),
            )
        ),
        ("[scene.facts]\nharbour.open = true", 2, "a fact is", '"gate.open"'),
        # TOML itself.
        ("[scene", 1, "not valid TOML", ""),
        ("[lists.a]\ntype = text", 2, "Invalid value", "needs quotes"),
        ('[lists.a]\nvalues = { x = ["y"],\n}', 2, "not valid TOML", "one line"),
        ('[intents.a]\nsay = ["x"]\nsay = ["y"]', 3, "say is given twice", "Keep one"),
        (
            '[intents.move]\nsay = ["x"]',
            1,
            "declared twice; the first is on line 9",
            "",
        ),
        ("[lists]\n", 1, "[lists] is declared twice; the first is on line 5", ""),
    ],
)
def test_a_mistake_is_explained_on_its_line(
    tmp_path: Path, added: str, line: int, message: str, hint: str
) -> None:
    found = mistakes(tmp_path, f"{SOUND}{added}\n")
    here = [problem for problem in found if problem.line == N_LINES + line]
    assert here, [str(problem) for problem in found]
    assert message in here[0].message
    assert hint in here[0].hint
    assert here[0].file == str(tmp_path / "pack.toml")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("format = 1", "format = 2", 1, "the format is not 1"),
        ("format = 1\n", "", 1, "the format is not 1"),
        ('name = "harbour"\n', "", 1, "no usable name"),
        ('name = "harbour"', 'name = "har bour"', 2, "no usable name"),
        ('"harbour"', '"harbour"\nlanguages = ["de"]', 3, '"de" is not there yet'),
        ('"harbour"', '"harbour"\nlanguage = "en"', 3, 'unknown key "language"'),
        ("[character.Mara]\npersona", "# ", 1, "has no character"),
        ('say = ["go [{metres}]", "walk"]', "say = []", 9, "has no sentences"),
    ],
)
def test_a_mistake_in_what_was_sound_is_explained(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    problem = only(tmp_path, SOUND.replace(old, new))
    assert (problem.line, message in problem.message) == (line, True), problem


def test_all_mistakes_are_found_in_one_run_in_order_of_lines(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        SOUND
        + """\
        [lists.m]
        range = [2, 1]
        [intents.move]
        say = ["again"]
        [intents.dim]
        say = ["dim {lihgt}", "dim ("]
        risk = "low"
        [never]
        say = "x"
        """,
    )
    lines = [problem.line - N_LINES for problem in found]
    assert lines == [2, 3, 6, 6, 7, 9]


def test_the_error_shows_the_first_mistake_and_counts_the_others(
    tmp_path: Path,
) -> None:
    (tmp_path / "pack.toml").write_text("format = 1\n", encoding="utf-8")
    with pytest.raises(PackError) as error:
        load_pack(tmp_path)
    assert error.value.message.startswith(f"{tmp_path}/pack.toml:1: ")
    assert f"2 more mistakes: headside pack check {tmp_path}" in error.value.hint


def test_naming_a_list_that_is_itself_wrong_is_no_second_mistake(
    tmp_path: Path,
) -> None:
    problem = only(
        tmp_path, SOUND.replace("[1, 50]", "[50, 1]").replace("say", "# 1\nsay")
    )
    assert "above the second" in problem.message


def test_an_empty_file_is_explained(tmp_path: Path) -> None:
    messages = " ".join(problem.message for problem in mistakes(tmp_path, ""))
    for expected in ("format", "name", "no intents", "no character"):
        assert expected in messages


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{a=" * 50_000,
        "a = " + "9" * 100_000,
        "format = 1\nname = " + "9" * 4_000,
        ".".join("a" * 20_000) + " = 1",
        "[" + ".".join("a" * 20_000) + "]",
        "a = {" + " . ".join(["'b'"] * 20_000) + " = 1}",
        "[lists.a]\nrange = [0, 1" + "0" * 400 + "]",
        "[intents.a]\nsay = ['" + "(" * 1_900 + "']",
        "[intents.a]\nsay = ['" + "[a" * 600 + "]" * 600 + "']",
        "[intents.a]\nsay = ['" + "<a" * 600 + "']",
        "[rules]\n" + "".join(f"r{n} = '<r{n + 1}>'\n" for n in range(199)),
        "[rules]\n" + "".join(f"r{n} = '<r{n + 1}><r{n + 1}>'\n" for n in range(199)),
        "[intents.a]\nsay = [" + "'x'," * 20_000 + "]",
        "[lists.a]\nvalues = [" + "'x'," * 20_000 + "]",
        "[[scene.object]]\n" * 5_000,
        "\x00",
        "\ud7ff",
    ],
    ids=lambda text: text[:24],
)
def test_hostile_packs_end_in_an_explanation(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text)


def test_a_pack_of_too_many_words_is_refused_without_expanding_it(
    tmp_path: Path,
) -> None:
    words = "|".join(f"w{n}" for n in range(300))
    rules = f'[rules]\nmany = "({words})"\n'
    intents = "".join(f'[intents.i{n}]\nsay = ["x{n} <many> y"]\n' for n in range(80))
    problem = only(tmp_path, SOUND + rules + intents)
    assert "words; 20000 are allowed" in problem.message
