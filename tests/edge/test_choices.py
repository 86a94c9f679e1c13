"""What a language model chooses between, on its own way and led along another's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.commands.intent import app
from edge.evaluation.choices import Choice, _Weighing
from edge.llm.model import LlmError
from models.errors import HeadsideError

FORBIDDEN = -np.inf
MODEL = "smollm2-135m-instruct-q4_1"
LINES = ("go forward ten meters", "do you like music", "turn left")


def test_a_model_goes_its_own_way() -> None:
    weighing = _Weighing(along=None)
    scores = np.array([1.0, FORBIDDEN, 3.0, 2.0], np.float32)

    assert weighing.choose(scores) == 2

    (found,) = weighing.found
    assert found.tokens == (2, 3, 0)
    assert np.exp(found.log_p).sum() == pytest.approx(1, abs=1e-5)


def test_a_model_is_led_and_weighs_the_same_tokens() -> None:
    way = [Choice(token=0, tokens=(0, 3), log_p=(-0.1, -3.0))]
    weighing = _Weighing(along=way)

    assert weighing.choose(np.array([1.0, 0.0, 3.0, 2.0], np.float32)) == 0

    assert weighing.found[0].tokens == (0, 3)
    assert weighing.found[0].log_p[1] - weighing.found[0].log_p[0] == pytest.approx(1)
    with pytest.raises(LlmError):
        weighing.choose(np.zeros(4, np.float32))


def chosen(lines: Path, *options: str) -> list[dict[str, Any]]:
    given = ["choose", str(lines), "--llm", MODEL, "--threads", "1", *options]
    found = CliRunner().invoke(app, given)
    assert found.exception is None, found.exception
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    rows = ({"id": text, "text": text, "intents": []} for text in LINES)
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.models
def test_a_real_model_led_along_its_own_way_weighs_the_same(
    lines: Path, tmp_path: Path
) -> None:
    first = chosen(lines)
    along = tmp_path / "along.jsonl"
    along.write_text("\n".join(json.dumps(row) for row in first))

    again = chosen(lines, "--along", str(along))

    assert [row["id"] for row in first] == list(LINES)
    assert all(row["is_whole"] for row in first)
    assert any(row["choices"] for row in first)
    for before, after in zip(first, again, strict=True):
        assert before["intents"] == after["intents"]
        for (token, tokens, log_p), led in zip(
            before["choices"], after["choices"], strict=True
        ):
            assert led[:2] == [token, tokens]
            # Other sums, other order: what is hardly said moves more than what is.
            for ours, theirs in zip(led[2], log_p, strict=True):
                assert math.exp(ours) == pytest.approx(math.exp(theirs), abs=0.01)
                assert ours == pytest.approx(theirs, rel=0.05, abs=0.05)


@pytest.mark.parametrize("text", ["{", '{"id": "go"}', "[]"])
def test_what_another_run_did_not_print_is_refused(
    text: str, lines: Path, tmp_path: Path
) -> None:
    along = tmp_path / "along.jsonl"
    along.write_text(text)
    given = ["choose", str(lines), "--llm", "echo", "--along", str(along)]

    found = CliRunner().invoke(app, given)

    assert isinstance(found.exception, HeadsideError)
    assert found.exception.code == "eval_input"
