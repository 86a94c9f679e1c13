"""The real command, in a process of its own, on the real models of the user's store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge.commands.events import SCHEMA_FILE
from models.fetch import fetch
from models.pack import PackModels
from models.store import State, Store, cache_root

SPEECH = "speech-pocketsphinx"
HOSTILE = "hostile-audio"
MOVE = {"name": "move", "slots": {"direction": "forward", "distance_m": 10}}
"""What "go forward ten meters" means."""

Event = dict[str, Any]


def default_models() -> tuple[str, ...]:
    """Returns the models that a pack uses where it says nothing."""
    models = PackModels()
    return models.vad, models.asr, models.llm, models.pronunciations


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[Event]:
        """What it printed for machines, every line held against the schema."""
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        validator = Draft202012Validator(schema)
        events = [json.loads(line) for line in self.stdout.splitlines()]
        for event in events:
            validator.validate(event)
        return events

    def of(self, kind: str) -> list[Event]:
        """Returns the events of one type."""
        return [event for event in self.events if event["type"] == kind]

    @property
    def intents(self) -> list[Event]:
        """Name and slots of every intent, in the order they came."""
        return [named(intent) for intent in self.of("intent")]


def named(intent: Event) -> Event:
    """Returns what an intent means, without how it was found."""
    return {"name": intent["name"], "slots": intent["slots"]}


def ended(done: subprocess.CompletedProcess[str]) -> Done:
    return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@dataclass(frozen=True, kw_only=True)
class Command:
    """`headside`, with the user's environment and nothing of Headside set in it."""

    program: tuple[str, ...] = (sys.executable, "-m", "edge.cli")
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str | Path, cwd: Path | None = None, **environ: str
    ) -> Done:
        """Returns how the command ended."""
        done = subprocess.run(
            [*self.program, *map(str, arguments)],
            env={**self.environ, **environ},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        return ended(done)


@pytest.fixture(scope="session")
def environ() -> dict[str, str]:
    """Returns the user's environment: the models are found, nothing else is chosen."""
    kept = {name: value for name, value in os.environ.items() if "HEADSIDE" not in name}
    return {**kept, "HEADSIDE_CACHE": str(cache_root())}


@pytest.fixture(scope="session")
def headside(environ: dict[str, str]) -> Command:
    """Returns the command."""
    return Command(environ=environ)


@pytest.fixture(scope="session")
def store() -> Store:
    """Returns the user's store with all that these tests use; fetched where missing."""
    found = Store.default()
    names = (*default_models(), SPEECH, HOSTILE)
    missing = [name for name in names if found.state(name) is not State.READY]
    if missing:
        fetch(found, *missing)
    return found


@pytest.fixture(scope="session")
def goforward(store: Store) -> Path:
    """Returns the recording of "go forward ten meters"."""
    return store.path(SPEECH) / "goforward.raw"


def assert_refused(done: Done, code: str, *told: str) -> None:
    """Asserts a refusal that says what, where (``told``) and what to do, and no more.

    Args:
        done: A command run with `--json`.
        code: Of the error.
        told: What the message or the advice must mention.
    """
    assert done.code == 1, done
    error = done.events[-1]
    assert (error["type"], error["code"]) == ("error", code)
    assert error["hint"]
    for text in told:
        assert text in f"{error['message']} {error['hint']}"
    # People get the same, and nothing else: no traceback, no vendor's noise.
    assert done.stderr == f"error: {error['message']}\n{error['hint']}\n"
