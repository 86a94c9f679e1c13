"""What works on this machine, what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import psutil

from edge.build import microphone_name
from models.device import device_profile
from models.errors import HeadsideError
from models.pack import PackModels
from models.store import State, Store

_MIN_FREE_MEMORY_BYTES = 1 << 30
_ENGINES = {
    "faster-whisper": ("edge.backends.whisper", "speech"),
    "onnxruntime": ("edge.backends.silero", "voice activity"),
    "llama-cpp-python": ("edge.backends.llama", "language model"),
}


class Verdict(StrEnum):
    """How well something is."""

    OK = "ok"
    MISSING = "missing"
    """Something can do without it."""
    BROKEN = "broken"
    """The chain cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    detail: str
    advice: str = ""
    """What to do; empty where all is well."""


def examine(store: Store) -> Iterator[Finding]:
    """Yields what is found, one thing at a time."""
    yield _python()
    yield _processor()
    yield _memory()
    for package, (module, role) in _ENGINES.items():
        yield _engine(package, module, role)
    models = PackModels()
    for name in (models.vad, models.asr, models.llm, models.pronunciations):
        yield _model(store, name)
    yield _disk(store)
    yield _microphone()


def _python() -> Finding:
    return Finding(
        subject="headside",
        verdict=Verdict.OK,
        detail=f"{importlib.metadata.version('headside')}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    )


def _processor() -> Finding:
    profile = device_profile("desktop")
    features = " ".join(profile.isa_features.value or ("unknown features",))
    return Finding(
        subject="processor",
        verdict=Verdict.OK,
        detail=f"{profile.n_cores.value} cores, {features}",
    )


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    enough = memory.available >= _MIN_FREE_MEMORY_BYTES
    return Finding(
        subject="memory",
        verdict=Verdict.OK if enough else Verdict.MISSING,
        detail=f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
        advice="" if enough else "Close something: the chain wants about 1 GB.",
    )


def _engine(package: str, module: str, role: str) -> Finding:
    subject = f"{role} engine"
    try:
        describe: Callable[[], str] = importlib.import_module(module).describe
        return Finding(
            subject=subject,
            verdict=Verdict.OK,
            detail=f"{package} {importlib.metadata.version(package)}: {describe()}",
        )
    except (ImportError, OSError, RuntimeError, HeadsideError) as cause:
        return Finding(
            subject=subject,
            verdict=Verdict.BROKEN,
            detail=f"{package} cannot be loaded: {cause}",
            advice=f"Install {package} again; it needs this machine's own build.",
        )


def _model(store: Store, name: str) -> Finding:
    state = store.state(name)
    ready = state is State.READY
    return Finding(
        subject="model",
        verdict=Verdict.OK if ready else Verdict.BROKEN,
        detail=f"{name} is {state.value}",
        advice="" if ready else f"Run: headside models fetch {name}",
    )


def _disk(store: Store) -> Finding:
    folder = store.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding(
        subject="store",
        verdict=Verdict.OK,
        detail=f"{store.root}, {free / 1e9:.1f} GB free",
    )


def _microphone() -> Finding:
    try:
        return Finding(
            subject="microphone", verdict=Verdict.OK, detail=microphone_name()
        )
    except HeadsideError as error:
        return Finding(
            subject="microphone",
            verdict=Verdict.MISSING,
            detail=error.message,
            advice=error.hint,
        )
