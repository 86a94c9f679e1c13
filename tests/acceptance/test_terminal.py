"""Whatever the output is: a poor terminal, a full disk, a reader that leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command

ECHOES = ["--vad", "echo", "--asr", "echo", "--llm", "echo"]
GO = ["run", "explorer", *ECHOES, "--text", "go forward ten metres"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_character_is_too_much_for_a_terminal(
    headside: Command, form: list[str]
) -> None:
    words = "\u201cna\u00efve\u201d \U0001f3a7"
    arguments = ["run", "explorer", *ECHOES, "--text", words, *form]

    done = headside(*arguments, PYTHONIOENCODING="ascii")

    assert (done.code, done.stderr) == (0, "")
    if form:
        assert done.of("transcript")[0]["text"] == words
    else:
        assert "na?ve" in done.stdout


@pytest.mark.parametrize("arguments", [GO, [*GO, "--json"], ["models", "list"]])
def test_a_full_disk_is_named(headside: Command, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*headside.program, *arguments],
            env=headside.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.startswith("error: The output could not be written")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("arguments", [GO, [*GO, "--json"], ["models", "list"]])
def test_a_reader_that_leaves_ends_it_quietly(
    headside: Command, arguments: list[str]
) -> None:
    with subprocess.Popen(
        [*headside.program, *arguments],
        env=headside.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == ""
