"""`headside quantize llm` against llama.cpp's own presets, at their own sizes.

Two sources whose weights lie on no grid (`off_grid.py`): one rotated, one dithered. For
each preset the search is given the bytes of the preset's file, and all are compared
with the source over texts that none saw, with the same importance matrix. Tensors are
measured once (minutes) and kept; `--full 1` measures them again, and without what mends
losses and without importance, too. Then a small model that was taught a pack's intents
(`train_adapter.py`) is quantized, and does what it does in the runtime.

- `kld_vs_q4_k_m`, `kld_vs_iq4_nl`: mean divergence, ours by theirs, the worse source.
- `bytes_vs_q4_k_m`, `bytes_vs_iq4_nl`: bytes, ours by theirs, the worse source.
- `speed_decode_vs_q4_k_m`, `speed_kld_vs_q4_k_m`: `--for speed` at the bytes of Q4_K_M:
  tokens written a second, and divergence, ours by theirs; the worse source.
- `action_agreement`: share of 640 lines for which the quantized model, with 6 bits a
  weight, does what its source does; `tasks` has its interval and the rest of what the
  report says of it, with 16 and with 8 bits for what the runtime keeps.
- `methods`: every file by source: bytes, mean divergence with its interval, same word.
- `search_s`: seconds that measuring took, where it was not kept.

    python benchmarks/bench_quantize_llm.py --json
    python benchmarks/bench_quantize_llm.py --json --presets 0   # the task alone
    python benchmarks/bench_quantize_llm.py --json --lines 0     # all but the task
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.measure import run
from benchmarks.off_grid import make
from benchmarks.orders import asked
from models.pack_file import load_pack
from models.store import cache_root
from quantize.assignment import quantize_by
from quantize.conversion import convert
from quantize.gguf import load_header
from quantize.job import IMATRIX, MODEL, Request
from quantize.llm import compared, quantize_llm
from quantize.llm_texts import load_texts
from quantize.report import Method
from quantize.stage import Stage
from quantize.texts import Use
from quantize.writing import Speed, write

SOURCES = ("rotated", "dithered")
PRESETS = ("q4_k_m", "iq4_nl")
N_LINES = 640
TASK_BITS = 6.0
_ANY_KL = 100.0
"""The guard is not what is measured."""


def measure(*, threads: int, full: int, presets: int, lines: int) -> dict[str, Any]:
    """Returns ratios, and all files behind them."""
    task = _task(threads, lines) if lines else {}
    if not presets:
        return task
    found: dict[str, Any] = {"methods": {}, "search_s": {}, "speeds": {}}
    ratios: dict[str, list[float]] = {}
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            bench = _Bench(source, Path(folder), threads, is_full=bool(full))
            bench.run()
            sys.stderr.write(f"{source}: {json.dumps(bench.methods | bench.ratios)}\n")
            for name, value in bench.ratios.items():
                ratios.setdefault(name, []).append(value)
            found["methods"] |= bench.methods
            found["search_s"] |= bench.search_s
            found["speeds"][source] = {
                name: asdict(speed) for name, speed in bench.speeds.items()
            }
    worst = {
        name: round((min if "decode" in name else max)(values), 4)
        for name, values in ratios.items()
    }
    return worst | task | found


class _Bench:
    """All files of one source."""

    def __init__(
        self, source: str, folder: Path, threads: int, *, is_full: bool
    ) -> None:
        self._source, self._folder, self._threads = source, folder, threads
        self._is_full = is_full
        self._base = _base(source)
        self.ratios: dict[str, float] = {}
        self.methods: dict[str, Any] = {}
        self.search_s: dict[str, float] = {}
        self.speeds: Mapping[str, Speed] = {}

    def run(self) -> None:
        """Makes all files, and compares them."""
        first = self._made("first", preset=PRESETS[0])
        files: dict[str, Path] = {}
        for preset in PRESETS:
            for name, imatrix in {
                preset: first / IMATRIX,
                f"{preset} without importance": None,
            }.items():
                files[name] = self._folder / f"{name.replace(' ', '-')}.gguf"
                quantize_by(
                    self._base,
                    files[name],
                    preset,
                    imatrix=imatrix,
                    threads=self._threads,
                )
            ours = f"ours at {preset}"
            n_bytes = files[preset].stat().st_size
            files[ours] = self._made(ours, budget_bytes=n_bytes) / MODEL
        size = files["q4_k_m"].stat().st_size
        fast = self._made("ours for speed", budget_bytes=size, goal="speed")
        files["ours for speed"] = fast / MODEL
        if self._is_full:
            for preset in PRESETS:
                size = files[preset].stat().st_size
                for what, options in {
                    "not mended": {"is_mended": False},
                    "without importance": {"is_mended": False, "uses_imatrix": False},
                }.items():
                    name = f"ours at {preset} {what}"
                    files[name] = self._made(name, budget_bytes=size, **options) / MODEL
        self._compare(files)

    def _made(self, name: str, **options: object) -> Path:
        out = self._folder / name.replace(" ", "-")
        request = Request(
            source=self._base,
            out=out,
            threads=self._threads,
            guard_kl=_ANY_KL,
        )
        report = quantize_llm(replace(request, **options), Stage())  # type: ignore[arg-type]
        took = dict(report.seconds).get("measuring tensors", 0.0)
        self.search_s[f"{self._source}, {name}"] = took
        return out

    def _compare(self, files: Mapping[str, Path]) -> None:
        methods = {
            one.name: one
            for one in compared(
                self._base,
                files,
                pack="explorer",
                evaluation=(),
                threads=self._threads,
                tell=lambda *_: None,
            )
        }
        texts = load_texts(
            self._base,
            load_header(self._base),
            pack="explorer",
            calibration=(),
            evaluation=(),
        )
        prompts = [chunk[:128] for chunk in texts.chunks[Use.EVALUATION]]
        some = ("q4_k_m", "ours at q4_k_m", "ours for speed")
        written = write(
            {name: files[name] for name in some},
            prompts,
            threads=self._threads,
            tell=lambda *_: None,
        )
        self.speeds = {name: one.speed for name, one in written.items()}
        for preset in PRESETS:
            ours, theirs = methods[f"ours at {preset}"], methods[preset]
            self.ratios[f"kld_vs_{preset}"] = _kl(ours) / _kl(theirs)
            self.ratios[f"bytes_vs_{preset}"] = ours.n_bytes / theirs.n_bytes
        fast = self.speeds["ours for speed"].decode_tokens_per_s
        theirs_s = self.speeds["q4_k_m"].decode_tokens_per_s
        self.ratios["speed_decode_vs_q4_k_m"] = fast / theirs_s
        self.ratios["speed_kld_vs_q4_k_m"] = _kl(methods["ours for speed"]) / _kl(
            methods["q4_k_m"]
        )
        self.methods = {
            f"{self._source}, {name}": _row(one) for name, one in methods.items()
        }


def _base(source: str) -> Path:
    """Returns a source as a GGUF file, made where it is not there yet."""
    base = cache_root() / "bench" / f"{source}.gguf"
    if not base.exists():
        folder = _folder(source)
        convert(folder, base, type_="f32", name=source)
        shutil.rmtree(folder)
    return base


def _folder(source: str) -> Path:
    folder = cache_root() / "bench" / source
    if not folder.exists():
        make(source, folder)
    return folder


def _adapter() -> Path:
    """Returns the adapter that was taught the intents; teaches it where it is absent.

    That takes some 25 minutes, and more where the processor has no bfloat16.
    """
    adapter = cache_root() / "bench" / "wren_lora"
    if not adapter.exists():
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "plain.gguf"
            convert(_folder("plain"), model, type_="f32")
            script = Path(__file__).with_name("train_adapter.py")
            subprocess.run(
                [sys.executable, script, _folder("plain"), model, adapter], check=True
            )
    return adapter


def _kl(method: Method) -> float:
    return method.summary.kl_mean.mean


def _row(method: Method) -> dict[str, Any]:
    found = method.summary
    return {
        "n_bytes": method.n_bytes,
        "kl_mean": round(found.kl_mean.mean, 5),
        "kl_low": round(found.kl_mean.low, 5),
        "kl_high": round(found.kl_mean.high, 5),
        "same_top": round(found.same_top.mean, 4),
        "perplexity_ratio": round(found.perplexity_ratio.mean, 4),
        "n_tokens": found.n_tokens,
    }


def _task(threads: int, n_lines: int) -> dict[str, Any]:
    """Returns what a model that was taught does in the runtime, once quantized."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.jsonl"
        rows = asked(load_pack("explorer", "en"), n_lines)
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        report = quantize_llm(
            Request(
                source=_folder("plain"),
                out=Path(folder) / "out",
                threads=threads,
                adapters=(_adapter(),),
                bits_per_weight=TASK_BITS,
                task=lines,
                guard_kl=_ANY_KL,
                guard_actions=0.0,
            ),
            Stage(),
        )
    return {
        "action_agreement": report.tasks[0].agreement.mean,
        "tasks": [asdict(one) for one in report.tasks],
        "task_model": _row(report.methods[0]),
        "task_search_s": dict(report.seconds).get("measuring tensors", 0.0),
    }


if __name__ == "__main__":
    run(__doc__, measure, full=0, presets=1, lines=N_LINES)
