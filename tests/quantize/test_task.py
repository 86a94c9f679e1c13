"""What a quantized model does in the runtime, beside its source."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from models.errors import HeadsideError
from quantize.task import Actor, Task, act, check_lines, compared, load_task

N = 40
WAVE = """format = 1
name = "wave"
[character.Ana]
persona = "You are Ana."
fallback = ["What?"]
[intents.wave]
say = ["wave at me"]
"""


def item(n: int) -> dict[str, Any]:
    return {"id": str(n), "text": f"line {n}", "intents": []}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    path = tmp_path / "task.jsonl"
    path.write_text("\n".join(json.dumps(item(n)) for n in range(N)))
    return load_task(path, "explorer")


def answer(
    n: int, name: str = "wave", *, is_right: bool = True, p: float = 0.5
) -> dict[str, Any]:
    """Returns an answer with one choice between two tokens."""
    return {
        "id": str(n),
        "intents": [{"name": name, "slots": {}}] if name else [],
        "is_right": is_right,
        "is_whole": True,
        "choices": [[7, [7, 9], [math.log(p), math.log(1 - p)]]],
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_two_that_do_the_same_agree(task: Task, tmp_path: Path) -> None:
    rows = [answer(n, "" if n % 4 else "wave") for n in range(N)]
    reference = write(tmp_path / "a.jsonl", rows)

    found = compared(task, reference, reference, kv_bits=16)

    assert found.agreement.mean == 1
    assert 0.9 < found.agreement.low < 0.95  # Wilson: 40 of 40 are no proof of 100 %
    assert (found.n_lost, found.n_gained, found.n_acting) == (0, 0, N // 4)
    assert found.decision_kl.mean == pytest.approx(0, abs=1e-6)
    assert found.valid == found.right == 1


def test_what_differs_is_counted_both_ways(task: Task, tmp_path: Path) -> None:
    before = [answer(n, is_right=n != 0) for n in range(N)]
    after = [answer(n, p=0.25) for n in range(N)]
    for n in (1, 2, 3):
        after[n] = answer(n, "dance", is_right=False, p=0.25)
    after[4]["is_whole"] = False
    reference = write(tmp_path / "a.jsonl", before)
    answers = write(tmp_path / "b.jsonl", after)

    found = compared(task, reference, answers, kv_bits=8)

    assert found.agreement.mean == pytest.approx(37 / 40)
    assert (found.n_lost, found.n_gained) == (3, 1)
    assert found.change.mean == pytest.approx(-2 / 40)
    assert found.change.low < found.change.mean < found.change.high
    assert found.valid == pytest.approx(39 / 40)
    kl = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert found.decision_kl.mean == pytest.approx(kl, rel=1e-4)
    assert found.n_decisions == N


def test_other_choices_are_no_comparison(task: Task, tmp_path: Path) -> None:
    rows = [answer(n) for n in range(N)]
    others = [answer(n) for n in range(N)]
    others[5]["choices"][0][1] = [7, 8]

    with pytest.raises(HeadsideError) as failed:
        compared(
            task,
            write(tmp_path / "a.jsonl", rows),
            write(tmp_path / "b.jsonl", others),
            kv_bits=16,
        )

    assert failed.value.code == "task_failed"


STAND_IN = """
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    print(json.dumps({"id": row["id"], "intents": [], "choices": []}), flush=True)
"""


def test_it_goes_on_where_it_was(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.task._COMMAND", (sys.executable, "-c", STAND_IN))
    answers = write(tmp_path / "answers.jsonl", [answer(n) for n in range(10)])
    answers.write_text(answers.read_text() + '{"id": "10", "int')  # cut off
    told: list[int] = []

    act(
        task,
        Actor(model=tmp_path / "m.gguf", threads=1),
        answers,
        lambda done, of: told.append(done),
    )

    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [row["id"] for row in rows] == [str(n) for n in range(N)]
    assert rows[9]["choices"]
    assert not rows[10]["choices"]
    assert (told[0], told[-1]) == (10, N)


def test_a_runtime_that_says_no_is_quoted(task: Task, tmp_path: Path) -> None:
    with pytest.raises(HeadsideError) as failed:
        act(
            task,
            Actor(model=tmp_path / "none.gguf", threads=1),
            tmp_path / "answers.jsonl",
            lambda *_: None,
        )

    assert failed.value.code == "task_failed"
    assert "none.gguf" in failed.value.message


def test_lines_that_the_runtime_cannot_read_are_refused(tmp_path: Path) -> None:
    rows = [item(n) for n in range(N)]
    rows[3]["intents"] = [{"name": "levitate", "slots": {}}]
    path = write(tmp_path / "task.jsonl", rows)

    with pytest.raises(HeadsideError) as failed:
        check_lines(load_task(path, "explorer"))

    assert failed.value.code == "task_broken"
    assert "levitate" in failed.value.message


def test_lines_that_the_runtime_reads_are_not(task: Task) -> None:
    check_lines(task)


def test_a_task_is_of_a_pack_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "task.jsonl", [item(n) for n in range(N)])
    pack = tmp_path / "wave"
    pack.mkdir()
    told = WAVE
    (pack / "pack.toml").write_text(told)
    before = load_task(path, str(pack))
    (pack / "pack.toml").write_text(told.replace("wave at", "nod to"))

    assert load_task(path, str(pack)).sha256 != before.sha256


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"id": "1", "text": "x"}\n{"id": "1", "text": "y"}', "task_broken"),
        ("", "task_short"),
        ('{"id": "1", "text": "x", "intents": []}', "task_short"),
        ("{", "task_broken"),
        ('{"text": "x"}', "task_broken"),
        ("[1]", "task_broken"),
    ],
)
def test_what_is_no_task_is_refused(text: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(text)

    with pytest.raises(HeadsideError) as failed:
        load_task(path, "explorer")

    assert failed.value.code == code


def test_a_task_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsideError, match="holds no items"):
        load_task(tmp_path / "none.jsonl", "explorer")
