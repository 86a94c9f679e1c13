"""`headside quantize asr`: a fine-tuned Whisper made small, and measured.

Load, check, convert, quantize, listen, report. What takes long is kept, so that a run
that was killed goes on where it was.
"""

from __future__ import annotations

import math
from pathlib import Path

from models.disk import disk_failures, locked, require_free
from models.store import cache_root
from quantize.artifact import ArtifactReport
from quantize.asr.conversion import convert
from quantize.asr.job import Job, Request
from quantize.asr.publishing import publish
from quantize.asr.recordings import load_recordings
from quantize.asr.source import Kind, Source, check_folder, load_source
from quantize.errors import QuantizeError
from quantize.kept import Kept
from quantize.made import versions
from quantize.placing import require_absent
from quantize.stage import Clock, Stage

_SPARE_BYTES = 16 << 20
"""For the tokenizer, the report and what was heard."""
_CONVERTED_BY = ("ctranslate2", "transformers", "peft", "torch")


def quantize_asr(request: Request, stage: Stage) -> ArtifactReport:
    """Makes a model small, publishes it with its report, and returns that.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much: then nothing is
            published, and the error names where the report is.
    """
    clock = Clock(stage)
    with clock.at("checking the source"):
        require_absent(request.out)
        _check_guard(request)
        source = load_source(request.source, request.adapters)
        recordings = load_recordings(request.evaluation)
        _require_room(request, source)
    kept = Kept("asr", source.files.sha256, *map(str, versions(_CONVERTED_BY)))
    with locked(kept.path("lock"), lambda: stage.begin("waiting for another run")):
        job = Job(
            request=request,
            source=source,
            floats=_floats(request, source, kept, clock),
            recordings=recordings,
        )
        return publish(job, clock)


def _check_guard(request: Request) -> None:
    for option, value in (
        ("--guard-wer", request.guard_wer),
        ("--guard-shift-ms", request.guard_shift_ms),
    ):
        if not math.isfinite(value) or value < 0:
            raise QuantizeError(
                "guard_invalid", f"{option} is {value}.", "Give a number from 0 on."
            )


def _floats(request: Request, source: Source, kept: Kept, clock: Clock) -> Path:
    """Returns the source in CTranslate2's format."""
    if source.kind is Kind.CTRANSLATE2:
        return source.path
    converted = kept.path("converted")
    if not converted.is_dir():
        with clock.at("converting"):
            convert(source.path, request.adapters, converted, clock.stage.tell)
    check_folder(converted)
    return converted


def _require_room(request: Request, source: Source) -> None:
    """Raises unless there is room on the disk.

    Raises:
        ModelError: ``no_space`` or ``cache_unwritable``.
    """
    cache, out = cache_root(), request.out.absolute().parent
    for folder in (cache, out):
        with disk_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
    is_converted = source.kind is Kind.FOLDER
    require_free(cache, 4 * source.n_weights * is_converted + _SPARE_BYTES)
    require_free(out, source.n_weights + _SPARE_BYTES)
