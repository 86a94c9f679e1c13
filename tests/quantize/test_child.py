"""Work in a process of its own: what it says, and what is said when it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from quantize.child import Tell, in_child
from quantize.errors import QuantizeError


def doubles(arguments: Mapping[str, Any], tell: Tell) -> list[int]:
    sys.stdout.write("a library talks, and ends no line")
    tell(1, 2)
    return [2 * value for value in arguments["values"]]


def refuses(_arguments: Mapping[str, Any], _tell: Tell) -> None:
    raise QuantizeError("some_code", "Something is wrong.", "Mend it.")


def aborts(_arguments: Mapping[str, Any], _tell: Tell) -> None:
    sys.stderr.write("GGML_ASSERT(n > 0) failed\n")
    sys.stderr.flush()
    ctypes.CDLL(None).abort()


def is_killed(_arguments: Mapping[str, Any], _tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ends(_arguments: Mapping[str, Any], _tell: Tell) -> None:
    os._exit(0)


def test_a_result_and_how_far_it_was() -> None:
    told: list[tuple[int, int]] = []

    found = in_child(
        doubles, {"values": [1, 2]}, doing="Doubling", tell=lambda *x: told.append(x)
    )

    assert found == [2, 4]
    assert told == [(1, 2)]


def test_our_errors_come_back_as_they_were() -> None:
    with pytest.raises(QuantizeError) as failed:
        in_child(refuses, {}, doing="Refusing")

    assert failed.value.code == "some_code"
    assert (failed.value.message, failed.value.hint) == (
        "Something is wrong.",
        "Mend it.",
    )


@pytest.mark.parametrize(
    ("task", "said"),
    [(aborts, "by SIGABRT"), (is_killed, "by SIGKILL"), (ends, "with code 0")],
)
def test_a_death_is_told(task: Any, said: str) -> None:
    with pytest.raises(QuantizeError) as failed:
        in_child(task, {}, doing="Opening model.gguf")

    assert failed.value.code == "child_died"
    assert failed.value.message.startswith(f"Opening model.gguf ended {said}")
    if task is aborts:
        assert "GGML_ASSERT" in failed.value.message
