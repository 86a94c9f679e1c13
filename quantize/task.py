"""What a model does in the runtime, beside what the model it came from does there.

Lines of text go through the language-model tier of the runtime, with its prompt, its
constraint and its own kernels, in a process of its own: `headside intent choose`. Two
things are compared: what is done in the end, and how the model weighs each choice on
the reference's way, over the tokens that the constraint allows.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.pack_file import load_pack
from models.share import share_interval
from quantize.child import Tell
from quantize.errors import QuantizeError
from quantize.intervals import Interval, interval

_COMMAND = (sys.executable, "-m", "edge.cli", "intent", "choose")
_FEWEST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Lines of text, and where they are said."""

    path: Path
    """As for `headside eval`: one item a line, with what should come of it."""
    pack: str
    ids: tuple[str, ...]
    sha256: str
    """Of the file and of all that the pack says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """What a model does beside its reference."""

    kv_bits: int
    """Of each number that is kept of what was read."""
    n_items: int
    agreement: Interval
    """Share of items for which both do the same; by Wilson's score."""
    n_acting: int
    """Items for which the reference does anything."""
    valid: float
    """Share of items whose answer came to its end in the form it has to have."""
    reference_right: float
    """Share of items that the reference gets right."""
    right: float
    n_lost: int
    """Items that the reference gets right and the model wrong."""
    n_gained: int
    change: Interval
    """Of the share of items that are right, bootstrapped by item."""
    decision_kl: Interval
    """Divergence over the allowed tokens of each choice, nats, by item."""
    n_decisions: int


def load_task(path: Path, pack: str) -> Task:
    """Returns a task.

    Raises:
        QuantizeError: ``task_broken`` or ``task_short``.
    """
    try:
        ids = tuple(row["id"] for row in _rows(path))
        told = load_pack(pack).version.encode() + path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QuantizeError(
            "task_broken",
            f"{path} holds no items: {error}.",
            'Write lines such as {"id": "1", "text": "...", "intents": []}.',
        ) from error
    if twice := next((name for name, n in Counter(ids).items() if n > 1), None):
        raise QuantizeError(
            "task_broken",
            f"{path} has two items called {twice!r}.",
            "Give each an id of its own.",
        )
    if len(ids) < _FEWEST:
        raise QuantizeError(
            "task_short",
            f"{path} has {len(ids)} items; of fewer than {_FEWEST} nothing follows.",
            "Give more.",
        )
    sha256 = hashlib.sha256(told).hexdigest()
    return Task(path=path, pack=pack, ids=ids, sha256=sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A model in the runtime."""

    model: Path
    """A GGUF file."""
    threads: int
    kv_bits: int = 16
    along: Path | None = None
    """The answers of the reference, along which it is led as well."""

    @property
    def options(self) -> Sequence[str]:
        """As the command takes them."""
        led = ["--along", str(self.along)] if self.along else []
        kept = ["--kv-bits", str(self.kv_bits), "--threads", str(self.threads)]
        return ["--llm", str(self.model), *kept, *led]


def check_lines(task: Task) -> None:
    """Raises unless the runtime reads every line of a task.

    Raises:
        QuantizeError: ``task_broken``.
    """
    done = subprocess.run(
        [*_COMMAND, str(task.path), "--pack", task.pack, "--llm", "echo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        *_, last = done.stdout.splitlines() or [""]
        raise QuantizeError(
            "task_broken",
            f"The runtime cannot read {task.path}: {_told(last)}",
            f"`headside intent choose {task.path} --llm echo` says more.",
        )


def act(task: Task, actor: Actor, answers: Path, tell: Tell) -> None:
    """Has a model do a task, and writes its answers, one a line.

    Args:
        task: What is to be done.
        actor: Who does it.
        answers: Where they go; it is gone on with what is there.
        tell: Told how many items are done.

    Raises:
        QuantizeError: ``task_failed``: the runtime said no.
    """
    done = _whole(answers)
    known = {row["id"] for row in done}
    answers.write_text("".join(json.dumps(row) + "\n" for row in done))
    todo = [row for row in _rows(task.path) if row["id"] not in known]
    tell(len(known), len(task.ids))
    if not todo:
        return
    with tempfile.TemporaryDirectory() as folder, answers.open("a") as kept:
        lines = Path(folder) / "task.jsonl"
        lines.write_text("".join(json.dumps(row) + "\n" for row in todo))
        with subprocess.Popen(
            [*_COMMAND, str(lines), "--pack", task.pack, *actor.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                last = ""
                for last in process.stdout or ():
                    row = _row(last)
                    if row is not None:
                        known.add(row["id"])
                        kept.write(last)
                        kept.flush()
                        tell(len(known), len(task.ids))
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        raise QuantizeError(
            "task_failed",
            f"The runtime ended with code {process.returncode} on {task.path}: "
            f"{_told(last)}",
            f"`headside intent choose {task.path} --llm {actor.model}` says more.",
        )


def compared(
    task: Task, reference: Path, answers: Path, *, kv_bits: int
) -> TaskSummary:
    """Returns what the answers of a model are beside those of its reference."""
    theirs = {row["id"]: row for row in _whole(reference)}
    ours = {row["id"]: row for row in _whole(answers)}
    pairs = [(theirs[name], ours[name]) for name in task.ids]
    n = len(pairs)
    same = sum(one["intents"] == other["intents"] for one, other in pairs)
    before = np.array([one["is_right"] for one, _ in pairs], np.float64)
    after = np.array([other["is_right"] for _, other in pairs], np.float64)
    kl = [_decision_kl(one["choices"], other["choices"]) for one, other in pairs]
    sums = np.array([sum(found) for found in kl], np.float64)
    counts = np.array([len(found) for found in kl], np.float64)
    return TaskSummary(
        kv_bits=kv_bits,
        n_items=n,
        agreement=_share(same, n),
        n_acting=sum(bool(one["intents"]) for one, _ in pairs),
        valid=sum(other["is_whole"] for _, other in pairs) / n,
        reference_right=float(before.mean()),
        right=float(after.mean()),
        n_lost=int((before > after).sum()),
        n_gained=int((after > before).sum()),
        change=interval(after - before, np.ones(n)),
        decision_kl=interval(sums, counts),
        n_decisions=int(counts.sum()),
    )


def _decision_kl(
    reference: Sequence[Sequence[Any]], model: Sequence[Sequence[Any]]
) -> list[float]:
    """Returns the divergence at each choice, nats.

    Over the tokens that were weighed one by one, and all others as one.
    """
    found = []
    for (_, tokens, log_p), (_, other_tokens, log_q) in zip(
        reference, model, strict=True
    ):
        if tokens != other_tokens:
            raise QuantizeError(
                "task_failed", "Two models were not led along the same choices.", ""
            )
        p = np.append(np.exp(log_p), max(0.0, 1 - float(np.exp(log_p).sum())))
        q = np.append(np.exp(log_q), max(0.0, 1 - float(np.exp(log_q).sum())))
        some = p > _ROUNDED
        apart = p[some] * (np.log(p[some]) - np.log(q[some].clip(min=_ROUNDED)))
        found.append(max(0.0, float(apart.sum())))
    return found


_ROUNDED = 1e-6
"""Below it a probability is what writing it left."""


def _share(n_right: int, n: int) -> Interval:
    low, high = share_interval(n_right, n)
    return Interval(mean=n_right / n, low=low, high=high)


def _whole(answers: Path) -> list[Mapping[str, Any]]:
    """Returns the answers that were written to their end."""
    if not answers.exists():
        return []
    found = (_row(line) for line in answers.read_text().splitlines())
    return [row for row in found if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    is_answer = isinstance(row, dict) and row.keys() >= {"id", "intents", "choices"}
    return row if is_answer else None


def _told(line: str) -> str:
    """Returns what the runtime said last: the message of an error, where it is one."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line.strip()[:300]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
