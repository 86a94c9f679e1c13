"""`headside pack check` explains every mistake and runs what the pack promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.commands.pack import app
from edge.grammar import AFTER, BEFORE
from edge.pack_check import PackReport, check_pack
from models.pack import PackError
from models.pack_file import BUILT_IN_FOLDER, pack_names
from models.store import Store

MODELS = (
    "silero-vad",
    "whisper-base",
    "smollm2-135m-instruct-q4_1",
    "cmudict-en-us",
)
SOUND = """\
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
[lists]
metres = { range = [1, 50], unit = "m" }
boat = { from_scene = { tag = "boat" } }
[intents.move]
say = ["go {metres}"]
test = { "go ten metres" = { metres = 10 } }
[intents.sink]
say = ["sink the {boat}"]
when = "harbour.open"
test = { "sink the Kraken" = { boat = "boat_1" } }
[never]
say = ["what can you do"]
[[scene.object]]
id = "boat_1"
name = "Kraken"
tags = ["boat"]
"""


def checked(folder: Path, text: str) -> PackReport:
    (folder / "pack.toml").write_text(text, encoding="utf-8")
    return check_pack(str(folder), models=MODELS)


@pytest.mark.parametrize("name", pack_names())
def test_the_packs_that_come_with_headside_have_no_problem(name: str) -> None:
    report = check_pack(name, models=Store.default().names())
    assert report.problems == ()
    assert report.n_tests >= report.n_intents
    assert report.n_never


def test_the_explorer_can_do_what_an_xr_game_needs() -> None:
    assert check_pack("explorer", models=MODELS).n_intents >= 22


def test_a_sound_pack_has_no_problem(tmp_path: Path) -> None:
    report = checked(tmp_path, SOUND)
    assert report.problems == ()
    assert report.ok
    assert (report.n_intents, report.n_templates) == (2, 2)
    assert (report.n_tests, report.n_never) == (2, 1)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("metres = 10 }", "metres = 11 }", 10, "yields metres = 10, not metres = 11"),
        ('"go ten metres"', '"go ten"', 10, '"go ten" is not understood'),
        ('"go ten metres"', '"go 60 m"', 10, '"go 60 m" is not understood'),
        ('"go ten metres"', '"sink the Kraken"', 10, 'is understood as "sink"'),
        ('"boat_1" }', '"boat_2" }', 14, "yields boat = 'boat_1', not boat = 'boat_2'"),
        (
            'say = ["what can you do"]',
            'say = ["what",\n"go 5 metres"]',
            17,
            '"go 5 metres" is understood as "move" (metres = 5)',
        ),
        (
            "[intents.sink]",
            '[intents.walk]\nsay = ["go {metres}"]\n[intents.sink]',
            10,
            'is said by "move" and by "walk" alike',
        ),
        (
            "[lists]",
            '[models]\nllm = "smollm3"\n[lists]',
            6,
            'there is no model "smollm3"',
        ),
        (
            "[lists]",
            '[models]\npronunciations = "cmudict"\n[lists]',
            6,
            'there is no model "cmudict"',
        ),
        (
            "[lists]",
            '[lists]\nnoise = { values = ["um"] }',
            6,
            '"um" is never heard',
        ),
    ],
)
def test_a_promise_that_is_not_kept_is_explained_on_its_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in SOUND
    report = checked(tmp_path, SOUND.replace(old, new))
    assert not report.ok
    errors = [problem for problem in report.problems if not problem.is_warning]
    assert [problem.line for problem in errors] == [line]
    assert message in errors[0].message


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('tags = ["boat"]', 'tags = ["ship"]', 7, 'no object has the tag "boat"'),
        ("[lists]", '[lists]\nwords = { type = "text" }', 6, "no template uses it"),
        ("[lists]", '[rules]\nask = "please"\n[lists]', 6, "no template uses it"),
        ('test = { "go ten metres" = { metres = 10 } }\n', "", 8, "has no test"),
        (
            "[[scene.object]]",
            '[[scene.object]]\nid = "b"\nname = "kraken!"\n[[scene.object]]',
            20,
            '"Kraken" is also called "b"',
        ),
    ],
)
def test_what_is_worth_a_look_is_a_warning(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in SOUND
    report = checked(tmp_path, SOUND.replace(old, new, 1))
    warnings = [problem for problem in report.problems if problem.is_warning]
    assert [problem.line for problem in warnings] == [line]
    assert message in warnings[0].message


def test_mistakes_in_the_file_are_reported_instead_of_tests(tmp_path: Path) -> None:
    report = checked(tmp_path, SOUND.replace("{metres}", "{meters}"))
    assert report.problems[0].line == 9
    assert not report.ok


def test_a_pack_that_is_not_there_is_no_report() -> None:
    with pytest.raises(PackError) as error:
        check_pack("nowhere", models=MODELS)
    assert error.value.code == "pack_unknown"


# The command -------------------------------------------------------------------------


def test_the_command_says_all_good_and_ends_well(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").write_text(SOUND, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 0
    assert "2 intents, 2 templates, 2 tests and 1 never: all good." in result.output


def test_the_command_shows_every_mistake_and_fails(tmp_path: Path) -> None:
    text = SOUND.replace("metres = 10 }", "metres = 11 }").replace(
        '["what can you do"]', '["go two metres"]'
    )
    (tmp_path / "pack.toml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 1
    assert f"{tmp_path}/pack.toml:10: error: [intents.move]" in result.output
    assert f"{tmp_path}/pack.toml:16: error: [never]" in result.output
    assert "2 mistakes." in result.output


def test_the_command_writes_json_for_machines(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").write_text(SOUND + "like = 1\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(tmp_path), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["ok"] is False
    (problem,) = report["problems"]
    assert problem == {
        "file": str(tmp_path / "pack.toml"),
        "line": 21,
        "message": '[scene.object.0]: unknown key "like".',
        "hint": "Known keys: id, name, aliases, tags, position, size.",
        "is_warning": False,
    }


def test_the_command_lists_the_packs() -> None:
    result = CliRunner().invoke(app, ["list", "--json"])
    assert [row["name"] for row in json.loads(result.output)] == list(pack_names())
    assert "explorer" in CliRunner().invoke(app, ["list"]).output


# The documentation -------------------------------------------------------------------

README = BUILT_IN_FOLDER / "README.md"


def test_the_pack_of_the_documentation_has_no_problem(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example
    report = checked(tmp_path, example[1])
    assert report.problems == ()
    assert report.n_tests == report.n_intents


def test_the_documentation_names_the_words_that_may_stand_around() -> None:
    text = README.read_text(encoding="utf-8")
    assert f"- before: {', '.join(BEFORE)};" in text
    assert f"- after: {', '.join(AFTER)}." in text
