"""What reading signs loses when both of its networks are made small.

    .venv/bin/python benchmarks/quantize_ocr.py [--threads N] [--json]

PP-OCRv4 of the store: one network finds lines of text, the other reads them. Both are
quantized as `headside quantize vision --whole` does it, on rendered signs (`signs.py`),
and then read other signs, of other words over other photographs, beside float.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from PIL import Image

from benchmarks.measure import photographs
from benchmarks.signs import FINDS, READS, WORDS, Reader, Sign, signs
from models.preprocessing import Pixels, Preprocessing, save_preprocessing
from models.store import Store
from quantize.artifact import ArtifactReport
from quantize.stage import Stage
from quantize.vision.job import MODEL, Guard, Request
from quantize.vision.vision import quantize_vision

SOURCE = "rapidocr-ppocr-v4"
FINDING, READING = "ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx"
N_CALIBRATING, N_JUDGING, N_READ = 60, 48, 120
"""Signs; each line of them is a picture for the second network."""
_SQNR_DB = 24.0
"""Of what is found: a line that begins a pixel further left is read otherwise."""
_LICENCE = "Apache-2.0"


def measure_ocr(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what reading signs loses, and how large and fast both networks are.

    Args:
        threads: Of every network.
        folder: For the pictures and the networks that are made.
    """
    root = Store.default().path(SOURCE)
    float_reader = _reader(root / FINDING, root / READING, threads)
    for use, n, seed in (
        ("calibration", N_CALIBRATING, 1),
        ("evaluation", N_JUDGING, 2),
    ):
        scenes = [one.pixels for one in _signs(use, n, seed)]
        _save(folder / f"scenes_{use}", scenes)
        lines = [line for scene in scenes for line in float_reader.lines(scene)]
        _save(folder / f"lines_{use}", lines)
    finds = _quantized(folder, "scenes", root / FINDING, FINDS, threads)
    reads = _quantized(folder, "lines", root / READING, READS, threads)
    small = _reader(folder / "scenes" / MODEL, folder / "lines" / MODEL, threads)
    some = list(_signs("evaluation", N_READ, 3))
    theirs = [float_reader.read(one.pixels) for one in some]
    ours = [small.read(one.pixels) for one in some]
    same = [a == b for a, b in zip(theirs, ours, strict=True)]
    written = [one.text for one in some]
    return {
        "text_agreement": sum(same) / len(same),
        "n_signs": len(same),
        "right_float": _share(theirs, written),
        "right": _share(ours, written),
        "differs": [
            {"written": one.text, "float": a, "int8": b}
            for one, a, b in zip(some, theirs, ours, strict=True)
            if a != b
        ],
        "detection": _figures(finds),
        "recognition": _figures(reads),
    }


def _signs(use: str, n: int, seed: int) -> list[Sign]:
    """Returns signs; what calibrates shares neither words nor photographs."""
    at = 0 if use == "calibration" else 1
    behind = photographs(Store.default())
    return list(signs(behind[at::2], WORDS[at::2], n, seed=seed))


def _reader(finds: Path, reads: Path, threads: int) -> Reader:
    model = onnx.load(Store.default().path(SOURCE) / READING)
    (letters,) = [one.value for one in model.metadata_props if one.key == "character"]
    return Reader(finds, reads, ["", *letters.split("\n"), " "], threads=threads)


def _save(folder: Path, pictures: Sequence[Pixels]) -> None:
    folder.mkdir()
    for n, one in enumerate(pictures):
        Image.fromarray(one).save(folder / f"{n:03}.png")


def _quantized(
    folder: Path, what: str, source: Path, how: Preprocessing, threads: int
) -> ArtifactReport:
    path = folder / f"{what}.toml"
    save_preprocessing(path, how)
    return quantize_vision(
        Request(
            source=str(source),
            out=folder / what,
            calibration=folder / f"{what}_calibration",
            evaluation=folder / f"{what}_evaluation",
            preprocess=path,
            threads=threads,
            is_whole=True,
            licence=_LICENCE,
            guard=Guard(agreement=0.97, sqnr_db=_SQNR_DB, float_share=1.0),
        ),
        Stage(),
    )


def _share(read: Sequence[str], written: Sequence[str]) -> float:
    same = [a == b for a, b in zip(read, written, strict=True)]
    return sum(same) / len(same)


def _figures(report: ArtifactReport) -> dict[str, Any]:
    return {
        "mb": report.out.n_bytes / 1e6,
        "source_mb": report.source.n_bytes / 1e6,
        "method": report.method,
        **{one.name: one.value for one in report.findings},
        "plain": {one.name: one.value for one in report.ways[1].findings},
        "time_ratio": max(one.ratio for one in report.timings),
        "seconds": sum(seconds for _, seconds in report.seconds),
    }


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure_ocr(given.threads, Path(folder))
    print(json.dumps(found, indent=None if given.json else 2, ensure_ascii=False))


if __name__ == "__main__":
    main()
