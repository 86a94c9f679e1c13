"""Device profiles: what a headset gives an application, each figure with its source.

A figure that no document states and no one has measured is unknown and stays so; a
planner must ask for it rather than guess.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import psutil

from models.errors import ModelError
from models.table import Table

T = TypeVar("T")

_FOLDER = Path(__file__).parent / "devices"
_THIS_MACHINE = "this machine"
_SOURCES = ("document: ", "measurement: ", "estimate: ", "unknown: ")
_CPUINFO = Path("/proc/cpuinfo")
_ISA_FEATURES = (
    *("sse4_2", "avx", "avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx_vnni"),
    *("asimd", "asimddp", "i8mm", "sve", "sve2", "bf16"),
)
"""What inference kernels are built for, as Linux names it on x86-64 and arm64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(Generic[T]):
    """A value and where it comes from."""

    value: T | None
    """None where it is unknown."""
    source: str
    """`document: ...`, `measurement: ...`, `estimate: ...`, `unknown: ...` or
    `this machine`."""

    def __str__(self) -> str:
        return self.source if self.value is None else f"{self.value} ({self.source})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """What a device gives the game and Headside together."""

    name: str
    title: str
    memory_limit_bytes: Figure[int]
    """Above this the system ends the application."""
    n_cores: Figure[int]
    """Cores that the application may run on."""
    isa_features: Figure[tuple[str, ...]]
    """Instruction sets that are certain, in Linux' names; others may be there."""
    refresh_rates_hz: Figure[tuple[float, ...]]
    n_inference_threads: Figure[int]
    """Threads to begin with, beside a running game."""
    kv_bits: Figure[int]
    """Of each number that a language model keeps of what it read: 16 or 8."""
    sustained_cpu_level: Figure[int]
    """The clock level that can be held; levels are the maker's."""
    memory_bandwidth_bytes_per_s: Figure[float]
    """What bounds how fast a language model decodes."""

    @property
    def frame_times_ms(self) -> tuple[float, ...]:
        """How long a frame lasts at each refresh rate."""
        return tuple(1000 / rate_hz for rate_hz in self.refresh_rates_hz.value or ())


def device_names() -> tuple[str, ...]:
    """Return the names of all device profiles, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def device_profile(name: str) -> DeviceProfile:
    """Return a device's profile; figures of the desktop are read from this machine.

    Raises:
        ModelError: `device_unknown`, or `device_invalid` where the file is wrong.
    """
    if name not in device_names():
        raise ModelError(
            "device_unknown",
            f"There is no profile of a device named {name!r}.",
            f"The devices are {', '.join(device_names())}.",
        )
    table = Table.load(_FOLDER / f"{name}.toml", code="device_invalid")
    table.only((*DeviceProfile.__slots__, "title"))
    return DeviceProfile(
        name=name,
        title=table.text("title"),
        memory_limit_bytes=_figure(table, "memory_limit_bytes", _whole),
        n_cores=_figure(table, "n_cores", _whole),
        isa_features=_figure(table, "isa_features", _words),
        refresh_rates_hz=_figure(table, "refresh_rates_hz", _numbers),
        n_inference_threads=_figure(table, "n_inference_threads", _whole),
        kv_bits=_figure(table, "kv_bits", _kv_bits),
        sustained_cpu_level=_figure(table, "sustained_cpu_level", _whole),
        memory_bandwidth_bytes_per_s=_figure(
            table, "memory_bandwidth_bytes_per_s", _number
        ),
    )


def _figure(table: Table, key: str, parse: Callable[[object], T]) -> Figure[T]:
    entry = table.table(key)
    entry.only(("value", "source"))
    source = entry.text("source")
    if source == _THIS_MACHINE and key in _READERS:
        value: object = _READERS[key]()
    elif source.startswith(_SOURCES):
        value = entry.value("value")
    else:
        raise entry.error(f"source must begin with one of {', '.join(_SOURCES)}")
    if (value is None) != source.startswith("unknown: "):
        raise entry.error("a figure is unknown or it has a value")
    try:
        return Figure(value=None if value is None else parse(value), source=source)
    except (TypeError, ValueError) as error:
        raise entry.error(f"value {value!r} will not do") from error


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value


def _kv_bits(value: object) -> int:
    if value not in (8, 16):
        raise ValueError
    return _whole(value)


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise TypeError
    return float(value)


def _numbers(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(_number(item) for item in value)


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    if not all(isinstance(item, str) for item in value):
        raise TypeError
    return tuple(value)


def _read_memory_bytes() -> int:
    return int(psutil.virtual_memory().total)


def _read_n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_n_threads() -> int:
    # Two threads on one physical core share the units that inference keeps busy.
    return min(psutil.cpu_count(logical=False) or _read_n_cores(), _read_n_cores())


def _read_isa_features() -> tuple[str, ...]:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    for line in lines:
        key, _, words = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return tuple(name for name in _ISA_FEATURES if name in words.split())
    return ()


_READERS: Mapping[str, Callable[[], object]] = {
    "memory_limit_bytes": _read_memory_bytes,
    "n_cores": _read_n_cores,
    "isa_features": _read_isa_features,
    "n_inference_threads": _read_n_threads,
}
"""How the figures whose source is this machine are read."""
