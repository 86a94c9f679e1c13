"""`headside quantize encoder`: a sentence encoder made small, and measured.

Load, export, compare with torch, calibrate, search, repair, judge, publish.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx

from models.disk import disk_failures, locked, require_free, write_whole
from models.pack_file import pack_names
from models.store import cache_root
from quantize.artifact import ArtifactReport
from quantize.encoder.building import build_encoder
from quantize.encoder.calibrating import calibrate
from quantize.encoder.guard import Guard
from quantize.encoder.losses import Standard
from quantize.encoder.parity import check_export
from quantize.encoder.pieces import check_pieces
from quantize.encoder.publishing import Job, publish
from quantize.encoder.search import Lab, chosen, compared, repaired, sensitivities
from quantize.encoder.sentences import Sentences, load_sentences
from quantize.encoder.source import Encoder, load_encoder, read_weights
from quantize.encoder.vectors import Reader
from quantize.kept import Kept
from quantize.made import sha256_of
from quantize.placing import require_absent
from quantize.stage import Clock, Stage
from quantize.texts import Use

_DECIDES = ("onnxruntime", "onnx", "numpy", "tokenizers")
"""Versions that what is measured depends on."""
_SCHEME = "2"
"""Of what is kept; another when trials mean something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for."""

    source: Path
    out: Path
    packs: tuple[str, ...] = ()
    """All that come with Headside where empty."""
    calibration: Path | None = None
    evaluation: Path | None = None
    guard: Guard
    n_float: int = 0
    """Nodes that stay in float in any case."""
    threads: int = 1


def quantize_encoder(request: Request, stage: Stage) -> ArtifactReport:
    """Makes an encoder small, publishes it with its report, and returns that.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much: then nothing is
            published but the report, in ``OUT.refused``.
    """
    clock = Clock(stage)
    with clock.at("checking"):
        require_absent(request.out)
        sentences = load_sentences(
            request.packs or pack_names(),
            calibration=request.calibration,
            evaluation=request.evaluation,
        )
        encoder = load_encoder(request.source)
        check_pieces(encoder.folder, encoder.pieces, sentences.texts(Use.EVALUATION))
        _require_room(request, encoder)
        weights = read_weights(encoder, stage.tell)
        sha256 = fingerprint(encoder)
    tools = [f"{name} {version(name)}" for name in _DECIDES]
    kept = Kept("encoder", _SCHEME, sha256, sentences.sha256, *tools)
    with locked(kept.path("lock"), lambda: stage.begin("waiting for another run")):
        model = build_encoder(encoder.shape, weights)
        del weights
        apart = _export_difference(request, encoder, model, sentences, kept, clock)
        lab = _lab(request, encoder, model, sentences, kept, clock)
        with clock.at("trying ways"):
            trials = compared(lab, stage.tell)
        way = chosen(trials, request.guard)
        with clock.at("measuring products"):
            found = sensitivities(lab, way, stage.tell)
        with clock.at("leaving products in float"):
            trial = repaired(lab, way, found, request.guard, request.n_float)
        job = Job(
            out=request.out,
            encoder=encoder,
            source_sha256=sha256,
            sentences=sentences,
            lab=lab,
            way=way,
            trials=trials,
            trial=trial,
            sensitivities=found,
            guard=request.guard,
            export_apart=apart,
        )
        return publish(job, clock)


def fingerprint(encoder: Encoder) -> str:
    """Returns the hash of all that decides what an encoder makes of a sentence."""
    told = [
        f"{path.relative_to(encoder.folder)} {sha256_of(path)}"
        for path in encoder.files
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def standard(
    reader: Reader, sentences: Sentences, use: Use, texts: Sequence[str]
) -> Standard:
    """Returns what a source makes of the sentences of a use, and of the examples."""
    return Standard(
        sentences=reader.together(texts),
        examples=reader.together([one.text for one in sentences.examples]),
        groups=[one.group for one in sentences.by_use[use]],
        intents=[one.intent for one in sentences.examples],
    )


def _export_difference(
    request: Request,
    encoder: Encoder,
    model: onnx.ModelProto,
    sentences: Sentences,
    kept: Kept,
    clock: Clock,
) -> float:
    """Returns how far the float graph is from torch, measured or known from before."""
    path = kept.path("export.json")
    with suppress(OSError, ValueError, TypeError):
        return float(json.loads(path.read_text(encoding="utf-8")))
    reader = Reader(model, encoder.pieces, threads=request.threads)
    with clock.at("comparing with torch"):
        apart = check_export(reader, encoder, sentences.texts(Use.EVALUATION))
    write_whole(path, json.dumps(apart))
    return apart


def _lab(
    request: Request,
    encoder: Encoder,
    model: onnx.ModelProto,
    sentences: Sentences,
    kept: Kept,
    clock: Clock,
) -> Lab:
    threads, texts = request.threads, sentences.texts(Use.SEARCH)
    with clock.at("calibrating"):
        calibration = calibrate(
            model,
            encoder.pieces,
            sentences.texts(Use.CALIBRATION),
            threads=threads,
            tell=clock.stage.tell,
        )
    reader = Reader(model, encoder.pieces, threads=threads)
    return Lab(
        model=model,
        pieces=encoder.pieces,
        calibration=calibration,
        standard=standard(reader, sentences, Use.SEARCH, texts),
        sentences=texts,
        examples=[one.text for one in sentences.examples],
        threads=threads,
        kept=kept,
    )


def _require_room(request: Request, encoder: Encoder) -> None:
    out = request.out.absolute().parent
    for folder, n_bytes in ((cache_root(), 1 << 20), (out, encoder.n_bytes)):
        with disk_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
        require_free(folder, n_bytes)
