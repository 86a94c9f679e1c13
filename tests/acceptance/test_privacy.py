"""What was said stays in the process: nothing on disk, no word in messages."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio import SAMPLE_RATE_HZ
from models.store import Store
from tests.acceptance.conftest import SPEECH, Command, Done, default_models

pytestmark = pytest.mark.models

FOLDERS = ("home", "temporary", "work")


@pytest.fixture
def private(headside: Command, tmp_path: Path) -> Command:
    """Returns the command with all that it might write sent to one folder."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    kinds = ("CACHE", "CONFIG", "DATA", "STATE")
    places = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in kinds}
    places |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(temporary))
    places["HOME"] = str(home)
    return replace(headside, environ={**headside.environ, **places})


def written(folder: Path, store: Store) -> dict[Path, int]:
    """Returns every file and folder in reach, and when it was last written."""
    roots = [folder / name for name in FOLDERS]
    roots += [store.folder(name) for name in default_models()]
    paths = {path for root in roots for path in (root, *root.rglob("*"))}
    return {path: path.stat().st_mtime_ns for path in paths}


def words_in(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text.lower()))


@pytest.mark.parametrize(
    ("name", "form", "heard"),
    [
        ("something.raw", ["--json"], "somewhere and do something"),
        ("goforward.raw", [], "forward 10 meters"),
    ],
)
def test_a_run_leaves_no_trace(
    private: Command,
    store: Store,
    tmp_path: Path,
    name: str,
    form: list[str],
    heard: str,
) -> None:
    before = written(tmp_path, store)
    sound = store.path(SPEECH) / name

    done = private("run", "explorer", "--wav", sound, *form, cwd=tmp_path / "work")

    assert (done.code, done.stderr) == (0, "")
    assert heard in done.stdout
    assert written(tmp_path, store) == before


def test_an_error_repeats_no_word_that_was_said(
    private: Command, goforward: Path, tmp_path: Path
) -> None:
    sound = tmp_path / "recording.wav"
    command = np.frombuffer(goforward.read_bytes(), "<i2") / 32768
    broken = np.pad(command, (0, 10 * SAMPLE_RATE_HZ))
    broken[-1] = np.nan
    soundfile.write(sound, broken, SAMPLE_RATE_HZ, subtype="FLOAT")

    done = private("run", "explorer", "--wav", sound, "--json")

    assert done.code == 1
    said = words_in(" ".join(said_in(done)))
    assert {"forward", "meters"} <= said
    assert not words_in(done.stderr.replace(str(sound), "")) & said


def said_in(done: Done) -> list[str]:
    """Returns what was heard and what was answered."""
    texts = [event["text"] for event in done.of("transcript") + done.of("reply")]
    assert len(texts) >= 2
    return texts
