"""A run's trace: what Perfetto opens, with stages and without words."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.conftest import Command


def test_a_trace_holds_the_stages_and_no_words(
    headside: Command, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"

    done = headside("run", "explorer", "--text", "go north", "--trace", trace)

    assert done.code == 0, done.stderr
    events = json.loads(trace.read_text())
    assert events[0]["name"] == "intent"
    assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
    assert "north" not in trace.read_text()


def test_a_trace_that_cannot_be_written_is_explained(
    headside: Command, tmp_path: Path
) -> None:
    trace = tmp_path / "nowhere" / "trace.json"

    done = headside("run", "explorer", "--text", "hello", "--trace", trace)

    assert done.code == 1
    assert str(trace) in done.stderr
