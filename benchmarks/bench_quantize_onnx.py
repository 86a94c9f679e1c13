"""`headside quantize vision`, `encoder` and `asr`: what eight bits cost, and win.

Photographs come from the store (`photographs`): some calibrate, others judge. All
figures are of pictures, sentences and recordings that nothing else saw.

- `efficientnet_lite0`: `mb`; `agreement` where float leads by 0.2 or more, with its
  interval by photograph and `n_sure`; `agreement_all`, `sqnr_db`; `time_ratio`, int8 by
  float, the worse of one and two threads, by turns; `plain`: the same of onnxruntime's
  static quantization as it comes, on this processor.
- `planted_outliers`: `agreement_plain`, `agreement` over all pictures, `float_share`.
- `mistakes`: whether three mistakes of an export stop the run, and with which reason.
- `ocr`: see `quantize_ocr.py`; `minilm`: `quantize_encoder.py`; `whisper_base`:
  `quantize_asr.py`.

With `--reports DIR` what each of them reports, as JSON and HTML, is left there.

    python benchmarks/bench_quantize_onnx.py --json
    python benchmarks/bench_quantize_onnx.py --json --only efficientnet_lite0
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import PHOTOGRAPHS, load_now, photographs
from benchmarks.planted import make
from models.store import Store
from quantize.artifact import PAGE, REPORT, ArtifactReport, Way
from quantize.errors import QuantizeError
from quantize.stage import Stage
from quantize.vision.job import Guard, Request
from quantize.vision.vision import quantize_vision

EFFICIENTNET = "efficientnet-lite0"
WEIGHTS = "efficientnet-lite0-57934424.pth"
CALIBRATING = (
    *("chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png", "rocket.jpg"),
)
"""The others judge."""
N_JUDGING = 2000
"""Of which a quarter is sure for float."""
N_PLANTED = 600
# As it was trained: (pixels - 127) / 128.
HOW = """size = [224, 224]
keep = 0.875
scale = 0.0078125
mean = [0.9921875, 0.9921875, 0.9921875]
"""
MISTAKES: Mapping[str, tuple[str, str]] = {
    "swish for ReLU6": ("swish_for_relu6", HOW),
    "BGR for RGB": ("efficientnet_lite0", f'{HOW}order = "bgr"\n'),
    "another mean and scale": (
        "efficientnet_lite0",
        """size = [224, 224]
keep = 0.875
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
""",
    ),
}


def efficientnet(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what EfficientNet-Lite0 loses and wins."""
    report = quantize_vision(
        replace(_efficientnet(threads, folder, HOW), out=folder / "small"), Stage()
    )
    return {**_figures(report.ways[0]), **_timed(report), "plain": _plain(report)}


def planted(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what is lost where plain int8 fails."""
    source = folder / "planted.onnx"
    make(Store.default().path(PHOTOGRAPHS), source)
    how = folder / "planted.toml"
    how.write_text("size = [64, 64]\n")
    report = quantize_vision(
        Request(
            source=str(source),
            out=folder / "planted",
            calibration=_some(folder, is_calibrating=True),
            evaluation=_some(folder, is_calibrating=False),
            preprocess=how,
            threads=threads,
            n_judging=N_PLANTED,
            guard=Guard(agreement=0.0, float_share=1.0),
        ),
        Stage(),
    )
    ours, plain = _figures(report.ways[0]), _plain(report)
    shares = {one.name: one.value for one in report.findings}
    return {
        "agreement": ours["agreement_all"],
        "agreement_sure": ours["agreement"],
        "agreement_plain": plain["agreement_all"],
        "float_share": round(shares["float_share"], 4),
        "sqnr_db": ours["sqnr_db"],
        "n": N_PLANTED,
    }


def mistakes(threads: int, folder: Path) -> dict[str, Any]:
    """Returns the reason with which each mistake of an export stops the run."""
    found = {}
    for what, (factory, how) in MISTAKES.items():
        request = _efficientnet(threads, folder, how)
        source = f"benchmarks.networks:{factory}"
        try:
            quantize_vision(replace(request, source=source), Stage())
            found[what] = "not seen"
        except QuantizeError as error:
            found[what] = f"{error.code}: {error.message}"
    return found


def minilm(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what a sentence encoder loses and wins."""
    from benchmarks.quantize_encoder import measure_minilm  # noqa: PLC0415

    return dict(measure_minilm(threads, folder))


def ocr(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what reading signs loses and wins."""
    from benchmarks.quantize_ocr import measure_ocr  # noqa: PLC0415

    return dict(measure_ocr(threads, folder))


def whisper(threads: int, folder: Path) -> dict[str, Any]:
    """Returns what a recogniser loses and wins."""
    from benchmarks.quantize_asr import measure_whisper_base  # noqa: PLC0415

    return dict(measure_whisper_base(threads, folder))


PARTS: Mapping[str, Callable[[int, Path], dict[str, Any]]] = {
    "efficientnet_lite0": efficientnet,
    "planted_outliers": planted,
    "mistakes": mistakes,
    "minilm": minilm,
    "ocr": ocr,
    "whisper_base": whisper,
}


def _efficientnet(threads: int, folder: Path, how: str) -> Request:
    path = folder / "how.toml"
    path.write_text(how)
    return Request(
        source="benchmarks.networks:efficientnet_lite0",
        weights=Store.default().path(EFFICIENTNET) / WEIGHTS,
        out=folder / "out",
        calibration=_some(folder, is_calibrating=True),
        evaluation=_some(folder, is_calibrating=False),
        preprocess=path,
        threads=threads,
        n_judging=N_JUDGING,
        licence="Apache-2.0",
        guard=Guard(agreement=0.0, float_share=1.0),
    )


def _some(folder: Path, *, is_calibrating: bool) -> Path:
    """Returns a folder with the photographs of one use."""
    found = folder / ("calibration" if is_calibrating else "evaluation")
    found.mkdir(exist_ok=True)
    for path in photographs(Store.default()):
        if (path.name in CALIBRATING) == is_calibrating:
            link = found / path.name
            if not link.exists():
                link.symlink_to(path)
    return found


def _figures(way: Way) -> dict[str, Any]:
    found = {one.name: one for one in way.findings}
    sure = found["agreement"]
    return {
        "mb": round(way.n_bytes / 1e6, 3),
        "agreement": round(sure.value, 4),
        "agreement_low": round(sure.worst[0], 4),
        "n_sure": sure.n,
        "agreement_all": round(found["agreement_all"].value, 4),
        "n": found["agreement_all"].n,
        "sqnr_db": found["sqnr"].value,
    }


def _plain(report: ArtifactReport) -> dict[str, Any]:
    (plain,) = [way for way in report.ways if way.name.startswith("plain")]
    return _figures(plain)


def _timed(report: ArtifactReport) -> dict[str, Any]:
    shares = {one.name: one.value for one in report.findings}
    return {
        "time_ratio": round(max(one.ratio for one in report.timings), 4),
        "times": {
            f"{one.threads} threads": {
                "ratio": round(one.ratio, 4),
                "median_ms": round(one.median_ms, 2),
                "p95_ms": round(one.p95_ms, 2),
                "float_median_ms": round(one.reference_median_ms, 2),
                "float_p95_ms": round(one.reference_p95_ms, 2),
            }
            for one in report.timings
        },
        "float_share": round(shares["float_share"], 4),
        "seconds": round(sum(seconds for _, seconds in report.seconds), 1),
        "method": report.method,
    }


def _save_reports(folder: Path, name: str, out: Path) -> None:
    """Copies all reports below a folder; where there are several, each by its model."""
    found = sorted(folder.rglob(REPORT))
    for path in found:
        # One that was refused, for the limits of the command, has a report as well.
        model = path.parent.name.removesuffix(".refused")
        beside = out / (f"{name}_{model}" if len(found) > 1 else name)
        beside.mkdir(parents=True, exist_ok=True)
        for file in (REPORT, PAGE):
            shutil.copyfile(path.with_name(file), beside / file)


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one line")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=PARTS, action="append", help="these alone")
    parser.add_argument("--reports", type=Path, help="where reports are left")
    given = parser.parse_args()
    load = load_now()
    found: dict[str, Any] = {}
    for name in given.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = PARTS[name](given.threads, Path(folder))
            if given.reports is not None:
                _save_reports(Path(folder), name, given.reports)
        sys.stderr.write(f"{name}: {json.dumps(found[name])}\n")
    report = {**found, "threads": given.threads, "load": load}
    print(json.dumps(report, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
