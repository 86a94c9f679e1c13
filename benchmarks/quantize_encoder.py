"""What a sentence encoder loses when it is made small, and how fast it is then.

    .venv/bin/python benchmarks/quantize_encoder.py [--threads N] [--json]

MiniLM of the store is quantized as `headside quantize encoder` does it. Beside it is
the int8 file that somebody else published, on the same sentences: those that judged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.pack_file import pack_names
from models.store import Store
from quantize.artifact import ArtifactReport, LostTooMuchError, Way
from quantize.encoder.building import Floats, build_encoder
from quantize.encoder.guard import Guard
from quantize.encoder.losses import Loss, Standard
from quantize.encoder.making import Request, quantize_encoder
from quantize.encoder.pieces import Pieces, feeds
from quantize.encoder.sentences import load_sentences
from quantize.encoder.source import load_encoder, read_weights
from quantize.encoder.vectors import Reader
from quantize.onnx_session import open_session
from quantize.pairing import paired
from quantize.stage import Stage
from quantize.texts import Use

SOURCE, PUBLISHED = "minilm-l6-v2", "minilm-l6-v2-int8"
_THREADS = (1, 2)


def measure_minilm(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what quantizing MiniLM costs and brings.

    Args:
        threads: For all but the times, which are of one and of two.
        folder: For what is made.
    """
    request = Request(
        source=Store.default().path(SOURCE),
        out=folder / "minilm",
        guard=Guard(),
        threads=threads,
    )
    passed = True
    try:
        report = quantize_encoder(request, Stage())
    except LostTooMuchError as error:
        report, passed = error.report, False
    return {**_row(report), "is_passed": passed, "published": _published(threads)}


def _row(report: ArtifactReport) -> dict[str, Any]:
    found = {one.name: one for one in report.findings}
    row: dict[str, Any] = {name: one.value for name, one in found.items()}
    for name in ("cosine", "nearest_agreement", "intent_agreement"):
        row[f"{name}_interval"] = [found[name].low, found[name].high]
    return {
        **row,
        "mb": report.out.n_bytes / 1e6,
        "source_mb": report.source.n_bytes / 1e6,
        "sha256": report.out.sha256,
        "method": report.method,
        "n_sentences": found["cosine"].n,
        "n_float": sum(one.type == "float" for one in report.nodes),
        "time_ratio": max(one.ratio for one in report.timings),
        "time_ratios": {str(one.threads): one.ratio for one in report.timings},
        "median_ms": {str(one.threads): one.median_ms for one in report.timings},
        "load": os.getloadavg()[0],
        "ways": [_way(one) for one in report.ways],
    }


def _way(way: Way) -> dict[str, Any]:
    found = {one.name: one.value for one in way.findings}
    return {"name": way.name, "mb": way.n_bytes / 1e6, **found}


def _published(threads: int) -> dict[str, Any]:
    """Returns the same figures of the int8 file that is published."""
    store = Store.default()
    path = store.path(PUBLISHED) / "model.onnx"
    encoder = load_encoder(store.path(SOURCE))
    sentences = load_sentences(pack_names())
    texts = sentences.texts(Use.EVALUATION)
    examples = [one.text for one in sentences.examples]
    model = build_encoder(encoder.shape, read_weights(encoder, lambda *_: None))
    source = Reader(model, encoder.pieces, threads=threads)
    standard = Standard(
        sentences=source.alone(texts),
        examples=source.together(examples),
        groups=[one.group for one in sentences.by_use[Use.EVALUATION]],
        intents=[one.intent for one in sentences.examples],
    )
    session = open_session(path, threads=threads)
    loss = standard.loss(
        _pooled(session, encoder.pieces, texts),
        _pooled(session, encoder.pieces, examples),
    )
    ratios = {}
    for n in _THREADS:
        theirs, ours = (
            Reader(model, encoder.pieces, threads=n),
            open_session(path, threads=n),
        )
        fed = [theirs.feeds([text]) for text in texts]
        mine, others = itertools.cycle(fed), itertools.cycle(fed)
        timing = paired(
            lambda ours=ours, mine=mine: ours.run(None, next(mine)),  # type: ignore[misc]
            lambda theirs=theirs, others=others: theirs.read(next(others)),  # type: ignore[misc]
            threads=n,
        )
        ratios[str(n)] = timing.ratio
    return {
        "name": "published int8",
        "mb": path.stat().st_size / 1e6,
        "time_ratios": ratios,
        **_figures(loss),
    }


def _figures(loss: Loss) -> dict[str, float]:
    return {one.name: one.value for one in loss.findings()}


def _pooled(
    session: onnxruntime.InferenceSession, pieces: Pieces, texts: Sequence[str]
) -> Floats:
    """Returns vectors of a model that gives one for each piece, (n, d)."""
    found = []
    for text in texts:
        fed = feeds([pieces.numbers(text)], has_types=True)
        state = session.run(["last_hidden_state"], fed)[0][0]  # (t, d)
        mean = state.mean(axis=0)
        found.append(mean / np.linalg.norm(mean))
    return np.array(found, np.float32)


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_minilm(asked.threads, Path(folder))
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for way in [*found["ways"], found["published"]]:
        figures = [f"{way[key]:.4f}" for key in ("cosine", "nearest_agreement")]
        print(f"{way['name']:28} {way['mb']:7.2f} MB", *figures)
    for key in ("mb", "cosine", "cosine_low", "nearest_agreement", "time_ratio"):
        print(f"{key}: {found[key]:.4f}")


if __name__ == "__main__":
    main()
