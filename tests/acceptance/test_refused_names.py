"""Wrong names, wrong packs and wrong usage are explained; nothing is heard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command, assert_refused

PACK = """\
format = 1
name = "harbour"

[character.Mara]
persona = "Harbour pilot."

[lists.light]
values = ["bright", "dim"]

[intents.move]
say = ["go {light}"]
test = { "go dim" = { light = "dim" } }
"""

# What is wrong, where it is written, and the line to be named.
MISTAKES = {
    "syntax error": ("[intents.turn\n", 14, "not valid TOML"),
    "duplicate intent": ('[intents.move]\nsay = ["walk"]\n', 14, "declared twice"),
    "unknown slot type": ('[lists.tint]\ntype = "color"\n', 15, "unknown type 'color'"),
    "unknown list": ('[intents.turn]\nsay = ["turn {sied}"]\n', 15, "{sied}"),
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Returns the file of a sound pack."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    file = folder / "pack.toml"
    file.write_text(PACK)
    return file


@pytest.mark.parametrize(
    ("arguments", "code", "known"),
    [
        (["nope"], "pack_unknown", "explorer"),
        (["explorer", "--vad", "nope"], "model_unknown", "silero-vad"),
        (["explorer", "--asr", "nope"], "model_unknown", "whisper-base"),
        (["explorer", "--llm", "nope"], "model_unknown", "smollm2-135m"),
        (["explorer", "--llm", "nope.gguf"], "model_file_missing", "nope.gguf"),
        (["explorer", "--device", "nope"], "device_unknown", "quest3"),
        (["explorer", "--character", "nope"], "character_unknown", "Wren"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(
    headside: Command, arguments: list[str], code: str, known: str
) -> None:
    echo = ["--vad", "echo", "--asr", "echo", "--llm", "echo"]

    done = headside("run", *echo, *arguments, "--text", "hello", "--json")

    assert_refused(done, code, "nope", known)


def test_the_demo_knows_its_devices_too(headside: Command) -> None:
    assert_refused(
        headside("demo", "--device", "nope", "--json", "--offline"),
        "device_unknown",
        "quest3",
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_pack_with_a_mistake_does_not_run(
    headside: Command, pack: Path, mistake: str
) -> None:
    added, line, message = MISTAKES[mistake]
    pack.write_text(f"{PACK}\n{added}")

    done = headside("run", pack.parent, "--text", "go dim", "--json")

    assert_refused(done, "pack_invalid", f"{pack}:{line}", message)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_pack_check_shows_every_mistake_with_file_and_line(
    headside: Command, pack: Path, mistake: str
) -> None:
    added, line, message = MISTAKES[mistake]
    pack.write_text(f"{PACK}\n{added}")

    done = headside("pack", "check", pack.parent)

    assert (done.code, done.stderr) == (1, "")
    assert f"{pack}:{line}: error: " in done.stdout
    assert message in done.stdout


def test_pack_check_runs_the_packs_own_tests(headside: Command, pack: Path) -> None:
    pack.write_text(PACK.replace('{ light = "dim" }', '{ light = "bright" }'))

    done = headside("pack", "check", pack.parent, "--json")

    report = json.loads(done.stdout)
    [problem] = report["problems"]
    assert (done.code, report["ok"]) == (1, False)
    assert (problem["file"], problem["line"]) == (str(pack), 12)


@pytest.mark.parametrize("name", ["explorer", "barista"])
def test_the_packs_that_come_along_are_sound(headside: Command, name: str) -> None:
    done = headside("pack", "check", name, "--json")

    report = json.loads(done.stdout)
    assert (done.code, report["ok"]) == (0, True)
    assert report["problems"] == []
    assert report["n_tests"] >= report["n_intents"] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "explorer", "--wav", "a.wav", "--text", "b"],
        ["run", "explorer", "--wav", "a.raw", "--raw-rate", "0"],
        ["demo", "goforward"],
        ["models", "fetch"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart(headside: Command, arguments: list[str]) -> None:
    done = headside(*arguments)

    assert (done.code, done.stdout) == (2, "")
    assert "Usage: headside" in done.stderr
