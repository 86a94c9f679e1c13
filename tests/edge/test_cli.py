"""The command `headside`, as users run it: what it ends with, and what it loads."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest
import typer

from edge.cli import COMMANDS, main

ECHO = ("--vad", "echo", "--asr", "echo", "--llm", "echo")
ENGINES = {"ctranslate2", "faster_whisper", "llama_cpp", "onnxruntime", "torch"}


def headside(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Returns how the command ended."""
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
        timeout=120,
        check=False,
    )


def loaded_by(*arguments: str) -> set[str]:
    """Returns the packages that the command has loaded when it is done."""
    code = """
import atexit, sys
import edge.cli
told = lambda: print("\\nloaded", *{name.partition(".")[0] for name in sys.modules})
atexit.register(told)
edge.cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    head, *names = done.stdout.splitlines()[-1].split()
    assert head == "loaded"
    return set(names)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    target, told = COMMANDS[name]
    module, _, attribute = target.partition(":")

    assert isinstance(getattr(importlib.import_module(module), attribute), typer.Typer)
    assert told.endswith(".")


def test_the_installed_command_is_this_one() -> None:
    (command,) = entry_points(group="console_scripts", name="headside")

    assert command.load() is main


def test_help_lists_every_command() -> None:
    for arguments in ((), ("--help",)):
        done = headside(*arguments)
        text = " ".join((done.stdout + done.stderr).split())

        assert done.returncode == (0 if arguments else 2)
        for name, (_, told) in COMMANDS.items():
            assert f"{name} {told}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = headside(name, "--help")

    assert done.returncode == 0
    assert f"Usage: headside {name}" in done.stdout
    assert done.stderr == ""


def test_the_version_is_that_of_the_package() -> None:
    done = headside("--version")

    assert done.returncode == 0
    assert done.stdout == f"headside {version('headside')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["--nope"],
        ["run"],
        ["run", "explorer"],
        ["run", "explorer", "--text", "hi", "--mic"],
        ["run", "explorer", "--text", "hi", "--threads", "0"],
        ["run", "explorer", "--text", "hi", "--tier", "nope"],
        ["pack", "check"],
        ["models", "nope"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two(arguments: list[str]) -> None:
    done = headside(*arguments)

    assert done.returncode == 2
    assert "Usage: headside" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nope", "--text", "hi", *ECHO], "nope"),
        (["run", "explorer", "--text", "hi", *ECHO, "--character", "nope"], "nope"),
        (["run", "explorer", "--text", "hi", *ECHO, "--llm", "nope"], "nope"),
        (["run", "explorer", "--text", "hi", *ECHO, "--llm", "no.gguf"], "no.gguf"),
        (["run", "explorer", "--wav", "no.wav", *ECHO], "no.wav"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_of_ours_is_one(arguments: list[str], message: str) -> None:
    done = headside(*arguments)

    assert done.returncode == 1
    first, *_ = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert "Traceback" not in done.stderr


def test_no_message_commands_the_terminal() -> None:
    done = headside("run", "\x1b[2Jgone\x07", "--text", "hello")
    assert done.returncode == 1
    assert "gone" in done.stderr
    assert not {"\x1b", "\x07"} & set(done.stderr)


def test_for_machines_an_error_is_a_line_too() -> None:
    done = headside("run", "explorer", "--wav", "no.wav", *ECHO, "--json")

    assert done.returncode == 1
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert line["type"] == "error"
    assert line["code"] == "audio_missing"
    assert line["message"] in done.stderr


def test_ctrl_c_while_a_class_is_made_is_an_interruption_too() -> None:
    code = """
import edge.cli

class Slow:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt

edge.cli._dispatch = lambda _: type("Link", (), {"url": Slow()})
edge.cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 130
    assert done.stderr == ""


def test_a_chain_of_stand_ins_runs() -> None:
    done = headside("run", "explorer", *ECHO, "--text", "hello", "--threads", "1")

    assert done.returncode == 0
    assert done.stderr == ""
    assert "You said: hello" in done.stdout


def test_a_command_loads_what_it_needs_and_no_more() -> None:
    assert not loaded_by("--help") & {*ENGINES, "numpy", "hassil"}
    assert not loaded_by("pack", "list") & ENGINES
    assert not loaded_by("models", "list") & {*ENGINES, "numpy", "httpx2"}
    assert not loaded_by("run", "explorer", *ECHO, "--text", "hello") & ENGINES
