"""What is missing is named, with what to do about it; what is there is described."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edge.doctor import Finding, Verdict, examine
from models.store import Store


def found(store: Store, subject: str) -> list[Finding]:
    """Returns what is found of a subject."""
    findings = [each for each in examine(store) if each.subject == subject]
    assert findings
    return findings


def test_everything_is_looked_at(tmp_path: Path) -> None:
    subjects = [finding.subject for finding in examine(Store(tmp_path / "cache"))]

    assert subjects == [
        *("headside", "processor", "memory"),
        *("speech engine", "voice activity engine", "language model engine"),
        *("model", "model", "model", "model"),
        *("store", "microphone"),
    ]
    assert not (tmp_path / "cache").exists()


def test_what_is_not_well_comes_with_advice(tmp_path: Path) -> None:
    for finding in examine(Store(tmp_path / "cache")):
        assert finding.detail
        assert bool(finding.advice) == (finding.verdict is not Verdict.OK)


def test_missing_models_are_named_with_the_command_that_fetches_them(
    tmp_path: Path,
) -> None:
    findings = found(Store(tmp_path / "cache"), "model")

    for finding in findings:
        name = finding.detail.split()[0]
        assert finding.verdict is Verdict.BROKEN
        assert finding.advice == f"Run: headside models fetch {name}"


@pytest.mark.models
def test_models_that_are_there_are_well(store: Store) -> None:
    assert {each.verdict for each in found(store, "model")} == {Verdict.OK}


@pytest.mark.parametrize(
    ("subject", "package"),
    [
        ("speech engine", "faster-whisper"),
        ("voice activity engine", "onnxruntime"),
        ("language model engine", "llama-cpp-python"),
    ],
)
def test_engines_say_what_they_compute_with(
    tmp_path: Path, subject: str, package: str
) -> None:
    (finding,) = found(Store(tmp_path), subject)

    assert finding.verdict is Verdict.OK
    engine, _, features = finding.detail.partition(": ")
    assert engine == f"{package} {version(package)}"
    assert features


@pytest.mark.parametrize(
    ("module", "subject", "verdict"),
    [
        ("edge.backends.llama", "language model engine", Verdict.BROKEN),
        ("edge.backends.whisper", "speech engine", Verdict.BROKEN),
        ("edge.backends.microphone", "microphone", Verdict.MISSING),
    ],
)
def test_an_engine_that_cannot_be_loaded_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    subject: str,
    verdict: Verdict,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    (finding,) = found(Store(tmp_path), subject)

    assert finding.verdict is verdict
    assert finding.advice
