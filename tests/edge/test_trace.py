"""A trace is a file that others can open, and holds no words."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edge.trace import Trace
from models.errors import HeadsideError


def events(path: Path) -> list[dict[str, Any]]:
    """Returns the spans of a trace that was closed."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_closed_trace_is_json_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = Trace(path)
    with trace.span("asr", n_windows=2, code="ok"):
        pass
    trace.add("llm", time.perf_counter(), 0.25)
    trace.close()

    first, second = events(path)
    assert first["name"] == "asr"
    assert first["args"] == {"n_windows": 2, "code": "ok"}
    assert second["name"] == "llm"
    assert second["dur"] == 250_000
    for event in (first, second):
        assert event["ph"] == "X"
        assert event["pid"] == os.getpid()
        assert event["tid"] == threading.get_native_id()
        assert event["ts"] >= 0


def test_a_trace_without_spans_is_json_too(tmp_path: Path) -> None:
    Trace(tmp_path / "trace.json").close()

    assert events(tmp_path / "trace.json") == []


def test_spans_lie_in_each_other(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = Trace(path)
    with trace.span("turn"), trace.span("asr"):
        pass
    trace.close()

    inner, outer = events(path)
    assert (inner["name"], outer["name"]) == ("asr", "turn")
    assert outer["ts"] <= inner["ts"]
    assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + 2


def test_a_span_that_fails_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = Trace(path)
    with pytest.raises(ValueError, match="secret"), trace.span("asr"):
        raise ValueError("secret")
    trace.close()

    assert [event["name"] for event in events(path)] == ["asr"]
    assert "secret" not in path.read_text()


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = Trace(path)

    def work(number: int) -> None:
        for _ in range(200):
            with trace.span("stage", number=number):
                pass

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    trace.close()

    found = events(path)
    assert len(found) == 800
    assert {event["args"]["number"] for event in found} == {0, 1, 2, 3}


def test_a_trace_is_closed_while_others_still_write(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = Trace(path)
    is_closed = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            while not is_closed.is_set():
                trace.add("stage", 0, 0)
            trace.add("stage", 0, 0)
        except Exception as error:  # noqa: BLE001 - whatever it is
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    trace.close()
    is_closed.set()
    for worker in workers:
        worker.join()

    assert failed == []
    assert all(event["name"] == "stage" for event in events(path))


def test_what_is_noted_after_the_end_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = Trace(path)
    with trace.span("last"):
        trace.close()
    trace.add("later", 0, 0)
    trace.close()

    assert events(path) == []


def test_without_a_file_nothing_happens(tmp_path: Path) -> None:
    trace = Trace()
    with trace.span("asr"):
        trace.add("llm", 0, 0)
    trace.close()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "no/such/folder.json"])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(HeadsideError) as caught:
        Trace(tmp_path / name)

    assert caught.value.code == "trace_file"
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint
