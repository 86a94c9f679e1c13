"""Work that goes wrong in a child process ends as a message, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from edge import child
from edge.child import ChildError, ChildLimits, run_child

LIMITS = ChildLimits(cpu_s=1, memory_bytes=256 << 20, output_bytes=1 << 10)
Task = Callable[[str], str]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """Writes the body of `run(payload)` and returns the name of its module."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(body: str) -> str:
        lines = "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
        (tmp_path / "task.py").write_text(f"def run(payload):\n{lines}\n")
        return "task"

    return write


def test_the_result_comes_back(task: Task) -> None:
    name = task("return {'told': payload, 'more': [1, None, '\\u00e9']}")

    assert run_child(name, {"word": "caf\u00e9 \U0001f600"}, LIMITS) == {
        "told": {"word": "caf\u00e9 \U0001f600"},
        "more": [1, None, "\u00e9"],
    }


def test_the_child_is_another_process(task: Task) -> None:
    result = run_child(task("import os; return {'id': os.getppid()}"), {}, LIMITS)

    assert result == {"id": os.getpid()}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('so it is')", "It failed: ValueError: so it is."),
        ("return {'all': bytearray(1 << 30)}", "It failed: MemoryError."),
        ("return {'all': 'a' * 2000}", "It failed: Its result is too large."),
        ("return {'all': {1, 2}}", "It failed: TypeError: "),
        ("import os; os.abort()", "It was ended by signal 6 "),
        ("import ctypes; ctypes.string_at(0)", "It was ended by signal 11 "),
        ("import os; os._exit(0)", "It ended without a result."),
        ("import os; os._exit(3)", "It failed: no message."),
        ("print('a library greets'); return {}", "It ended without a result."),
        (
            """
            from models.errors import ModelError
            raise ModelError("code", "The model is bad.", "Throw it away.")
            """,
            "It failed: The model is bad.",
        ),
        (
            "import sys; sys.stderr.write('noise\\n' * 9 + 'x' * 999); sys.exit(1)",
            f"It failed: {'x' * 200}.",
        ),
    ],
)
def test_a_death_is_told_in_one_line(task: Task, body: str, message: str) -> None:
    with pytest.raises(ChildError) as caught:
        run_child(task(body), {}, LIMITS)

    assert caught.value.code == "child_died"
    assert caught.value.message.startswith(message)
    assert "\n" not in caught.value.message


def test_work_without_end_is_stopped(task: Task) -> None:
    with pytest.raises(ChildError) as caught:
        run_child(task("while True: pass"), {}, LIMITS)

    assert caught.value.code == "child_time"


def test_waiting_without_end_is_stopped(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_WALL_TO_CPU", 2)

    with pytest.raises(ChildError) as caught:
        run_child(task("import time; time.sleep(1000)"), {}, LIMITS)

    assert caught.value.code == "child_time"


def test_nothing_can_be_written(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "written"
    name = task(
        f"""
        from pathlib import Path
        Path({str(path)!r}).write_text("stolen")
        return {{}}
        """
    )

    with pytest.raises(ChildError, match="File too large"):
        run_child(name, {}, LIMITS)

    assert path.read_bytes() == b""


def test_what_cannot_be_found_is_an_error() -> None:
    with pytest.raises(ChildError) as caught:
        run_child("edge.there_is_no_such_module", {}, LIMITS)

    assert "there_is_no_such_module" in caught.value.message
