"""`headside doctor` says what is here, what is missing, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.store import Store
from tests.acceptance.conftest import Command, Done, default_models

SUBJECTS = {
    "headside",
    "processor",
    "memory",
    "speech engine",
    "voice activity engine",
    "language model engine",
    "model",
    "store",
    "microphone",
}


def findings(done: Done) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(done.stdout)
    for finding in found:
        assert finding.keys() == {"subject", "verdict", "detail", "advice"}
        assert finding["verdict"] in {"ok", "missing", "broken"}
        assert finding["detail"]
        assert (finding["verdict"] == "ok") == (finding["advice"] == "")
    assert {finding["subject"] for finding in found} == SUBJECTS
    return found


@pytest.mark.models
def test_all_is_well_where_the_models_are(headside: Command, store: Store) -> None:
    done = headside("doctor", "--json")

    models = [f for f in findings(done) if f["subject"] == "model"]
    assert (done.code, done.stderr) == (0, "")
    assert [model["verdict"] for model in models] == ["ok"] * len(default_models())
    for name, model in zip(default_models(), models, strict=True):
        assert name in model["detail"]


def test_what_is_missing_comes_with_a_command(
    headside: Command, tmp_path: Path
) -> None:
    cache = str(tmp_path / "empty")
    done = headside("doctor", "--json", HEADSIDE_CACHE=cache)

    broken = [f for f in findings(done) if f["verdict"] == "broken"]
    assert done.code == 1
    assert [finding["advice"] for finding in broken] == [
        f"Run: headside models fetch {name}" for name in default_models()
    ]
    assert "Traceback" not in done.stderr
    people = headside("doctor", HEADSIDE_CACHE=cache)
    for name in default_models():
        assert f"{name} is missing" in people.stdout
