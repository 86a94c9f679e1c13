"""What eight bits on the disk cost Whisper base, on all recordings that are here.

- `mb`: the folder's files that are the model.
- `wer_delta`: words heard otherwise than by the source in float32, by word of the
  source; `wer_delta_low` and `wer_delta_high` are the ends of its 95 % interval.
- `timestamp_shift_ms`: how far the beginnings of words move, that both hear: 95 of 100
  move less. `timestamp_shift_median_ms` and `timestamp_shift_worst_ms` besides.
- `identical_to_runtime_int8`: recordings with the text, to the letter, that CTranslate2
  gives with the eight bits that it makes of the source on loading.
- `rtf`, `load_s`, `memory_mb`, each beside `..._source`: seconds for a second of
  speech, with word times, by turns; the median of three loads; what loading adds to a
  process.

What was heard is kept in the user's cache: a second run takes moments. The first takes
three passes over each recording.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import RECORDINGS, SHARED_CLIPS, run
from models.store import Store
from quantize.artifact import ArtifactReport, LostTooMuchError
from quantize.asr.job import Request
from quantize.asr.listening import SOURCE
from quantize.asr.quantizing import quantize_asr
from quantize.stage_display import shown

MODEL = "whisper-base"
_SUFFIXES = frozenset({".wav", ".flac", ".raw", ".txt"})
_ANY = 1e9
"""Limits that nothing passes: here it is measured, not judged."""


def measure_whisper_base(threads: int, folder: Path) -> dict[str, Any]:
    """Returns the report.

    Args:
        threads: Of every model.
        folder: For what is made.
    """
    store = Store.default()
    recordings = folder / "recordings"
    recordings.mkdir()
    _gather(store.path(RECORDINGS), recordings)
    if SHARED_CLIPS.is_dir():
        _gather(SHARED_CLIPS, recordings)
    else:
        print(f"{SHARED_CLIPS} is absent: {RECORDINGS} alone", file=sys.stderr)
    request = Request(
        source=store.path(MODEL),
        out=folder / MODEL,
        threads=threads,
        evaluation=recordings,
        guard_wer=_ANY,
        guard_shift_ms=_ANY,
    )
    with shown() as stage:
        try:
            return _figures(quantize_asr(request, stage))
        except LostTooMuchError as error:  # more words in silence
            return _figures(error.report)


def _gather(source: Path, folder: Path) -> None:
    """Links recordings, and what is said in them, into a folder."""
    for path in source.rglob("*"):
        if path.suffix in _SUFFIXES:
            (folder / f"{path.parent.name}-{path.name}").symlink_to(path.resolve())


def _figures(report: ArtifactReport) -> dict[str, Any]:
    found = {one.name: one for one in report.findings}
    (source,) = (way for way in report.ways if way.name == SOURCE)
    theirs = {one.name: one.value for one in source.findings}
    error = found["word_error"]
    return {
        "mb": round(report.out.n_bytes / 1e6, 2),
        "mb_source": round(report.source.n_bytes / 1e6, 2),
        "wer_delta": round(error.value, 5),
        "wer_delta_low": round(error.worst[0], 5),
        "wer_delta_high": round(error.worst[1], 5),
        "n_words": error.n,
        "n_recordings": report.inputs[0].n,
        "timestamp_shift_ms": round(found["timestamp_shift_p95"].value, 1),
        "timestamp_shift_median_ms": round(found["timestamp_shift_median"].value, 1),
        "timestamp_shift_worst_ms": round(found["timestamp_shift_worst"].value, 1),
        "identical_to_runtime_int8": found["identical_to_runtime"].value,
        "words_in_silence": found["words_in_silence"].value,
        "words_in_silence_source": found["words_in_silence_source"].value,
        "loops": found["loops"].value,
        "loops_source": found["loops_source"].value,
        "rtf": round(found["real_time_factor"].value, 4),
        "rtf_source": round(theirs["real_time_factor"], 4),
        "time_ratio": round(report.timings[0].ratio, 3),
        "load_s": round(found["load"].value, 3),
        "load_s_source": round(theirs["load"], 3),
        "memory_mb": round(found["memory"].value, 1),
        "memory_mb_source": round(theirs["memory"], 1),
    }


def measure(*, threads: int) -> dict[str, Any]:
    """Returns the report, for the command line."""
    with tempfile.TemporaryDirectory() as folder:
        return measure_whisper_base(threads, Path(folder))


if __name__ == "__main__":
    run(__doc__ or "", measure)
