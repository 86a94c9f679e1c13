"""The loop: nothing is asked twice, and nothing is lost on the way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edge.asr import AsrError
from edge.evaluation import run
from edge.evaluation.items import Result
from edge.evaluation.noise import Noise
from edge.evaluation.reading import read_cases
from edge.evaluation.run import KeptAnswers, Plan, Progress, answers_key, evaluate
from edge.evaluation.score import Answer, Said
from models.errors import ModelError
from tests.edge.evaluation.conftest import Folder, Scripted, intent, tone, understood

GREET = {"intent": "greet", "slots": {}}
LABELS: Mapping[str, object] = {f"{name}.wav": GREET for name in "abcd"}


def evaluated(
    plan: Plan, understander: Scripted, *, fresh: bool = False
) -> dict[tuple[str, str], Answer]:
    with KeptAnswers.opened("k", fresh=fresh, waiting=lambda: None) as kept:
        evaluate(plan, understander, kept, lambda progress: None)
        return dict(kept.answers)


def noisy(folder: Path, *snrs_db: int) -> Plan:
    return Plan(
        cases=read_cases(folder),
        snrs_db=snrs_db,
        noise=Noise(samples=tone(2, hertz=90), seed=0),
    )


def raises(error: BaseException) -> Callable[[], Result]:
    def fail() -> Result:
        raise error

    return fail


def test_every_item_is_heard_under_every_condition(recordings: Folder) -> None:
    understander = Scripted()
    plan = noisy(recordings(LABELS), 24, -6)
    told: list[Progress] = []

    with KeptAnswers.opened("k", fresh=False, waiting=lambda: None) as kept:
        evaluate(plan, understander, kept, told.append)

    assert len(kept.answers) == plan.n_answers == understander.n_asked == 12
    assert [progress.n_done for progress in told] == list(range(1, 13))
    assert {condition for _, condition in kept.answers} == {"clean", "24", "-6"}
    assert kept.answers["a.wav", "24"] == Answer(
        id="a.wav",
        condition="24",
        heard="hello",
        intents=(Said(name="greet", slots={}),),
        tier="grammar",
        asr_ms=2.0,
        intent_ms=1.0,
    )
    assert len({samples.tobytes() for samples in understander.heard}) == 12


def test_noise_does_not_depend_on_who_else_is_there(recordings: Folder) -> None:
    folder = recordings(LABELS)
    all_four, one = Scripted(), Scripted()
    evaluated(noisy(folder, 9), all_four, fresh=True)
    for name in "acd":
        (folder / "audio" / f"{name}.wav").unlink()
    (folder / "labels.json").write_text('{"b.wav": null}')

    evaluated(noisy(folder, 9), one, fresh=True)

    assert one.heard[1].tobytes() == all_four.heard[5].tobytes()


def test_it_goes_on_where_it_was_interrupted(recordings: Folder) -> None:
    plan = Plan(cases=read_cases(recordings(LABELS)))
    stopped = Scripted(at={3: raises(KeyboardInterrupt())})
    with pytest.raises(KeyboardInterrupt):
        evaluated(plan, stopped)

    going_on = Scripted(result=understood(heard="something else"))
    answers = evaluated(plan, going_on)

    assert going_on.n_asked == 2
    heard = [answers[name, "clean"].heard for name in LABELS]
    assert heard == ["hello", "hello", "something else", "something else"]
    assert evaluated(plan, Scripted(at={1: raises(AssertionError())})) == answers
    again = Scripted()
    evaluated(plan, again, fresh=True)
    assert again.n_asked == 4


KILLED = """
import os, sys
from pathlib import Path
from edge.evaluation.reading import read_cases
from edge.evaluation.run import KeptAnswers, Plan, evaluate
from tests.edge.evaluation.conftest import Scripted
plan = Plan(cases=read_cases(Path(sys.argv[1])))
killed = Scripted(at={3: lambda: os._exit(9)})
with KeptAnswers.opened("k", fresh=False, waiting=lambda: None) as kept:
    evaluate(plan, killed, kept, lambda progress: None)
"""


def test_it_goes_on_after_it_was_killed(recordings: Folder, cache: Path) -> None:
    folder = recordings(LABELS)
    done = subprocess.run([sys.executable, "-c", KILLED, folder], check=False)
    assert done.returncode == 9
    file = cache / "eval" / "k.jsonl"
    with file.open("ab") as kept:
        kept.write(b'{"id": "c.wav", "cond')  # as a power cut leaves it

    going_on = Scripted()
    answers = evaluated(Plan(cases=read_cases(folder)), going_on)

    assert going_on.n_asked == 2
    assert len(answers) == 4
    assert len(file.read_bytes().splitlines()) == 4
    assert evaluated(Plan(cases=read_cases(folder)), going_on) == answers
    assert going_on.n_asked == 2


def test_a_damaged_line_is_asked_again(recordings: Folder, cache: Path) -> None:
    plan = Plan(cases=read_cases(recordings(LABELS)))
    evaluated(plan, Scripted())
    file = cache / "eval" / "k.jsonl"
    lines = file.read_bytes().splitlines()
    lines[1:3] = [b"\xff nonsense", b'["list"]']
    file.write_bytes(b"\n".join(lines) + b"\n")

    again = Scripted()
    assert len(evaluated(plan, again)) == 4
    assert again.n_asked == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AsrError("asr_failed", "The speech recogniser failed."), "recogniser failed"),
        (ZeroDivisionError("of nothing"), "ZeroDivisionError: of nothing"),
    ],
)
def test_one_bad_item_costs_no_others(
    recordings: Folder, cache: Path, error: Exception, told: str
) -> None:
    folder = recordings(LABELS)
    plan = Plan(cases=read_cases(folder))
    (folder / "audio" / "a.wav").write_bytes(b"RIFF")

    answers = evaluated(plan, Scripted(at={2: raises(error)}))

    assert [bool(one.error) for one in answers.values()] == [True, False, True, False]
    assert "a.wav" in answers["a.wav", "clean"].error
    assert told in answers["c.wav", "clean"].error
    # They are not kept, and tried again.
    assert len((cache / "eval" / "k.jsonl").read_bytes().splitlines()) == 2
    again = Scripted()
    evaluated(plan, again)
    assert again.n_asked == 1


def test_answers_are_read_by_their_owner_alone(recordings: Folder, cache: Path) -> None:
    evaluated(Plan(cases=read_cases(recordings(LABELS))), Scripted())

    assert stat.S_IMODE((cache / "eval").stat().st_mode) == 0o700
    assert stat.S_IMODE((cache / "eval" / "k.jsonl").stat().st_mode) == 0o600


def test_what_was_said_is_not_kept_for_ever(recordings: Folder, cache: Path) -> None:
    plan = Plan(cases=read_cases(recordings(LABELS)))
    evaluated(plan, Scripted())
    old, new = cache / "eval" / "old.jsonl", cache / "eval" / "new.jsonl"
    for path in (old, new):
        path.write_text("")
    long_ago_s = time.time() - run.KEPT_FOR_S - 60
    os.utime(old, (long_ago_s, long_ago_s))

    evaluated(plan, Scripted())

    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_written_says_so(
    recordings: Folder, cache: Path
) -> None:
    cache.write_text("a file")

    with pytest.raises(ModelError) as caught:
        evaluated(Plan(cases=read_cases(recordings(LABELS))), Scripted())

    assert caught.value.code == "cache_unwritable"


def test_answers_of_other_code_are_not_taken_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = answers_key(pack="1")
    assert key == answers_key(pack="1")
    assert key != answers_key(pack="2")
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "grammar.py").write_text("MAX_WORDS = 1\n")
    monkeypatch.setattr(run, "_ROOM", tmp_path / "edge")
    keys = [key]
    for code in ("MAX_WORDS = 1\n", "MAX_WORDS = 2\n"):
        (tmp_path / "edge" / "grammar.py").write_text(code)
        run.versions.cache_clear()
        keys.append(answers_key(pack="1"))
    run.versions.cache_clear()
    assert len(set(keys)) == 3


def test_an_intents_slots_come_back_as_they_were(recordings: Folder) -> None:
    plan = Plan(cases=read_cases(recordings({"a.wav": GREET})))
    moved = understood(intent("move", metres=2.5, pace="d\u00edm", n=3))

    first = evaluated(plan, Scripted(result=moved))

    assert evaluated(plan, Scripted()) == first
    (said,) = first["a.wav", "clean"].intents
    assert said.slots == {"metres": 2.5, "pace": "d\u00edm", "n": 3}
