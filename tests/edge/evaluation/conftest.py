"""A small pack, synthetic sounds, and somebody who understands what a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.evaluation.items import Result, TextItem
from edge.intent import Intent, Slot, Tier
from models.pack import Pack
from models.pack_file import load_pack

PACK = """
format = 1
name = "harbour"
[understand]
tiers = ["grammar"]
[character.Mara]
persona = "Harbour pilot."
fallback = ["Say again?"]
[lists.light.values]
bright = ["bright"]
dim = ["dim"]
[lists.metres]
range = [1, 50]
[lists.boat]
from_scene = { tag = "boat" }
[lists.words]
type = "text"
[intents.greet]
say = ["hello"]
[intents.set_light]
say = ["make it {light}"]
[intents.move]
say = ["go {metres} [at {light:pace}]"]
default = { pace = "dim" }
[intents.scuttle]
say = ["sink {boat}"]
when = "harbour.open"
[intents.write]
say = ["write {words:label} on it"]
[scene.facts]
"harbour.open" = true
[[scene.object]]
id = "b1"
name = "red boat"
tags = ["boat"]
[[scene.object]]
id = "c1"
name = "crane"
tags = ["thing"]
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a cache folder of the test's own."""
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pack_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "harbour"
    folder.mkdir()
    (folder / "pack.toml").write_text(PACK)
    return folder


@pytest.fixture
def pack(pack_folder: Path) -> Pack:
    return load_pack(pack_folder)


def tone(seconds: float, *, hertz: float = 300) -> Samples:
    """Returns a sound."""
    times_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * hertz * times_s)).astype(np.float32)


Folder = Callable[[Mapping[str, object]], Path]


@pytest.fixture
def recordings(tmp_path: Path) -> Folder:
    """Returns what makes a folder of half a second of sound for each label."""

    def made(labels: Mapping[str, object]) -> Path:
        folder = tmp_path / "recordings"
        (folder / "audio").mkdir(parents=True)
        for at, name in enumerate(labels):
            soundfile.write(
                folder / "audio" / name, tone(0.5, hertz=200 + 50 * at), SAMPLE_RATE_HZ
            )
        (folder / "labels.json").write_text(json.dumps(labels))
        return folder

    return made


def intent(name: str, /, **slots: str | float) -> Intent:
    """Returns an intent of the grammar."""
    filled = tuple(Slot(name=slot, value=value) for slot, value in slots.items())
    return Intent(name=name, slots=filled, tier=Tier.GRAMMAR)


def understood(*intents: Intent, heard: str = "hello") -> Result:
    tier = "grammar" if intents else None
    return Result(
        intents=intents, transcript=heard, tier=tier, asr_ms=2.0, intent_ms=1.0
    )


@dataclass
class Scripted:
    """Hears "hello" whatever is said, until it is told to do something else."""

    result: Result = field(default_factory=lambda: understood(intent("greet")))
    at: Mapping[int, Callable[[], Result]] = field(default_factory=dict)
    """What to do instead the n-th time, from 1."""
    n_asked: int = 0
    heard: list[Samples] = field(default_factory=list)

    def hear(self, samples: Samples) -> Result:
        self.heard.append(samples)
        return self._next()

    def read(self, item: TextItem) -> Result:
        return self._next()

    def _next(self) -> Result:
        self.n_asked += 1
        instead = self.at.get(self.n_asked)
        return instead() if instead else self.result
