"""Recordings that a recogniser is judged on, and the silence that it must not fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.store import Store
from quantize.asr.job import RECORDINGS
from quantize.errors import QuantizeError
from quantize.made import sha256_of

Samples = npt.NDArray[np.float32]
"""(n,) in [-1, 1], 16 kHz, mono."""

RATE_HZ = 16_000
_RAW = frozenset({".raw", ".pcm"})
_SUFFIXES = frozenset({".wav", ".flac", *_RAW})
_MAX_S = 3600
_SILENCE_S = 5
_NOISE = 1e-3
"""Its standard deviation: -60 dB, a quiet room through a microphone."""
_NOISE_SEEDS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file of speech."""

    path: Path
    name: str
    """Its path in the folder."""
    sha256: str
    said: str
    """What is said, where a .txt file of the same name tells; empty elsewhere."""


def load_recordings(folder: Path | None) -> list[Recording]:
    """Returns the recordings in a folder and in those within, in order of their names.

    Args:
        folder: Those of the store where None.

    Raises:
        QuantizeError: ``recordings_missing``, or as `read_sound`.
        ModelError: Those of the store are not there.
    """
    if folder is None:
        folder = Store.default().path(RECORDINGS)
    if not folder.is_dir():
        raise _none(folder, "is no folder" if folder.exists() else "is not there")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    )
    if not paths:
        raise _none(folder, "holds no recording")
    for path in paths:
        read_sound(path)
    return [
        Recording(
            path=path,
            name=path.relative_to(folder).as_posix(),
            sha256=sha256_of(path),
            said=_said(path.with_suffix(".txt")),
        )
        for path in paths
    ]


def read_sound(path: Path) -> Samples:
    """Returns a recording, mono and at 16 kHz.

    A .raw or .pcm file has no header: it is 16-bit little-endian mono at 16 kHz.

    Raises:
        QuantizeError: ``recording_unreadable`` or ``recording_too_long``.
    """
    import soundfile  # noqa: PLC0415 - a native library; help goes without

    try:
        if path.suffix.lower() in _RAW:
            samples = np.fromfile(path, "<i2").astype(np.float32)[:, None] / 32768
            rate_hz = RATE_HZ
        else:
            with soundfile.SoundFile(path) as sound:
                rate_hz = sound.samplerate
                if sound.frames > _MAX_S * rate_hz:
                    raise QuantizeError(
                        "recording_too_long",
                        f"{path} is longer than an hour.",
                        "Cut it into pieces.",
                    )
                samples = sound.read(dtype="float32", always_2d=True)  # (n, channels)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(path, str(error).strip().rstrip(".")) from error
    if not len(samples):
        raise _unreadable(path, "it holds no sound")
    if not np.isfinite(samples).all():
        raise _unreadable(path, "it holds what is no number")
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate_hz != RATE_HZ:
        import samplerate  # noqa: PLC0415 - as above

        mono = samplerate.resample(mono, RATE_HZ / rate_hz, "sinc_medium")
    return np.ascontiguousarray(mono, np.float32)


def silences() -> dict[str, Samples]:
    """Returns sounds in which nobody speaks, by name; the same each time."""
    n = _SILENCE_S * RATE_HZ
    found = {"digital silence": np.zeros(n, np.float32)}
    for seed in _NOISE_SEEDS:
        noise = np.random.default_rng(seed).standard_normal(n, np.float32)
        found[f"quiet noise {seed}"] = noise * np.float32(_NOISE)
    return found


def sources_of(folder: Path | None, recordings: Sequence[Recording]) -> list[str]:
    """Returns the names of recordings, for the report."""
    where = RECORDINGS if folder is None else folder.resolve().name
    return [f"{where}/{one.name}" for one in recordings]


def _said(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _none(folder: Path, what: str) -> QuantizeError:
    return QuantizeError(
        "recordings_missing",
        f"{folder} {what}.",
        "Name a folder of speech in WAV, FLAC or raw 16-bit files (--eval).",
    )


def _unreadable(path: Path, why: str) -> QuantizeError:
    return QuantizeError(
        "recording_unreadable",
        f"{path} cannot be read as sound: {why}.",
        "Use WAV, FLAC or raw 16-bit mono at 16 kHz (.raw), or take it out of the "
        "folder.",
    )
