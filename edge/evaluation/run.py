"""The loop: every item under every condition, answered once and kept on disk.

Answers are kept in a file whose name is a hash of all that they depend on, one a line,
each as soon as it is known. So an evaluation that was interrupted goes on where it
stopped, and one that anything has changed about begins anew. These files are the only
place where Headside writes what was said.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import IO

from edge.engines import ECHO, is_own_folder
from edge.evaluation.items import (
    CLEAN,
    Case,
    Cases,
    EvalError,
    Recording,
    Result,
    Understander,
)
from edge.evaluation.noise import Noise, load_sound
from edge.evaluation.score import Answer, Said
from edge.intent import Intent
from edge.probe import ENCODER_WEIGHTS, SPEECH_WEIGHTS
from models.disk import disk_failures, hash_region, locked
from models.errors import HeadsideError
from models.store import Store, cache_root

KEPT_FOR_S = 30 * 24 * 3600
"""How long answers are kept after they were last added to."""
_ROOM = Path(__file__).parent.parent
_NO_CODE = frozenset({".md", ".pyc"})
_PACKAGES = (
    "ctranslate2",
    "faster-whisper",
    "hassil",
    "llama-cpp-python",
    "llguidance",
    "numpy",
    "onnxruntime",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be answered."""

    cases: Cases
    snrs_db: tuple[int, ...] = ()
    noise: Noise | None = None
    """Where there are SNRs."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Clean first, then the SNRs as asked for."""
        return (CLEAN, *map(str, self.snrs_db))

    @property
    def n_answers(self) -> int:
        """How many answers there are when all is done."""
        return len(self.cases.cases) * len(self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an evaluation has come."""

    condition: str
    n_done: int
    n_all: int


Tell = Callable[[Progress], None]
"""Called after every answer, those that were kept among them."""


def evaluate(
    plan: Plan, understander: Understander, kept: KeptAnswers, tell: Tell
) -> None:
    """Answers what is not answered yet; ``kept`` has it all afterwards.

    An item that fails is answered with its error, and the others go on.

    Raises:
        ModelError: The answers cannot be written.
    """
    n_done = 0
    for condition in plan.conditions:
        for case in plan.cases.cases:
            if (case.item.id, condition) not in kept.answers:
                kept.add(_answer(plan, case, condition, understander))
            n_done += 1
            tell(Progress(condition=condition, n_done=n_done, n_all=plan.n_answers))


def _answer(
    plan: Plan, case: Case, condition: str, understander: Understander
) -> Answer:
    item = case.item
    try:
        if isinstance(item, Recording):
            samples = load_sound(item.file)
            if plan.noise is not None and condition != CLEAN:
                snr_db = int(condition)
                samples = plan.noise.mixed(samples, snr_db=snr_db, name=item.id)
            result = understander.hear(samples)
        else:
            result = understander.read(item)
        return as_answer(item.id, condition, result)
    except HeadsideError as error:
        return Answer(id=item.id, condition=condition, error=error.message)
    except Exception as error:  # noqa: BLE001 - one bad item costs no others
        told = f"{type(error).__name__}: {error}"
        return Answer(id=item.id, condition=condition, error=told)


def as_answer(name: str, condition: str, result: Result) -> Answer:
    """Returns what came of an item, as it is scored."""
    return Answer(
        id=name,
        condition=condition,
        heard=result.transcript,
        intents=tuple(map(_said, result.intents)),
        clarify=tuple(map(_said, result.clarify)),
        tier=result.tier,
        asr_ms=result.asr_ms,
        intent_ms=result.intent_ms,
    )


def _said(intent: Intent) -> Said:
    return Said(name=intent.name, slots=intent.values)


@dataclass(slots=True)
class KeptAnswers:
    """Answers in a file of mode 600, one a line; see ``opened``."""

    file: Path
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    """By item and condition."""
    _out: IO[bytes] | None = None

    @classmethod
    @contextmanager
    def opened(
        cls, key: str, *, fresh: bool, waiting: Callable[[], None]
    ) -> Iterator[KeptAnswers]:
        """Yields the answers under a key, which one process at a time may add to.

        Args:
            key: As ``answers_key`` makes it.
            fresh: Whether answers of an earlier run are thrown away.
            waiting: Called where another process adds to them.

        Raises:
            ModelError: The cache cannot be written.
        """
        root = cache_root()
        folder = root / "eval"
        kept = cls(folder / f"{key}.jsonl")
        with ExitStack() as stack:
            with disk_failures(folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock = root / "locks" / f"eval-{key}.lock"
                stack.enter_context(locked(lock, waiting))
                _forget_old(folder)
                kept._open(fresh=fresh)
            try:
                yield kept
            finally:
                kept._close()

    def add(self, answer: Answer) -> None:
        """Keeps an answer at once; one with an error only until the run ends.

        Raises:
            ModelError: It cannot be written.
        """
        if not answer.error and self._out is not None:
            with disk_failures(self.file.parent):
                self._out.write(json.dumps(asdict(answer)).encode() + b"\n")
                self._out.flush()
        self.answers[answer.id, answer.condition] = answer

    def n_missing(self, plan: Plan) -> int:
        """Returns how many answers of a plan are not kept yet."""
        failed = Answer(id="", condition="", error="not asked")
        return sum(
            bool(self.answers.get((case.item.id, condition), failed).error)
            for condition in plan.conditions
            for case in plan.cases.cases
        )

    def _open(self, *, fresh: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self.file, flags | (os.O_TRUNC if fresh else 0), 0o600)
        self._out = os.fdopen(handle, "r+b")
        if hasattr(os, "fchmod"):
            os.fchmod(handle, 0o600)
        whole, newline, _ = self._out.read().rpartition(b"\n")
        for line in whole.split(b"\n"):
            answer = _parse(line)
            if answer is not None:
                self.answers[answer.id, answer.condition] = answer
        # What a run that was killed has left of its last line goes.
        self._out.truncate(len(whole + newline))
        self._out.seek(0, os.SEEK_END)

    def _close(self) -> None:
        if self._out is not None:
            with suppress(OSError):
                self._out.close()
            self._out = None


def _parse(line: bytes) -> Answer | None:
    """Returns an answer that was kept; None where the line was damaged."""
    try:
        row = json.loads(line)
        intents = tuple(Said(**said) for said in row.pop("intents"))
        clarify = tuple(Said(**said) for said in row.pop("clarify"))
        return Answer(**row, intents=intents, clarify=clarify)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _forget_old(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        with suppress(OSError):
            if path.lstat().st_mtime < time.time() - KEPT_FOR_S:
                path.unlink()


def answers_key(**about: str) -> str:
    """Returns the name under which answers are kept, which depend on all of this.

    The code and the packages it runs on need not be told.
    """
    whole = {**about, **versions()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


@cache
def versions() -> Mapping[str, str]:
    """Returns the versions of all code that answers depend on; ``code`` is a hash."""
    named = {name: version(name) for name in (*_PACKAGES, "headside")}
    return MappingProxyType({**named, "code": _code_sha256()})


def _code_sha256() -> str:
    digest = hashlib.sha256()
    sources = [path for path in _ROOM.rglob("*") if path.suffix not in _NO_CODE]
    sources += (_ROOM.parent / "models").rglob("*.py")
    for path in sorted(sources):
        if path.is_file():
            size_bytes = path.stat().st_size
            name = path.relative_to(_ROOM.parent).as_posix()
            digest.update(f"{name} {hash_region(path, 0, size_bytes)}\n".encode())
    return digest.hexdigest()


def model_sha256(store: Store, name: str) -> str:
    """Returns a hash of a model's files, of the store or the user's own.

    Of a folder of the user's own, that of its weights.

    Raises:
        ModelError: ``model_unknown``.
        EvalError: ``eval_model``: the file cannot be read.
    """
    if name == ECHO:
        return ECHO
    path = Path(name)
    if path.suffix not in {".gguf", ".onnx"}:
        if not is_own_folder(name, store):
            files = [f"{one.path} {one.sha256}" for one in store.manifest(name).files]
            return hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()
        weights = [path / SPEECH_WEIGHTS, path / ENCODER_WEIGHTS]
        path = next((one for one in weights if one.is_file()), path)
    try:
        return hash_region(path, 0, path.stat().st_size)
    except OSError as error:
        raise EvalError(
            "eval_model",
            f"The model {name} cannot be read: {error.strerror or error}.",
            "Name a file that is there.",
        ) from error
