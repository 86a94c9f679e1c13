"""`headside eval`, as users run it: what it prints, and what it ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import soundfile

from edge import cli
from edge.commands import eval as command
from edge.evaluation.items import Result
from tests.edge.evaluation.conftest import Folder, Scripted, intent, tone, understood

ECHO = ("--vad", "echo", "--asr", "echo", "--llm", "echo")
GREET = {"intent": "greet", "slots": {}}
LABELS: Mapping[str, object] = {"a.wav": GREET, "b.wav": None}
Evaluate = Callable[..., int]


@pytest.fixture
def headside(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Returns what runs the command in this process; it returns the exit code."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(source: Path, *arguments: str | Path, by: Scripted | None = None) -> int:
        if by is not None:
            monkeypatch.setattr(command, "build_understander", lambda runtime: by)
        options = ["--pack", pack_folder, *ECHO, *arguments]
        return cli._run(["eval", str(source), *map(str, options)])

    return run


def noise_file(folder: Path) -> Path:
    soundfile.write(folder / "noise.wav", tone(3, hertz=80), 16_000)
    return folder / "noise.wav"


def test_two_recordings_for_machines(
    recordings: Folder,
    headside: Evaluate,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--noise", noise_file(tmp_path), "--snr", "12,6", "--seed", "7")

    code = headside(recordings(LABELS), *options, "--json")

    out, errors = capsys.readouterr()
    assert (code, errors) == (0, "")
    row = json.loads(out)
    # The stand-in hears "hello" in everything, which the pack takes for a greeting.
    assert row["clean"]["exact"] == 1.0
    assert (row["clean"]["n"], row["clean"]["wrong"]) == (1, 0)
    low, high = row["clean"]["interval"]
    assert 0 < low < high == 1.0
    assert row["noise"].keys() == {"12", "6"}
    assert row["noise"]["6"]["exact"] == 1.0
    assert row["noise_mean_exact"] == 1.0
    assert (row["false_accept"], row["false_accept_n"]) == (1.0, 1)
    assert row["per_intent"] == {"greet": {"greet": 1}, "none": {"greet": 1}}
    assert (row["per_kind"], row["tiers"]) == ({}, {"grammar": 1.0})
    assert row["latency_ms"]["asr"].keys() == {"p50", "p95"}
    assert row["latency_ms"]["intent"].keys() == {"p50", "p95"}
    assert (row["pack"], row["seed"]) == ("harbour", 7)
    assert len(row["files_sha256"]) == 64
    assert row["versions"].keys() >= {"headside", "pack", "code", "numpy"}
    greet = {"name": "greet", "slots": {}}
    assert row["failures"] == [
        {"id": "b.wav", "condition": at, "heard": "hello", "wanted": [], "got": [greet]}
        for at in ("clean", "12", "6")
    ]


def test_lines_of_text(
    headside: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    boat = {"id": "b7", "name": "ferry", "tags": ["boat"]}
    scene = {"objects": [boat], "facts": {"harbour.open": True}}
    sink = {"name": "scuttle", "slots": {"boat": "b7"}}
    rows: list[dict[str, object]] = [
        {"id": "1", "text": "go ten", "kind": "a", "intents": [move(10)]},
        {"id": "2", "text": "go eleven", "kind": "a", "intents": [move(12)]},
        {"id": "3", "text": "sink ferry", "kind": "b", "intents": [sink]},
        {"id": "4", "text": "sink red boat", "kind": "b", "intents": []},
        {"id": "5", "text": "nice day", "intents": []},
    ]
    rows[2]["scene"] = rows[3]["scene"] = scene
    path.write_text("\n".join(map(json.dumps, rows)))

    assert headside(path, "--json") == 0

    row = json.loads(capsys.readouterr().out)
    assert (row["clean"]["n"], row["clean"]["wrong"]) == (3, 1)
    assert (row["false_accept"], row["false_accept_n"]) == (0.0, 2)
    assert row["per_kind"]["a"]["exact"] == 0.5
    assert row["per_kind"]["b"]["n"] == 2
    assert row["noise"] == {}
    assert row["noise_mean_exact"] is None
    assert row["latency_ms"]["asr"] is None
    (failure,) = row["failures"]
    assert (failure["id"], failure["heard"]) == ("2", "go eleven")
    assert failure["got"][0]["slots"] == {"metres": 11, "pace": "dim"}


def move(metres: float) -> dict[str, object]:
    return {"name": "move", "slots": {"metres": metres}}


def test_people_get_a_table_and_every_failure(
    recordings: Folder,
    headside: Evaluate,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "page.html"
    evil = Scripted(result=understood(intent("greet"), heard="<b>\x1b[2Jboo"))

    assert headside(recordings(LABELS), "--report", page, by=evil) == 0

    out, errors = capsys.readouterr()
    assert "100.0 %" in out
    assert "1 of 1" in out
    assert "b.wav (clean)" in out
    assert "wanted  nothing" in out
    assert "\x1b" not in out
    assert errors == ""
    assert "&lt;b&gt;" in page.read_text()


def test_one_bad_recording_is_told_at_the_end(
    recordings: Folder,
    headside: Evaluate,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = recordings({"a.wav": GREET, "b.wav": GREET})
    (folder / "audio" / "a.wav").write_bytes(b"RIFF")

    assert headside(folder, "--json") == 1

    out, errors = capsys.readouterr()
    row = json.loads(out)
    assert (row["clean"]["exact"], row["clean"]["n"]) == (0.5, 2)
    assert "a.wav" in row["failures"][0]["error"]
    assert "error: Could not be evaluated" in errors
    assert "a.wav" in errors


def test_ctrl_c_says_what_is_kept(
    recordings: Folder,
    headside: Evaluate,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt() -> Result:
        raise KeyboardInterrupt

    folder = recordings(LABELS)

    assert headside(folder, "--json", by=Scripted(at={2: interrupt})) == 130

    out, errors = capsys.readouterr()
    assert out == ""
    assert "1 of 2 answers are known and kept" in errors
    going_on = Scripted()
    assert headside(folder, "--json", by=going_on) == 0
    out, errors = capsys.readouterr()
    assert "1 of 2 answers are taken up" in errors
    assert going_on.n_asked == 1
    assert json.loads(out)["clean"]["n"] == 1
    assert headside(folder, "--fresh", "--json", by=going_on) == 0
    assert going_on.n_asked == 3
    assert headside(folder, "--resume", "--json", by=going_on) == 0
    assert going_on.n_asked == 3


SLOW = """
import sys, time
from edge import cli
from edge.commands import eval as command
from tests.edge.evaluation.conftest import Scripted
def wait():
    print("waiting", file=sys.stderr, flush=True)
    time.sleep(60)
command.build_understander = lambda runtime: Scripted(at={2: wait})
cli.main()
"""


def test_ctrl_c_in_the_middle_ends_the_process(
    recordings: Folder, pack_folder: Path, cache: Path
) -> None:
    folder = recordings(LABELS)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "eval", folder, "--pack", pack_folder, *ECHO],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "120"},
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert errors.startswith("Interrupted. 1 of 2 answers are known and kept")
    assert "Traceback" not in errors
    (kept,) = (cache / "eval").glob("*.jsonl")
    assert len(kept.read_text().splitlines()) == 1


def test_every_mistake_is_told_before_anything_runs(
    recordings: Folder,
    headside: Evaluate,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = recordings({"a.wav": {"intent": "gret"}, "b.wav": {"intent": "mov"}})
    untouched = Scripted()

    assert headside(folder, "--json", by=untouched) == 1

    out, errors = capsys.readouterr()
    assert json.loads(out)["type"] == "error"
    assert errors.count('Did you mean "greet"?') == 1
    assert errors.count('Did you mean "move"?') == 1
    assert "error: " in errors
    assert untouched.n_asked == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--snr", "6"], "--noise"),
        (["--noise", "{noise}", "--snr", "6,loud"], "loud"),
        (["--noise", "{noise}", "--snr", "999"], "999"),
        (["--noise", "{noise}", "--snr", ""], "whole numbers"),
        (["--tiers", "grammar,guess"], "guess"),
        (["--seed", "-1"], "seed"),
        (["--noise", "no.wav"], "no.wav"),
        (["--report", "no/such/page.html"], "no such folder"),
        (["--report", "labels.json"], ".html"),
        (["--asr", "nope"], "nope"),
    ],
)
def test_what_cannot_be_done(
    recordings: Folder,
    headside: Evaluate,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    folder = recordings(LABELS)
    noise = str(noise_file(folder))

    found = headside(folder, *(one.format(noise=noise) for one in arguments))

    assert found in {1, 2}
    assert told in capsys.readouterr().err


def test_a_report_is_no_folder(
    recordings: Folder, headside: Evaluate, tmp_path: Path
) -> None:
    (tmp_path / "page.html").mkdir()
    untouched = Scripted()
    code = headside(
        recordings(LABELS), "--report", str(tmp_path / "page.html"), by=untouched
    )

    assert (code, untouched.n_asked) == (1, 0)


def test_noise_is_for_sound(
    headside: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"id": "1", "text": "hello", "intents": []}')

    assert headside(path, "--noise", noise_file(tmp_path)) == 1
    assert "text" in capsys.readouterr().err
