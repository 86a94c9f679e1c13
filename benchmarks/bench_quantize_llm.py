"""`headside quantize llm` against llama.cpp's own presets, at their own sizes.

Two sources whose weights lie on no grid (`off_grid.py`): one rotated, one dithered. For
each preset the search is given the bytes of the preset's file, and both are compared
with the source over texts that neither saw, with the same importance matrix. Tensors
are measured once (minutes) and kept; later runs quantize and evaluate alone.

- `kld_vs_q4_k_m`, `kld_vs_iq4_nl`: mean divergence, ours by theirs, the worse source.
- `bytes_vs_q4_k_m`, `bytes_vs_iq4_nl`: bytes, ours by theirs, the worse source.
- `methods`: every file by source: bytes, mean divergence with its interval, same word.
- `search_s`: seconds that measuring took, where it was not kept.

    python benchmarks/bench_quantize_llm.py --json
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import run
from benchmarks.off_grid import make
from models.store import cache_root
from quantize.llm import MODEL, THIS, Request, Stage, quantize_llm
from quantize.report import Report

SOURCES = ("rotated", "dithered")
PRESETS = ("q4_k_m", "iq4_nl")
_ANY_KL = 100.0
"""The guard is not what is measured."""


def measure(*, threads: int) -> dict[str, Any]:
    """Returns ratios, and all files behind them."""
    found: dict[str, Any] = {"methods": {}, "search_s": {}}
    ratios: dict[str, list[float]] = {}
    for source in SOURCES:
        folder = cache_root() / "bench" / source
        if not folder.exists():
            make(source, folder)
        for preset in PRESETS:
            report = _beside(folder, preset, threads)
            ours, theirs = report.methods
            kl = [one.summary.kl_mean.mean for one in (ours, theirs)]
            ratios.setdefault(f"kld_vs_{preset}", []).append(kl[0] / kl[1])
            sizes = ours.n_bytes / theirs.n_bytes
            ratios.setdefault(f"bytes_vs_{preset}", []).append(sizes)
            found["methods"] |= {
                f"{source}, {'ours at ' + preset if one.name == THIS else preset}": {
                    "n_bytes": one.n_bytes,
                    "kl_mean": round(one.summary.kl_mean.mean, 5),
                    "kl_low": round(one.summary.kl_mean.low, 5),
                    "kl_high": round(one.summary.kl_mean.high, 5),
                    "same_top": round(one.summary.same_top.mean, 4),
                    "perplexity_ratio": round(one.summary.perplexity_ratio.mean, 4),
                    "n_tokens": one.summary.n_tokens,
                }
                for one in report.methods
            }
            took = dict(report.seconds).get("measuring tensors", 0.0)
            found["search_s"][f"{source}, {preset}"] = took
    return {name: round(max(values), 4) for name, values in ratios.items()} | found


def _beside(folder: Path, preset: str, threads: int) -> Report:
    """Returns the report of a search at the size of a preset, and the preset."""
    with tempfile.TemporaryDirectory() as made:
        theirs = Request(
            source=folder,
            out=Path(made) / "theirs",
            threads=threads,
            preset=preset,
            guard_kl=_ANY_KL,
        )
        quantize_llm(theirs, Stage())
        ours = Request(
            source=folder,
            out=Path(made) / "ours",
            threads=threads,
            budget_bytes=(theirs.out / MODEL).stat().st_size,
            compared=(preset,),
            guard_kl=_ANY_KL,
        )
        return quantize_llm(ours, Stage())


if __name__ == "__main__":
    run(__doc__, measure)
