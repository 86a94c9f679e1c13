"""What it takes to hold a model: time to load and memory, in a process of its own."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize.asr.listening import open_whisper
from quantize.child import Tell, in_child

_N_LOADS = 3
_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one model, as it is computed."""

    load_s: float
    """The median of several loads, its file in the system's cache."""
    memory_mb: float
    """That loading adds, in memory that is the process's own."""


def measure_cost(folder: Path, computed: str, threads: int) -> Cost:
    """Returns what a model takes.

    Raises:
        QuantizeError: As `open_whisper`, or ``child_died``.
    """
    found = in_child(
        _measure,
        {"folder": str(folder.absolute()), "computed": computed, "threads": threads},
        doing=f"Loading {folder}",
    )
    return Cost(load_s=found["load_s"], memory_mb=found["memory_mb"])


def _measure(arguments: Mapping[str, Any], _tell: Tell) -> dict[str, float]:
    import faster_whisper  # noqa: F401, PLC0415 - it takes memory of its own

    folder, before = Path(arguments["folder"]), _own_bytes()
    times_s: list[float] = []
    memory = 0
    for n in range(_N_LOADS):
        began = time.perf_counter()
        model = open_whisper(folder, arguments["computed"], arguments["threads"])
        times_s.append(time.perf_counter() - began)
        if n == 0:
            memory = _own_bytes() - before
        model.model.unload_model()
        del model
    return {"load_s": statistics.median(times_s), "memory_mb": memory / _MB}


def _own_bytes() -> int:
    """Returns the memory of this process: shared pages by their share, on Linux."""
    import psutil  # noqa: PLC0415 - needed here alone

    found = psutil.Process().memory_full_info()
    return int(found.pss if sys.platform == "linux" else found.uss)
